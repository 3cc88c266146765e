//! A catalog from the configuration: the zones that say `catalog`, written as a zone file which is served
//! like any other.

use std::{
    collections::BTreeMap,
    fs, io,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use sha2::{Digest as _, Sha256};

use crate::config::{Zone, ZoneSource};

/// Octets of a zone's name's digest that make its unique label: the same zone is listed under the same
/// label for ever, so that nobody begins anew with it.
const UNIQUE: usize = 20;

/// Writes the catalogs among `zones`, where what they list has changed.
///
/// # Errors
/// A file cannot be written: one line.
pub fn write(zones: &[Zone]) -> Result<(), String> {
    for catalog in zones.iter().filter(|zone| zone.is_produced) {
        let ZoneSource::File(file) = &catalog.source else { continue };
        let members = zones.iter().filter_map(|zone| Some((zone, zone.listed.as_ref()?)));
        let members: BTreeMap<&str, Option<&str>> = members
            .filter(|(_, listed)| listed.catalog == catalog.name)
            .map(|(zone, listed)| (zone.name.as_str(), listed.group.as_deref()))
            .collect();
        write_one(file, &catalog.name, &members)
            .map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    }
    Ok(())
}

fn write_one(file: &Path, apex: &str, members: &BTreeMap<&str, Option<&str>>) -> io::Result<()> {
    let listed = records(apex, members);
    let before = fs::read_to_string(file).unwrap_or_default();
    let (soa, rest) = before.split_once('\n').unwrap_or_default();
    if rest == listed {
        return Ok(());
    }
    // Time goes on between versions; where it does not, the serial does.
    let former = soa.split_whitespace().nth(5).and_then(|serial| serial.parse::<u32>().ok());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let serial = (now as u32).max(former.map_or(1, |serial| serial.wrapping_add(1)));
    let text = format!("{apex} 0 SOA invalid. invalid. {serial} 60 60 1209600 0\n{listed}");
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let beside = file.with_extension("new");
    fs::write(&beside, text)?;
    fs::rename(beside, file)
}

/// All records but the SOA (RFC 9432, section 4).
fn records(apex: &str, members: &BTreeMap<&str, Option<&str>>) -> String {
    let below = if apex == "." { "" } else { apex };
    let mut text = format!("{apex} 0 NS invalid.\nversion.{below} 0 TXT \"2\"\n");
    for (name, group) in members {
        let digest = Sha256::digest(name.as_bytes());
        let unique: String = digest[..UNIQUE].iter().map(|octet| format!("{octet:02x}")).collect();
        text += &format!("{unique}.zones.{below} 0 PTR {name}\n");
        if let Some(group) = group {
            let escaped = group.replace('\\', "\\\\").replace('"', "\\\"");
            text += &format!("group.{unique}.zones.{below} 0 TXT \"{escaped}\"\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_catalog_is_written_anew_only_where_it_lists_something_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("catalogs").join("c.zone");
        let mut members = BTreeMap::from([("a.", None), ("b.", Some("g\"h"))]);
        let serial = |text: &str| {
            text.split_whitespace().nth(5).and_then(|word| word.parse::<u32>().ok()).expect("one")
        };
        write_one(&file, "c.", &members).expect("written");
        let first = fs::read_to_string(&file).expect("text");
        assert!(first.contains(" 0 PTR a.\n") && first.contains(" 0 TXT \"g\\\"h\"\n"), "{first}");
        write_one(&file, "c.", &members).expect("written");
        assert_eq!(fs::read_to_string(&file).expect("text"), first);
        members.remove("a.");
        write_one(&file, "c.", &members).expect("written");
        let second = fs::read_to_string(&file).expect("text");
        assert!(serial(&second) > serial(&first) && !second.contains("PTR a."), "{second}");
    }
}
