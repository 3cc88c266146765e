//! A finished fragment: to be written to the store, read back, and joined with others.

use std::io;

use responder_common::{
    checksum,
    layout::{Address, Extent, Fragment, fragment_start, patch},
};
use zerocopy::IntoBytes;

use crate::store::{Space, Store};

/// A finished fragment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Built {
    /// Both extents of the [`Fragment`]'s head.
    pub(super) head: [u16; 8],
    pub(super) patches: Vec<u16>,
    pub(super) octets: Vec<u8>,
}

impl Built {
    /// A fragment that stands in the store.
    pub fn read(store: &Store, at: Address) -> Option<Self> {
        let head: &Fragment = store.object_at(at)?;
        let count = usize::from(head.signed.patches);
        let start = fragment_start(head.signed.patches) as usize;
        let image = store.octets_at(at, start + usize::from(head.signed.length))?;
        let (front, octets) = image.split_at(start);
        let patches = front[size_of::<Fragment>()..].chunks_exact(2).take(count);
        let patches = patches.map(|patch| u16::from_le_bytes([patch[0], patch[1]])).collect();
        let extent = |extent: Extent| [extent.length, extent.sum, extent.records, extent.patches];
        let head = [extent(head.plain), extent(head.signed)].concat();
        Some(Self { head: head.try_into().ok()?, patches, octets: octets.to_vec() })
    }

    /// The same, and behind it, for clients with DO only, the records of a proof. None where they would
    /// stand beyond the reach of patches.
    #[must_use]
    pub fn followed_by(&self, proof: &Self) -> Option<Self> {
        let mut joined = self.clone();
        let start = u16::try_from(self.octets.len()).ok()?;
        joined.octets.extend_from_slice(&proof.octets);
        for &found in &proof.patches {
            let (base, at) = (found >> patch::OFFSET_BITS, (found & patch::OFFSET_MAX) + start);
            if at > patch::OFFSET_MAX {
                return None;
            }
            if base == patch::FRAGMENT {
                let pointer = &mut joined.octets[usize::from(at)..][..2];
                let moved = u16::from_be_bytes([pointer[0], pointer[1]]) + start;
                pointer.copy_from_slice(&moved.to_be_bytes());
            }
            joined.patches.push(patch::new(base, at));
        }
        joined.head[4] = joined.octets.len() as u16;
        joined.head[5] = checksum::of(&joined.octets);
        joined.head[6] += proof.head[6];
        joined.head[7] += proof.head[7];
        Some(joined)
    }

    /// Octets that it adds to a reply, signatures included.
    pub fn length(&self) -> usize {
        self.octets.len()
    }

    /// Octets that it takes in the store.
    pub fn stored_length(&self) -> u64 {
        (size_of::<Fragment>() + self.patches.len().div_ceil(4) * 8 + self.octets.len()) as u64
    }

    /// The octets that it takes in the store.
    pub fn image(&self) -> Vec<u8> {
        let mut image = Vec::with_capacity(self.stored_length() as usize);
        self.append_image(&mut image);
        image
    }

    /// Appends the octets that it takes in the store.
    pub fn append_image(&self, image: &mut Vec<u8>) {
        let octets = image.len() + self.stored_length() as usize - self.octets.len();
        image.extend_from_slice(self.head.as_bytes());
        for patch in &self.patches {
            image.extend_from_slice(&patch.to_le_bytes());
        }
        image.resize(octets, 0);
        image.extend_from_slice(&self.octets);
    }

    /// Writes it to space that was taken.
    pub fn write(&self, space: &Space<'_>, at: Address) {
        space.write(at, &self.image());
    }

    /// Takes space for it alone and writes it there.
    ///
    /// # Errors
    /// When the store is full.
    pub fn store(&self, space: &mut Space<'_>) -> io::Result<Address> {
        let at = space.take(self.stored_length(), 64)?;
        self.write(space, at);
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use responder_common::wire::rtype;

    use super::*;
    use crate::{
        store::StoreOptions,
        zone::fragment::{Builder, Place, Surroundings},
    };

    const APEX: &[u8] = b"\x03lac\0";
    const HASHED: &[u8] = b"\x02ab\x03lac\0";

    fn builder() -> Builder<'static> {
        Builder::new(Surroundings { apex: APEX, node: APEX, owner: APEX, anchored: &[] })
    }

    /// A proof and its signature, whose owner points back to the first record of the fragment.
    fn proof() -> Built {
        let mut builder = builder();
        builder.signatures_follow();
        builder.named_record(HASHED, rtype::NSEC3, 60, &[1; 12]);
        builder.named_record(HASHED, rtype::RRSIG, 60, &[2; 12]);
        builder.finish().expect("small")
    }

    #[test]
    fn what_is_joined_is_as_if_built_in_one() {
        let mut first = builder();
        first.record(Place::APEX, rtype::TXT, 60, b"\x01a");
        first.signatures_follow();
        first.record(Place::APEX, rtype::RRSIG, 60, &[3; 11]);
        let joined = first.finish().expect("small").followed_by(&proof()).expect("near");
        let mut whole = builder();
        whole.record(Place::APEX, rtype::TXT, 60, b"\x01a");
        whole.signatures_follow();
        whole.record(Place::APEX, rtype::RRSIG, 60, &[3; 11]);
        whole.named_record(HASHED, rtype::NSEC3, 60, &[1; 12]);
        whole.named_record(HASHED, rtype::RRSIG, 60, &[2; 12]);
        assert_eq!(joined, whole.finish().expect("small"));
    }

    #[test]
    fn what_is_beyond_the_reach_of_patches_is_not_joined() {
        let mut first = builder();
        first.record(Place::APEX, rtype::TXT, 60, &[0; 8190]);
        assert_eq!(first.finish().expect("fits").followed_by(&proof()), None);
    }

    #[test]
    fn what_is_written_reads_back() {
        let store =
            Store::in_memory(&StoreOptions { udp_size: 1232, id: String::new() }).expect("memory");
        let mut space = store.space();
        let proof = proof();
        let at = proof.store(&mut space).expect("room");
        assert_eq!(Built::read(&store, at), Some(proof));
    }
}
