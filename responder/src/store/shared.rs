//! Fragments that many names refer to, such as the NS set of a big host: stored once, and counted, so that
//! the last name that goes takes it along.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, RandomState},
};

use responder_common::layout::Address;

/// The shared fragments of a zone, by a hash of their octets.
#[derive(Default)]
pub struct Shared {
    hasher: RandomState,
    stored: HashMap<u64, Counted>,
}

/// A fragment, and how many references to it there are.
struct Counted {
    address: Address,
    references: u32,
}

impl Shared {
    /// What these octets are known by.
    pub fn hash(&self, octets: &[u8]) -> u64 {
        self.hasher.hash_one(octets)
    }

    /// One more reference to the fragment with this hash, if `same` says that its octets are the same.
    pub fn again(&mut self, hash: u64, same: impl FnOnce(Address) -> bool) -> Option<Address> {
        let counted = self.stored.get_mut(&hash)?;
        if !same(counted.address) {
            return None;
        }
        counted.references += 1;
        Some(counted.address)
    }

    /// The first reference to a fragment. Where other octets have the same hash, it is not shared.
    pub fn first(&mut self, hash: u64, address: Address) {
        self.stored.entry(hash).or_insert(Counted { address, references: 1 });
    }

    /// One reference less. True where it was the last: the fragment is to be given back.
    #[must_use]
    pub fn less(&mut self, hash: u64, address: Address) -> bool {
        match self.stored.entry(hash) {
            Entry::Occupied(mut here) if here.get().address == address => {
                here.get_mut().references -= 1;
                if here.get().references > 0 {
                    return false;
                }
                here.remove();
                true
            }
            // One that was not shared because of its hash.
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Shared;

    #[test]
    fn the_last_reference_gives_the_fragment_back() {
        let mut shared = Shared::default();
        let hash = shared.hash(b"octets");
        assert_eq!(shared.again(hash, |_| true), None);
        shared.first(hash, 7);
        assert_eq!(shared.again(hash, |address| address == 7), Some(7));
        assert!(!shared.less(hash, 7));
        assert!(shared.less(hash, 7));
        assert_eq!(shared.again(hash, |_| true), None);
    }

    #[test]
    fn equal_hashes_of_unequal_octets_are_not_shared() {
        let mut shared = Shared::default();
        shared.first(1, 7);
        assert_eq!(shared.again(1, |_| false), None);
        shared.first(1, 8);
        assert!(shared.less(1, 8), "nobody else refers to the second");
        assert!(shared.less(1, 7), "the first is counted by itself");
    }
}
