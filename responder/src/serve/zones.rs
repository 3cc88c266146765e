//! The zones that the daemon was told to serve, and what became of each.
//!
//! Loading is slow and blocks: it happens one zone at a time, off the threads that answer. A zone
//! that cannot be loaded harms no other, and what was served under its name goes on being served.

mod account;
mod adoption;
mod file;
mod haste;
mod history;
mod home;
mod load;
mod unused;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock},
};

use anyhow::bail;
use tokio::sync::Notify;
use tracing::info;

use self::{
    account::{file_of, new_status},
    file::Fingerprint,
    history::History,
};
use crate::{
    config::{Zone, ZoneSource, canonical_name},
    control::{ZoneEvent, ZoneStatus},
    locks::lock,
    store::Store,
    transfer::Announcer,
    zone::{
        self, Kept, Purpose, Shelf,
        archive::{Archive, JournalLimits},
    },
};

/// The zones of the configuration, over one store.
pub struct Zones {
    store: Arc<Store>,
    archives: PathBuf,
    entries: Mutex<BTreeMap<String, Entry>>,
    history: History,
    /// Held while a zone is loaded, so that two loads of one zone never cross.
    loading: Mutex<()>,
    /// Who is told of new versions.
    announcer: OnceLock<Arc<Announcer>>,
    /// Told when a catalog may have a new version.
    pub(super) catalogs: Notify,
}

struct Entry {
    zone: Zone,
    status: ZoneStatus,
    /// The file as it was when it was last read.
    fingerprint: Option<Fingerprint>,
    /// What the next load compares with; lent to a load while there is one.
    kept: Kept,
    /// Where others find what is served.
    shelf: Shelf,
}

impl Zones {
    /// No zones yet. What zones keep goes into folders of their own under `archives`.
    pub fn new(store: Arc<Store>, archives: PathBuf) -> Self {
        let (entries, history, loading) = Default::default();
        Self {
            store,
            archives,
            entries,
            history,
            loading,
            announcer: OnceLock::new(),
            catalogs: Notify::new(),
        }
    }

    /// Has others told of new versions, from now on.
    pub fn announce_by(&self, announcer: Arc<Announcer>) {
        // Once is enough.
        let _ = self.announcer.set(announcer);
    }

    /// A zone may have a new version.
    fn announce(&self, name: &str) {
        if let Some(announcer) = self.announcer.get() {
            announcer.committed(name);
        }
        let is_catalog = |entry: &Entry| entry.zone.members.is_some();
        if lock(&self.entries).get(name).is_some_and(is_catalog) {
            self.catalogs.notify_one();
        }
    }

    /// What a zone keeps, for a load that gives it back.
    fn lend(&self, name: &str) -> Kept {
        let mut entries = lock(&self.entries);
        entries.get_mut(name).map(|entry| std::mem::take(&mut entry.kept)).unwrap_or_default()
    }

    /// A new zone: it keeps nothing yet, in a folder of its own, or what an earlier daemon left.
    fn enter(&self, zone: Zone) -> Entry {
        let kept = match zone::name::from_text_lower(&zone.name) {
            Ok(apex) => Kept::within(Archive::folder(&self.archives, &apex)),
            Err(_) => Kept::default(),
        };
        let (status, shelf) = (new_status(&zone), kept.shelf());
        let mut entry = Entry { status, shelf, kept, zone, fingerprint: None };
        self.go_on(&mut entry);
        entry
    }

    /// Takes over the zones of a configuration: those that are no longer in it leave service, new
    /// ones wait for [`Zones::load_changed`].
    pub fn configure(&self, zones: Vec<Zone>) {
        let _alone = lock(&self.loading);
        let mut former = std::mem::take(&mut *lock(&self.entries));
        let mut entries = BTreeMap::new();
        for zone in zones {
            let name = zone.name.clone();
            let entry = match former.remove(&name) {
                Some(entry) if entry.zone.source == zone.source => Entry { zone, ..entry },
                Some(mut entry) => {
                    // Another source: serve the old data until the new are there.
                    entry.fingerprint = None;
                    entry.status.file = file_of(&zone);
                    Entry { zone, ..entry }
                }
                None => self.enter(zone),
            };
            entries.insert(name, entry);
        }
        for entry in entries.values_mut() {
            let purpose = purpose_of(&entry.zone);
            entry.kept.set_purpose(purpose, journal_of(&entry.zone));
            let guards = (purpose == Purpose::Restart).then(|| entry.zone.guards.clone());
            entry.kept.set_guards(guards);
            if purpose == Purpose::Transfers && entry.shelf.archive().is_none() {
                // A small zone that nobody was given so far has nothing to give.
                entry.fingerprint = None;
            }
        }
        *lock(&self.entries) = entries;
        self.store.remove_zones(former.keys().map(String::as_str));
        for (name, entry) in former {
            self.history.forget(&name);
            entry.kept.discard();
            info!(zone = name, "zone removed: it is no longer configured");
        }
    }

    /// Every zone, by name.
    pub fn status(&self) -> Vec<ZoneStatus> {
        let status = |entry: &Entry| {
            let mut status = entry.status.clone();
            status.warnings.extend(entry.shelf.trouble().map(str::to_owned));
            status
        };
        lock(&self.entries).values().map(status).collect()
    }

    /// Shows every zone, by name, with its account.
    pub fn visit(&self, mut look: impl FnMut(&Zone, &ZoneStatus)) {
        lock(&self.entries).values().for_each(|entry| look(&entry.zone, &entry.status));
    }

    /// What happened to a zone, the last event first.
    ///
    /// # Errors
    /// There is no such zone: one line.
    pub fn history(&self, name: &str) -> anyhow::Result<Vec<ZoneEvent>> {
        Ok(self.history.of(&self.known(name, false)?))
    }

    /// The canonical name of a zone that an operator names.
    ///
    /// # Errors
    /// It is none, or there is no such zone (which is no fault where `gone` is true): one line.
    pub fn known(&self, name: &str, gone: bool) -> anyhow::Result<String> {
        let name = canonical_name(name)
            .map_err(|error| anyhow::anyhow!("\"{name}\" is no name of a zone: {error}"))?;
        if !gone && !lock(&self.entries).contains_key(&name) {
            bail!("no zone \"{name}\" is configured: `responder status` lists the zones")
        }
        Ok(name)
    }

    fn configured(&self) -> BTreeMap<String, Zone> {
        let entries = lock(&self.entries);
        entries.iter().map(|(name, entry)| (name.clone(), entry.zone.clone())).collect()
    }
}

/// What a zone's contents are kept for.
fn purpose_of(zone: &Zone) -> Purpose {
    match zone.source {
        ZoneSource::Primaries(_) => Purpose::Restart,
        ZoneSource::File(_) if zone.transfer_to.is_empty() && zone.members.is_none() => {
            Purpose::Changes
        }
        ZoneSource::File(_) => Purpose::Transfers,
    }
}

/// How much of its changes is kept: nothing where nobody may ask for them.
fn journal_of(zone: &Zone) -> JournalLimits {
    if zone.transfer_to.is_empty() { JournalLimits::NOTHING } else { zone.journal }
}
