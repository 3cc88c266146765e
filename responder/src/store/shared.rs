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
    /// References to fragments whose hash another one had already: other octets, or the same that two
    /// threads stored.
    twins: HashMap<(u64, Address), u32>,
}

/// A fragment, and how many references to it there are.
struct Counted {
    address: Address,
    references: u32,
}

impl Shared {
    /// Nothing yet, but octets are known by the same hashes: [`Shared::absorb`] joins both.
    pub fn another(&self) -> Self {
        Self { hasher: self.hasher.clone(), ..Self::default() }
    }

    /// Takes over what another one counted.
    pub fn absorb(&mut self, other: Self) {
        for (hash, counted) in other.stored {
            match self.stored.entry(hash) {
                Entry::Vacant(free) => drop(free.insert(counted)),
                Entry::Occupied(_) => {
                    self.twins.insert((hash, counted.address), counted.references);
                }
            }
        }
        self.twins.extend(other.twins);
    }

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

    /// The first reference to a fragment. Where other octets have the same hash, nobody shares it.
    pub fn first(&mut self, hash: u64, address: Address) {
        match self.stored.entry(hash) {
            Entry::Vacant(free) => drop(free.insert(Counted { address, references: 1 })),
            Entry::Occupied(_) => drop(self.twins.insert((hash, address), 1)),
        }
    }

    /// One reference less. True where it was the last: the fragment is to be given back.
    #[must_use]
    pub fn less(&mut self, hash: u64, address: Address) -> bool {
        match self.stored.entry(hash) {
            Entry::Occupied(mut here) if here.get().address == address => {
                here.get_mut().references -= 1;
                let last = here.get().references == 0;
                if last {
                    here.remove();
                }
                last
            }
            _ => match self.twins.entry((hash, address)) {
                Entry::Occupied(mut here) => {
                    *here.get_mut() -= 1;
                    let last = *here.get() == 0;
                    if last {
                        here.remove();
                    }
                    last
                }
                Entry::Vacant(_) => true,
            },
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

    #[test]
    fn what_two_threads_stored_is_counted_apart() {
        let mut shared = Shared::default();
        let mut other = shared.another();
        let hash = shared.hash(b"octets");
        assert_eq!(other.hash(b"octets"), hash);
        shared.first(hash, 7);
        other.first(hash, 8);
        assert_eq!(other.again(hash, |_| true), Some(8));
        other.first(9, 10);
        shared.absorb(other);
        assert_eq!(shared.again(hash, |_| true), Some(7));
        assert!(!shared.less(hash, 8));
        assert!(shared.less(hash, 8), "two of the other thread's");
        assert!(!shared.less(hash, 7));
        assert!(shared.less(hash, 7), "two of this one's");
        assert!(shared.less(9, 10));
    }
}
