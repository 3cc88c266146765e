//! What the kernel programs did, from `responder status --json`.

use std::{fmt, time::Duration};

use anyhow::Context as _;
use serde_json::Value;

/// Packets by what became of them, per hook.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// The XDP program.
    pub xdp: Hook,
    /// The tc program behind it.
    pub tc: Hook,
}

/// Packets by what became of them at one hook.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hook {
    /// Answered there.
    pub answered: u64,
    /// Left to whoever comes next.
    pub passed: u64,
    /// Thrown away.
    pub dropped: u64,
}

impl Counts {
    /// Reads the counters of a status.
    ///
    /// # Errors
    /// When there are none in it.
    pub fn read(status: &Value) -> anyhow::Result<Self> {
        let plane = &status["data-plane"];
        Ok(Self {
            xdp: Hook::read(&plane["xdp"]).context("status does not count what XDP does")?,
            tc: Hook::read(&plane["tc"]).context("status does not count what tc does")?,
        })
    }

    /// What was added since an earlier reading.
    pub fn since(&self, earlier: &Self) -> Self {
        Self { xdp: self.xdp.since(&earlier.xdp), tc: self.tc.since(&earlier.tc) }
    }

    /// The rate, when these were counted in that time.
    pub fn per_second(&self, time: Duration) -> Rates {
        Rates { counts: *self, seconds: time.as_secs_f64().max(1e-3) }
    }
}

impl Hook {
    fn read(hook: &Value) -> Option<Self> {
        let sum = |reasons: &str| {
            hook[reasons].as_object()?.values().map(Value::as_u64).sum::<Option<u64>>()
        };
        Some(Self {
            answered: hook["answered"].as_u64()?,
            passed: sum("passed")?,
            dropped: sum("dropped")?,
        })
    }

    fn since(&self, earlier: &Self) -> Self {
        Self {
            answered: self.answered.saturating_sub(earlier.answered),
            passed: self.passed.saturating_sub(earlier.passed),
            dropped: self.dropped.saturating_sub(earlier.dropped),
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "answered by xdp {}, by tc {}", self.xdp.answered, self.tc.answered)
    }
}

/// Rates over an interval.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    counts: Counts,
    seconds: f64,
}

impl Rates {
    /// Whether no packet at all was counted.
    pub fn is_nothing(&self) -> bool {
        self.counts == Counts::default()
    }
}

impl fmt::Display for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { xdp, tc } = self.counts;
        let rate = |count: u64| (count as f64 / self.seconds).round();
        write!(
            f,
            "answered/s: xdp {}, tc {}; passed to the sockets/s: {}; dropped/s: {}",
            rate(xdp.answered),
            rate(tc.answered),
            // Every packet meets tc after XDP has passed it.
            rate(tc.passed),
            rate(xdp.dropped + tc.dropped),
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_became_of_packets_is_summed_over_the_reasons() {
        let status = json!({"data-plane": {
            "xdp": {"answered": 5, "passed": {"no-room": 7, "notify": 1}, "dropped": {"runt": 1}},
            "tc": {"answered": 7, "passed": {"notify": 1}, "dropped": {}},
        }});
        let counts = Counts::read(&status).expect("counters");
        assert_eq!(counts.xdp, Hook { answered: 5, passed: 8, dropped: 1 });
        assert_eq!(counts.tc, Hook { answered: 7, passed: 1, dropped: 0 });
    }

    #[test]
    fn a_status_without_counters_is_not_a_status_of_zero() {
        assert!(Counts::read(&json!({"data-plane": {"xdp": {"answered": 1}}})).is_err());
    }
}
