//! A flood of events is no flood of lines: each place in the program writes so many in a while, and what it
//! did not write is told as a number.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

use tracing::{Event, Metadata, Subscriber, callsite::Identifier, subscriber::Interest};
use tracing_subscriber::layer::{Context, Filter};

use crate::locks::lock;

/// Lines that one place writes within a [`WHILE`].
const LINES: u32 = 50;
/// The while.
const WHILE: Duration = Duration::from_secs(10);

/// What each place has written lately.
#[derive(Default)]
pub(super) struct Limiter(Mutex<HashMap<Identifier, Place>>);

struct Place {
    since: Instant,
    written: u32,
    withheld: u64,
    metadata: &'static Metadata<'static>,
}

/// A place that did not write all of its lines.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Withheld {
    /// The module and line of the program.
    pub place: String,
    /// How many lines.
    pub lines: u64,
}

impl Limiter {
    /// Whether a place may write one more line.
    fn allows(&self, metadata: &'static Metadata<'static>, now: Instant) -> bool {
        let mut places = self.places();
        let fresh = || Place { since: now, written: 0, withheld: 0, metadata };
        let place = places.entry(metadata.callsite()).or_insert_with(fresh);
        if now.duration_since(place.since) >= WHILE {
            (place.since, place.written) = (now, 0);
        }
        let allowed = place.written < LINES;
        if allowed {
            place.written += 1;
        } else {
            place.withheld += 1;
        }
        allowed
    }

    /// What was withheld by places whose while is over, told once.
    pub(super) fn withheld(&self, now: Instant) -> Vec<Withheld> {
        let mut told = Vec::new();
        for place in self.places().values_mut() {
            if place.withheld > 0 && now.duration_since(place.since) >= WHILE {
                let metadata = place.metadata;
                let line = metadata.line().unwrap_or(0);
                let place_name = format!("{}:{line}", metadata.target());
                told.push(Withheld {
                    place: place_name,
                    lines: std::mem::take(&mut place.withheld),
                });
            }
        }
        told
    }

    fn places(&self) -> MutexGuard<'_, HashMap<Identifier, Place>> {
        lock(&self.0)
    }
}

impl<S: Subscriber> Filter<S> for &'static Limiter {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn callsite_enabled(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::always()
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        self.allows(event.metadata(), Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use tracing::callsite::Callsite as _;

    use super::*;

    #[test]
    fn a_flood_is_cut_and_counted_and_other_places_go_on() {
        let one = tracing::callsite! { name: "one", kind: tracing::metadata::Kind::EVENT, fields: };
        let two = tracing::callsite! { name: "two", kind: tracing::metadata::Kind::EVENT, fields: };
        let (limiter, start) = (Limiter::default(), Instant::now());
        let written = (0..1000).filter(|_| limiter.allows(one.metadata(), start)).count();
        assert_eq!(written, LINES as usize);
        assert!(limiter.allows(two.metadata(), start));
        assert_eq!(limiter.withheld(start), [], "the while is not over");
        let later = start + WHILE;
        let told = limiter.withheld(later);
        assert_eq!((told.len(), told[0].lines), (1, 1000 - u64::from(LINES)));
        assert_eq!(limiter.withheld(later), [], "told once");
        assert!(limiter.allows(one.metadata(), later));
    }
}
