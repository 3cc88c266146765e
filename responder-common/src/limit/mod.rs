//! How much one source may have: replies by the class of the answer, octets beyond those of its queries,
//! and messages for the daemon.
//!
//! A source is a prefix. It has an [`account`] of each class of answers, one of octets, and a share in one
//! of octets of all that lies [`around`] it. An account is a token bucket ([`bucket`]); those of a source
//! stand in one [`mod@line`] of a table of fixed size that all processors and the daemon share, and before the table
//! is a [`sieve`], by which most replies need no look at it. A client that
//! showed a good cookie ([`cookie`]) is where it says it is, so no reply to it hits somebody else: nothing
//! limits it.
//!
//! Over its rate a source gets nothing but replies that are no longer than its queries, one of each `slip`:
//! truncated, so that a resolver comes back over TCP, or BADCOOKIE, if it sent a client cookie.

pub mod account;
pub mod around;
pub mod bucket;
pub mod cookie;
pub mod line;
pub mod sieve;
mod word;

pub use account::{EVERYBODY, refund, source, tag, zone_bits};
pub use line::{LINES, Line};

/// Lines of the table: those of sources, and behind them the [`sieve`]'s.
pub const TABLE: usize = LINES + sieve::LINES;

use account::Cost;

use crate::{
    bounds,
    layout::{LIMIT_PROFILES, UDP_SIZE_MAX},
    message::OPT_FIXED,
    platform::Platform,
    scratch::{OF_CLASS, OF_OCTETS, Scratch, edns},
    verdict::{Next, Verdict},
    wire::{flag, rcode},
};

/// Nanoseconds of a tick, the limiter's unit of time: about a microsecond, and a shift instead of a
/// division.
pub const TICK: u64 = 1024;

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
/// In the place of a class: octets beyond those of the query, of one source. Its account's place in the
/// source's line, too.
pub const OCTETS: u32 = 5;
/// The same, of all that lies around it.
pub const OCTETS_WIDE: u32 = 6;

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
    /// [`line::find`], by whatever way is best.
    #[inline(always)]
    fn find(&self, source: u64, kind: u32, now: u32) -> u32 {
        line::find(self, source, kind, now)
    }
    /// [`Line::place`] of a line, by whatever way is best.
    #[inline(always)]
    fn place(&self, number: u32, tag: u16, now: u32) -> u32 {
        self.line(number).map_or(0, |line| line.place(tag, now, self.root().limits.burst))
    }
    /// [`charge`], by whatever way is best.
    #[inline(always)]
    fn charge(&self, s: &mut Scratch, class: u32) -> bool
    where
        Self: Sized,
    {
        charge(self, s, class)
    }
    /// Counts a reply that is, or would be, over the rate, by what it was to be.
    fn count_over(&self, verdict: Verdict);
}

/// Whether a source is one that is not served at all.
#[inline(always)]
pub fn is_denied<L: Limiter>(platform: &L, s: &Scratch) -> bool {
    platform.root().limiting & switch::DENY != 0
        && platform.listed(s.version.get(), s.client.get()) & listed::DENIED != 0
}

/// Looks at the lines that the client's source may have, if its accounts are likely to be asked, so that they are on
/// their way from memory: to be called where something else is waited for anyway. By itself a line took 180 ns,
/// which no work between hid, neither behind a load nor behind a store.
#[inline(always)]
pub fn fetch<L: Limiter>(platform: &L, s: &Scratch) {
    let source = source(platform, s);
    if sieve::will_let_go(platform, s, source) {
        return;
    }
    let number = line::home(platform, source, account::REPLIES);
    for number in [number, number ^ 1] {
        // In the kernel a look is volatile: the compiler leaves it there.
        let _ = platform.line(number).map(Line::source);
    }
}

/// Judges the planned reply: whether its source may have it, whole or cut short.
#[inline(always)]
pub fn judge<L: Limiter>(platform: &L, s: &mut Scratch, stream: bool) -> Next {
    let switches = platform.root().limiting;
    let exempt = s.edns.get() & edns::VALIDATED != 0 || s.version.get() == 0;
    if switches & switch::REPLIES == 0 || exempt {
        return Next::Continue;
    }
    if stream {
        around::vouch(platform, s);
        return Next::Continue;
    }
    let verdict = Verdict::from_number(s.verdict.get());
    let class = Class::of(verdict) as u32;
    if is_far_below(platform, s, class) || !platform.charge(s, class) {
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

/// What the planned reply costs its source at a moment.
struct Due {
    source: u64,
    /// Ticks, by its class; zero is nothing.
    of_class: u32,
    /// Octets beyond those of its query.
    octets: u32,
    now: u32,
}

impl Due {
    #[inline(always)]
    fn of<L: Limiter>(platform: &L, s: &Scratch, class: u32) -> Self {
        let zone = s.zone_limits.get();
        let costs = bounds::at(&platform.root().limits.costs, zone & (LIMIT_PROFILES as u32 - 1));
        Self {
            source: source(platform, s),
            of_class: costs.and_then(|costs| bounds::get(costs, class)).unwrap_or(0),
            octets: octets(s),
            now: (platform.now() / TICK) as u32,
        }
    }
}

/// Whether the source is so far below its rate that its accounts need not be asked.
#[inline(always)]
fn is_far_below<L: Limiter>(platform: &L, s: &mut Scratch, class: u32) -> bool {
    let limits = &platform.root().limits;
    let due = Due::of(platform, s, class);
    let own = due.of_class.max(account::share(due.octets, limits.octets));
    let around = account::share(due.octets, limits.octets_wide);
    sieve::lets_go(platform, s, due.source, [own, around], due.now)
}

/// Charges the reply to its accounts: whether one of them is over its rate.
///
/// What is over the rate of its class takes octets all the same: a source that asks for so much is in debt with
/// both, and has neither back before it asks for less. A source that is over by itself takes none of what lies
/// around it.
#[inline(always)]
pub fn charge<L: Limiter>(platform: &L, s: &mut Scratch, class: u32) -> bool {
    let limits = &platform.root().limits;
    let Due { source, of_class, octets, now } = Due::of(platform, s, class);
    let (floor, counted) = (s.floors[0].get(), s.counted.get());
    let cost = |ticks| Cost { ticks, floor, counted };
    let Some((number, line)) = line::seek(platform, source, account::REPLIES, now) else {
        return false;
    };
    let mut over = false;
    if of_class != 0 {
        let tag = tag(class, s.zone_limits.get());
        let place = account::place(platform, (number, line), tag, now);
        over = account::charge(platform, s, OF_CLASS, (number, line, place), cost(of_class), now);
    }
    if octets == 0 || limits.octets | limits.octets_wide == 0 {
        return over;
    }
    let mut bucket = line.bucket(OCTETS);
    s.kept.set(u32::from(bucket.tag));
    let of_octets = cost(account::share(octets, limits.octets));
    let place = (number, OCTETS);
    let over_octets = account::take(platform, s, OF_OCTETS, place, &mut bucket, of_octets, now);
    over |= over_octets || !over && around::charge(platform, s, &mut bucket, octets, now);
    line.put(OCTETS, &bucket);
    over
}

/// How many octets the planned reply is longer than its query.
#[inline(always)]
fn octets(s: &Scratch) -> u32 {
    let (whole, limit) = (s.size.get() + s.opt_length.get(), s.limit.get());
    // What does not fit is sent without all that was planned.
    let reply = if whole > limit { s.question_end.get() + s.opt_length.get() } else { whole };
    reply.saturating_sub(s.query_length.get()).min(u32::from(UDP_SIZE_MAX))
}

/// Whether this is the one reply of so many that is sent although it is over the rate.
#[inline(always)]
fn slips<P: Platform>(platform: &P, s: &mut Scratch) -> bool {
    let slip = platform.root().limits.slip;
    let count = s.slips.get() + 1;
    if slip == 0 || count < slip {
        s.slips.set(count);
        return false;
    }
    s.slips.set(0);
    true
}

/// Of so many replies over the rate, to clients that sent a cookie, one has the server's: it may be sixteen
/// octets longer than the query, and each other one is twelve octets shorter.
const BAKING: u32 = 3;

/// Takes from the planned reply all that makes it longer than its query.
#[inline(always)]
fn cut(s: &mut Scratch, class: u32) {
    s.keep_question();
    s.ede.set(0);
    s.expire.set(0);
    let bakes = s.bakes.get() + 1;
    let cookie = s.edns.get() & edns::COOKIE != 0 && bakes >= BAKING;
    if s.edns.get() & edns::COOKIE != 0 {
        s.bakes.set(if cookie { 0 } else { bakes });
    }
    let without = if cookie { edns::NSID } else { edns::NSID | edns::COOKIE };
    let edns = s.edns.get() & !without;
    s.edns.set(edns);
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
    let now = (platform.now() / TICK) as u32;
    let limits = &platform.root().limits;
    let (cost, cost_total) = (limits.passed, limits.passed_total);
    let charge = |s: &mut Scratch, source, cost| {
        let Some((number, line)) = line::seek(platform, source, PASSED, now) else { return false };
        let place = account::place(platform, (number, line), tag(PASSED, place), now);
        let cost = Cost { ticks: cost, floor: 0, counted: 0 };
        account::charge(platform, s, OF_CLASS, (number, line, place), cost, now)
    };
    let source = source(platform, s);
    if cost != 0 && charge(s, source, cost) {
        return Verdict::PassLimited;
    }
    let peer = switches & switch::EXEMPT != 0
        && platform.listed(s.version.get(), s.client.get()) & listed::PEER != 0;
    if cost_total != 0 && !peer && charge(s, EVERYBODY, cost_total) {
        return Verdict::PassLimited;
    }
    verdict
}
