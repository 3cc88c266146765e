//! The life of a zone that comes from primaries.
//!
//! It is looked after by one task: at each turn the primaries are asked in their order until one has
//! the version that we have or a newer one. Requests of operators and NOTIFY bring the next turn
//! forward; those that come while a turn is on share the one after it. The expiry clock goes on
//! whatever a turn is waiting for. All clocks here are monotonic: a step of the wall clock expires
//! nothing.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep_until},
};
use tracing::error;

use super::{
    attempt::Primary,
    secondaries::Shared,
    timers::{Timers, spread},
};
use crate::{
    control::SecondaryStatus,
    locks::lock,
    zone::serial::{is_newer, serial_of},
};

/// Turns that NOTIFY brings about begin no sooner than this after one that found nothing.
const NOTIFY_PAUSE: Duration = Duration::from_secs(1);
/// Beyond every timer.
const FAR: Duration = Duration::from_secs(100 * 365 * 86_400);

/// What an operator asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// The SOA, and the zone if it is newer.
    Refresh,
    /// The zone, whatever its serial.
    Retransfer,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refreshed {
    /// The serial that is served now, if any.
    pub serial: Option<u32>,
    /// Why there is nothing new from any primary; then what was served goes on being served.
    pub error: Option<String>,
}

/// A zone that comes from primaries.
pub struct Secondary {
    /// Its name, canonical.
    pub name: String,
    /// Its name in lower-case wire form.
    pub apex: Vec<u8>,
    /// Its primaries, in the order of the configuration.
    pub primaries: Vec<Primary>,
    pub(super) shared: Arc<Shared>,
    state: Mutex<State>,
    wake: Notify,
}

pub(super) struct State {
    /// What is served: its serial and timers.
    pub version: Option<(u32, Timers)>,
    /// When a primary last confirmed it.
    pub confirmed: Option<Instant>,
    /// The next turn.
    pub next: Instant,
    /// When the data stop being good.
    pub expiry: Option<Instant>,
    pub expired: bool,
    /// Turns in a row without success.
    pub failures: u32,
    pub last_error: Option<String>,
    /// The primary that last confirmed or gave the zone.
    pub primary: Option<SocketAddr>,
    requests: Requests,
}

/// What was asked for since the last turn.
#[derive(Default)]
struct Requests {
    retransfer: bool,
    operator: Vec<oneshot::Sender<Refreshed>>,
    /// Who sent a NOTIFY.
    notified: Option<IpAddr>,
}

impl Requests {
    fn is_some(&self) -> bool {
        self.notified.is_some() || !self.operator.is_empty()
    }
}

impl Secondary {
    /// A zone with what is on disk; [`Secondary::live`] brings it to life.
    pub(super) fn new(
        name: String,
        apex: Vec<u8>,
        primaries: Vec<Primary>,
        shared: Arc<Shared>,
    ) -> Self {
        let now = Instant::now();
        // What is on disk is served already; the primaries are asked at once all the same.
        let standing = shared.home.standing(&name).and_then(|standing| {
            let timers = Timers::of_soa(&standing.soa, shared.limits.timers())?;
            Some((serial_of(&standing.soa)?, timers, standing.life))
        });
        let life = standing.map(|(_, _, life)| life);
        let state = State {
            version: standing.map(|(serial, timers, _)| (serial, timers)),
            confirmed: life.and_then(|life| now.checked_sub(life.age())),
            next: now,
            expiry: life.map(|life| now + life.rest()),
            expired: life.is_some_and(|life| life.rest().is_zero()),
            failures: 0,
            last_error: None,
            primary: None,
            requests: Requests::default(),
        };
        Self { name, apex, primaries, shared, state: Mutex::new(state), wake: Notify::new() }
    }

    /// Asks for a turn; what comes of it is told through the channel.
    pub fn request(&self, look: Look) -> oneshot::Receiver<Refreshed> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state();
        state.requests.retransfer |= look == Look::Retransfer;
        state.requests.operator.push(sender);
        drop(state);
        self.wake.notify_one();
        receiver
    }

    /// A primary says that there is something new, with this serial if it says so much. False where
    /// that is no news.
    pub fn notified(&self, by: IpAddr, serial: Option<u32>) -> bool {
        let mut state = self.state();
        let ours = state.version.map(|(serial, _)| serial);
        if let (Some(serial), Some(ours)) = (serial, ours)
            && !is_newer(serial, ours)
        {
            return false;
        }
        state.requests.notified = Some(by);
        drop(state);
        self.wake.notify_one();
        true
    }

    /// The account of it.
    pub fn status(&self) -> SecondaryStatus {
        let state = self.state();
        let now = Instant::now();
        let until = |moment: Instant| moment.saturating_duration_since(now).as_secs();
        SecondaryStatus {
            primaries: self.primaries.iter().map(|one| one.address.to_string()).collect(),
            primary: state.primary.map(|address| address.to_string()),
            age: state.confirmed.map(|at| now.saturating_duration_since(at).as_secs()),
            next_refresh: until(state.next),
            expiry: state.expiry.map(until),
            expired: state.expired,
            failures: state.failures,
            last_error: state.last_error.clone(),
        }
    }

    /// Looks after the zone for ever.
    pub(super) async fn live(self: Arc<Self>) {
        let mut quiet_until = Instant::now();
        loop {
            self.wait(quiet_until).await;
            let requests = std::mem::take(&mut self.state().requests);
            let begun = Instant::now();
            let news = {
                let turn = self.turn(requests.retransfer, requests.notified);
                tokio::pin!(turn);
                loop {
                    let expiry = self.expiry();
                    tokio::select! {
                        news = &mut turn => break news,
                        () = sleep_until(expiry) => self.expire(),
                    }
                }
            };
            if !news {
                quiet_until = begun + NOTIFY_PAUSE;
            }
            let state = self.state();
            let refreshed = Refreshed {
                serial: state.version.map(|(serial, _)| serial),
                error: state.last_error.clone(),
            };
            drop(state);
            for waiting in requests.operator {
                // Who asked may be gone.
                let _ = waiting.send(refreshed.clone());
            }
        }
    }

    /// Waits for the next turn; NOTIFY alone brings it no nearer than `quiet_until`.
    async fn wait(&self, quiet_until: Instant) {
        loop {
            let (mut due, requests) = {
                let state = self.state();
                let only_notify = state.requests.operator.is_empty();
                let due = match (state.requests.is_some(), only_notify) {
                    (false, _) => state.next,
                    (true, true) => state.next.min(quiet_until),
                    (true, false) => return,
                };
                (due, state.requests.is_some())
            };
            if due <= Instant::now() {
                return;
            }
            let expiry = self.expiry();
            due = due.min(expiry);
            tokio::select! {
                () = sleep_until(due) => {
                    if expiry <= Instant::now() {
                        self.expire();
                    } else if requests {
                        return;
                    }
                }
                () = self.wake.notified() => {}
            }
        }
    }

    /// When the data stop being good, if they are good and ever stop.
    fn expiry(&self) -> Instant {
        let state = self.state();
        match state.expiry {
            Some(expiry) if !state.expired => expiry,
            _ => Instant::now() + FAR,
        }
    }

    /// Tells that the data are too old. What answers has known the moment all along (`Home::confirm`).
    fn expire(&self) {
        {
            let mut state = self.state();
            let over = state.expiry.is_some_and(|expiry| expiry <= Instant::now());
            if !over || state.expired {
                return;
            }
            state.expired = true;
        }
        self.shared.counts.add("expired");
        error!(
            zone = self.name,
            "the zone has expired: no primary confirmed it for as long as its SOA allows; it is \
             answered with SERVFAIL until one does"
        );
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    pub fn succeed(&mut self, primary: SocketAddr, timers: Timers, now: Instant) {
        self.confirmed = Some(now);
        self.primary = Some(primary);
        self.failures = 0;
        self.last_error = None;
        self.next = now + spread(timers.refresh);
    }
}
