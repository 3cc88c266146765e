//! The zones that the daemon serves: those of the configuration, and the members of its catalogs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::spawn_blocking;
use tracing::error;

use super::Daemon;
use crate::{
    catalog::{self, membership::Membership, produce},
    config::Config,
    transfer::Library as _,
    zone::name,
};

/// What the configuration says now, and what catalogs add to it.
#[derive(Default)]
pub struct Catalogs(Mutex<State>);

#[derive(Default)]
struct State {
    config: Config,
    membership: Membership,
}

impl Daemon {
    /// Takes over the zones and keys of a configuration, and what its catalogs list.
    pub(super) fn configure(&self, config: &Config) {
        let mut state = lock(&self.catalogs.0);
        state.config = config.clone();
        self.follow(&mut state);
    }

    /// Serves what configuration and catalogs say.
    fn follow(&self, state: &mut State) {
        let State { config, membership } = state;
        // Catalogs that are on disk say something only once they are served.
        let first = self.served(config, membership);
        let mut zones = self.serve_zones(config, &first);
        let second = self.served(config, membership);
        if second != first {
            zones = self.serve_zones(config, &second);
        }
        self.transfers.configure(&Config { zones, ..config.clone() });
    }

    fn served(&self, config: &Config, membership: &mut Membership) -> catalog::membership::Outcome {
        membership.follow(config, |name| {
            let volume = self.zones.volume(name)?;
            let serial = volume.serial?;
            let view = volume.archive?.read().ok()?;
            let apex = name::from_text_lower(name).ok()?;
            use crate::zone::archive::Lookup as _;
            // A version that is not yet on disk comes again in a moment.
            (view.serial().ok()? == Some(serial)).then(|| catalog::read(&view, &apex))
        })
    }

    fn serve_zones(
        &self,
        config: &Config,
        outcome: &catalog::membership::Outcome,
    ) -> Vec<crate::config::Zone> {
        let mut zones = config.zones.clone();
        zones.extend(outcome.zones.iter().cloned());
        if let Err(message) = produce::write(&zones) {
            error!("a catalog is not produced: {message}");
        }
        if !outcome.reset.is_empty() {
            let kept = zones.iter().filter(|zone| !outcome.reset.contains(&zone.name));
            let kept: Vec<_> = kept.cloned().collect();
            self.zones.configure(kept.clone());
            // Its transfers end as well.
            self.transfers.configure(&Config { zones: kept, ..config.clone() });
        }
        self.zones.configure(zones.clone());
        // Before their primaries are asked: these need not give again what is on disk.
        self.zones.restore();
        zones
    }
}

/// Follows catalogs as they change, until dropped.
pub async fn follow(daemon: Arc<Daemon>) {
    loop {
        daemon.zones.catalogs.notified().await;
        let following = Arc::clone(&daemon);
        let work = spawn_blocking(move || {
            following.follow(&mut lock(&following.catalogs.0));
            following.zones.load_changed();
        });
        if let Err(error) = work.await {
            error!("catalogs cannot be followed: {error}");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
