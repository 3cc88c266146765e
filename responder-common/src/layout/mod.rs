//! The layout of the store: what the compiler of zones writes and the engine reads.
//!
//! Memory is cut into segments of [`SEGMENT_BYTES`]; an [`Address`] names eight octets in one of them.
//! What is published is never changed: a new version of a node names the one it replaces, and a reader
//! skips what was born after the version of the zone that it took at its start. The only words that
//! change in place are index slots ([`Bucket`]), zone slots ([`ZoneSlot`]) and proof cells ([`Cell`]),
//! each by one store.

mod chain;
mod fragment;
mod index;
pub mod node;
mod root;
mod zone;

use core::mem::{align_of, offset_of, size_of};

pub use self::{
    chain::{Cell, LEAF_LINKS, Link, denial},
    fragment::{Extent, Fragment, fragment_start, patch},
    index::{BUCKET_SLOTS, Bucket, LINE_UNITS, LINES_MAX, Lines, PAGE_LINES, PAGE_UNITS, Shape},
    node::{NODE_WORDS, Node},
    root::{
        ADDRESSES_MAX, LIMIT_PROFILES, Limits, NSID_MAX, Root, SECRETS_MAX, Secrets, ZONE_SLOTS,
        ZoneSlot, switch,
    },
    zone::Snapshot,
};

/// Changes whenever a layout in this module changes its meaning.
pub const LAYOUT_VERSION: u32 = if cfg!(feature = "other-layout") { u32::MAX } else { 13 };

/// Octets of a segment that addresses reach.
pub const SEGMENT_BYTES: u64 = 64 << 20;
/// Octets behind them, so that a read which starts at any address stays inside the map's value.
pub const SEGMENT_SLACK: u64 = 128 << 10;
/// Most segments: 8 GiB.
pub const SEGMENTS_MAX: u32 = 128;
/// Octets that one step of an address covers.
pub const UNIT: u64 = 8;
/// Bits of an address that select the unit inside its segment.
pub const UNIT_BITS: u32 = 23;

/// Where an object stands: segment in the high bits, unit in the low ones. Zero is "none".
pub type Address = u32;

/// Octets a fragment reply may copy at once: `limits.udp-size` is never larger.
pub const UDP_SIZE_MAX: u16 = 4096;

const _: () = {
    assert!(size_of::<Snapshot>() == 384 && align_of::<Snapshot>() == 8);
    assert!(offset_of!(Snapshot, name) == 40);
    assert!(size_of::<Bucket>() == 64);
    assert!(size_of::<Link>() == 16 && size_of::<Cell>() == 16);
    assert!(size_of::<Fragment>() == 16);
    assert!(size_of::<ZoneSlot>() == 16);
    assert!(offset_of!(Root, limits) % 8 == 0 && size_of::<Secrets>() == 56);
    assert!(offset_of!(Root, seed) == 8 && offset_of!(Root, zones) % 8 == 0);
    assert!(SEGMENT_BYTES / UNIT == 1 << UNIT_BITS);
    assert!((NODE_WORDS as u64) * 8 <= SEGMENT_SLACK);
};
