//! Who is charged for what: sources, the tags of their buckets, charging and paying back.

use super::{Charge, Class, LINES, Limiter, OCTETS, OCTETS_WIDE, TICK};
use crate::{
    name::absorb,
    platform::Platform,
    scratch::{ACCOUNTS, Scratch},
};

/// What to remember of a zone while one of its names is answered: the number of its rates, and bits of
/// the hash of its name, so that NXDOMAIN in each zone is counted by itself.
#[inline(always)]
pub fn zone_bits(hash: u64, profile: u32) -> u32 {
    (hash >> 32) as u32 & !0xff | profile & 0xff
}

/// The tag of a bucket: three bits of class, thirteen of the zone for NXDOMAIN, or its rates.
#[inline(always)]
pub fn tag(class: u32, zone: u32) -> u16 {
    let detail = if class == Class::NxDomain as u32 { zone >> 19 } else { zone & 0xff };
    (class << 13 | detail) as u16
}

/// The source that a client belongs to: an IPv4 prefix in the low half, or the upper half of an IPv6 one.
/// No client has an IPv6 address that begins with 32 zeros.
#[inline(always)]
pub fn source<P: Platform>(platform: &P, s: &Scratch) -> u64 {
    let limits = &platform.root().limits;
    masked(s, limits.mask4, limits.mask6)
}

/// What lies around that source: a shorter prefix, in the same form.
#[inline(always)]
pub fn source_wide<P: Platform>(platform: &P, s: &Scratch) -> u64 {
    let limits = &platform.root().limits;
    masked(s, limits.mask4_wide, limits.mask6_wide)
}

#[inline(always)]
fn masked(s: &Scratch, mask4: u32, mask6: u64) -> u64 {
    let address = s.client.get()[0];
    if s.version.get() == 4 {
        u64::from(u32::from_be(address as u32) & mask4)
    } else {
        u64::from_be(address) & mask6
    }
}

/// The source that stands for all.
pub const EVERYBODY: u64 = u64::MAX;

/// Charges a source; whether it is over its rate.
#[inline(always)]
pub fn charge<L: Limiter + ?Sized>(
    platform: &L,
    s: &mut Scratch,
    source: u64,
    tag: u16,
    cost: u32,
) -> bool {
    let root = platform.root();
    let hash = absorb(root.seed, source, root.multiplier);
    let hash = absorb(hash, u64::from(tag), root.multiplier);
    let number = (hash >> 16) as u32 & (LINES as u32 - 1);
    let Some(line) = platform.line(number) else { return false };
    let now = (platform.now() / TICK) as u32;
    let burst = root.limits.burst;
    // A single reply can always be saved up for.
    let charge = Charge { source, tag, cost: cost.min(burst), burst };
    let (over, way) = charge.make(line, now, s.number(0));
    let account = account(u32::from(tag) >> 13);
    s.charged[account].set(number << 2 | way);
    s.charge[account].set(if over { 0 } else { charge.cost });
    over
}

/// Which account of a reply a class stands for.
#[inline(always)]
const fn account(class: u32) -> usize {
    match class {
        OCTETS => 1,
        OCTETS_WIDE => 2,
        _ => 0,
    }
}

/// Gives back what the reply was charged: it is not sent from here, the next hook does all again.
#[inline(always)]
pub fn refund<L: Limiter>(platform: &L, s: &Scratch) {
    let mut account = 0;
    while account < ACCOUNTS {
        let (charged, cost) = (s.charged[account].get(), s.charge[account].get());
        if cost != 0
            && let Some(line) = platform.line(charged >> 2 & (LINES as u32 - 1))
        {
            line.refund(charged & 3, cost);
        }
        account += 1;
    }
}
