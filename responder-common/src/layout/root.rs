//! What is there once in a store: the words that every query needs, and the table of zones.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::Address;

/// Slots of the zone table; it is kept at most a quarter full.
pub const ZONE_SLOTS: usize = 1 << 16;
/// Service addresses of each family that the packet path tells apart.
pub const ADDRESSES_MAX: usize = 16;
/// Longest NSID, in octets, so that it fits 512 beside a name of 255.
pub const NSID_MAX: usize = 64;

/// What every query needs and what fits nowhere else: one per data plane.
#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Root {
    /// [`super::LAYOUT_VERSION`] of whoever wrote this.
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
    /// The zone's [`super::Snapshot`]; none where a zone was removed. Storing it is the commit.
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
