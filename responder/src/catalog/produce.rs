//! A catalog as a zone file, which is served like any other.

use std::{
    collections::BTreeMap,
    fs, io,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use sha2::{Digest as _, Sha256};

use super::{Content, Member, Switchboard, switchboard::Node};
use crate::config::Zone;

/// Octets of a zone's name's digest that make its unique label: the same zone is listed under the same
/// label for ever, so that nobody begins anew with it.
const UNIQUE: usize = 20;

/// What the configuration says that a produced catalog lists; nothing is drained.
pub fn content(catalog: &Zone, zones: &[Zone]) -> Content {
    let listed = zones.iter().filter_map(|zone| Some((zone, zone.listed.as_ref()?)));
    let members: BTreeMap<String, Member> = listed
        .filter(|(_, listed)| listed.catalog == catalog.name)
        .map(|(zone, listed)| {
            let member = Member {
                name: zone.name.clone(),
                unique: unique(&zone.name).into_bytes(),
                groups: listed.group.clone().into_iter().collect(),
                handed_to: None,
                options: listed.options.clone(),
            };
            (zone.name.clone(), member)
        })
        .collect();
    let node = |addresses: &std::collections::BTreeSet<std::net::IpAddr>| Node {
        addresses: addresses.clone(),
        ..Node::default()
    };
    let nodes = catalog.inventory.nodes.iter();
    let nodes = nodes.map(|(id, addresses)| (id.clone(), node(addresses))).collect();
    let floor = catalog.inventory.drain_floor;
    Content { members, switchboard: Switchboard { nodes, floor, forced: false } }
}

/// The label under which a zone is listed.
fn unique(zone: &str) -> String {
    let digest = Sha256::digest(zone.as_bytes());
    digest[..UNIQUE].iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Writes a catalog where it says something else than before; the new serial then.
///
/// # Errors
/// What the file system says.
pub fn write(file: &Path, apex: &str, content: &Content) -> io::Result<Option<u32>> {
    let listed = records(apex, content);
    let before = fs::read_to_string(file).unwrap_or_default();
    let (soa, rest) = before.split_once('\n').unwrap_or_default();
    if rest == listed {
        return Ok(None);
    }
    // Time goes on between versions; where it does not, the serial does.
    let former = soa.split_whitespace().nth(5).and_then(|serial| serial.parse::<u32>().ok());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let serial = (now as u32).max(former.map_or(1, |serial| serial.wrapping_add(1)));
    let text = format!("{apex} 0 SOA invalid. invalid. {serial} 60 60 1209600 0\n{listed}");
    crate::serve::replace(file, text.as_bytes())?;
    Ok(Some(serial))
}

/// All records but the SOA (RFC 9432, section 4).
fn records(apex: &str, content: &Content) -> String {
    let below = if apex == "." { "" } else { apex };
    let mut text = format!("{apex} 0 NS invalid.\nversion.{below} 0 TXT \"2\"\n");
    for (name, member) in &content.members {
        let unique = String::from_utf8_lossy(&member.unique);
        text += &format!("{unique}.zones.{below} 0 PTR {name}\n");
        for group in &member.groups {
            text += &format!("group.{unique}.zones.{below} 0 TXT \"{}\"\n", escaped(group));
        }
        for (option, value) in &member.options {
            let told = escaped(&format!("{option}={value}"));
            text += &format!("options.ext.{unique}.zones.{below} 0 TXT \"{told}\"\n");
        }
    }
    text + &content.switchboard.records(below)
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_catalog_is_written_anew_only_where_it_lists_something_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("catalogs").join("c.zone");
        let member = |name: &str, group: Option<&str>| Member {
            name: name.to_owned(),
            unique: unique(name).into_bytes(),
            groups: group.map(str::to_owned).into_iter().collect(),
            ..Member::default()
        };
        let mut content = Content::default();
        content.members.insert("a.".into(), member("a.", None));
        content.members.insert("b.".into(), member("b.", Some("g\"h")));
        let first = write(&file, "c.", &content).expect("written").expect("new");
        let text = fs::read_to_string(&file).expect("text");
        assert!(text.contains(" 0 PTR a.\n") && text.contains(" 0 TXT \"g\\\"h\"\n"), "{text}");
        assert_eq!(write(&file, "c.", &content).expect("written"), None);
        assert_eq!(fs::read_to_string(&file).expect("text"), text);
        content.members.remove("a.");
        let second = write(&file, "c.", &content).expect("written").expect("new");
        let text = fs::read_to_string(&file).expect("text");
        assert!(second > first && !text.contains("PTR a."), "{text}");
    }
}
