//! Rates from counters: the difference of the last two samples.

use std::{sync::Mutex, time::Instant};

use crate::{control::Rates, locks::lock};

/// Replies so far, at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    at: Instant,
    replies: [u64; 4],
}

impl Sample {
    /// The counters as they are now: replies by XDP, by tc, over UDP and over TCP.
    pub fn now(xdp: u64, tc: u64, udp: u64, tcp: u64) -> Self {
        Self { at: Instant::now(), replies: [xdp, tc, udp, tcp] }
    }
}

/// The last two samples.
#[derive(Debug, Default)]
pub struct Sampler(Mutex<(Option<Sample>, Option<Sample>)>);

impl Sampler {
    /// Takes a sample; the older of two is forgotten.
    pub fn take(&self, sample: Sample) {
        let mut samples = lock(&self.0);
        *samples = (samples.1, Some(sample));
    }

    /// Replies per second between the last two samples.
    pub fn rates(&self) -> Rates {
        match *lock(&self.0) {
            (Some(before), Some(after)) => rates(&before, &after),
            _ => Rates::default(),
        }
    }
}

fn rates(before: &Sample, after: &Sample) -> Rates {
    let interval = after.at.duration_since(before.at).as_secs_f64();
    if interval <= 0.0 {
        return Rates::default();
    }
    // A counter that went back began anew.
    let rate =
        |index: usize| after.replies[index].saturating_sub(before.replies[index]) as f64 / interval;
    Rates { interval, xdp: rate(0), tc: rate(1), udp: rate(2), tcp: rate(3) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Sample, Sampler, rates};

    #[test]
    fn a_rate_is_a_difference_over_its_interval() {
        let before = Sample::now(100, 0, 7, 0);
        let after = Sample { at: before.at + Duration::from_secs(2), ..Sample::now(300, 4, 7, 0) };
        let rates = rates(&before, &after);
        assert_eq!((rates.interval, rates.xdp, rates.tc, rates.udp), (2.0, 100.0, 2.0, 0.0));
    }

    #[test]
    fn one_sample_gives_no_rate() {
        let sampler = Sampler::default();
        sampler.take(Sample::now(1000, 0, 0, 0));
        assert_eq!(sampler.rates().interval, 0.0);
    }
}
