//! BIRD 2: routes in a file that its configuration includes, or protocols that are switched on and off.

mod control;

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use ipnet::IpNet;

use self::control::Control;
use super::{Announcer, has};
use crate::{
    config::Service,
    service::{
        files,
        route::{Community, Family, Route},
    },
};

/// Routes in a file of static protocols, one for each family: communities, MED and path can change
/// without a flap of any session.
pub struct Include {
    socket: PathBuf,
    file: PathBuf,
    service: String,
    families: Vec<Family>,
    /// Whether BIRD has yet to be told of what the file says.
    is_news: bool,
}

impl Include {
    /// For one service.
    pub fn new(socket: &Path, file: &Path, service: &Service) -> Self {
        let families: BTreeSet<Family> = service.prefixes.iter().map(Family::of).collect();
        Self {
            socket: socket.to_owned(),
            file: file.to_owned(),
            service: service.name.clone(),
            families: families.into_iter().collect(),
            is_news: false,
        }
    }

    /// The protocol's name; BIRD's symbols have no hyphens.
    fn protocol(&self, family: Family) -> String {
        format!("responder_{}_{family}", self.service.replace('-', "_"))
    }

    fn text(&self, routes: &[Route]) -> String {
        let mut text =
            format!("# Written by responder for service {}: do not edit.\n", self.service);
        for family in &self.families {
            let channel = if *family == Family::V4 { "ipv4" } else { "ipv6" };
            let _ = writeln!(text, "protocol static {} {{\n  {channel};", self.protocol(*family));
            for route in routes.iter().filter(|route| Family::of(&route.prefix) == *family) {
                let _ = writeln!(text, "  route {} blackhole {{{} }};", route.prefix, marks(route));
            }
            text += "}\n";
        }
        text
    }

    /// The prefixes that BIRD has from the file.
    fn present(&self, control: &mut Control) -> Result<BTreeSet<IpNet>> {
        let mut prefixes = BTreeSet::new();
        for family in &self.families {
            let protocol = self.protocol(*family);
            let lines =
                control.ask(&format!("show route protocol {protocol}")).with_context(|| {
                    format!(
                        "BIRD has no protocol {protocol}: bird.conf must `include \"{}\";`",
                        self.file.display()
                    )
                })?;
            let first = |line: String| line.split_whitespace().next()?.parse::<IpNet>().ok();
            prefixes.extend(lines.into_iter().filter_map(first));
        }
        Ok(prefixes)
    }
}

impl Announcer for Include {
    fn ensure(&mut self, routes: &[Route]) -> Result<()> {
        let text = self.text(routes);
        let former = match fs::read_to_string(&self.file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| self.file.display().to_string());
            }
            former => former.unwrap_or_default(),
        };
        if former != text {
            self.is_news = true;
            // BIRD may run as another user.
            files::replace(&self.file, text.as_bytes(), 0o644)?;
        }
        let wanted: BTreeSet<IpNet> = routes.iter().map(|route| route.prefix).collect();
        let mut control = Control::connect(&self.socket)?;
        if !self.is_news && self.present(&mut control).is_ok_and(|present| present == wanted) {
            return Ok(());
        }
        control.ask("configure soft").context("BIRD refuses its configuration")?;
        self.is_news = false;
        let present = self.present(&mut control)?;
        ensure!(
            present == wanted,
            "BIRD has routes {present:?} where {wanted:?} are wanted: it may still be at work, or \
             `birdc show route protocol {}` tells why",
            self.protocol(self.families[0])
        );
        Ok(())
    }

    fn is_gradual(&self) -> bool {
        true
    }

    fn label(&self) -> &'static str {
        "bird"
    }
}

/// A route's marks as statements of BIRD's.
fn marks(route: &Route) -> String {
    let mut text = String::new();
    for community in &route.marks.communities {
        let _ = match community {
            Community::Standard(high, low) => write!(text, " bgp_community.add(({high},{low}));"),
            Community::Large(global, first, second) => {
                write!(text, " bgp_large_community.add(({global},{first},{second}));")
            }
        };
    }
    if let Some(med) = route.marks.med {
        let _ = write!(text, " bgp_med = {med};");
    }
    if let Some((number, times)) = route.marks.prepend {
        for _ in 0..times {
            let _ = write!(text, " bgp_path.prepend({number});");
        }
    }
    text
}

/// Protocols of the operator's own, one for each family: `enable` announces, `disable` withdraws.
pub struct Protocols {
    socket: PathBuf,
    protocols: Vec<(Family, String)>,
}

impl Protocols {
    /// For one service.
    pub fn new(socket: &Path, protocols: &[(Family, String)]) -> Self {
        Self { socket: socket.to_owned(), protocols: protocols.to_vec() }
    }
}

impl Announcer for Protocols {
    fn ensure(&mut self, routes: &[Route]) -> Result<()> {
        let mut control = Control::connect(&self.socket)?;
        for (family, protocol) in &self.protocols {
            let word = if has(routes, *family) { "enable" } else { "disable" };
            let said = control.ask(&format!("{word} \"{protocol}\"")).with_context(|| {
                format!("BIRD does not {word} \"{protocol}\": `birdc show protocols` lists them")
            })?;
            if said.is_empty() {
                bail!("BIRD says nothing to `{word} \"{protocol}\"`");
            }
        }
        Ok(())
    }

    fn is_gradual(&self) -> bool {
        false
    }

    fn label(&self) -> &'static str {
        "bird"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::route::Marks;

    #[test]
    fn marks_are_statements_of_bird() {
        let prefix = "192.0.2.0/24".parse().unwrap();
        let marks_of = |marks: Marks| super::marks(&Route { prefix, marks });
        assert_eq!(marks_of(Marks::default()), "");
        assert_eq!(
            marks_of(Marks {
                communities: vec![Community::Standard(1, 2), Community::Large(1, 2, 3)],
                med: Some(7),
                prepend: Some((65_001, 2)),
            }),
            " bgp_community.add((1,2)); bgp_large_community.add((1,2,3)); bgp_med = 7; \
             bgp_path.prepend(65001); bgp_path.prepend(65001);"
        );
    }
}
