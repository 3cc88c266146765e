//! Who is charged for what: sources, the tags of their accounts, charging and paying back.

use super::{Class, LINES, Limiter, Line, OCTETS, PASSED, bucket::Bucket, line::WORDS, sieve};
use crate::{
    platform::Platform,
    scratch::{OF_CELL, Scratch},
};

/// What a line is for: replies. The others are named by the class that they stand in the place of.
pub const REPLIES: u32 = 0;

/// What to remember of a zone while one of its names is answered: the number of its rates, and bits of
/// the hash of its name, so that NXDOMAIN in each zone is counted by itself.
#[inline(always)]
pub fn zone_bits(hash: u64, profile: u32) -> u32 {
    (hash >> 32) as u32 & !0xff | profile & 0xff
}

/// The tag of an account: three bits of class, thirteen of the zone for NXDOMAIN, or its rates.
#[inline(always)]
pub fn tag(class: u32, zone: u32) -> u16 {
    let detail = if class == Class::NxDomain as u32 { zone >> 19 } else { zone & 0xff };
    (class << 13 | detail) as u16
}

/// The source that a client belongs to: an IPv4 prefix in the low half, or the upper half of an IPv6 one.
/// No client has an IPv6 address that begins with 32 zeros.
#[inline(always)]
pub fn source<P: Platform + ?Sized>(platform: &P, s: &Scratch) -> u64 {
    let limits = &platform.root().limits;
    masked(s, limits.mask4, limits.mask6)
}

/// What lies around that source: a shorter prefix, in the same form.
#[inline(always)]
pub fn source_wide<P: Platform + ?Sized>(platform: &P, s: &Scratch) -> u64 {
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

/// What so many octets cost at what 256 of them do.
#[inline(always)]
pub fn share(octets: u32, cost: u32) -> u32 {
    (octets * cost) >> 8
}

/// The place of a tag's account in a line: where its class has it, if it does.
#[inline(always)]
pub fn place<L: Limiter + ?Sized>(
    platform: &L,
    (number, line): (u32, &Line),
    tag: u16,
    now: u32,
) -> u32 {
    let class = u32::from(tag >> 13);
    let home = if class == PASSED { 1 + (u32::from(tag) & 3) } else { 1 + (class & 3) };
    if line.bucket(home).tag == tag { home } else { platform.place(number, tag, now) }
}

/// What a reply costs an account.
#[derive(Clone, Copy)]
pub struct Cost {
    /// Ticks.
    pub ticks: u32,
    /// How far ahead the account is at the least: see [`super::sieve`].
    pub floor: u32,
    /// How many messages this one is counted for, as a shift.
    pub counted: u32,
}

/// Charges an account of a line, and notes that as one of the reply's. Whether it is over its rate.
#[inline(always)]
pub fn charge<L: Limiter + ?Sized>(
    platform: &L,
    s: &mut Scratch,
    account: usize,
    (number, line, place): (u32, &Line, u32),
    cost: Cost,
    now: u32,
) -> bool {
    let mut bucket = line.bucket(place);
    let over = take(platform, s, account, (number, place), &mut bucket, cost, now);
    line.put(place, &bucket);
    over
}

/// The same, of an account that was looked at, and is put back by whoever did.
#[inline(always)]
pub fn take<L: Limiter + ?Sized>(
    platform: &L,
    s: &mut Scratch,
    account: usize,
    place: (u32, u32),
    bucket: &mut Bucket,
    cost: Cost,
    now: u32,
) -> bool {
    let burst = platform.root().limits.burst;
    // A single reply can always be saved up for.
    let ticks = cost.ticks.min(burst);
    bucket.raise(cost.floor, burst, now);
    let over = bucket.charge(ticks, burst, now);
    bucket.count(s.number(0), cost.counted);
    note(s, account, place, if over { 0 } else { ticks });
    over
}

/// Notes what an account was charged.
#[inline(always)]
fn note(s: &mut Scratch, account: usize, (number, place): (u32, u32), cost: u32) {
    s.charged[account].set(number << 3 | place);
    s.charge[account].set(cost);
}

/// Gives back what the reply was charged: it is not sent from here, the next hook does all again.
#[inline(always)]
pub fn refund<L: Limiter>(platform: &L, s: &Scratch) {
    let mut account = 0;
    while account < OF_CELL {
        let (charged, cost) = (s.charged[account].get(), s.charge[account].get());
        if charged != 0
            && let Some(line) = platform.line(charged >> 3 & (LINES as u32 - 1))
        {
            let place = charged & (WORDS - 1);
            let mut bucket = line.bucket(place);
            bucket.time = bucket.time.wrapping_sub(cost);
            if place == OCTETS {
                bucket.tag = s.kept.get() as u16;
            }
            line.put(place, &bucket);
        }
        account += 1;
    }
    sieve::refund(platform, s);
}
