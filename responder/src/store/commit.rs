//! A commit: a version of a zone that shares all but what changed with the one before.
//!
//! New nodes stand beside the old ones and name them. The index leads to the new ones, and a reader of
//! the older version goes on to the old (`locate::walk`). One store of the snapshot's address makes the
//! new version the one that queries see; what only the old one needs is given back after a grace period.

mod index;
mod ready;

use responder_common::{
    layout::{
        Address, Bucket, Cell, Fragment, Node, Snapshot, UNIT, fragment_start, node, node::role,
    },
    name,
};
use std::{collections::HashMap, io};

pub use self::{index::Found, ready::Ready};
use super::{Space, Store};

/// The next version of a zone, in the making. Dropped before [`Ready::finish`], it leaves no trace.
pub struct Commit<'a> {
    store: &'a Store,
    apex: Vec<u8>,
    /// Which of the zones that were served under this name it is.
    incarnation: u64,
    before: Snapshot,
    space: Option<Space<'a>>,
    /// Index words to store, by their addresses.
    slots: HashMap<Address, u64>,
    /// Cells to change: address, words.
    cells: HashMap<Address, [u64; 2]>,
    /// What the new version does not need: address, units, whether a row.
    freed: Vec<(Address, Address, bool)>,
    /// Shared fragments to which there is one reference less.
    released: Vec<Address>,
    /// Names that end with this version: index word, tombstone.
    removed: Vec<(Address, Address)>,
    /// Empty slots that get a name.
    filled: u64,
    index_used: u64,
}

impl Store {
    /// Begins the next version of a served zone, by its apex in lower-case wire form.
    ///
    /// # Errors
    /// When the zone is not served, or another commit to it is at work.
    pub fn commit(&self, apex: &[u8]) -> io::Result<Commit<'_>> {
        let mut writer = self.writer();
        let zone = writer
            .directory
            .zones
            .get_mut(apex)
            .ok_or_else(|| io::Error::other("the zone is not served"))?;
        if zone.lent {
            return Err(io::Error::other("another commit to this zone is at work"));
        }
        if zone.sealed {
            return Err(io::Error::other("the zone was compiled by another process"));
        }
        let before: &Snapshot = self
            .memory
            .object(zone.snapshot)
            .ok_or_else(|| io::Error::other("the zone's snapshot is gone"))?;
        zone.lent = true;
        let holding = std::mem::take(&mut zone.holding);
        Ok(Commit {
            store: self,
            apex: apex.to_owned(),
            incarnation: zone.incarnation,
            before: *before,
            space: Some(Space::within(self, holding)),
            slots: HashMap::new(),
            cells: HashMap::new(),
            freed: Vec::new(),
            released: Vec::new(),
            removed: Vec::new(),
            filled: 0,
            index_used: zone.index_used,
        })
    }
}

impl<'a> Commit<'a> {
    /// The version that queries see now.
    pub fn before(&self) -> &Snapshot {
        &self.before
    }

    /// Slots of the index in use: names of the version before, at least.
    pub fn names(&self) -> u64 {
        self.index_used
    }

    /// The number of the version in the making.
    pub fn version(&self) -> u32 {
        self.before.version.wrapping_add(1)
    }

    /// Where new objects go.
    pub fn space(&mut self) -> &mut Space<'a> {
        self.space.as_mut().expect("lent until the end")
    }

    /// The store, to read from.
    pub fn store(&self) -> &'a Store {
        self.store
    }

    /// Ends a name with this version.
    ///
    /// # Errors
    /// When the store is full.
    pub fn remove(&mut self, name: &[u8], found: Found) -> io::Result<()> {
        let hash = name::hash(self.store.hash_key(), name);
        let relative = &name[..name.len() - self.apex.len()];
        let mut image = Vec::with_capacity(16 + relative.len() + 8);
        image.extend_from_slice(&node::first(self.version(), found.node).to_le_bytes());
        let second = node::second(node::REMOVED, relative.len() as u8, 0, 0);
        image.extend_from_slice(&second.to_le_bytes());
        image.extend_from_slice(relative);
        image.resize(image.len().next_multiple_of(UNIT as usize), 0);
        let tombstone = self.space().take(image.len() as u64, image.len() as u64)?;
        self.space().write(tombstone, &image);
        self.free_node(found.node);
        self.slots.insert(found.slot, Bucket::entry(hash, tombstone));
        self.removed.push((found.slot, tombstone));
        Ok(())
    }

    /// Lets a cell lead to another fragment from this version on.
    pub fn set_cell(&mut self, cell: Address, fragment: Address) {
        let Some(now) = self.store.object_at::<Cell>(cell) else { return };
        let older = now.fragment(self.before.version);
        self.free_fragment(older);
        self.cells.insert(cell, Cell::new(self.version(), fragment, older).words());
    }

    /// The fragment to which a cell leads in the version in the making.
    pub fn current(&self, cell: Address) -> Option<Address> {
        if let Some([current, _]) = self.cells.get(&cell) {
            return Some(*current as Address);
        }
        Some(self.store.object_at::<Cell>(cell)?.fragment(self.before.version))
    }

    /// Gives back a node and what stands behind it, after the grace period.
    pub fn free_node(&mut self, node: Address) {
        let Some(object) = self.store.object_at::<Node>(node) else { return };
        let second = object.words[1];
        let names = node::HEADER_WORDS + node::name_words(second);
        let mut units = names + node::references(second);
        for reference in &object.words[names as usize..units as usize] {
            let fragment = (reference >> 32) as Address;
            match (reference >> 16) as u16 {
                // What does not stand beside its node is shared.
                role::RRSET => self.released.push(fragment),
                kept if kept & role::BESIDE != 0 => units += self.fragment_units(fragment),
                // A cell, or the RRset that the node has already.
                _ => {}
            }
        }
        self.freed.push((node, units, false));
    }

    /// Gives back a fragment that stands alone, after the grace period.
    pub fn free_fragment(&mut self, fragment: Address) {
        let units = self.fragment_units(fragment);
        self.freed.push((fragment, units, false));
    }

    /// Gives back so many octets, after the grace period.
    pub fn free(&mut self, start: Address, length: u64) {
        self.freed.push((start, length.div_ceil(UNIT) as Address, false));
    }

    /// Gives back a row of so many octets, after the grace period.
    pub fn free_row(&mut self, start: Address, length: u64) {
        self.freed.push((start, length.div_ceil(UNIT) as Address, true));
    }

    /// Units that a fragment takes.
    fn fragment_units(&self, fragment: Address) -> Address {
        self.fragment_octets(fragment).div_ceil(UNIT as usize) as Address
    }

    /// Octets that a fragment takes.
    fn fragment_octets(&self, fragment: Address) -> usize {
        let Some(head) = self.store.object_at::<Fragment>(fragment) else { return 0 };
        fragment_start(head.signed.patches) as usize + usize::from(head.signed.length)
    }
}

impl Drop for Commit<'_> {
    fn drop(&mut self) {
        let Some(space) = self.space.take() else { return };
        let holding = space.take_back();
        let mut writer = self.store.writer();
        match writer.lent_zone(&self.apex, self.incarnation) {
            Some(zone) => {
                zone.holding = holding;
                zone.lent = false;
            }
            None => {
                drop(writer);
                self.store.reclaim(holding);
            }
        }
    }
}

#[cfg(test)]
mod tests;
