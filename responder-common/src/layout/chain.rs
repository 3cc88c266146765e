//! The chain of NSEC or NSEC3 of a zone, and the cells in which its records stand.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::Address;

/// A place in the chain of NSEC or NSEC3, or in the list of its leaves.
///
/// A leaf is a word, how many links it has, and the links.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Clone, Copy)]
#[repr(C)]
pub struct Link {
    /// The key's first eight octets in network order.
    pub key: u64,
    /// The record's [`Cell`], or the leaf.
    pub target: Address,
    /// The rest of the key: a count of words and the words. None where the first eight octets decide.
    pub rest: Address,
}

/// Most links of a leaf.
pub const LEAF_LINKS: usize = 32;

/// Where a proof stands that many nodes refer to, so that its change does not touch them: the record of
/// a link of the chain.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Clone, Copy)]
#[repr(C)]
pub struct Cell {
    /// Fragment in the low half, the version in which it was born in the high. Read it by
    /// [`Cell::fragment`].
    current: u64,
    /// The fragment that it replaces.
    older: u64,
}

impl Cell {
    /// A cell before its first change.
    pub fn new(born: u32, fragment: Address, older: Address) -> Self {
        Self { current: u64::from(fragment) | u64::from(born) << 32, older: u64::from(older) }
    }

    /// The words: what is current, and what it replaces. The second is to be stored first.
    pub fn words(self) -> [u64; 2] {
        [self.current, self.older]
    }

    /// The fragment that belongs to a version of the zone.
    #[inline(always)]
    pub fn fragment(&self, version: u32) -> Address {
        // SAFETY: the reference is valid for reads; volatile, because the daemon may store to it.
        let current = unsafe { core::ptr::read_volatile(&raw const self.current) };
        if (current >> 32) as u32 <= version {
            return current as Address;
        }
        // SAFETY: as above.
        unsafe { core::ptr::read_volatile(&raw const self.older) as Address }
    }
}

/// How a zone proves that something is not there.
pub mod denial {
    /// Not at all: the zone is not signed.
    pub const NONE: u8 = 0;
    /// RFC 4034.
    pub const NSEC: u8 = 1;
    /// RFC 5155.
    pub const NSEC3: u8 = 2;
}
