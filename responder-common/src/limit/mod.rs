//! How much one source may have: replies by the class of the answer, and messages for the daemon.
//!
//! A source is a prefix. What it may have of a class is a token bucket ([`bucket`]); buckets stand in one
//! table of fixed size that all processors and the daemon share. A client that showed a good cookie
//! ([`cookie`]) is where it says it is, so no reply to it hits somebody else: nothing limits it.
//!
//! Over its rate a source gets nothing, but for one reply of `slip`, which is no longer than its query:
//! truncated, so that a resolver comes back over TCP, or BADCOOKIE, if it sent a client cookie.

pub mod bucket;
pub mod cookie;

pub use bucket::{Charge, Line};

use crate::{
    bounds,
    layout::LIMIT_PROFILES,
    message::OPT_FIXED,
    name::absorb,
    platform::Platform,
    scratch::{Scratch, edns},
    verdict::{Next, Verdict},
    wire::{flag, rcode},
};

/// Nanoseconds of a tick, the limiter's unit of time: about a microsecond, and a shift instead of a
/// division.
pub const TICK: u64 = 1024;

/// Lines of the table: 4 MiB, 262,144 buckets. Sources that do not fit push out those that have been
/// idle for longest, and inherit what these had used up ([`bucket`]).
pub const LINES: usize = 1 << 16;

/// Bits of [`crate::layout::Root::limiting`].
pub mod switch {
    /// Replies are charged.
    pub const REPLIES: u32 = 1;
    /// What is over the rate is not sent; else it is only counted.
    pub const ENFORCE: u32 = 2;
    /// Messages for the daemon are charged.
    pub const PASSED: u32 = 4;
    /// Cookies are made and checked.
    pub const COOKIES: u32 = 8;
    /// Some sources are denied.
    pub const DENY: u32 = 16;
    /// Some sources are exempt, or peers.
    pub const EXEMPT: u32 = 32;
}

/// What a prefix is listed as; bits.
pub mod listed {
    /// Not served at all.
    pub const DENIED: u32 = 1;
    /// No reply is charged to it.
    pub const EXEMPT: u32 = 2;
    /// A primary or secondary: its messages are not held against what all others send the daemon.
    pub const PEER: u32 = 4;

    /// An address as the kernel's map of prefixes has it, IPv4 behind ::ffff:0:0/96.
    #[inline(always)]
    pub fn key(version: u32, address: [u64; 2]) -> [u32; 4] {
        let [high, low] = address;
        if version == 4 {
            [0, 0, 0xffff_u32.to_be(), high as u32]
        } else {
            [high as u32, (high >> 32) as u32, low as u32, (low >> 32) as u32]
        }
    }
}

/// Most prefixes that can be listed.
pub const LISTED_MAX: usize = 1 << 16;

/// What an answer is, for the limiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Class {
    /// Data, or that a name has none of the type.
    Positive = 0,
    /// To another zone.
    Referral = 1,
    /// The name does not exist: for each zone by itself.
    NxDomain = 2,
    /// An error.
    Error = 3,
}

/// How many classes there are.
pub const CLASSES: usize = 4;
/// In the place of a class: messages passed by the XDP program, by the tc program, heard by a socket. Each
/// hook charges for itself, so that a message which passes all three is charged to each once.
pub const PASSED: u32 = 4;

impl Class {
    /// All of them, by number.
    pub const ALL: [Self; CLASSES] = [Self::Positive, Self::Referral, Self::NxDomain, Self::Error];

    /// Its name in configurations, listings and metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Positive => "positive",
            Self::Referral => "referral",
            Self::NxDomain => "nxdomain",
            Self::Error => "error",
        }
    }

    /// The class of an answer.
    #[inline(always)]
    pub fn of(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Referral => Self::Referral,
            Verdict::NxDomain => Self::NxDomain,
            Verdict::Refused
            | Verdict::FormErr
            | Verdict::NotImp
            | Verdict::BadVersion
            | Verdict::ServFail => Self::Error,
            _ => Self::Positive,
        }
    }
}

/// What the limiter asks of the place where it runs.
pub trait Limiter: Platform {
    /// A line of the table; nothing beyond its end.
    fn line(&self, number: u32) -> Option<&Line>;
    /// What the longest listed prefix of an address says: [`listed`] bits.
    fn listed(&self, version: u32, address: [u64; 2]) -> u32;
    /// Charges a source: whether it is over its rate. What [`charge`] does, by whatever way is best.
    #[inline(always)]
    fn charge(&self, s: &mut Scratch, source: u64, tag: u16, cost: u32) -> bool {
        charge(self, s, source, tag, cost)
    }
    /// Counts a reply that is, or would be, over the rate, by what it was to be.
    fn count_over(&self, verdict: Verdict);
}

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
    let address = s.client.get()[0];
    if s.version.get() == 4 {
        u64::from(u32::from_be(address as u32) & limits.mask4)
    } else {
        u64::from_be(address) & limits.mask6
    }
}

/// Whether a source is one that is not served at all.
#[inline(always)]
pub fn is_denied<L: Limiter>(platform: &L, s: &Scratch) -> bool {
    platform.root().limiting & switch::DENY != 0
        && platform.listed(s.version.get(), s.client.get()) & listed::DENIED != 0
}

/// Judges the planned reply: whether its source may have it, whole or cut short.
#[inline(always)]
pub fn judge<L: Limiter>(platform: &L, s: &mut Scratch, stream: bool) -> Next {
    let switches = platform.root().limiting;
    let exempt = s.edns.get() & edns::VALIDATED != 0 || s.version.get() == 0;
    if switches & switch::REPLIES == 0 || stream || exempt {
        return Next::Continue;
    }
    let verdict = Verdict::from_number(s.verdict.get());
    let class = Class::of(verdict) as u32;
    let zone = s.zone_limits.get();
    let costs = bounds::at(&platform.root().limits.costs, zone & (LIMIT_PROFILES as u32 - 1));
    let cost = costs.and_then(|costs| bounds::get(costs, class)).unwrap_or(0);
    if cost == 0 {
        return Next::Continue;
    }
    let source = source(platform, s);
    if !platform.charge(s, source, tag(class, zone), cost) {
        return Next::Continue;
    }
    let listed = switches & switch::EXEMPT != 0
        && platform.listed(s.version.get(), s.client.get()) & listed::EXEMPT != 0;
    if listed {
        return Next::Continue;
    }
    platform.count_over(verdict);
    if switches & switch::ENFORCE == 0 {
        return Next::Continue;
    }
    if !slips(platform, s) {
        return Next::Stop(Verdict::Limited);
    }
    cut(s, class);
    Next::Continue
}

/// Whether this is the one reply of so many that is sent although it is over the rate.
#[inline(always)]
fn slips<P: Platform>(platform: &P, s: &mut Scratch) -> bool {
    // With its server cookie a reply may be longer than the query by sixteen octets: of such, at the most
    // every second is sent.
    let least = if s.edns.get() & edns::COOKIE != 0 { 2 } else { 1 };
    let slip = platform.root().limits.slip;
    let count = s.slips.get() + 1;
    if slip == 0 || count < slip.max(least) {
        s.slips.set(count);
        return false;
    }
    s.slips.set(0);
    true
}

/// Takes from the planned reply all that makes it longer than its query.
#[inline(always)]
fn cut(s: &mut Scratch, class: u32) {
    s.keep_question();
    s.ede.set(0);
    let edns = s.edns.get() & !edns::NSID;
    s.edns.set(edns);
    let cookie = edns & edns::COOKIE != 0;
    let options = if cookie { cookie::OPTION } else { 0 };
    s.opt_length.set(if edns & edns::PRESENT != 0 { OPT_FIXED + options } else { 0 });
    s.verdict.set(Verdict::Slipped as u32);
    if cookie {
        s.flags.set(0);
        s.rcode.set(u32::from(rcode::BADCOOKIE));
        s.verdict.set(Verdict::BadCookie as u32);
    } else if class != Class::Error as u32 {
        // A name is not said to be missing without a proof.
        s.rcode.set(u32::from(rcode::NOERROR));
        s.flags.set(s.flags.get() | u32::from(flag::TC));
    }
}

/// Judges a message that is to be passed to the daemon: whether its source and all together may send it.
/// `place` is who asks: 0 the XDP program, 1 the tc program, 2 a socket.
#[inline(always)]
pub fn pass<L: Limiter>(platform: &L, s: &mut Scratch, verdict: Verdict, place: u32) -> Verdict {
    let switches = platform.root().limiting;
    let for_daemon =
        matches!(verdict, Verdict::Notify | Verdict::Transfer | Verdict::Tsig | Verdict::Oversize);
    if switches & switch::PASSED == 0 || !for_daemon || s.version.get() == 0 {
        return verdict;
    }
    let tag = tag(PASSED, place);
    let limits = &platform.root().limits;
    let (cost, cost_total) = (limits.passed, limits.passed_total);
    let source = source(platform, s);
    if cost != 0 && platform.charge(s, source, tag, cost) {
        return Verdict::PassLimited;
    }
    let peer = switches & switch::EXEMPT != 0
        && platform.listed(s.version.get(), s.client.get()) & listed::PEER != 0;
    if cost_total != 0 && !peer && platform.charge(s, EVERYBODY, tag, cost_total) {
        return Verdict::PassLimited;
    }
    verdict
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
    let charge = Charge { source, tag, cost, burst: root.limits.burst };
    let (over, way) = charge.make(line, now, s.number(0));
    s.charged.set(number << 2 | way);
    s.charge.set(if over { 0 } else { cost });
    over
}

/// Gives back what the reply was charged: it is not sent from here, the next hook does all again.
#[inline(always)]
pub fn refund<L: Limiter>(platform: &L, s: &Scratch) {
    let (charged, cost) = (s.charged.get(), s.charge.get());
    if cost != 0
        && let Some(line) = platform.line(charged >> 2 & (LINES as u32 - 1))
    {
        line.refund(charged & 3, cost);
    }
}
