//! Token buckets without locks: four to a cache line, sixteen octets each.
//!
//! A bucket is one time (the "theoretical arrival time" of the generic cell rate algorithm, ITU-T I.371):
//! when its source would have earned all that it was given. It moves on by the cost of each reply; how
//! far it is ahead of now is what the source has used up of its burst. Nothing has to be filled up, and
//! one look and one store are the whole work. Processors that store to a bucket at the same moment may
//! lose one another's reply: the bucket then grants one too many, never more than there are processors.
//!
//! What is over the rate is charged too, up to [`DEBT`] beyond the end of the burst: a source that asks for
//! more than its rate gets nothing whole for as long as it does on the average, pauses or not, and everything
//! again when its debt is over. Were it not charged, or in part only, a flood would be granted, from each of
//! its forged sources, what an honest source is.
//!
//! A source without a bucket takes the one in its line that has been idle for longest, and inherits what
//! that one had used up. So whatever number of sources there is, a line never grants more than four
//! buckets do, and no source escapes its limit by having its bucket pushed out.

use core::cell::UnsafeCell;

use crate::bounds::opaque;

/// Buckets of a line.
pub const WAYS: usize = 4;

/// A cache line of the table: for each bucket its source, and its time, tag and count in one word.
#[repr(C, align(64))]
pub struct Line([Word; 2 * WAYS]);

/// A word that processors share: each load and store is a single one.
#[derive(Default)]
#[repr(transparent)]
struct Word(UnsafeCell<u64>);

// SAFETY: loads and stores are single and aligned; no order among them matters.
unsafe impl Sync for Word {}

impl Word {
    #[inline(always)]
    fn load(&self) -> u64 {
        // LLVM 22 knows no atomic loads for BPF, where a volatile one is the same.
        #[cfg(target_arch = "bpf")]
        // SAFETY: a reference is valid for reads.
        return unsafe { core::ptr::read_volatile(self.0.get()) };
        #[cfg(not(target_arch = "bpf"))]
        self.shared().load(core::sync::atomic::Ordering::Relaxed)
    }

    #[inline(always)]
    fn store(&self, value: u64) {
        #[cfg(target_arch = "bpf")]
        // SAFETY: as above, and the cell may be written.
        unsafe {
            core::ptr::write_volatile(self.0.get(), value);
        };
        #[cfg(not(target_arch = "bpf"))]
        self.shared().store(value, core::sync::atomic::Ordering::Relaxed);
    }

    #[cfg(not(target_arch = "bpf"))]
    fn shared(&self) -> &core::sync::atomic::AtomicU64 {
        // SAFETY: the same size and alignment, and nobody looks at the word otherwise.
        unsafe { core::sync::atomic::AtomicU64::from_ptr(self.0.get()) }
    }
}

/// A bucket as it stood at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// See [`super::source`].
    pub source: u64,
    /// When the source will have earned what it was given, in ticks.
    pub time: u32,
    /// See [`super::tag`].
    pub tag: u16,
    /// What it was charged for so far, roughly: see [`Bucket::seen`].
    pub count: u16,
}

/// What a source is to be charged for.
pub struct Charge {
    /// The source.
    pub source: u64,
    /// What for.
    pub tag: u16,
    /// How much, in ticks: one reply's share of a second at the rate.
    pub cost: u32,
    /// How far ahead it may be, in ticks.
    pub burst: u32,
}

impl Bucket {
    #[inline(always)]
    fn new(source: u64, word: u64) -> Self {
        Self { source, time: (word >> 32) as u32, tag: (word >> 16) as u16, count: word as u16 }
    }

    #[inline(always)]
    fn word(&self) -> u64 {
        u64::from(self.time) << 32 | u64::from(self.tag) << 16 | u64::from(self.count)
    }

    /// Whether nothing was ever charged to it.
    pub fn is_empty(&self) -> bool {
        self.source == 0 && self.word() == 0
    }

    /// How far ahead of its rate the source is, in ticks; negative: for so long it has been idle.
    ///
    /// Time wraps round after 73 minutes. What seems further ahead than burst and debt allow has been idle for
    /// long; and a source that was idle for just these 73 minutes may seem to have used up its burst. Twice
    /// the debt, since another processor may have seen the clock tick a moment earlier.
    #[inline(always)]
    pub fn ahead(&self, now: u32, burst: u32) -> i32 {
        let ahead = self.time.wrapping_sub(now) as i32;
        if ahead > (burst + 2 * DEBT) as i32 || self.source == 0 { i32::MIN } else { ahead }
    }

    /// How many messages it was charged for since it belongs to its source, within a few percent.
    ///
    /// The count has eleven bits and an exponent: at exponent e one message of 2^e is counted, as 2^e.
    pub fn seen(&self) -> u64 {
        let (exponent, rest) = (self.count >> 11, u64::from(self.count & 0x7ff));
        (2048 * ((1 << exponent) - 1)) + (rest << exponent)
    }

    /// Counts a message; `noise` is any number that has nothing to do with the count.
    #[inline(always)]
    fn count(&mut self, noise: u32) {
        let exponent = u32::from(self.count >> 11);
        // Mixed, since the noise is a client's choice.
        let mixed = (noise ^ self.time).wrapping_mul(0x9e37_79b1) >> (31 - exponent) >> 1;
        if mixed == 0 && self.count != u16::MAX {
            self.count += 1;
        }
    }
}

/// How far beyond the burst a source over its rate is taken, in ticks: 4.3 s. So long a flood may pause, and
/// an honest source that asked for too much gets replies cut short. With 33 ms, enough for the steps of the
/// clock, floods that a busy generator sent in gusts got 1.1 to 3.4 octets out for each in.
pub const DEBT: u32 = 1 << 22;

impl Charge {
    /// How willingly a bucket is taken, the least first: the source's own, then by how long each has been
    /// idle. Without a branch: the verifier would follow every path through all four.
    #[inline(always)]
    fn rank(&self, line: &Line, way: u32, now: u32) -> u64 {
        let bucket = line.bucket(way);
        let ahead = i64::from(bucket.time.wrapping_sub(now) as i32);
        // All ones where the bucket was idle for longer than its time can tell: see [`Bucket::ahead`].
        let long = ((i64::from(self.burst + 2 * DEBT) - ahead) >> 63) as u64;
        let empty = not_zero(bucket.source).wrapping_sub(1);
        let rank = 1 + ((ahead + (1 << 31)) as u64 & !(long | empty));
        let other = not_zero((bucket.source ^ self.source) | u64::from(bucket.tag ^ self.tag));
        rank & other.wrapping_neg()
    }

    /// Charges the source's bucket in `line`. Whether the source is over its rate, and which bucket it is.
    #[inline(always)]
    pub fn make(&self, line: &Line, now: u32, noise: u32) -> (bool, u32) {
        let mut best = u64::MAX >> 1;
        let mut other = 0;
        while other < WAYS as u32 {
            best = lesser(best, self.rank(line, other, now) << 2 | u64::from(other));
            other += 1;
        }
        let (found, way) = (best >> 2 == 0, best as u32 & (WAYS as u32 - 1));
        let mut bucket = line.bucket(way);
        let ahead = bucket.ahead(now, self.burst).max(0) as u32;
        let over = ahead + self.cost > self.burst;
        let ahead = (ahead + self.cost).min(self.burst + DEBT);
        if !found {
            bucket = Bucket { source: self.source, time: 0, tag: self.tag, count: 0 };
        }
        bucket.time = now.wrapping_add(ahead);
        bucket.count(noise);
        line.put(way, &bucket, !found);
        (over, way)
    }
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

impl Line {
    /// A bucket; the first one beyond the last.
    #[inline(always)]
    pub fn bucket(&self, way: u32) -> Bucket {
        let [source, word] = self.words(way);
        Bucket::new(source.load(), word.load())
    }

    #[inline(always)]
    fn words(&self, way: u32) -> [&Word; 2] {
        let way = opaque(u64::from(way)) & (WAYS as u64 - 1);
        let start = self.0.as_ptr();
        // SAFETY: two words from twice any such number are inside the line.
        unsafe { [&*start.add(way as usize * 2), &*start.add(way as usize * 2 + 1)] }
    }

    #[inline(always)]
    fn put(&self, way: u32, bucket: &Bucket, whole: bool) {
        let [source, word] = self.words(way);
        if whole {
            source.store(bucket.source);
        }
        word.store(bucket.word());
    }

    /// Takes a charge back.
    #[inline(always)]
    pub(super) fn refund(&self, way: u32, cost: u32) {
        let mut bucket = self.bucket(way);
        bucket.time = bucket.time.wrapping_sub(cost);
        self.put(way, &bucket, false);
    }
}

#[cfg(test)]
mod tests {
    use super::{Charge, Line, WAYS};

    /// A tenth of a second, and replies at 100 a second.
    const BURST: u32 = 100_000;
    const COST: u32 = 10_000;

    fn line() -> Line {
        Line(Default::default())
    }

    fn charge(source: u64, tag: u16) -> Charge {
        Charge { source, tag, cost: COST, burst: BURST }
    }

    /// How many of the messages, `interval` ticks apart, are within the rate.
    fn granted(line: &Line, source: u64, start: u32, messages: u32, interval: u32) -> u32 {
        let over = |n: &u32| charge(source, 1).make(line, start.wrapping_add(n * interval), *n).0;
        (0..messages).filter(|n| !over(n)).count() as u32
    }

    #[test]
    fn a_source_within_its_rate_gets_everything() {
        assert_eq!(granted(&line(), 7, 5, 1000, COST), 1000);
        // Also where the clock wraps round.
        assert_eq!(granted(&line(), 7, u32::MAX - 500 * COST, 1000, COST), 1000);
    }

    #[test]
    fn a_burst_is_granted_once() {
        let line = line();
        assert_eq!(granted(&line, 7, 0, 100, 0), 10);
        assert_eq!(granted(&line, 7, 101 * COST, 100, 0), 10, "when all is paid");
    }

    #[test]
    fn over_its_rate_a_source_gets_nothing_and_below_it_everything_when_its_debt_is_paid() {
        for (interval, expected) in
            [(COST * 9 / 10, 0), (COST * 11 / 10, 1000), (COST / 5, 0), (COST * 101 / 100, 1000)]
        {
            let line = line();
            granted(&line, 7, 0, 1000, 0);
            let start = super::DEBT + COST;
            assert_eq!(granted(&line, 7, start, 1000, interval) == 1000, expected == 1000);
            let more = granted(&line, 7, start + 1000 * interval, 1000, interval);
            assert_eq!(more, expected, "every {interval}");
        }
    }

    #[test]
    fn pauses_grant_a_flood_nothing() {
        let line = line();
        granted(&line, 7, 0, 1000, 0);
        // A second of silence, then what may come within two.
        let second = 100 * COST;
        let gusts = (1..100).map(|n| granted(&line, 7, n * second, 200, 0));
        assert_eq!(gusts.sum::<u32>(), 0);
    }

    #[test]
    fn a_clock_in_steps_grants_a_flood_nothing() {
        let line = line();
        granted(&line, 7, 0, 1000, 0);
        // Steps of 10 ms, and three times what may come within one.
        let cost = Charge { source: 7, tag: 1, cost: COST / 3, burst: BURST };
        let over = |n: &u32| cost.make(&line, n / 9 * 9766, *n).0;
        assert_eq!((0..10_000).filter(|n| !over(n)).count(), 0);
    }

    #[test]
    fn whoever_takes_a_bucket_inherits_its_debt() {
        let line = line();
        for source in 1..=WAYS as u64 {
            granted(&line, source, 0, 1000, 0);
        }
        let (over, _) = charge(99, 1).make(&line, COST / 2, 0);
        assert!(over, "the line has granted all that four buckets may");
        let (over, _) = charge(99, 1).make(&line, super::DEBT + 2 * BURST, 0);
        assert!(!over, "later it is a source like others");
    }

    #[test]
    fn any_number_of_sources_gets_no_more_than_four_buckets_grant() {
        let line = line();
        let granted =
            (0..100_000_u64).filter(|n| !charge(n + 1, 1).make(&line, *n as u32 * 10, 0).0).count();
        // A million ticks: 100 replies for each bucket, and the bursts.
        assert!(granted <= WAYS * 111, "{granted}");
    }

    #[test]
    fn classes_have_buckets_of_their_own() {
        let line = line();
        assert_eq!(granted(&line, 7, 0, 100, 0), 10);
        assert!(!charge(7, 2).make(&line, 0, 0).0);
        assert!(charge(7, 1).make(&line, 0, 0).0);
    }

    #[test]
    fn counts_are_right_within_a_few_percent() {
        let line = line();
        for n in 0..1_000_000_u32 {
            charge(7, 1).make(&line, n * 3, n & 0xffff);
        }
        let seen = line.bucket(0).seen();
        assert!((950_000..1_050_000).contains(&seen), "{seen}");
    }

    #[test]
    fn a_charge_can_be_taken_back() {
        let line = line();
        granted(&line, 7, 0, 9, 0);
        let (over, way) = charge(7, 1).make(&line, 0, 0);
        assert!(!over, "the last of the burst");
        line.refund(way, COST);
        assert!(!charge(7, 1).make(&line, 0, 0).0, "and once more");
        assert!(charge(7, 1).make(&line, 0, 0).0);
    }
}
