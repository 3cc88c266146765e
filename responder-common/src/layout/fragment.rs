//! Records as octets of a reply, and the compression pointers in them.

use core::mem::size_of;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::UNIT;

/// The head of a fragment: one or more records, compiled to the octets of a reply.
///
/// Behind it stand its patches (`signed.patches` of 16 bits, padded to eight octets) and the octets.
/// The records without signatures come first, so that what a client without DO gets is a prefix.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Clone, Copy)]
#[repr(C)]
pub struct Fragment {
    /// Without signatures.
    pub plain: Extent,
    /// With them.
    pub signed: Extent,
}

/// How much of a fragment is meant.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Clone, Copy, Default)]
#[repr(C)]
pub struct Extent {
    /// Octets.
    pub length: u16,
    /// Their one's-complement sum, folded, as at an even offset and before any patch.
    pub sum: u16,
    /// Records.
    pub records: u16,
    /// Patches.
    pub patches: u16,
}

/// Octets of a fragment in front of its records: the head and the patches.
#[inline(always)]
pub fn fragment_start(patches: u16) -> u32 {
    size_of::<Fragment>() as u32 + u32::from(patches).div_ceil(4) * UNIT as u32
}

/// Patches: a compression pointer's place in its fragment and what it counts from.
///
/// The pointer stands in the fragment with its distance from the base, the two high bits set; the
/// writer adds the base.
pub mod patch {
    /// Bits of the offset; pointers further in are not compressed.
    pub const OFFSET_BITS: u32 = 13;
    /// Largest offset of a pointer.
    pub const OFFSET_MAX: u16 = (1 << OFFSET_BITS) - 1;

    /// Start of the current name: the question's, or the last CNAME's target.
    pub const OWNER: u16 = 0;
    /// Start of the node's own name, an ancestor of the current name or the name itself.
    pub const NODE: u16 = 1;
    /// Start of the apex's name within the current name.
    pub const APEX: u16 = 2;
    /// Start of this fragment.
    pub const FRAGMENT: u16 = 3;
    /// Start of the fragment that was marked as anchor: the NS set in front of its glue.
    pub const ANCHOR: u16 = 4;

    /// A patch.
    pub const fn new(base: u16, offset: u16) -> u16 {
        base << OFFSET_BITS | offset
    }
}
