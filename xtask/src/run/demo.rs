//! The demo's zones, configuration and question.

use std::{
    fmt::Write as _,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};

use crate::net::{Namespace, SERVER, SERVER_INTERFACE};

/// A sample zone: the file's name is the apex and `.zone`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// Its name, with the dot at the end.
    pub apex: String,
    /// Its file.
    pub file: PathBuf,
}

/// The zones of `zones/`, by name.
///
/// # Errors
/// When there is none.
pub fn zones() -> anyhow::Result<Vec<Zone>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../zones").canonicalize();
    let folder = folder.context("zones/ is missing")?;
    let mut zones = Vec::new();
    for entry in folder.read_dir()? {
        let file = entry?.path();
        let name = file.file_name().and_then(|name| name.to_str());
        if let Some(apex) = name.and_then(|name| name.strip_suffix("zone")) {
            zones.push(Zone { apex: apex.to_owned(), file });
        }
    }
    ensure!(!zones.is_empty(), "{} holds no file called <apex>.zone", folder.display());
    zones.sort_by(|a, b| a.apex.cmp(&b.apex));
    Ok(zones)
}

/// Writes `responder.toml` into `folder`, for the server's side of a pair.
///
/// # Errors
/// When it cannot be written.
pub fn write_config(folder: &Path, zones: &[Zone]) -> anyhow::Result<PathBuf> {
    let state = folder.join("state");
    fs::create_dir_all(&state)?;
    let addresses = SERVER.map(|address| format!("{:?}", address.to_string())).join(", ");
    let mut text = format!(
        "[node]\nid = \"demo\"\nstate = {state:?}\n\n[listen]\naddresses = [{addresses}]\nport = 53\n\n\
         [xdp]\nmode = \"native\"\ninterfaces = [\"{SERVER_INTERFACE}\"]\n\n"
    );
    for Zone { apex, file } in zones {
        write!(text, "[[zone]]\nname = {apex:?}\nfile = {file:?}\n\n")?;
    }
    let config = folder.join("responder.toml");
    fs::write(&config, text).with_context(|| config.display().to_string())?;
    Ok(config)
}

/// What the demo asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    name: String,
    kind: &'static str,
}

impl Question {
    /// The address of the `www` with the shortest name, else the SOA of the first zone.
    ///
    /// # Errors
    /// When a zone file cannot be read.
    pub fn choose(zones: &[Zone]) -> anyhow::Result<Self> {
        let mut names = Vec::new();
        for zone in zones {
            let text = fs::read(&zone.file).with_context(|| zone.file.display().to_string())?;
            names.extend(find_www(&String::from_utf8_lossy(&text), &zone.apex));
        }
        if let Some(name) = names.into_iter().min_by_key(String::len) {
            return Ok(Self { name, kind: "A" });
        }
        let apex = zones.first().map_or(".", |zone| &zone.apex);
        Ok(Self { name: apex.to_owned(), kind: "SOA" })
    }

    /// The `dig` line that asks it from a namespace.
    pub fn dig(&self, from: &Namespace, server: IpAddr) -> Command {
        let mut command = from.command("dig");
        command.arg(format!("@{server}")).args([&self.name, self.kind]);
        command
    }
}

/// The first owner that begins with `www` and has an A record on its line.
fn find_www(text: &str, apex: &str) -> Option<String> {
    let mut origin = apex.to_owned();
    for line in text.lines() {
        let mut words = line.split(';').next().unwrap_or_default().split_whitespace();
        let Some(owner) = words.next() else { continue };
        if owner == "$ORIGIN" {
            origin = words.next()?.to_owned();
            if !origin.ends_with('.') {
                return None;
            }
        } else if line.starts_with("www") && words.any(|word| word == "A") {
            let absolute = owner.ends_with('.');
            return Some(if absolute { owner.to_owned() } else { format!("{owner}.{origin}") });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_is_found_where_a_zone_has_a_www() {
        let zone = "@ IN SOA a b 1 2 3 4 5\n$ORIGIN nic.lac.\nwww 300 IN A 192.0.2.1\n";
        assert_eq!(find_www(zone, "lac.").as_deref(), Some("www.nic.lac."));
        assert_eq!(find_www("www.lac. IN A 192.0.2.1", "lac.").as_deref(), Some("www.lac."));
        assert_eq!(find_www("; www IN A 192.0.2.1\nwww IN AAAA ::1", "lac."), None);
    }

    #[test]
    fn every_sample_zone_is_configured_under_its_apex() {
        let zones = zones().expect("sample zones");
        let folder = crate::cleanup::Scratch::create().expect("a folder");
        let config = write_config(folder.path(), &zones).expect("written");
        let text = fs::read_to_string(config).expect("readable");
        for zone in &zones {
            assert!(zone.apex.ends_with('.'), "{}", zone.apex);
            assert!(text.contains(&format!("name = \"{}\"\nfile = {:?}", zone.apex, zone.file)));
        }
        assert_eq!(text.matches("[[zone]]").count(), zones.len());
    }
}
