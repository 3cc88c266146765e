//! The limiter's table: a cache line for each source, with all of its accounts.
//!
//! So a reply costs one line that may be cold, however many accounts it is charged to, and which one is
//! known as soon as the source's address is. Two lines side by side are a pair; a source has the one of
//! its pair that its hash says, or the other. A source without a line takes the one of its pair that has
//! been idle for longest, and inherits what that one had used up. So whatever number of sources there is,
//! a pair never grants more than two sources' accounts do, and no source escapes its limit by having its
//! line pushed out.

use super::{
    Limiter, OCTETS, OCTETS_WIDE,
    account::tag,
    bucket::{Bucket, DEBT},
    word::{Time, Word},
};
use crate::{bounds::opaque, name::absorb};

/// Lines of the table: 16 MiB, of which a source's accounts touch 64 octets. With half as many, a third of
/// 60,000 sources shared pairs with two others and more, and took the line from one another all the time.
pub const LINES: usize = 1 << 18;

/// Words of a line: the source, and its accounts.
pub const WORDS: u32 = 8;

/// A source and its accounts; those which have no place of their own are told apart by their tags.
#[repr(C, align(64))]
#[derive(Default)]
pub struct Line([Word; WORDS as usize]);

/// Where a source's line most likely is; `kind` tells lines of one source apart.
#[inline(always)]
pub fn home<L: Limiter + ?Sized>(platform: &L, source: u64, kind: u32) -> u32 {
    (hash(platform, source, kind) >> 16) as u32 & (LINES as u32 - 1)
}

/// The keyed hash of a source: its upper bits are the best.
#[inline(always)]
pub fn hash<L: Limiter + ?Sized>(platform: &L, source: u64, kind: u32) -> u64 {
    let root = platform.root();
    absorb(root.seed ^ u64::from(kind), source, root.multiplier)
}

/// Finds a source's line, or takes one of its pair for it; and its number. Most are where they are sought
/// first. Nothing where there is no table.
#[inline(always)]
pub fn seek<L: Limiter + ?Sized>(
    platform: &L,
    source: u64,
    kind: u32,
    now: u32,
) -> Option<(u32, &Line)> {
    let number = home(platform, source, kind);
    let line = platform.line(number)?;
    if line.source() == source {
        return Some((number, line));
    }
    let number = platform.find(source, kind, now);
    Some((number, platform.line(number)?))
}

/// [`seek`], line by line.
#[inline(always)]
pub fn find<L: Limiter + ?Sized>(platform: &L, source: u64, kind: u32, now: u32) -> u32 {
    let number = home(platform, source, kind);
    let (Some(line), Some(other)) = (platform.line(number), platform.line(number ^ 1)) else {
        return number;
    };
    number ^ take([line, other], source, now, platform.root().limits.burst)
}

/// Which line of a pair is the source's, from now on at the latest; the first is its home.
#[inline(always)]
fn take(pair: [&Line; 2], source: u64, now: u32, burst: u32) -> u32 {
    if pair[0].source() == source {
        return 0;
    }
    if pair[1].source() == source {
        return 1;
    }
    let second = pair[1].ahead(now, burst) < pair[0].ahead(now, burst);
    pair[usize::from(second)].begin(source, now, burst);
    u32::from(second)
}

impl Line {
    /// Whose it is; zero: nobody's.
    #[inline(always)]
    pub fn source(&self) -> u64 {
        self.0[0].load()
    }

    #[inline(always)]
    fn word(&self, place: u32) -> &Word {
        let place = opaque(u64::from(place)) & (u64::from(WORDS) - 1);
        // SAFETY: any such number is inside the line.
        unsafe { &*self.0.as_ptr().add(place as usize) }
    }

    /// An account; the first word is none.
    #[inline(always)]
    pub fn bucket(&self, place: u32) -> Bucket {
        Bucket::new(self.word(place).load())
    }

    /// Puts an account back.
    #[inline(always)]
    pub fn put(&self, place: u32, bucket: &Bucket) {
        self.word(place).store(bucket.word());
    }

    /// One of the sixteen times that a line of the [`super::sieve`] is.
    #[inline(always)]
    pub fn time(&self, place: u32) -> &Time {
        let place = opaque(u64::from(place)) & (2 * u64::from(WORDS) - 1);
        // SAFETY: any such number is inside the line; a line is used as words or as times, never as both.
        unsafe { &*self.0.as_ptr().cast::<Time>().add(place as usize) }
    }

    /// Every account that was charged since the line belongs to its source, with its tag.
    pub fn accounts(&self) -> impl Iterator<Item = (u16, Bucket)> + '_ {
        let buckets = (1..WORDS).map(|place| (place, self.bucket(place)));
        let tagged = buckets.map(|(place, bucket)| match place {
            OCTETS | OCTETS_WIDE => (tag(place, 0), bucket),
            _ => (bucket.tag, bucket),
        });
        tagged.filter(|(_, bucket)| bucket.count != 0)
    }

    /// The account of a tag: its own, or the one that has been idle for longest, with its debt.
    #[inline(always)]
    pub fn place(&self, tag: u16, now: u32, burst: u32) -> u32 {
        let mut best = u64::MAX >> 1;
        let mut place = 1;
        while place < WORDS {
            if place != OCTETS && place != OCTETS_WIDE {
                best = lesser(best, self.rank(place, tag, now, burst) << 3 | u64::from(place));
            }
            place += 1;
        }
        let place = best as u32 & (WORDS - 1);
        if best >> 3 != 0 {
            self.put(place, &Bucket { tag, count: 0, ..self.bucket(place) });
        }
        place
    }

    /// How willingly an account is taken for a tag, the least first: its own, then by how long each has been
    /// idle. Without a branch: the verifier would follow every path through all.
    #[inline(always)]
    fn rank(&self, place: u32, tag: u16, now: u32, burst: u32) -> u64 {
        let bucket = self.bucket(place);
        let other = not_zero(u64::from(bucket.tag ^ tag));
        (1 + idleness(&bucket, now, burst)) & other.wrapping_neg()
    }

    /// How far ahead of its rate the account is that is furthest: see [`idleness`]. Zero: the line is nobody's.
    #[inline(always)]
    fn ahead(&self, now: u32, burst: u32) -> u64 {
        let mut most = 0;
        let mut place = 1;
        while place < WORDS {
            most = greater(most, idleness(&self.bucket(place), now, burst));
            place += 1;
        }
        most & not_zero(self.source()).wrapping_neg()
    }

    /// Gives the line to a source, debts and all.
    #[inline(always)]
    fn begin(&self, source: u64, now: u32, burst: u32) {
        let fresh = self.source() == 0;
        self.word(0).store(source);
        let mut place = 1;
        while place < WORDS {
            let mut bucket = self.bucket(place);
            let ahead = if fresh { 0 } else { bucket.ahead(now, burst).max(0) as u32 };
            bucket.time = now.wrapping_add(ahead);
            bucket.count = 0;
            if place == OCTETS {
                bucket.tag &= super::around::INHERITED;
            }
            self.put(place, &bucket);
            place += 1;
        }
    }
}

/// How far ahead a bucket is, as a positive number: what was idle for longest is least.
#[inline(always)]
fn idleness(bucket: &Bucket, now: u32, burst: u32) -> u64 {
    let ahead = i64::from(bucket.time.wrapping_sub(now) as i32);
    // All ones where the bucket was idle for longer than its time can tell: see [`Bucket::ahead`].
    let long = ((i64::from(burst + 2 * DEBT) - ahead) >> 63) as u64;
    (ahead + (1 << 31)) as u64 & !long
}

/// One for all numbers but zero.
#[inline(always)]
fn not_zero(number: u64) -> u64 {
    opaque((number | number.wrapping_neg()) >> 63)
}

/// The lesser of two numbers below 2^63.
#[inline(always)]
fn lesser(one: u64, other: u64) -> u64 {
    let difference = one.wrapping_sub(other);
    let below = opaque(difference >> 63).wrapping_neg();
    other.wrapping_add(difference & below)
}

/// The greater of two numbers below 2^63.
#[inline(always)]
fn greater(one: u64, other: u64) -> u64 {
    one.wrapping_add(other).wrapping_sub(lesser(one, other))
}

#[cfg(test)]
mod tests {
    use super::{DEBT, Line, OCTETS, OCTETS_WIDE, take};

    /// A tenth of a second, and replies at 100 a second.
    const BURST: u32 = 100_000;
    const COST: u32 = 10_000;

    /// Charges a source for a reply with a tag: whether it is over its rate.
    fn charge(pair: &[Line; 2], source: u64, tag: u16, now: u32) -> bool {
        let line = &pair[take([&pair[0], &pair[1]], source, now, BURST) as usize];
        let place = line.place(tag, now, BURST);
        let mut bucket = line.bucket(place);
        let over = bucket.charge(COST, BURST, now);
        bucket.count(0, 0);
        line.put(place, &bucket);
        over
    }

    fn granted(pair: &[Line; 2], source: u64, tag: u16, now: u32) -> usize {
        (0..100).filter(|_| !charge(pair, source, tag, now)).count()
    }

    #[test]
    fn sources_of_a_pair_have_accounts_of_their_own() {
        let pair = Default::default();
        assert_eq!(granted(&pair, 7, 1, 0), 10);
        assert_eq!(granted(&pair, 8, 1, 0), 10);
        assert_eq!(granted(&pair, 7, 1, 0), 0);
        assert_eq!(pair.each_ref().map(Line::source), [7, 8]);
    }

    #[test]
    fn whoever_takes_a_line_inherits_its_debt() {
        let pair = Default::default();
        for (source, tag) in [(7, 1), (8, 1), (7, 2), (8, 2)] {
            granted(&pair, source, tag, 0);
        }
        assert!(charge(&pair, 9, 1, COST / 2), "both have granted all that they may");
        assert!(charge(&pair, 9, 2, COST / 2), "of this too");
        assert!(!charge(&pair, 9, 3, COST / 2), "not of what nobody asked for");
        assert!(!charge(&pair, 10, 1, DEBT + 2 * BURST), "later it is a source like others");
    }

    #[test]
    fn any_number_of_sources_gets_no_more_than_a_pair_grants() {
        let pair = Default::default();
        let granted =
            (1..=100_000_u32).filter(|n| !charge(&pair, u64::from(*n), 1, n * 10)).count();
        // A million ticks: 100 replies for each line, and the bursts.
        assert!(granted <= 2 * 111, "{granted}");
    }

    #[test]
    fn of_more_kinds_than_there_is_room_for_none_escapes() {
        let pair = Default::default();
        let granted = (1..=100_000_u32).filter(|n| !charge(&pair, 7, *n as u16, n * 10)).count();
        assert!(granted <= 5 * 111, "{granted}");
        assert!(pair[0].bucket(OCTETS).count == 0 && pair[0].bucket(OCTETS_WIDE).count == 0);
    }

    #[test]
    fn a_line_that_was_nobodys_owes_nothing_whatever_the_time() {
        for now in [0, 1, BURST, 1 << 31, u32::MAX - BURST, u32::MAX] {
            let pair = Default::default();
            assert_eq!(granted(&pair, 7, 1, now), 10, "{now}");
            let later = now.wrapping_add(10 * COST);
            assert_eq!(granted(&pair, 7, 2, later), 10, "{now}");
        }
    }
}
