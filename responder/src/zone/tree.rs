//! The names of a zone as a tree: which are nodes, where the zone is cut, what lies below.
//!
//! Owners come in canonical order, so a name's descendants follow it and one stack is enough.

use std::collections::HashMap;

use responder_common::wire::rtype;

use super::collect::{Owner, RrSet};

/// A node of the tree: a name that exists (RFC 4592, section 2.2.2), with data or without.
pub struct TreeNode<'a> {
    /// The name in lower-case wire form.
    pub name: Vec<u8>,
    /// What it owns; nothing at an empty non-terminal.
    pub rrsets: Vec<RrSet<'a>>,
    /// The node above; none above the apex.
    pub parent: Option<usize>,
    /// NS below the apex: the zone is cut here.
    pub cut: bool,
}

/// A zone's tree.
pub struct Tree<'a> {
    /// The apex first, then the rest in canonical order.
    pub nodes: Vec<TreeNode<'a>>,
    /// Addresses by the lower-case name that owns them.
    pub addresses: HashMap<Vec<u8>, Addresses<'a>>,
    /// Labels of the deepest node.
    pub labels: u32,
    /// Names below a cut or a DNAME that are not addresses of name servers.
    pub occluded: u64,
    /// The NSEC3 records by their owners' names, lower-case.
    pub hashed: Vec<(Vec<u8>, RrSet<'a>)>,
}

/// The addresses of a host.
#[derive(Clone)]
pub struct Addresses<'a> {
    /// A.
    pub four: Option<Hosts<'a>>,
    /// AAAA.
    pub six: Option<Hosts<'a>>,
    /// Below a cut: glue, without signatures.
    pub glue: bool,
}

/// One RRset of addresses.
#[derive(Clone)]
pub struct Hosts<'a> {
    /// The lowest TTL.
    pub ttl: u32,
    /// The addresses.
    pub rdata: Vec<&'a [u8]>,
    /// The signatures.
    pub signatures: Vec<&'a [u8]>,
}

/// Where in the stack an open subtree stands.
struct Open {
    key: Vec<u8>,
    node: usize,
    labels: usize,
}

impl<'a> Tree<'a> {
    /// Builds the tree of the owners of a zone, apex first.
    ///
    /// # Errors
    /// What makes the zone one that cannot be served.
    pub fn build(owners: impl Iterator<Item = Owner<'a>>, apex: &[u8]) -> Result<Self, String> {
        let mut tree = Self {
            nodes: Vec::new(),
            addresses: HashMap::new(),
            labels: 0,
            occluded: 0,
            hashed: Vec::new(),
        };
        let mut open: Vec<Open> = Vec::new();
        // Keys of the cut or DNAME below which names are occluded, and whether it is a cut.
        let mut cover: Option<(Vec<u8>, bool)> = None;
        for mut owner in owners {
            let name = owner.wire.to_ascii_lowercase();
            if tree.nodes.is_empty() && name != apex {
                return Err("there is no SOA at the apex".into());
            }
            // The owners of NSEC3 are not names of the zone (RFC 5155, section 7.1).
            if let Some(place) = owner.rrsets.iter().position(|set| set.rtype == rtype::NSEC3) {
                let set = owner.rrsets.remove(place);
                tree.hashed.push((name.clone(), set));
                if owner.rrsets.is_empty() {
                    continue;
                }
            }
            if let Some((key, cut)) = &cover {
                if owner.key.starts_with(key) {
                    let hosts = tree.add_addresses(&name, &owner, *cut);
                    tree.occluded += u64::from(!hosts);
                    continue;
                }
                cover = None;
            }
            while open.last().is_some_and(|above| !owner.key.starts_with(&above.key)) {
                open.pop();
            }
            tree.fill_gap(&mut open, &name, owner.key);
            let labels = count_labels(&name);
            let is_apex = tree.nodes.is_empty();
            check_rrsets(&owner, is_apex)?;
            let cut = !is_apex && owner.rrset(rtype::NS).is_some();
            if cut || owner.rrset(rtype::DNAME).is_some() {
                cover = Some((owner.key.to_vec(), cut));
            }
            tree.add_addresses(&name, &owner, cut);
            tree.labels = tree.labels.max(labels as u32);
            let parent = open.last().map(|above| above.node);
            open.push(Open { key: owner.key.to_vec(), node: tree.nodes.len(), labels });
            tree.nodes.push(TreeNode { name, rrsets: owner.rrsets, parent, cut });
        }
        if tree.nodes.is_empty() {
            return Err("it holds no record".into());
        }
        Ok(tree)
    }

    /// Adds the empty non-terminals between the last open node and a name.
    fn fill_gap(&mut self, open: &mut Vec<Open>, name: &[u8], key: &[u8]) {
        let Some(above) = open.last() else { return };
        let labels = count_labels(name);
        for depth in above.labels + 1..labels {
            let mut start = 0;
            for _ in depth..labels {
                start += usize::from(name[start]) + 1;
            }
            let ends = key.iter().enumerate().filter(|(_, octet)| **octet == 0);
            let end = ends.map(|(at, _)| at + 1).nth(depth - 1).unwrap_or(key.len());
            let parent = open.last().map(|above| above.node);
            open.push(Open { key: key[..end].to_vec(), node: self.nodes.len(), labels: depth });
            self.nodes.push(TreeNode {
                name: name[start..].to_vec(),
                rrsets: Vec::new(),
                parent,
                cut: false,
            });
        }
    }

    /// Remembers a name's addresses; false where it has none.
    fn add_addresses(&mut self, name: &[u8], owner: &Owner<'a>, glue: bool) -> bool {
        let Some(addresses) = hosts(owner, glue) else { return false };
        self.addresses.insert(name.to_vec(), addresses);
        true
    }
}

/// The addresses that a name owns, if it owns any. Glue has no signatures (RFC 4035, section 2.2).
pub fn hosts<'a>(owner: &Owner<'a>, glue: bool) -> Option<Addresses<'a>> {
    let hosts = |kind| {
        owner.rrset(kind).map(|set: &RrSet<'a>| Hosts {
            ttl: set.ttl,
            rdata: set.rdata.clone(),
            signatures: if glue { Vec::new() } else { set.signatures.clone() },
        })
    };
    let addresses = Addresses { four: hosts(rtype::A), six: hosts(rtype::AAAA), glue };
    (addresses.four.is_some() || addresses.six.is_some()).then_some(addresses)
}

/// Labels of a wire name, the root not counted.
pub fn count_labels(name: &[u8]) -> usize {
    let mut at = 0;
    let mut labels = 0;
    while name[at] != 0 {
        at += usize::from(name[at]) + 1;
        labels += 1;
    }
    labels
}

/// What no server should serve.
pub fn check_rrsets(owner: &Owner<'_>, is_apex: bool) -> Result<(), String> {
    let name = || super::name::to_text(owner.wire);
    let many = |rtype| owner.rrset(rtype).is_some_and(|set| set.rdata.len() > 1);
    if is_apex {
        let Some(soa) = owner.rrset(rtype::SOA) else {
            return Err("there is no SOA at the apex".into());
        };
        if soa.rdata.len() > 1 {
            return Err("there is more than one SOA at the apex".into());
        }
        if owner.rrset(rtype::NS).is_none() {
            return Err("there is no NS at the apex".into());
        }
    } else if owner.rrset(rtype::SOA).is_some() {
        return Err(format!("{} owns a SOA and is not the apex", name()));
    }
    if many(rtype::CNAME) {
        return Err(format!("{} owns more than one CNAME (RFC 2181, section 10.1)", name()));
    }
    if many(rtype::DNAME) {
        return Err(format!("{} owns more than one DNAME (RFC 6672, section 2.4)", name()));
    }
    let beside_cname = |set: &&RrSet<'_>| {
        ![rtype::CNAME, rtype::RRSIG, rtype::NSEC, rtype::NSEC3, 25 /* KEY */].contains(&set.rtype)
    };
    if owner.rrset(rtype::CNAME).is_some()
        && let Some(other) = owner.rrsets.iter().find(beside_cname)
    {
        return Err(format!(
            "{} owns a CNAME and data of type {} (RFC 1034, section 3.6.2)",
            name(),
            other.rtype
        ));
    }
    Ok(())
}
