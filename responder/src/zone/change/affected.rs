//! Which nodes a change reaches, the chain aside.

use std::collections::BTreeSet;

use responder_common::layout::{Node, node};

use super::{
    Contents, Key,
    nodes::{Bottom, Zone, ancestors},
};
use crate::{store::Commit, zone::name::of_key};

/// The sort keys of all nodes that may come, go or change because these owners did.
pub fn of<'a, C: Contents<'a>>(
    commit: &Commit<'_>,
    zone: &Zone<'_, 'a, C>,
    changed: &BTreeSet<Key>,
) -> BTreeSet<Key> {
    let mut affected = BTreeSet::new();
    for key in changed {
        // Itself, and what is above: empty non-terminals come and go, a parent knows its wildcard, a cut
        // has its glue.
        affected.insert(key.clone());
        affected.extend(ancestors(key, zone.apex()).map(<[u8]>::to_vec));
        // Addresses are part of the referrals that name the host.
        affected.extend(zone.contents().served_by(key));
        if key != zone.apex() && was(commit, key) != zone.bottom(key) {
            // Names below come to light, or leave it.
            for below in zone.contents().below(key) {
                let between = ancestors(&below, key).map(<[u8]>::to_vec);
                affected.extend(between);
                // Whether an address is glue depends on the cut above it.
                affected.extend(zone.contents().served_by(&below));
                affected.insert(below);
            }
        }
    }
    affected
}

/// Adds the parents of wildcards: they know their wildcard's node, which is about to be another.
pub fn with_parents(affected: &mut BTreeSet<Key>, apex: &[u8]) {
    let parent = |key: &Key| {
        let above = key.strip_suffix(b"*\0")?;
        (above.len() >= apex.len() && (above.is_empty() || above.ends_with(b"\0")))
            .then(|| above.to_vec())
    };
    let mut parents: Vec<Key> = affected.iter().filter_map(parent).collect();
    while let Some(above) = parents.pop() {
        parents.extend(parent(&above));
        affected.insert(above);
    }
}

/// What a name did to those below it in the version before.
fn was(commit: &Commit<'_>, key: &[u8]) -> Bottom {
    let Some(found) = commit.find(&of_key(key)) else { return Bottom::No };
    let kind =
        commit.store().object_at::<Node>(found.node).map_or(0, |here| node::kind(here.words[1]));
    if kind & node::DELEGATION != 0 {
        Bottom::Cut
    } else if kind & node::DNAME != 0 {
        Bottom::Dname
    } else {
        Bottom::No
    }
}
