//! Zones that come by transfer, served and kept for the next start.

use std::{
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use tracing::{error, info, warn};

use super::{Entry, Zones, haste::ahead, lock};
use crate::{
    config::ZoneSource,
    control::{ZoneEvent, ZoneState},
    transfer::{Home, Library, Standing, Volume},
    zone::{self, Arrivals, Committed, Kept, Life, Loaded, Refusal, difference::Difference},
};

impl Zones {
    /// Serves what is on disk of the zones with primaries that are not served yet.
    pub fn restore(&self) {
        let _alone = lock(&self.loading);
        for (name, configured) in self.configured() {
            let is_served = |entry: &Entry| entry.status.state == ZoneState::Serving;
            let served = lock(&self.entries).get(&name).is_some_and(is_served);
            if !served && matches!(configured.source, ZoneSource::Primaries(_)) {
                self.restore_one(&name);
            }
        }
    }

    fn restore_one(&self, name: &str) {
        let started = Instant::now();
        let mut kept = self.lend(name);
        let restored = guarded(|| zone::restore(&self.store, name, &mut kept));
        let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        if let Some(entry) = lock(&self.entries).get_mut(name) {
            entry.kept = kept;
            if let Ok(Some(loaded)) = &restored {
                entry.status.note(Ok(loaded.clone()), milliseconds);
            }
        }
        match restored {
            Ok(None) => {}
            Ok(Some(Loaded { serial, records, .. })) => {
                info!(zone = name, serial, records, milliseconds, "zone served from disk");
                let (serial, records) = (Some(serial), Some(records));
                let what = "disk".to_owned();
                let event =
                    ZoneEvent { what, serial, records, milliseconds, ..ZoneEvent::default() };
                self.history.note(name, event);
                self.announce(name);
                let rest = self.standing(name).map(|standing| standing.life.rest());
                if rest.is_some_and(|rest| rest.is_zero()) {
                    error!(zone = name, "the zone expired while no daemon ran");
                }
                self.expire_after(name, rest);
                self.record(name);
            }
            Err(message) => error!(zone = name, "what is on disk cannot be served: {message}"),
        }
    }

    /// Does what makes a new version of a zone, if it still comes from these primaries.
    fn renew(
        &self,
        zone: &str,
        primaries: &[SocketAddr],
        life: Life,
        work: impl FnOnce(&mut Kept) -> Result<Loaded, Refusal>,
    ) -> Result<Loaded, Refusal> {
        let _alone = lock(&self.loading);
        // The configuration may have changed while the transfer went on.
        let comes_from = |entry: &Entry| match &entry.zone.source {
            ZoneSource::Primaries(now) => now.iter().map(|one| &one.address).eq(primaries),
            ZoneSource::File(_) => false,
        };
        if !lock(&self.entries).get(zone).is_some_and(comes_from) {
            return Err("the zone is no longer configured with these primaries".to_owned().into());
        }
        let started = Instant::now();
        let mut kept = self.lend(zone);
        kept.set_life(life);
        let result = guarded(|| work(&mut kept));
        if result.is_ok() {
            // Even the same contents are fresh again.
            self.expire_after(zone, Some(life.rest()));
        }
        let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        if let Some(entry) = lock(&self.entries).get_mut(zone) {
            entry.kept = kept;
            entry.status.note(result.clone().map_err(|refusal| refusal.to_string()), milliseconds);
        }
        self.record(zone);
        self.announce(zone);
        result
    }

    /// Compiles a zone anew where commits have left its space in crumbs.
    fn compact(&self, zone: &str) {
        let _alone = lock(&self.loading);
        let mut kept = self.lend(zone);
        let expires = kept.shelf().life().map(|(life, _)| life.rest());
        let done = guarded(|| zone::compact(&self.store, zone, &mut kept));
        match &done {
            Ok(None) => {}
            Ok(Some(Loaded { names, bytes, .. })) => {
                self.expire_after(zone, expires);
                info!(zone, names, bytes, "compiled anew, since too much of its space lay idle");
            }
            Err(error) => warn!(zone, "its space is in crumbs and stays so: {error}"),
        }
        let anew = matches!(done, Ok(Some(_)));
        if let Some(entry) = lock(&self.entries).get_mut(zone) {
            entry.kept = kept;
        }
        if anew {
            self.record(zone);
        }
    }

    /// Has a zone answered with SERVFAIL from then on; one that is not served is answered with REFUSED
    /// anyhow.
    pub(super) fn expire_after(&self, zone: &str, time: Option<Duration>) {
        if let Ok(apex) = zone::name::from_text_lower(zone) {
            self.store.expire_after(&apex, time);
        }
    }
}

impl Home for Zones {
    fn serve(
        &self,
        zone: &str,
        primaries: &[SocketAddr],
        arrivals: Arrivals,
        life: Life,
    ) -> Result<Loaded, Refusal> {
        self.renew(zone, primaries, life, |kept| arrivals.serve(&self.store, kept))
    }

    fn apply(
        &self,
        zone: &str,
        primaries: &[SocketAddr],
        differences: &[Difference],
        life: Life,
    ) -> Result<Loaded, Refusal> {
        let apex = zone::name::from_text_lower(zone)?;
        let renewed = self.renew(zone, primaries, life, |kept| {
            let committed = ahead(|| kept.apply(&self.store, differences))?;
            let Committed { serial, names, records, .. } = committed;
            let usage = self.store.usage(&apex).unwrap_or_default();
            let (bytes, dead, committed) = (usage.live, usage.dead, Some(committed));
            Ok(Loaded { serial, records, names, bytes, dead, warnings: Vec::new(), committed })
        });
        // It is served, and those who follow it know: this may take its time.
        if renewed.is_ok() {
            self.compact(zone);
        }
        renewed
    }

    fn confirm(&self, zone: &str, life: Life) -> Result<(), String> {
        self.expire_after(zone, Some(life.rest()));
        let shelf = lock(&self.entries).get(zone).map(|entry| entry.shelf.clone());
        shelf.map_or(Ok(()), |shelf| shelf.confirm(&life)).map_err(|error| error.to_string())
    }

    fn note(&self, zone: &str, event: ZoneEvent) {
        self.history.note(zone, event);
    }

    fn standing(&self, zone: &str) -> Option<Standing> {
        let (shelf, state) = {
            let entries = lock(&self.entries);
            let entry = entries.get(zone)?;
            (entry.shelf.clone(), entry.status.state)
        };
        let (life, soa) = shelf.life().filter(|_| state == ZoneState::Serving)?;
        Some(Standing { soa, life })
    }
}

impl Library for Zones {
    fn volume(&self, zone: &str) -> Option<Volume> {
        let shelf = lock(&self.entries).get(zone)?.shelf.clone();
        let version = self.store.version(&zone::name::from_text_lower(zone).ok()?);
        Some(Volume { version, archive: shelf.archive() })
    }
}

/// A fault in the compiler is this zone's misfortune, not the daemon's.
fn guarded<T, E: From<String>>(work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err("the zone compiler failed: please report this".to_owned().into()))
}
