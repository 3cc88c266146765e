//! The zones that the daemon serves: those of the configuration, and the members of its catalogs; and what
//! catalogs say of this node.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex},
};

use anyhow::{Result, anyhow};
use tokio::task::spawn_blocking;
use tracing::error;

use super::Daemon;
use crate::{
    catalog::{
        self,
        membership::{CatalogStatus, Heard, Membership, Outcome},
    },
    cloud::Desk,
    config::{Config, Zone},
    locks::lock,
    transfer::Library as _,
    zone::{archive::Lookup as _, name},
};

/// What the configuration says now, and what catalogs add to it.
pub struct Catalogs(Mutex<State>);

struct State {
    config: Config,
    membership: Membership,
    /// The catalogs that are produced here.
    desk: Desk,
}

impl Catalogs {
    /// Goes on from what is kept in a state directory.
    pub fn kept_in(state: &Path) -> Self {
        Self(Mutex::new(State {
            config: Config::default(),
            membership: Membership::kept_in(state),
            desk: Desk::kept_in(state),
        }))
    }
}

impl Daemon {
    /// Takes over the zones and keys of a configuration, and what its catalogs list.
    pub(super) fn configure(&self, config: &Config) {
        let mut state = lock(&self.catalogs.0);
        state.config = config.clone();
        self.follow(&mut state);
    }

    /// How it stands with the catalogs that are followed.
    pub fn catalogs(&self) -> Vec<CatalogStatus> {
        let state = lock(&self.catalogs.0);
        state.membership.status(&state.config)
    }

    /// Lets the version of a catalog that is held back count.
    ///
    /// # Errors
    /// There is no such catalog, or nothing is held back: one line.
    pub fn accept_catalog(&self, name: &str) -> Result<()> {
        let name = self.zones.known(name, false)?;
        let mut state = lock(&self.catalogs.0);
        let (serial, _) =
            self.hear(&name).ok_or_else(|| anyhow!("catalog \"{name}\" is not served yet"))?;
        state.membership.accept(&name, serial).map_err(anyhow::Error::msg)?;
        self.follow(&mut state);
        Ok(())
    }

    /// Does something with the catalogs that are produced here, and publishes what comes of it.
    ///
    /// # Errors
    /// Those of `work`.
    pub(super) fn at_desk<T>(
        &self,
        work: impl FnOnce(&mut Desk, &[Zone]) -> Result<T>,
    ) -> Result<T> {
        let done = {
            let mut state = lock(&self.catalogs.0);
            let State { config, desk, .. } = &mut *state;
            let done = work(desk, &config.zones)?;
            self.follow(&mut state);
            done
        };
        self.zones.load_changed();
        Ok(done)
    }

    /// Looks at the catalogs that are produced here.
    ///
    /// # Errors
    /// Those of `look`.
    pub(super) fn look_at_desk<T>(
        &self,
        look: impl FnOnce(&Desk, &[Zone]) -> Result<T>,
    ) -> Result<T> {
        let state = lock(&self.catalogs.0);
        look(&state.desk, &state.config.zones)
    }

    /// Serves what configuration and catalogs say.
    fn follow(&self, state: &mut State) {
        let State { config, membership, desk } = state;
        // Catalogs that are on disk say something only once they are served.
        let first = membership.follow(config, |name| self.hear(name));
        let mut zones = self.serve_zones(config, &first, desk);
        let second = membership.follow(config, |name| self.hear(name));
        if second != first {
            zones = self.serve_zones(config, &second, desk);
        }
        self.transfers.configure(&Config { zones, ..config.clone() });
        let switches = |zone: &Zone| zone.members.as_ref().is_some_and(|one| one.switchboard);
        match &second.switchboard {
            Some(switchboard) => self.follow_switches(&switchboard.drained(&config.node.id)),
            // It has said nothing yet: what it said before an earlier end stays.
            None if config.zones.iter().any(switches) => {}
            None => self.follow_switches(&BTreeSet::new()),
        }
    }

    /// What the version of a catalog that is served says; none where it is not served, or not yet on disk:
    /// then it comes again in a moment.
    fn hear(&self, name: &str) -> Option<Heard> {
        let volume = self.zones.volume(name)?;
        let serial = volume.version?.serial;
        let view = volume.archive?.read().ok()?;
        let apex = name::from_text_lower(name).ok()?;
        (view.serial().ok()? == Some(serial)).then(|| (serial, catalog::read(&view, &apex)))
    }

    fn serve_zones(&self, config: &Config, outcome: &Outcome, desk: &mut Desk) -> Vec<Zone> {
        let mut zones = config.zones.clone();
        zones.extend(outcome.zones.iter().cloned());
        if let Err(message) = desk.publish(&zones) {
            error!("a catalog is not produced: {message:#}");
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
