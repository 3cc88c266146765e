//! The switches of a cloud: which nodes there are and which of them are to leave the routing, as properties of
//! a catalog (RFC 9432, section 4.4).
//!
//! ```text
//! NODE.nodes.ext.CATALOG         A, AAAA   the unicast addresses of a node, by its node.id
//! drain.NODE.nodes.ext.CATALOG   TXT       services that are to leave the routing; "*" for all
//! floor.ext.CATALOG              TXT       so many nodes are never drained as a whole ...
//! force.ext.CATALOG              TXT       ... unless this is "drain"
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use responder_common::wire::rtype;
use serde::{Deserialize, Serialize};

use super::texts;
use crate::zone::archive::OwnerRef;

/// All services of a node.
pub const ALL: &str = "*";

/// The switches of a cloud.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Switchboard {
    /// Its nodes, by their identities in lower case.
    pub nodes: BTreeMap<String, Node>,
    /// So many nodes are to stay in the routing with all services.
    pub floor: usize,
    /// Whether fewer are meant.
    pub forced: bool,
}

/// One node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Node {
    /// Its unicast addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// The services that are to leave the routing, or [`ALL`].
    pub drained: BTreeSet<String>,
}

impl Switchboard {
    /// Notes a property; `labels` stand in front of the catalog's name.
    pub(super) fn note(&mut self, labels: &[&[u8]], owner: &OwnerRef<'_>) {
        let text = |label: &[u8]| String::from_utf8_lossy(label).into_owned();
        match labels {
            [b"floor", b"ext"] => {
                self.floor = texts(owner).first().and_then(|text| text.parse().ok()).unwrap_or(0);
            }
            [b"force", b"ext"] => self.forced = texts(owner).iter().any(|text| text == "drain"),
            [b"drain", node, b"nodes", b"ext"] => {
                self.nodes.entry(text(node)).or_default().drained =
                    texts(owner).into_iter().collect();
            }
            [node, b"nodes", b"ext"] => {
                let node = self.nodes.entry(text(node)).or_default();
                let data = |rtype| owner.rrset(rtype).into_iter().flat_map(|set| set.rdata);
                let four = data(rtype::A).filter_map(|rdata| <[u8; 4]>::try_from(rdata).ok());
                node.addresses.extend(four.map(|octets| IpAddr::from(Ipv4Addr::from(octets))));
                let six = data(rtype::AAAA).filter_map(|rdata| <[u8; 16]>::try_from(rdata).ok());
                node.addresses.extend(six.map(|octets| IpAddr::from(Ipv6Addr::from(octets))));
            }
            // Properties of later versions.
            _ => {}
        }
    }

    /// Nodes that keep at least one service in the routing, as far as it is up to the switchboard.
    pub fn in_routing(&self) -> usize {
        self.nodes.values().filter(|node| !node.drained.contains(ALL)).count()
    }

    /// Whether it may be followed: enough nodes stay, or fewer are meant.
    ///
    /// # Errors
    /// They do not: one line.
    pub fn check(&self) -> Result<(), String> {
        let left = self.in_routing();
        if self.forced
            || self.nodes.values().all(|node| node.drained.is_empty())
            || left >= self.floor
        {
            return Ok(());
        }
        Err(format!(
            "{left} of {} nodes would stay in the routing, and {} must",
            self.nodes.len(),
            self.floor
        ))
    }

    /// What is drained of a node; nothing of one that is not listed.
    pub fn drained(&self, id: &str) -> BTreeSet<String> {
        let node = self.nodes.get(&id.to_ascii_lowercase());
        node.map(|node| node.drained.clone()).unwrap_or_default()
    }

    /// The records of it below `catalog`, a line each.
    pub(super) fn records(&self, catalog: &str) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        if self.floor > 0 {
            let _ = writeln!(text, "floor.ext.{catalog} 0 TXT \"{}\"", self.floor);
        }
        if self.forced {
            let _ = writeln!(text, "force.ext.{catalog} 0 TXT \"drain\"");
        }
        for (id, Node { addresses, drained }) in &self.nodes {
            for address in addresses {
                let rtype = if address.is_ipv4() { "A" } else { "AAAA" };
                let _ = writeln!(text, "{id}.nodes.ext.{catalog} 0 {rtype} {address}");
            }
            for service in drained {
                let _ = writeln!(text, "drain.{id}.nodes.ext.{catalog} 0 TXT \"{service}\"");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_holds_unless_fewer_are_meant() {
        let node = |drained: &[&str]| Node {
            drained: drained.iter().map(|service| (*service).to_owned()).collect(),
            ..Node::default()
        };
        let mut board = Switchboard { floor: 2, ..Switchboard::default() };
        board.nodes.insert("a".into(), node(&[]));
        board.nodes.insert("b".into(), node(&["dns1"]));
        board.nodes.insert("c".into(), node(&[ALL]));
        assert_eq!(board.check(), Ok(()));
        board.nodes.insert("b".into(), node(&[ALL]));
        assert!(board.check().is_err_and(|fault| fault.contains("1 of 3 nodes")));
        board.forced = true;
        assert_eq!(board.check(), Ok(()));
        assert_eq!(board.drained("C"), BTreeSet::from([ALL.to_owned()]));
        assert_eq!(board.drained("elsewhere"), BTreeSet::new());
    }
}
