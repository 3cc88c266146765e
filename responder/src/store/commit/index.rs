//! How a commit finds and changes words of the index.

use std::{collections::HashSet, io};

use responder_common::{
    layout::{Address, BUCKET_SLOTS, Bucket, Node, Shape, node},
    name,
};
use zerocopy::IntoBytes;

use super::Commit;

/// A slot that was emptied between others: no name has this tag and this node.
pub(super) const VACANT: u64 = 1 << 32;

/// Where a name stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The word of the index that leads to it.
    pub(super) slot: Address,
    /// Its node.
    pub node: Address,
}

impl Commit<'_> {
    /// Finds a name below the apex, as the changes so far leave it.
    pub fn find(&self, name: &[u8]) -> Option<Found> {
        let hash = name::hash(self.store.hash_key(), name);
        let relative = &name[..name.len() - self.apex.len()];
        for slot in self.slots(hash) {
            let word = self.word(slot);
            if word == 0 {
                return None;
            }
            let found = Found { slot, node: word as Address };
            if word >> 32 == hash >> 32 && self.is_named(found.node, relative) {
                return Some(found);
            }
        }
        None
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
        let slots = u64::from(self.before.shape().buckets()) * BUCKET_SLOTS as u64;
        if self.index_used + self.filled + 1 >= slots {
            return false;
        }
        let is_free = |slot: &Address| matches!(self.word(*slot), 0 | VACANT);
        let Some(slot) = self.slots(hash).find(is_free) else { return false };
        self.filled += u64::from(self.word(slot) == 0);
        self.slots.insert(slot, entry);
        true
    }

    /// Empties the slot of a name that has ended; how many slots of its bucket are empty from now on. A
    /// slot between others keeps the search going, and so does the last of a bucket, since names that found
    /// no room there stand in the next.
    pub(super) fn vacate(&self, slot: Address) -> u64 {
        let memory = &self.store.memory;
        let place = slot as usize % BUCKET_SLOTS;
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

    /// A larger index with the names of the new version: its address, its shape, the names. Nodes stay where
    /// they are, so none stand in it.
    pub(super) fn grown_index(&mut self) -> io::Result<(Address, Shape, u64)> {
        let key = self.store.hash_key();
        let ended: HashSet<Address> =
            self.removed.iter().map(|(_, tombstone)| *tombstone).collect();
        let mut names = Vec::with_capacity((self.index_used + self.filled) as usize);
        let buckets = self.before.shape().places().map(|place| self.before.index + place);
        for slot in buckets.flat_map(slots_of) {
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
        let (index, shape) = crate::zone::write_index(&names, None, self.space())?;
        Ok((index, shape, names.len() as u64))
    }

    /// The slots at which a name is looked for, one after the other, each once.
    pub(super) fn slots(&self, hash: u64) -> impl Iterator<Item = Address> + use<> {
        let (index, shape) = (self.before.index, self.before.shape());
        (0..shape.buckets()).flat_map(move |step| slots_of(index + shape.probe(hash, step)))
    }

    /// An index word as the changes so far leave it.
    pub(super) fn word(&self, slot: Address) -> u64 {
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
}

/// The slots of the bucket at an address.
fn slots_of(bucket: Address) -> std::ops::Range<Address> {
    bucket..bucket + BUCKET_SLOTS as Address
}
