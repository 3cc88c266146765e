//! Bars side by side, as SVG.

use std::path::Path;

use anyhow::anyhow;
use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use super::table::thousands;

/// A picture of bars in groups.
#[derive(Debug)]
pub struct Bars {
    /// What stands above.
    pub title: String,
    /// What a bar's length means.
    pub unit: String,
    /// Decimals of the numbers at the bars.
    pub decimals: usize,
    /// Names of the bars of each group, in one order.
    pub names: Vec<String>,
    /// Groups: what they are of, and a bar for each name, where there is one.
    pub groups: Vec<(String, Vec<Option<f64>>)>,
}

/// Octets of the picture: a bar's height, and what is around.
const BAR: i32 = 16;
const LEFT: i32 = 190;
const WIDTH: i32 = 900;
const TOP: i32 = 56;

impl Bars {
    /// Writes the picture.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn draw(&self, file: &Path) -> anyhow::Result<()> {
        self.try_draw(file).map_err(|error| anyhow!("{}: {error}", file.display()))
    }

    fn try_draw(&self, file: &Path) -> Result<(), Box<dyn std::error::Error>> {
        let bars: usize = self.groups.iter().map(|(_, bars)| bars.iter().flatten().count()).sum();
        let height = TOP + bars as i32 * BAR + self.groups.len() as i32 * 2 * BAR + BAR;
        let picture = SVGBackend::new(file, (WIDTH as u32, height as u32)).into_drawing_area();
        picture.fill(&WHITE)?;
        let small = ("sans-serif", 12).into_font().color(&BLACK);
        let at = |horizontal| Pos::new(horizontal, VPos::Center);
        let title = ("sans-serif", 17).into_font().color(&BLACK);
        picture.draw(&Text::new(self.title.clone(), (12, 10), title))?;
        picture.draw(&Text::new(self.unit.clone(), (12, 32), small.clone()))?;
        let longest = self.groups.iter().flat_map(|(_, bars)| bars.iter().flatten());
        let longest = longest.fold(0.0_f64, |longest, &bar| longest.max(bar)).max(1e-9);
        let room = f64::from(WIDTH - LEFT - 90);
        let mut y = TOP;
        for (group, bars) in &self.groups {
            let bold = ("sans-serif", 13).into_font().style(FontStyle::Bold).color(&BLACK);
            picture.draw(&Text::new(group.clone(), (12, y + 4), bold))?;
            y += BAR + 6;
            for (index, (name, bar)) in self.names.iter().zip(bars).enumerate() {
                let Some(bar) = *bar else { continue };
                let end = LEFT + (bar.max(0.0) / longest * room) as i32;
                let colour = Palette99::pick(index);
                let area = [(LEFT, y + 2), (end.max(LEFT + 1), y + BAR - 2)];
                picture.draw(&Rectangle::new(area, colour.filled()))?;
                let middle = y + BAR / 2;
                let label = small.pos(at(HPos::Right));
                picture.draw(&Text::new(name.clone(), (LEFT - 6, middle), label))?;
                let number = match self.decimals {
                    0 => thousands(bar),
                    decimals => format!("{bar:.decimals$}"),
                };
                let label = small.pos(at(HPos::Left));
                picture.draw(&Text::new(number, (end + 6, middle), label))?;
                y += BAR;
            }
            y += BAR - 6;
        }
        picture.present()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cleanup::Scratch;

    #[test]
    fn every_bar_is_in_the_picture() {
        let folder = Scratch::create().expect("a folder");
        let file = folder.path().join("bars.svg");
        let bars = Bars {
            title: "Load".into(),
            unit: "replies per second".into(),
            decimals: 0,
            names: vec!["one".into(), "other".into()],
            groups: vec![
                ("small".into(), vec![Some(1.0), None]),
                ("large".into(), vec![Some(1234.0), Some(2.0)]),
            ],
        };
        bars.draw(&file).expect("a picture");
        let text = std::fs::read_to_string(&file).expect("written");
        // The ground and three bars.
        assert_eq!(text.matches("<rect").count(), 4, "{text}");
        assert!(text.contains("1,234") && text.contains("large"));
    }
}
