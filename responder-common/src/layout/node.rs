//! A name of a zone, and what its words mean.

use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::Address;

/// A node, word by word: two words of header, the name, the references.
///
/// A node is of variable length, and the engine reads it as words: the verifier follows that, and the
/// name is compared by words anyway.
#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct Node {
    /// See this module for their meaning.
    pub words: [u64; NODE_WORDS],
}

/// Words of a node that the engine can see: header, name and 255 references.
pub const NODE_WORDS: usize = 2 + 32 + 255 + 1;

/// Words before the name.
pub const HEADER_WORDS: u32 = 2;
/// The name owns NS below the apex: everything at and below it but DS belongs to others.
pub const DELEGATION: u8 = 1;
/// The name owns a DNAME: names below it are redirected (RFC 6672).
pub const DNAME: u8 = 2;
/// The name owns a CNAME.
pub const CNAME: u8 = 4;
/// The name's first label is `*`: its fragments count from the name above.
pub const WILDCARD: u8 = 8;
/// Of a delegation, which owns NS as its first reference: DS is the next.
pub const HAS_DS: u8 = 16;
/// Of a delegation: then comes the glue that a referral needs.
pub const HAS_GLUE: u8 = 32;
/// Of a delegation: then come the addresses that help.
pub const HAS_MORE: u8 = 64;
/// The name does not exist from this version on.
pub const REMOVED: u8 = 128;

/// First word: the version in which the node was born, and the node that it replaces.
#[inline(always)]
pub fn first(born: u32, older: Address) -> u64 {
    u64::from(born) | u64::from(older) << 32
}

/// Second word.
#[inline(always)]
pub fn second(kind: u8, name_length: u8, references: u8, wildcard: Address) -> u64 {
    u64::from(kind)
        | u64::from(name_length) << 8
        | u64::from(references) << 16
        | u64::from(wildcard) << 32
}

/// The version in which the node was born.
#[inline(always)]
pub fn born(first: u64) -> u32 {
    first as u32
}

/// The node that this one replaces.
#[inline(always)]
pub fn older(first: u64) -> Address {
    (first >> 32) as Address
}

/// Bits of what the name is.
#[inline(always)]
pub fn kind(second: u64) -> u8 {
    second as u8
}

/// Octets of the name relative to the apex.
#[inline(always)]
pub fn name_length(second: u64) -> u32 {
    (second >> 8) as u32 & 0xff
}

/// Words that the name takes.
#[inline(always)]
pub fn name_words(second: u64) -> u32 {
    name_length(second).div_ceil(8)
}

/// How many references follow the name.
#[inline(always)]
pub fn references(second: u64) -> u32 {
    (second >> 16) as u32 & 0xff
}

/// The node of the wildcard child `*`, if there is one (RFC 4592).
#[inline(always)]
pub fn wildcard(second: u64) -> Address {
    (second >> 32) as Address
}

/// A reference: what it is, for which type, and where its fragment stands.
#[inline(always)]
pub fn reference(role: u16, rtype: u16, fragment: Address) -> u64 {
    u64::from(rtype) | u64::from(role) << 16 | u64::from(fragment) << 32
}

/// The part of a reference by which it is looked up.
pub const REFERENCE_KEY: u64 = 0x00ff_ffff;

/// What a reference is there for; it is looked up by role and type together.
pub mod role {
    /// Added to a role: the fragment stands behind the node, in the same space.
    pub const BESIDE: u16 = 0x8000;
    /// An RRset of the name.
    pub const RRSET: u16 = 0;
    /// Addresses without which a referral does not work (RFC 9471); type NS.
    pub const GLUE: u16 = 1;
    /// Addresses that help: sibling glue, addresses of the apex's name servers; the type is that of
    /// the RRset which they accompany.
    pub const ADDITIONAL: u16 = 2;
    /// The one RRset that answers ANY (RFC 8482); type zero.
    pub const ANY: u16 = 3;
    /// The signatures that answer a question for RRSIG; type zero.
    pub const SIGNATURES: u16 = 4;
    /// The cell of the name's own NSEC or NSEC3; type zero and a cell, as for all that follow.
    pub const PROOF: u16 = 5;
    /// Where the name has no NSEC3 of its own: that of its closest provable encloser; left out where
    /// that is the apex.
    pub const ENCLOSER: u16 = 6;
    /// Where the name has no record of its own: the one that covers it, or its ancestor below the
    /// closest provable encloser.
    pub const COVER: u16 = 7;
    /// The record that denies a wildcard below the name.
    pub const NO_WILDCARD: u16 = 8;
}
