//! Catchments drawn as a map: links, places, and who answers whom, as SVG.

use std::fmt::Write as _;

use super::{
    cloud::Catchment,
    load::NOBODY,
    topology::{Place, Topology},
};

/// Pixels per degree, and the map's corner: degrees of longitude west, of latitude north.
const SCALE: f64 = 9.0;
const CORNER: (f64, f64) = (-116.0, 34.0);
/// Its extent in degrees.
const EXTENT: (f64, f64) = (84.0, 76.0);
/// A colour for each node.
const COLOURS: [&str; 7] =
    ["#d1495b", "#00798c", "#edae49", "#30638e", "#6a994e", "#8f5db7", "#b5651d"];

/// Where a name on the right would hide what stands there.
const LABELS_ON_THE_LEFT: [&str; 4] = ["eze", "scl", "sjo", "mex"];
/// Where a name above the place would.
const LABELS_BELOW: [&str; 1] = ["eze"];

/// A map of who answers whom: the left half of a place's disc is IPv4, the right half IPv6.
pub fn draw(topology: &Topology, title: &str, catchment: &Catchment) -> String {
    let (width, height) = (EXTENT.0 * SCALE, EXTENT.1 * SCALE);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"14\">\n<rect width=\"100%\" \
         height=\"100%\" fill=\"#f7f7f4\"/>\n<text x=\"20\" y=\"34\" font-size=\"20\">{title}</text>\n"
    );
    let at = |code: &str| position(&topology.places[topology.number(code)]);
    // Writing to a String cannot fail.
    for link in topology.links {
        let ((x, y), (to_x, to_y)) = (at(link.ends.0), at(link.ends.1));
        _ = writeln!(
            svg,
            "<line x1=\"{x:.0}\" y1=\"{y:.0}\" x2=\"{to_x:.0}\" y2=\"{to_y:.0}\" stroke=\"#c4c4bd\" \
             stroke-width=\"1.5\"/>"
        );
    }
    for (place, answers) in topology.places.iter().zip(catchment) {
        for node in answers.iter().filter(|node| **node != NOBODY) {
            let node = usize::from(*node);
            let ((x, y), (to_x, to_y)) = (position(place), at(topology.nodes[node].place));
            _ = writeln!(
                svg,
                "<line x1=\"{x:.0}\" y1=\"{y:.0}\" x2=\"{to_x:.0}\" y2=\"{to_y:.0}\" stroke=\"{}\" \
                 stroke-width=\"3\"/>",
                colour(node as u8)
            );
        }
    }
    for (place, [v4, v6]) in topology.places.iter().zip(catchment) {
        let (x, y) = position(place);
        for (node, sweep) in [(v4, 0), (v6, 1)] {
            _ = writeln!(
                svg,
                "<path d=\"M {x:.0} {:.0} A 9 9 0 0 {sweep} {x:.0} {:.0} Z\" fill=\"{}\"/>",
                y - 9.0,
                y + 9.0,
                colour(*node)
            );
        }
        let answering = catchment.iter().flatten().any(|node| {
            topology.nodes.get(usize::from(*node)).is_some_and(|node| node.place == place.code)
        });
        if answering {
            _ = writeln!(
                svg,
                "<circle cx=\"{x:.0}\" cy=\"{y:.0}\" r=\"12\" fill=\"none\" stroke=\"#222\" \
                 stroke-width=\"2\"/>"
            );
        }
        let is_left = LABELS_ON_THE_LEFT.contains(&place.code);
        let (aside, anchor) = if is_left { (-17.0, "end") } else { (17.0, "start") };
        let below = if LABELS_BELOW.contains(&place.code) { 24.0 } else { -8.0 };
        _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"{anchor}\" stroke=\"#f7f7f4\" stroke-width=\"4\" \
             paint-order=\"stroke\">{}</text>",
            x + aside,
            y + below,
            place.name
        );
    }
    for (row, node) in topology.nodes.iter().enumerate() {
        let places = catchment.iter().filter(|answers| answers.contains(&(row as u8))).count();
        let y = 480.0 + 24.0 * row as f64;
        _ = writeln!(
            svg,
            "<rect x=\"20\" y=\"{:.0}\" width=\"14\" height=\"14\" fill=\"{}\"/><text x=\"42\" \
             y=\"{y:.0}\">{}: {places} {}</text>",
            y - 12.0,
            colour(row as u8),
            node.id,
            if places == 1 { "place" } else { "places" }
        );
    }
    svg + "</svg>\n"
}

fn position(place: &Place) -> (f64, f64) {
    let (east, north) = place.at;
    ((east - CORNER.0) * SCALE, (CORNER.1 - north) * SCALE)
}

fn colour(node: u8) -> &'static str {
    COLOURS.get(usize::from(node)).copied().unwrap_or("#222222")
}
