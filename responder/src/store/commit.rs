//! A commit: a version of a zone that shares all but what changed with the one before.
//!
//! New nodes stand beside the old ones and name them. The index leads to the new ones, and a reader of
//! the older version goes on to the old (`locate::walk`). One store of the snapshot's address makes the
//! new version the one that queries see; what only the old one needs is given back after a grace period.

use std::{collections::HashMap, io};

use responder_common::{
    layout::{
        Address, BUCKET_SLOTS, Bucket, Cell, Fragment, Node, Snapshot, UNIT, fragment_start, node,
        node::role,
    },
    name,
};
use zerocopy::IntoBytes;

use super::{Space, Store};

/// A slot that was emptied between others: no name has this tag and this node.
const VACANT: u64 = 1 << 32;

/// Where a name stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The word of the index that leads to it.
    slot: Address,
    /// Its node.
    pub node: Address,
}

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

    /// Finds a name below the apex, as the changes so far leave it.
    pub fn find(&self, name: &[u8]) -> Option<Found> {
        let hash = name::hash(self.store.hash_key(), name);
        let relative = &name[..name.len() - self.apex.len()];
        let mut bucket = hash as u32 & self.before.index_mask;
        loop {
            for place in 0..BUCKET_SLOTS as Address {
                let slot = self.slot(bucket, place);
                let word = self.word(slot);
                if word == 0 {
                    return None;
                }
                let found = Found { slot, node: word as Address };
                if word >> 32 == hash >> 32 && self.is_named(found.node, relative) {
                    return Some(found);
                }
            }
            bucket = (bucket + 1) & self.before.index_mask;
        }
    }

    /// Serves a node under its name from this version on, in place of the one that was found there.
    /// False where the index has no room for so many new names: the zone is to be compiled anew.
    #[must_use]
    pub fn put(&mut self, name: &[u8], found: Option<Found>, node: Address) -> bool {
        let hash = name::hash(self.store.hash_key(), name);
        let entry = Bucket::entry(hash, node);
        if let Some(found) = found {
            self.free_node(found.node);
            self.slots.insert(found.slot, entry);
            return true;
        }
        let slots = (u64::from(self.before.index_mask) + 1) * BUCKET_SLOTS as u64;
        if self.index_used + self.filled + 1 >= slots {
            return false;
        }
        let mut bucket = hash as u32 & self.before.index_mask;
        loop {
            for place in 0..BUCKET_SLOTS as Address {
                let slot = self.slot(bucket, place);
                let word = self.word(slot);
                if word == 0 || word == VACANT {
                    self.filled += u64::from(word == 0);
                    self.slots.insert(slot, entry);
                    return true;
                }
            }
            bucket = (bucket + 1) & self.before.index_mask;
        }
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

    /// Gets everything ready. `labels` is the depth of the deepest new name.
    ///
    /// # Errors
    /// When the store is full.
    pub fn ready(mut self, mut snapshot: Snapshot, labels: u32) -> io::Result<Ready<'a>> {
        snapshot.version = self.version();
        snapshot.ledger = 0;
        let slots = (u64::from(self.before.index_mask) + 1) * BUCKET_SLOTS as u64;
        let grown = if (self.index_used + self.filled) * 16 > slots * 13 {
            let (index, buckets, names) = self.grown_index()?;
            snapshot.index = index;
            snapshot.index_mask = buckets - 1;
            self.free_row(self.before.index, slots * UNIT);
            Some(names)
        } else {
            None
        };
        let address = self.space().take(size_of::<Snapshot>() as u64, 64)?;
        self.space().write(address, snapshot.as_bytes());
        self.space().fits()?;
        Ok(Ready { commit: self, snapshot, address, grown, labels })
    }

    /// Makes a version the one that queries see; see [`Ready::finish`].
    fn publish(
        mut self,
        (snapshot, address): (&Snapshot, Address),
        grown: Option<u64>,
        labels: u32,
    ) -> io::Result<()> {
        let length = size_of::<Snapshot>() as u64;
        let change = self.store.change();
        // From here on nobody goes on with the version before: readers of it see words of this one.
        self.store.end_ledger(&self.apex, self.incarnation);
        if let Some(octets) = self.store.ledger_octets(self.before.ledger) {
            self.free(self.before.ledger, octets);
        }
        for (&cell, &[current, older]) in &self.cells {
            self.store.memory.store_word(cell + 1, older);
            self.store.memory.store_word(cell, current);
        }
        if grown.is_none() {
            for (&slot, &word) in &self.slots {
                self.store.memory.store_word(slot, word);
            }
        }
        let store = self.store;
        store.announce_depth(u32::from(snapshot.apex_labels), labels);
        let former = {
            let mut writer = store.writer();
            let Some(zone) = writer.lent_zone(&self.apex, self.incarnation) else {
                return Err(io::Error::other("the zone was removed during the commit"));
            };
            store.set_slot(zone.slot, &self.apex, address);
            zone.version = snapshot.version;
            std::mem::replace(&mut zone.snapshot, address)
        };
        drop(change);
        store.grace();

        self.freed.push((former, length.div_ceil(UNIT) as Address, false));
        let mut fading = Vec::new();
        let mut emptied = 0;
        for &(slot, tombstone) in &self.removed {
            let words = node::HEADER_WORDS
                + self
                    .store
                    .object_at::<Node>(tombstone)
                    .map_or(0, |node| node::name_words(node.words[1]));
            fading.push((tombstone, words));
            if grown.is_none() {
                emptied += self.vacate(slot);
            }
        }
        let mut holding = self.space.take().expect("lent until the end").into_holding();
        for &(start, units, row) in &self.freed {
            if row {
                holding.give_row(start, units);
            } else {
                holding.give(start, units);
            }
        }
        for &fragment in &self.released {
            if let Some(octets) = store.octets_at(fragment, self.fragment_octets(fragment)) {
                holding.give_reference(fragment, octets);
            }
        }
        let mut writer = store.writer();
        match writer.lent_zone(&self.apex, self.incarnation) {
            Some(zone) => {
                for (start, units) in std::mem::replace(&mut zone.fading, fading) {
                    holding.give(start, units);
                }
                zone.holding = holding;
                zone.index_used = grown.unwrap_or(self.index_used + self.filled - emptied);
                zone.lent = false;
            }
            // Removed since; nobody has seen it since the removal's grace was over, or will.
            None => {
                drop(writer);
                store.reclaim(holding);
            }
        }
        Ok(())
    }

    /// Empties the slot of a name that has ended; how many slots of its bucket are empty from now on. A
    /// slot between others keeps the search going, and so does the last of a bucket, since names that found
    /// no room there stand in the next.
    fn vacate(&self, slot: Address) -> u64 {
        let memory = &self.store.memory;
        let place = (slot - self.before.index) as usize % BUCKET_SLOTS;
        let word = |slot: Address| memory.object::<u64>(slot).copied();
        if place + 1 == BUCKET_SLOTS || word(slot + 1) != Some(0) {
            memory.store_word(slot, VACANT);
            return 0;
        }
        memory.store_word(slot, 0);
        // Nothing stands behind those in front of it now.
        let first = slot - place as Address;
        let between = (first..slot).rev().take_while(|slot| word(*slot) == Some(VACANT));
        1 + between.map(|slot| memory.store_word(slot, 0)).count() as u64
    }

    /// An index of twice the size with the names of the new version: its address, its buckets, the names.
    fn grown_index(&mut self) -> io::Result<(Address, u32, u64)> {
        let key = self.store.hash_key();
        let buckets = self.before.index_mask + 1;
        let ended: std::collections::HashSet<Address> =
            self.removed.iter().map(|(_, tombstone)| *tombstone).collect();
        let mut names = Vec::with_capacity((self.index_used + self.filled) as usize);
        for slot in (0..buckets * BUCKET_SLOTS as u32).map(|place| self.before.index + place) {
            let word = self.word(slot);
            let address = word as Address;
            if word == 0 || word == VACANT || ended.contains(&address) {
                continue;
            }
            let Some(node) = self.store.object_at::<Node>(address) else { continue };
            let length = node::name_length(node.words[1]) as usize;
            let mut name = node.words[2..].as_bytes()[..length].to_vec();
            name.extend_from_slice(&self.apex);
            names.push((name::hash(key, &name), address));
        }
        let (index, buckets) = crate::zone::write_index(&names, self.space())?;
        Ok((index, buckets, names.len() as u64))
    }

    fn slot(&self, bucket: u32, place: Address) -> Address {
        self.before.index + bucket * BUCKET_SLOTS as Address + place
    }

    /// An index word as the changes so far leave it.
    fn word(&self, slot: Address) -> u64 {
        if let Some(word) = self.slots.get(&slot) {
            return *word;
        }
        self.store.object_at::<u64>(slot).copied().unwrap_or(0)
    }

    fn is_named(&self, node: Address, relative: &[u8]) -> bool {
        let Some(object) = self.store.object_at::<Node>(node) else { return false };
        let second = object.words[1];
        // Of an empty slot the node is none, and a name of no octets would be its name.
        node != 0
            && node::kind(second) & node::REMOVED == 0
            && node::name_length(second) as usize == relative.len()
            && object.words[node::HEADER_WORDS as usize..].as_bytes().starts_with(relative)
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

/// A version that is ready and that nobody sees yet. Dropped, it was never there.
pub struct Ready<'a> {
    commit: Commit<'a>,
    snapshot: Snapshot,
    address: Address,
    /// Names in a new index, if there is one.
    grown: Option<u64>,
    labels: u32,
}

impl Ready<'_> {
    /// Makes this version the one that queries see. Returns once nobody reads the version before any more;
    /// queries see the new one earlier.
    ///
    /// # Errors
    /// When the zone was removed meanwhile; nothing else can fail.
    pub fn finish(self) -> io::Result<()> {
        let Self { commit, snapshot, address, grown, labels } = self;
        commit.publish((&snapshot, address), grown, labels)
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
