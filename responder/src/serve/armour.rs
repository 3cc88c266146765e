//! The daemon's part of the armour against floods: rates, cookies, and the access list, live.

use std::{
    path::PathBuf,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use anyhow::Result;
use ipnet::IpNet;
use tracing::{error, info};

use super::Daemon;
use crate::{
    config::Config,
    limits::{self, acl, top},
    locks::lock,
    store::Store,
};

/// For how long sources are watched.
const WATCH: Duration = Duration::from_secs(1);

/// What is followed, and the access list.
pub struct Armour(Mutex<State>);

struct State {
    /// The configuration that is followed.
    config: Config,
    acl: acl::List,
}

impl Armour {
    /// Has the store follow the configuration and the access list of its state directory.
    ///
    /// # Errors
    /// The access list or the cookie secrets cannot be read: one line with the remedy.
    pub fn open(store: &Store, config: &Config) -> Result<Self> {
        let acl = acl::List::open(&config.node.state)?;
        limits::follow(store, config, &acl)?;
        Ok(Self(Mutex::new(State { config: config.clone(), acl })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

impl Daemon {
    /// Follows a changed configuration; what cannot be followed stays as it was.
    pub(super) fn follow_limits(&self, config: &Config) {
        let mut state = self.armour.state();
        if let Err(error) = limits::follow(&self.store, config, &state.acl) {
            error!("{error:#}; what it was before goes on");
        }
        log_secrets(state.config.cookies.secret_file.as_ref(), config.cookies.secret_file.as_ref());
        if state.config.rate_limit != config.rate_limit {
            let mode = config.rate_limit.mode;
            info!(?mode, "the limits have changed; `responder limits top` shows who asks most");
        }
        state.config = config.clone();
    }

    /// The access list.
    pub fn acl(&self) -> Vec<(IpNet, acl::Action)> {
        self.armour.state().acl.entries().collect()
    }

    /// Changes the access list: on disk first, then for every query received from now on.
    ///
    /// # Errors
    /// The change is refused, or it cannot be written; then nothing has changed.
    pub fn edit_acl(&self, change: impl FnOnce(&mut acl::List) -> Result<bool>) -> Result<()> {
        let mut state = self.armour.state();
        let mut list = state.acl.clone();
        if !change(&mut list)? {
            return Ok(());
        }
        list.save()?;
        limits::list(&self.store, &state.config, &list)?;
        info!(prefixes = list.entries().count(), "the access list has changed");
        state.acl = list;
        Ok(())
    }

    /// Watches for a second who asks most.
    pub fn top(&self, count: usize) -> (limits::Mode, Vec<top::Talker>) {
        let settings = self.armour.state().config.rate_limit.clone();
        let zones: Vec<String> = self.zones.status().into_iter().map(|zone| zone.name).collect();
        let talkers = top::watch(&self.store, &settings, &zones, count, WATCH);
        (settings.mode, talkers)
    }
}

fn log_secrets(before: Option<&PathBuf>, now: Option<&PathBuf>) {
    match (before, now) {
        (None, Some(file)) => info!(file = %file.display(), "cookies are made from now on"),
        (Some(_), None) => info!("no cookies are made any more"),
        _ => {}
    }
}
