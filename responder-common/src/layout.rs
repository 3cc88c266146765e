//! The layout of the store: what the compiler of zones writes and the engine reads.
//!
//! Memory is cut into segments of [`SEGMENT_BYTES`]; an [`Address`] names eight octets in one of them.
//! What is published is never changed: a new version of a node names the one it replaces, and a reader
//! skips what was born after the version of the zone that it took at its start. The only words that
//! change in place are index slots ([`Bucket`]), zone slots ([`ZoneSlot`]) and proof cells ([`Cell`]),
//! each by one store.

use core::mem::{align_of, offset_of, size_of};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Changes whenever a layout in this file changes its meaning.
pub const LAYOUT_VERSION: u32 = if cfg!(feature = "other-layout") { u32::MAX } else { 10 };

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
/// Slots of the zone table; it is kept at most a quarter full.
pub const ZONE_SLOTS: usize = 1 << 16;
/// Service addresses of each family that the packet path tells apart.
pub const ADDRESSES_MAX: usize = 16;
/// Longest NSID, in octets, so that it fits 512 beside a name of 255.
pub const NSID_MAX: usize = 64;
/// Words of a node that the engine can see: header, name and 255 references.
pub const NODE_WORDS: usize = 2 + 32 + 255 + 1;

/// What every query needs and what fits nowhere else: one per data plane.
#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Root {
    /// [`LAYOUT_VERSION`] of whoever wrote this.
    pub layout: u32,
    /// No UDP reply is larger, in octets.
    pub udp_size: u16,
    /// The service port.
    pub port: u16,
    /// Secrets of the name hash.
    pub seed: u64,
    /// Odd.
    pub multiplier: u64,
    /// When the kernel programs stop answering, in nanoseconds of the kernel's coarse monotonic clock.
    /// Written while queries are answered. Zero: they are switched off (`responder xdp off`).
    pub lease: u64,
    /// What the zones were compiled by: a daemon with another compiler does not go on with the store.
    pub compiler: u64,
    /// Whose store this is: no other daemon goes on with it. Zero: nobody does.
    pub owner: u64,
    /// Nothing: everything behind it stands elsewhere.
    #[cfg(feature = "other-layout")]
    pub shift: [u64; 8],
    /// Bit `d` is set while a zone with an apex of `d` labels may be loaded.
    pub depths: [u64; 2],
    /// No loaded zone has a name of more labels; deeper suffixes need no hash.
    pub hash_labels: u32,
    /// Octets of `nsid` in use.
    pub nsid_length: u32,
    /// How many of `addresses4` count; none: every destination is ours.
    pub addresses4_length: u16,
    /// How many of `addresses6` count.
    pub addresses6_length: u16,
    /// What the limiter is to do: [`crate::limit::switch`] bits. Written while queries are answered.
    pub limiting: u32,
    /// Service addresses, in network order.
    pub addresses4: [u32; ADDRESSES_MAX],
    /// Service addresses, in network order.
    pub addresses6: [[u64; 2]; ADDRESSES_MAX],
    /// The name server identifier (RFC 5001).
    pub nsid: [u8; NSID_MAX],
    /// How much it is to let through.
    pub limits: Limits,
    /// Zones by the hash of their apex, open addressing, linear probing.
    pub zones: [ZoneSlot; ZONE_SLOTS],
}

/// What the limiter ([`crate::limit`]) is told. Written by single stores while queries are answered.
#[derive(FromBytes, Immutable, KnownLayout, Clone, Copy)]
#[repr(C)]
pub struct Limits {
    /// What to add to the coarse monotonic clock to have nanoseconds since 1970, as wrapping arithmetic:
    /// server cookies tell the time.
    pub wall: u64,
    /// The bits of an IPv6 address's upper half that make a source.
    pub mask6: u64,
    /// The same for what lies around a source.
    pub mask6_wide: u64,
    /// Those of an IPv4 address.
    pub mask4: u32,
    /// The same for what lies around a source.
    pub mask4_wide: u32,
    /// How far ahead of its rate a source may be, in ticks of [`crate::limit::TICK`].
    pub burst: u32,
    /// Of so many replies over the rate one is sent, cut short; none: all are dropped.
    pub slip: u32,
    /// What a message that is passed to the daemon costs its source, in ticks; zero is nothing.
    pub passed: u32,
    /// What it costs all sources together.
    pub passed_total: u32,
    /// What 256 octets beyond those of a query cost its source, in ticks; zero is nothing.
    pub octets: u32,
    /// What they cost all that lies around it.
    pub octets_wide: u32,
    /// Which of `secrets` counts.
    pub secrets_now: u32,
    /// What a reply costs its source, in ticks, by the zone's profile and the class of the answer; zero is
    /// nothing.
    pub costs: [[u32; crate::limit::CLASSES]; LIMIT_PROFILES],
    /// Cookie secrets: one set counts while the other is written.
    pub secrets: [Secrets; 2],
}

/// The secrets of server cookies (RFC 9018).
#[derive(FromBytes, Immutable, KnownLayout, Clone, Copy, Default)]
#[repr(C)]
pub struct Secrets {
    /// How many there are.
    pub length: u64,
    /// The first makes cookies; those made with any are believed.
    pub keys: [[u64; 2]; SECRETS_MAX],
}

/// Most cookie secrets at a time: the present one, the one before and the one to come.
pub const SECRETS_MAX: usize = 3;
/// Most sets of rates: the first is that of zones without one of their own.
pub const LIMIT_PROFILES: usize = 64;

/// A place in the zone table.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Clone, Copy)]
#[repr(C)]
pub struct ZoneSlot {
    /// The apex's hash; zero ends a probe.
    pub hash: u64,
    /// The zone's [`Snapshot`]; none where a zone was removed. Storing it is the commit.
    pub snapshot: Address,
    /// Bits of [`switch`]; above them the number of the zone's rates ([`Limits::costs`]).
    pub switches: u32,
}

/// What an operator has switched for a zone.
pub mod switch {
    /// The kernel programs leave its queries to the sockets.
    pub const OFF: u32 = 1;
    /// How far the number of the zone's rates is shifted.
    pub const RATES_SHIFT: u32 = 8;
}

/// One committed version of a zone: all that hangs together changes by one store of its address.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Clone, Copy)]
#[repr(C)]
pub struct Snapshot {
    /// Nodes born later are not part of this version.
    pub version: u32,
    /// The SOA's serial.
    pub serial: u32,
    /// The apex's [`node`].
    pub apex: Address,
    /// The first [`Bucket`] of the zone's index.
    pub index: Address,
    /// Buckets of the index, less one; a power of two less one.
    pub index_mask: u32,
    /// The SOA as denial carries it: owner at the apex, TTL no larger than MINIMUM (RFC 2308).
    pub negative: Address,
    /// Octets of the apex's name on the wire.
    pub apex_length: u8,
    /// Labels of the apex.
    pub apex_labels: u8,
    /// How the zone denies: [`denial`].
    pub denial: u8,
    /// Octets of the salt (RFC 5155, section 3.1.5).
    pub salt_length: u8,
    /// Additional rounds of the hash (RFC 5155, section 3.1.3).
    pub iterations: u16,
    /// How far a key's first word is shifted for its place in the directory.
    pub directory_shift: u8,
    /// Zero.
    pub padding: u8,
    /// When the data become too old to be served, in nanoseconds of the clock of [`Root::lease`]; zero is
    /// never. Written while queries are answered.
    pub deadline: u64,
    /// The apex's name, lower-case, zeros behind it.
    pub name: [u64; 32],
    /// The chain of NSEC or NSEC3 by key, cut into leaves: a [`Link`] for each leaf, its first key and
    /// its address.
    pub leaves: Address,
    /// Leaves of the chain.
    pub leaves_length: u32,
    /// Words: where among the leaves those begin whose first key's first bits are the place in the
    /// directory; one more place ends the last.
    pub directory: Address,
    /// The [`Cell`] of the apex's own NSEC or NSEC3.
    pub apex_proof: Address,
    /// `negative` and what proves, for any name whose closest encloser is the apex, all but that the next
    /// closer name does not exist; zero where the zone is not signed or has a wildcard at the apex.
    pub nonexistent: Address,
    /// The [`Cell`] of the record in it that denies the wildcard.
    pub no_wildcard: Address,
    /// The salt, zeros behind it.
    pub salt: [u64; 7],
    /// What a writer must know to go on with this version, which no reader looks at; none while the version
    /// is being changed, or nobody can go on with it.
    pub ledger: Address,
    /// Zero.
    pub reserved: u32,
}

impl Snapshot {
    /// Whether the data are too old to be served, `now` being a look at the clock.
    #[inline(always)]
    pub fn is_expired(&self, now: impl FnOnce() -> u64) -> bool {
        // SAFETY: the reference is valid for reads; volatile, because the daemon may store to it.
        let deadline = unsafe { core::ptr::read_volatile(&raw const self.deadline) };
        deadline != 0 && now() >= deadline
    }
}

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

/// A cache line of the name index: tag in the high half of a slot, address of the node in the low.
///
/// A name goes to the bucket that its hash selects, or to the next one with room; a slot that is zero
/// ends the search.
#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Bucket {
    /// Read them by [`Bucket::slot`]: the daemon fills them while readers run.
    slots: [u64; BUCKET_SLOTS],
}

/// Slots of a bucket.
pub const BUCKET_SLOTS: usize = 8;

impl Bucket {
    /// A slot as it stands now.
    #[inline(always)]
    pub fn slot(&self, place: usize) -> u64 {
        // SAFETY: the reference is valid for reads; volatile, because the daemon may store to it.
        unsafe { core::ptr::read_volatile(&raw const self.slots[place]) }
    }

    /// The slot for a name's hash and node.
    pub fn entry(hash: u64, node: Address) -> u64 {
        (hash & 0xffff_ffff_0000_0000) | u64::from(node)
    }
}

/// A node, word by word: two words of header, the name, the references.
///
/// A node is of variable length, and the engine reads it as words: the verifier follows that, and the
/// name is compared by words anyway.
#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct Node {
    /// See [`node`] for their meaning.
    pub words: [u64; NODE_WORDS],
}

/// The words of a [`Node`].
pub mod node {
    use super::Address;

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
}

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
