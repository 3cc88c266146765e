//! Whether a route is announced: a state machine without clock, network or randomness of its own.
//!
//! Two things decide. **Health**: so many bad looks in a row (`fall`) make a route unhealthy, so many good
//! ones (`rise`) healthy again, but not before it has been held down for a while, which doubles with each
//! failure that is not forgotten yet. **Drain**: what the operator wants; on the way out and back the route
//! is less preferred for a while, so that traffic moves before anything is withdrawn.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Good looks in a row that make it healthy.
    pub rise: u32,
    /// Bad looks in a row that make it unhealthy.
    pub fall: u32,
    /// For how long it stays unhealthy at least after a failure.
    pub hold_down: Duration,
    /// For how long at the most, however often it failed.
    pub hold_down_max: Duration,
    /// After so long in health, one failure is forgotten.
    pub forget: Duration,
    /// Without health the route is made less preferred, not withdrawn.
    pub last_resort: bool,
    /// For how long it is less preferred before it is withdrawn, and after it is back.
    pub drain_wait: Duration,
}

/// What becomes of the route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wanted {
    /// Not announced.
    Withdrawn,
    /// Announced so that any other is taken first.
    LessPreferred,
    /// Announced.
    Announced,
}

impl Wanted {
    /// Its name in status and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Withdrawn => "withdrawn",
            Self::LessPreferred => "less-preferred",
            Self::Announced => "announced",
        }
    }
}

/// Why it is not simply announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Nothing is wrong.
    None,
    /// It was never healthy so far.
    Starting,
    /// It failed.
    Unhealthy,
    /// It is well, but failed a short while ago.
    HeldDown,
    /// The operator wants no traffic here.
    Drained,
    /// On the way there.
    Draining,
    /// On the way back.
    Returning,
    /// The watchdog forbids it.
    Vetoed,
}

impl Cause {
    /// Its name in status and log.
    pub fn label(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Starting => "starting",
            Self::Unhealthy => "unhealthy",
            Self::HeldDown => "held down",
            Self::Drained => "drained",
            Self::Draining => "draining",
            Self::Returning => "returning",
            Self::Vetoed => "vetoed by the watchdog",
        }
    }
}

/// How far the operator's wish is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Drain {
    In,
    Leaving { until: Duration },
    Out,
    Returning { until: Duration },
}

/// One route's judge. All times are since one moment of the caller's choice.
#[derive(Debug, Clone)]
pub struct Judge {
    policy: Policy,
    healthy: bool,
    /// Whether it ever was.
    known: bool,
    /// Looks in a row that said the other thing.
    streak: u32,
    /// Not healthy again before.
    held_until: Duration,
    /// Failures that are not forgotten.
    failures: u32,
    /// Since when it has been healthy, or when the last failure was forgotten.
    calm_since: Duration,
    drain: Drain,
    vetoed: bool,
}

impl Judge {
    /// A route that is not announced; drained from the beginning, or not.
    pub fn new(policy: Policy, drained: bool) -> Self {
        Self {
            policy,
            healthy: false,
            known: false,
            streak: 0,
            held_until: Duration::ZERO,
            failures: 0,
            calm_since: Duration::ZERO,
            drain: if drained { Drain::Out } else { Drain::In },
            vetoed: false,
        }
    }

    /// A route that an earlier daemon announced, and for which the kernel answered meanwhile: it takes
    /// `fall` bad looks to lose it.
    pub fn adopted(policy: Policy, drained: bool) -> Self {
        Self { healthy: true, known: true, ..Self::new(policy, drained) }
    }

    /// Takes in one look. `chance`, from 0 to 1, lengthens a hold-down by up to a quarter, so that nodes
    /// that failed together do not come back together.
    pub fn look(&mut self, now: Duration, good: bool, chance: f64) {
        if good == self.healthy {
            self.streak = 0;
            if self.healthy && self.failures > 0 && now >= self.calm_since + self.policy.forget {
                self.failures -= 1;
                self.calm_since = now;
            }
            return;
        }
        self.streak = self.streak.saturating_add(1);
        if self.healthy && self.streak >= self.policy.fall {
            let doubled = 1_u32.checked_shl(self.failures.min(20)).unwrap_or(u32::MAX);
            let held = self.policy.hold_down.saturating_mul(doubled);
            let held = held.min(self.policy.hold_down_max);
            self.held_until = now + held + held.mul_f64(0.25 * chance.clamp(0.0, 1.0));
            self.failures = self.failures.saturating_add(1);
            (self.healthy, self.streak) = (false, 0);
        } else if !self.healthy && self.streak >= self.policy.rise && now >= self.held_until {
            (self.healthy, self.streak) = (true, 0);
            (self.known, self.calm_since) = (true, now);
        }
    }

    /// Time goes by: what was waited for happens.
    pub fn tick(&mut self, now: Duration) {
        match self.drain {
            Drain::Leaving { until } if now >= until => self.drain = Drain::Out,
            Drain::Returning { until } if now >= until => self.drain = Drain::In,
            _ => {}
        }
    }

    /// Begins to take the route out, or back; nothing if that is the way it goes already. `gradual` tells
    /// whether the announcer can make it less preferred at all.
    pub fn set_drained(&mut self, now: Duration, drained: bool, gradual: bool) {
        let wait = if gradual { self.policy.drain_wait } else { Duration::ZERO };
        self.drain = match (drained, self.drain) {
            (true, Drain::In | Drain::Returning { .. }) => Drain::Leaving { until: now + wait },
            (false, Drain::Out) => Drain::Returning { until: now + wait },
            // It was not gone yet.
            (false, Drain::Leaving { .. }) => Drain::In,
            (_, as_it_is) => as_it_is,
        };
        self.tick(now);
    }

    /// The watchdog forbids the route, or does not any more.
    pub fn set_vetoed(&mut self, vetoed: bool) {
        self.vetoed = vetoed;
    }

    /// What is to become of the route, and why.
    pub fn verdict(&self, now: Duration) -> (Wanted, Cause) {
        if self.vetoed {
            return (Wanted::Withdrawn, Cause::Vetoed);
        }
        if !self.known {
            return (Wanted::Withdrawn, Cause::Starting);
        }
        if self.drain == Drain::Out {
            return (Wanted::Withdrawn, Cause::Drained);
        }
        if !self.healthy {
            let well = self.streak >= self.policy.rise && now < self.held_until;
            let cause = if well { Cause::HeldDown } else { Cause::Unhealthy };
            let last = self.policy.last_resort;
            return (if last { Wanted::LessPreferred } else { Wanted::Withdrawn }, cause);
        }
        match self.drain {
            Drain::Leaving { .. } => (Wanted::LessPreferred, Cause::Draining),
            Drain::Returning { .. } => (Wanted::LessPreferred, Cause::Returning),
            Drain::In | Drain::Out => (Wanted::Announced, Cause::None),
        }
    }

    /// Failures that lengthen the next hold-down.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// How long it is still held down.
    pub fn held(&self, now: Duration) -> Duration {
        if self.healthy { Duration::ZERO } else { self.held_until.saturating_sub(now) }
    }
}

#[cfg(test)]
mod tests;
