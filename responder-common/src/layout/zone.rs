//! What is there once for each version of a zone.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{Address, Shape};

/// One committed version of a zone: all that hangs together changes by one store of its address.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Clone, Copy)]
#[repr(C)]
pub struct Snapshot {
    /// Nodes born later are not part of this version.
    pub version: u32,
    /// The SOA's serial.
    pub serial: u32,
    /// The apex's [`super::node`].
    pub apex: Address,
    /// The first [`super::Bucket`] of the zone's index.
    pub index: Address,
    /// The number of the index's [`Shape`].
    pub index_shape: u32,
    /// The SOA as denial carries it: owner at the apex, TTL no larger than MINIMUM (RFC 2308).
    pub negative: Address,
    /// Octets of the apex's name on the wire.
    pub apex_length: u8,
    /// Labels of the apex.
    pub apex_labels: u8,
    /// How the zone denies: [`super::denial`].
    pub denial: u8,
    /// Octets of the salt (RFC 5155, section 3.1.5).
    pub salt_length: u8,
    /// Additional rounds of the hash (RFC 5155, section 3.1.3).
    pub iterations: u16,
    /// How far a key's first word is shifted for its place in the directory.
    pub directory_shift: u8,
    /// Zero.
    pub padding: u8,
    /// When the data become too old to be served, in nanoseconds of the clock of [`super::Root::lease`];
    /// zero is never. Written while queries are answered.
    pub deadline: u64,
    /// The apex's name, lower-case, zeros behind it.
    pub name: [u64; 32],
    /// The chain of NSEC or NSEC3 by key, cut into leaves: a [`super::Link`] for each leaf, its first key and
    /// its address.
    pub leaves: Address,
    /// Leaves of the chain.
    pub leaves_length: u32,
    /// Words: where among the leaves those begin whose first key's first bits are the place in the
    /// directory; one more place ends the last.
    pub directory: Address,
    /// The [`super::Cell`] of the apex's own NSEC or NSEC3.
    pub apex_proof: Address,
    /// `negative` and what proves, for any name whose closest encloser is the apex, all but that the next
    /// closer name does not exist; zero where the zone is not signed or has a wildcard at the apex.
    pub nonexistent: Address,
    /// The [`super::Cell`] of the record in it that denies the wildcard.
    pub no_wildcard: Address,
    /// The salt, zeros behind it.
    pub salt: [u64; 7],
    /// What a writer must know to go on with this version, which no reader looks at; none while the version
    /// is being changed, or nobody can go on with it.
    pub ledger: Address,
    /// The SOA's EXPIRE, in seconds: what secondaries are told of a version without a deadline.
    pub expire: u32,
}

impl Snapshot {
    /// How the index lies.
    #[inline(always)]
    pub fn shape(&self) -> Shape {
        Shape::of(self.index_shape)
    }

    /// Whether the data are too old to be served, `now` being a look at the clock.
    #[inline(always)]
    pub fn is_expired(&self, now: impl FnOnce() -> u64) -> bool {
        // SAFETY: the reference is valid for reads; volatile, because the daemon may store to it.
        let deadline = unsafe { core::ptr::read_volatile(&raw const self.deadline) };
        deadline != 0 && now() >= deadline
    }

    /// For how many more seconds the data may be served, as secondaries are told (RFC 7314, section 4):
    /// until the deadline, or the SOA's EXPIRE where there is none.
    #[inline(always)]
    pub fn good_for(&self, now: impl FnOnce() -> u64) -> u32 {
        const SECOND: u64 = 1_000_000_000;
        // SAFETY: as above.
        let deadline = unsafe { core::ptr::read_volatile(&raw const self.deadline) };
        if deadline == 0 {
            return self.expire;
        }
        let rest = deadline.saturating_sub(now()) / SECOND;
        if rest < u64::from(u32::MAX) { rest as u32 } else { u32::MAX }
    }
}
