//! Token buckets without locks: an account is one word.
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

/// How far beyond the burst a source over its rate is taken, in ticks: 4.3 s. So long a flood may pause, and
/// an honest source that asked for too much gets replies cut short. With 33 ms, enough for the steps of the
/// clock, floods that a busy generator sent in gusts got 1.1 to 3.4 octets out for each in.
pub const DEBT: u32 = 1 << 22;

/// A bucket as it stood at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// When the source will have earned what it was given, in ticks.
    pub time: u32,
    /// What is counted: [`super::tag`]; of octets something else, see [`super::around`].
    pub tag: u16,
    /// What it was charged for so far, roughly: see [`Bucket::seen`].
    pub count: u16,
}

impl Bucket {
    /// A bucket from its word.
    #[inline(always)]
    pub fn new(word: u64) -> Self {
        Self { time: (word >> 32) as u32, tag: (word >> 16) as u16, count: word as u16 }
    }

    /// Its word.
    #[inline(always)]
    pub fn word(&self) -> u64 {
        u64::from(self.time) << 32 | u64::from(self.tag) << 16 | u64::from(self.count)
    }

    /// How far ahead of its rate the source is, in ticks; negative: for so long it has been idle.
    ///
    /// Time wraps round after 73 minutes. What seems further ahead than burst and debt allow has been idle for
    /// long; and a source that was idle for just these 73 minutes may seem to have used up its burst. Twice
    /// the debt, since another processor may have seen the clock tick a moment earlier.
    #[inline(always)]
    pub fn ahead(&self, now: u32, burst: u32) -> i32 {
        let ahead = self.time.wrapping_sub(now) as i32;
        if ahead > (burst + 2 * DEBT) as i32 { i32::MIN } else { ahead }
    }

    /// Charges it so many ticks, of which `burst` may be ahead. Whether that is over the rate.
    #[inline(always)]
    pub fn charge(&mut self, cost: u32, burst: u32, now: u32) -> bool {
        let ahead = self.ahead(now, burst).max(0) as u32;
        self.time = now.wrapping_add((ahead + cost).min(burst + DEBT));
        ahead + cost > burst
    }

    /// Has it be ahead of its rate so far at the least.
    #[inline(always)]
    pub fn raise(&mut self, floor: u32, burst: u32, now: u32) {
        let ahead = self.ahead(now, burst).max(0) as u32;
        self.time = now.wrapping_add(ahead.max(floor));
    }

    /// How many messages it was charged for since it belongs to its source, within a few percent.
    ///
    /// The count has eleven bits and an exponent: at exponent e one message of 2^e is counted, as 2^e.
    pub fn seen(&self) -> u64 {
        let (exponent, rest) = (self.count >> 11, u64::from(self.count & 0x7ff));
        (2048 * ((1 << exponent) - 1)) + (rest << exponent)
    }

    /// Counts a message, or as many as a shift says; `noise` is any number that has nothing to do with the count.
    #[inline(always)]
    pub fn count(&mut self, noise: u32, shift: u32) {
        let exponent = u32::from(self.count >> 11);
        let rare = exponent.saturating_sub(shift);
        // Mixed, since the noise is a client's choice.
        let mixed = (noise ^ self.time).wrapping_mul(0x9e37_79b1) >> (31 - rare) >> 1;
        if mixed == 0 {
            self.count = self.count.saturating_add(1 << shift.saturating_sub(exponent));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Bucket, DEBT};

    /// A tenth of a second, and replies at 100 a second.
    const BURST: u32 = 100_000;
    const COST: u32 = 10_000;

    /// How many of the messages, `interval` ticks apart, are within the rate.
    fn granted(bucket: &mut Bucket, start: u32, messages: u32, interval: u32) -> u32 {
        let mut over = |n: u32| bucket.charge(COST, BURST, start.wrapping_add(n * interval));
        messages - (0..messages).map(&mut over).filter(|over| *over).count() as u32
    }

    #[test]
    fn a_source_within_its_rate_gets_everything() {
        assert_eq!(granted(&mut Bucket::new(0), 5, 1000, COST), 1000);
        // Also where the clock wraps round.
        let start = u32::MAX - 500 * COST;
        let mut bucket = Bucket { time: start, ..Bucket::new(0) };
        assert_eq!(granted(&mut bucket, start, 1000, COST), 1000);
    }

    #[test]
    fn a_burst_is_granted_once() {
        let mut bucket = Bucket::new(0);
        assert_eq!(granted(&mut bucket, 0, 100, 0), 10);
        let later = DEBT + BURST + COST;
        assert_eq!(granted(&mut bucket, later, 100, 0), 10, "when all is paid");
    }

    #[test]
    fn over_its_rate_a_source_gets_nothing_and_below_it_everything_when_its_debt_is_paid() {
        for (interval, expected) in
            [(COST * 9 / 10, 0), (COST * 11 / 10, 1000), (COST / 5, 0), (COST * 101 / 100, 1000)]
        {
            let mut bucket = Bucket::new(0);
            granted(&mut bucket, 0, 1000, 0);
            let start = DEBT + COST;
            assert_eq!(granted(&mut bucket, start, 1000, interval) == 1000, expected == 1000);
            let more = granted(&mut bucket, start + 1000 * interval, 1000, interval);
            assert_eq!(more, expected, "every {interval}");
        }
    }

    #[test]
    fn pauses_grant_a_flood_nothing() {
        let mut bucket = Bucket::new(0);
        granted(&mut bucket, 0, 1000, 0);
        // A second of silence, then what may come within two.
        let second = 100 * COST;
        let gusts = (1..100).map(|n| granted(&mut bucket, n * second, 200, 0));
        assert_eq!(gusts.sum::<u32>(), 0);
    }

    #[test]
    fn a_clock_in_steps_grants_a_flood_nothing() {
        let mut bucket = Bucket::new(0);
        granted(&mut bucket, 0, 1000, 0);
        // Steps of 10 ms, and three times what may come within one.
        let mut over = |n: u32| bucket.charge(COST / 3, BURST, n / 9 * 9766);
        assert!((0..10_000).all(&mut over));
    }

    #[test]
    fn counts_are_right_within_a_few_percent() {
        for shift in [0, 4] {
            let mut bucket = Bucket::new(0);
            for n in 0..1_000_000_u32 >> shift {
                bucket.charge(COST, BURST, n * 3);
                bucket.count(n & 0xffff, shift);
            }
            let seen = bucket.seen();
            assert!((950_000..1_050_000).contains(&seen), "{seen}");
        }
    }
}
