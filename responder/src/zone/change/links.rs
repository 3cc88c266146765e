//! The chain of NSEC or NSEC3, changed where it must be.
//!
//! A record that changes keeps its cell, so no node notices. A link that comes or goes changes its leaf,
//! and which record covers the names between it and the next: their nodes are affected.

use std::{cmp::Ordering, collections::BTreeMap, collections::BTreeSet};

use responder_common::{
    layout::{Address, Cell, LEAF_LINKS, Link, Snapshot, UNIT},
    wire::rtype,
};
use zerocopy::IntoBytes;

use super::{
    Contents, Key, NONE, Refused,
    nodes::{Zone, ancestors},
};
use crate::{
    store::Commit,
    zone::{
        chain::{
            Proofs,
            keys::{Keys, Kind},
            leaves::{Stored, prefix, write_leaves, write_list, write_rest},
            nsec3, proof, write_proof,
        },
        collect::{Owner, RrSet},
        fragment::Built,
        name::of_key,
    },
};

/// The chain of the version in the making.
pub struct Links<'s> {
    keys: Keys,
    apex: Vec<u8>,
    store: Stored<'s>,
    /// For each leaf its first link, with the leaf as target.
    leaves: Vec<Link>,
}

/// Stretches of keys within which what covers a name may have changed: from, and to where it ends.
pub type Moved = Vec<(Key, Option<Key>)>;

impl<'s> Links<'s> {
    /// The chain of the version before.
    pub fn new(
        keys: Keys,
        apex: &[u8],
        before: &Snapshot,
        commit: &Commit<'s>,
    ) -> Result<Self, Refused> {
        let store = Stored(commit.store());
        let leaves = store.list(before).ok_or(Refused::Rebuild)?;
        Ok(Self { keys, apex: apex.to_vec(), store, leaves })
    }

    /// Takes the changed owners' records into the chain, and tells the snapshot.
    pub fn change<'a, C: Contents<'a>>(
        &mut self,
        commit: &mut Commit<'s>,
        zone: &Zone<'_, 'a, C>,
        changed: &BTreeSet<Key>,
        snapshot: &mut Snapshot,
    ) -> Result<Moved, Refused> {
        let mut come: Vec<(Key, Link)> = Vec::new();
        let mut gone: Vec<(Key, Link)> = Vec::new();
        for key in changed {
            let owner = zone.owner(key);
            let Some(link) = self.key_of(key, zone) else { continue };
            let record = match owner.as_ref().and_then(|owner| self.record(owner)) {
                // A cut's NSEC is the parent's; what is below a cut or a DNAME is nobody's.
                Some(_) if !self.keys.is_hashed() && zone.node(key).is_none() => None,
                Some(set) => Some(proof(&self.apex, &of_key(key), set)?),
                None => None,
            };
            let found = self.find(&link);
            match (found, record) {
                (Some(found), Some(record)) => self.replace(commit, found.target, &record)?,
                (None, Some(record)) => {
                    let target = write_proof(&record, commit.space())?;
                    let hashed = self.keys.is_hashed();
                    if hashed && self.alike(&link) {
                        // Two hashes with the same first octets: somebody made them so.
                        return Err(Refused::Rebuild);
                    }
                    let rest = if hashed { NONE } else { write_rest(&link, commit.space())? };
                    let new = Link { key: prefix(&link), target, rest };
                    come.push((link, new));
                }
                (Some(found), None) => {
                    self.free(commit, &link, found);
                    gone.push((link, found));
                }
                (None, None) => {}
            }
        }
        if come.is_empty() && gone.is_empty() {
            return Ok(Vec::new());
        }
        let former = self.leaves.len();
        self.rewrite(commit, &come, &gone)?;
        if self.leaves.is_empty() {
            return Err(Refused::Rebuild);
        }
        free_list(commit, snapshot, former);
        write_list(&self.leaves, commit.space(), snapshot)?;
        let moved = come.iter().chain(&gone).map(|(key, _)| (key.clone(), self.behind(key)));
        Ok(moved.collect())
    }

    /// The nodes of which a lookup in the chain may have gone to a stretch of keys.
    pub fn reach<'a, C: Contents<'a>>(
        &self,
        zone: &Zone<'_, 'a, C>,
        from: &[u8],
        to: Option<&[u8]>,
    ) -> Vec<Key> {
        if self.keys.is_hashed() {
            return zone.contents().dependents(from, to);
        }
        // In canonical order a name, and the wildcard below it, stand between two neighbours of the chain
        // only if it is above one of them. Those above the first are affected anyway.
        let Some(to) = to else { return Vec::new() };
        let end = to.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 2);
        let next = [zone.apex(), &to[..end.min(to.len())]].concat();
        ancestors(&next, zone.apex()).map(<[u8]>::to_vec).collect()
    }

    /// The chain key under which an owner's record stands or stood; none where it cannot have one.
    fn key_of<'a, C: Contents<'a>>(&mut self, key: &[u8], zone: &Zone<'_, 'a, C>) -> Option<Key> {
        let name = of_key(key);
        if !self.keys.is_hashed() {
            return Some(self.keys.of(&name));
        }
        let labels = |key: &[u8]| key.iter().filter(|octet| **octet == 0).count();
        if labels(key) != labels(zone.apex()) + 1 {
            return None;
        }
        nsec3::hash_in(&name)
    }

    /// The owner's record of this chain.
    fn record<'o, 'a>(&self, owner: &'o Owner<'a>) -> Option<&'o RrSet<'a>> {
        match self.keys.kind() {
            Kind::Nsec => owner.rrset(rtype::NSEC),
            Kind::Nsec3 { iterations, salt } => {
                let set = owner.rrset(rtype::NSEC3)?;
                let name = owner.wire.to_ascii_lowercase();
                nsec3::hash_of(&name, set, *iterations, salt).map(|_| set)
            }
        }
    }

    /// Lets a link's cell lead to a changed record.
    fn replace(
        &self,
        commit: &mut Commit<'s>,
        cell: Address,
        record: &Built,
    ) -> Result<(), Refused> {
        let version = commit.before().version;
        let now = self.store.cell(cell).ok_or(Refused::Rebuild)?.fragment(version);
        let image = record.image();
        if commit.store().holds(now, &image) {
            return Ok(());
        }
        let fragment = record.store(commit.space())?;
        commit.set_cell(cell, fragment);
        Ok(())
    }

    /// Gives back what a link needed.
    fn free(&self, commit: &mut Commit<'s>, key: &[u8], link: Link) {
        let version = commit.before().version;
        if let Some(cell) = self.store.cell(link.target) {
            commit.free_fragment(cell.fragment(version));
            commit.free(link.target, size_of::<Cell>() as u64);
        }
        if link.rest != NONE {
            let words = 1 + (key.len().saturating_sub(8)).div_ceil(8) as u64;
            commit.free(link.rest, words * UNIT);
        }
    }

    /// Writes the leaves anew into which links come or from which they go.
    fn rewrite(
        &mut self,
        commit: &mut Commit<'s>,
        come: &[(Key, Link)],
        gone: &[(Key, Link)],
    ) -> Result<(), Refused> {
        let mut touched: BTreeMap<usize, Vec<(&Key, Option<Link>)>> = BTreeMap::new();
        for (key, link) in come {
            touched.entry(self.leaf_of(key)).or_default().push((key, Some(*link)));
        }
        for (key, _) in gone {
            touched.entry(self.leaf_of(key)).or_default().push((key, None));
        }
        // From the last leaf to the first, so that places stay true.
        for (place, changes) in touched.into_iter().rev() {
            let leaf = self.leaves[place].target;
            let mut links = self.store.leaf(leaf).ok_or(Refused::Rebuild)?;
            commit.free(leaf, UNIT + size_of_val(links.as_slice()) as u64);
            for (key, change) in changes {
                let at = links.partition_point(|link| self.order(link, key) == Ordering::Less);
                let here = links.get(at).is_some_and(|link| self.order(link, key).is_eq());
                match change {
                    Some(link) if !here => links.insert(at, link),
                    None if here => drop(links.remove(at)),
                    _ => return Err(Refused::Rebuild),
                }
            }
            let new = if links.is_empty() {
                Vec::new()
            } else if links.len() <= LEAF_LINKS {
                let at = commit.space().take(UNIT + size_of_val(links.as_slice()) as u64, 64)?;
                let mut image = (links.len() as u64).to_le_bytes().to_vec();
                image.extend_from_slice(links.as_bytes());
                commit.space().write(at, &image);
                vec![Link { target: at, ..links[0] }]
            } else {
                write_leaves(&links, commit.space())?
            };
            self.leaves.splice(place..=place, new);
        }
        Ok(())
    }

    /// The leaf in which a key stands or would stand.
    fn leaf_of(&self, key: &[u8]) -> usize {
        let not_above = |leaf: &Link| {
            leaf.key.cmp(&prefix(key)).then_with(|| {
                let first = self.store.link(leaf.target + 1);
                first.map_or(Ordering::Equal, |first| self.order(&first, key))
            }) != Ordering::Greater
        };
        self.leaves.partition_point(not_above).saturating_sub(1)
    }

    /// The link with this very key.
    fn find(&self, key: &[u8]) -> Option<Link> {
        let links = self.store.leaf(self.leaves.get(self.leaf_of(key))?.target)?;
        let place = links.binary_search_by(|link| self.order(link, key)).ok()?;
        Some(links[place])
    }

    /// Whether another link begins with the same octets.
    fn alike(&self, key: &[u8]) -> bool {
        let first = prefix(key);
        let place = self.leaf_of(key);
        (place..self.leaves.len().min(place + 2))
            .filter_map(|place| self.store.leaf(self.leaves[place].target))
            .flatten()
            .any(|link| link.key == first)
    }

    /// The key behind one, in the ring; none where there is no other.
    fn behind(&self, key: &[u8]) -> Option<Key> {
        let place = self.leaf_of(key);
        let links = self.store.leaf(self.leaves[place].target)?;
        let at = links.partition_point(|link| self.order(link, key) != Ordering::Greater);
        let next = match links.get(at) {
            Some(link) => *link,
            None => {
                let next = (place + 1) % self.leaves.len();
                *self.store.leaf(self.leaves[next].target)?.first()?
            }
        };
        if self.order(&next, key).is_eq() {
            return None;
        }
        Some(self.full_key(&next))
    }

    /// Compares a link's key with another.
    fn order(&self, link: &Link, key: &[u8]) -> Ordering {
        link.key.cmp(&prefix(key)).then_with(|| {
            // Behind its end a key counts as zeros, which end every label.
            let stored = self.full_key(link);
            let length = stored.len().max(key.len());
            let octet = |key: &[u8], at| key.get(at).copied().unwrap_or(0);
            (8..length)
                .map(|at| octet(&stored, at).cmp(&octet(key, at)))
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        })
    }

    /// The whole key of a link; zeros may stand behind it.
    fn full_key(&self, link: &Link) -> Key {
        let mut key = link.key.to_be_bytes().to_vec();
        if self.keys.is_hashed() {
            // The leaf need not hold it: it is the name under which the record stands.
            let hash = self
                .store
                .cell(link.target)
                .and_then(|cell| nsec3::hash_in(self.store.records(cell.fragment(u32::MAX))?));
            return hash.unwrap_or(key);
        }
        if link.rest != NONE {
            key.extend(self.store.rest(link.rest));
        }
        key
    }
}

impl Proofs for Links<'_> {
    fn is_hashed(&self) -> bool {
        self.keys.is_hashed()
    }

    fn key(&mut self, name: &[u8]) -> Vec<u8> {
        self.keys.of(name)
    }

    fn exact(&mut self, key: &[u8]) -> Option<Address> {
        self.find(key).map(|link| link.target)
    }

    fn cover(&mut self, key: &[u8]) -> Address {
        let place = self.leaf_of(key);
        let leaf = |place: usize| self.store.leaf(self.leaves[place].target).unwrap_or_default();
        let links = leaf(place);
        let after = links.partition_point(|link| self.order(link, key) != Ordering::Greater);
        match after.checked_sub(1) {
            Some(before) => links[before].target,
            // Before the first of all: the ring's last.
            None => leaf(self.leaves.len() - 1).last().map_or(NONE, |link| link.target),
        }
    }
}

/// The salt that a snapshot tells.
pub fn salt(snapshot: &Snapshot) -> &[u8] {
    &snapshot.salt.as_bytes()[..usize::from(snapshot.salt_length)]
}

/// Gives the list of leaves and its directory back.
fn free_list(commit: &mut Commit<'_>, snapshot: &Snapshot, leaves: usize) {
    let places = (1_u64 << (64 - u32::from(snapshot.directory_shift))) + 1;
    commit.free_row(snapshot.leaves, leaves as u64 * size_of::<Link>() as u64);
    commit.free_row(snapshot.directory, places * UNIT);
}
