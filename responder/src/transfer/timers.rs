//! When a zone is looked after next: the SOA's timers, bounded and spread.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    ops::RangeInclusive,
    time::Duration,
};

use crate::config::Transfer;

/// The intervals of an SOA (RFC 1035, section 3.3.13), within the configured bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timers {
    /// Between a success and the next look.
    pub refresh: Duration,
    /// Between a failure and the next try.
    pub retry: Duration,
    /// From the last success to the end of the data's life.
    pub expire: Duration,
}

impl Timers {
    /// The timers in an SOA's data; None where they are not there.
    pub fn of_soa(soa: &[u8], bounds: &Transfer) -> Option<Self> {
        // Serial, refresh, retry, expire, minimum.
        let fixed: &[u8; 20] = soa.last_chunk()?;
        let seconds = |at: usize| {
            let octets = fixed[at..].first_chunk().expect("five fields of four octets");
            Duration::from_secs(u64::from(u32::from_be_bytes(*octets)))
        };
        Some(Self {
            refresh: within(seconds(4), &bounds.refresh),
            retry: within(seconds(8), &bounds.retry),
            expire: within(seconds(12), &bounds.expire),
        })
    }
}

fn within(time: Duration, bounds: &RangeInclusive<Duration>) -> Duration {
    time.clamp(*bounds.start(), *bounds.end())
}

/// How long to wait for a zone that was never transferred, after so many failures in a row: twice as
/// long each time.
pub fn first_retry(failures: u32, bounds: &RangeInclusive<Duration>) -> Duration {
    within(bounds.start().saturating_mul(1 << failures.saturating_sub(1).min(16)), bounds)
}

/// Up to a tenth earlier, so that zones of the same timers do not come all at once.
pub fn spread(time: Duration) -> Duration {
    // The standard library's keys are random enough for this.
    let random = RandomState::new().build_hasher().finish() as u32;
    time - (time / 10).mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Timers, first_retry, spread};
    use crate::config::Transfer;

    const SECOND: Duration = Duration::from_secs(1);

    fn soa(refresh: u32, retry: u32, expire: u32) -> Vec<u8> {
        let mut soa = vec![0, 0];
        soa.extend([7, refresh, retry, expire, 300].map(u32::to_be_bytes).concat());
        soa
    }

    #[test]
    fn rfc1035_timers_are_those_of_the_soa_within_bounds() {
        let bounds = Transfer {
            refresh: SECOND * 10..=SECOND * 100,
            retry: SECOND..=SECOND * 50,
            expire: SECOND * 1000..=SECOND * 2000,
            ..Transfer::default()
        };
        let timers = Timers::of_soa(&soa(20, 5, 1500), &bounds).unwrap();
        assert_eq!(
            timers,
            Timers { refresh: SECOND * 20, retry: SECOND * 5, expire: SECOND * 1500 }
        );
        let timers = Timers::of_soa(&soa(0, u32::MAX, 0), &bounds).unwrap();
        assert_eq!(
            timers,
            Timers { refresh: SECOND * 10, retry: SECOND * 50, expire: SECOND * 1000 }
        );
        assert_eq!(Timers::of_soa(&[0; 19], &bounds), None);
    }

    #[test]
    fn a_zone_that_never_came_is_asked_for_ever_more_rarely() {
        let bounds = SECOND * 15..=SECOND * 100;
        let waits: Vec<u64> = (1..6).map(|n| first_retry(n, &bounds).as_secs()).collect();
        assert_eq!(waits, [15, 30, 60, 100, 100]);
        assert_eq!(first_retry(u32::MAX, &bounds), SECOND * 100);
    }

    #[test]
    fn times_are_spread_by_a_tenth() {
        let times: Vec<Duration> = (0..200).map(|_| spread(SECOND * 100)).collect();
        assert!(times.iter().all(|time| (SECOND * 90..=SECOND * 100).contains(time)));
        let (least, most) = (times.iter().min().unwrap(), times.iter().max().unwrap());
        assert!(*most - *least > SECOND * 5);
    }
}
