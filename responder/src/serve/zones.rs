//! The zones that the daemon was told to serve, and what became of each.
//!
//! Loading is slow and blocks: it happens one zone at a time, off the threads that answer. A zone
//! that cannot be loaded harms no other, and what was served under its name goes on being served.

mod adoption;
mod file;
mod haste;
mod history;
mod home;
mod unused;

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::bail;
use tokio::sync::Notify;
use tracing::{error, info, warn};

use self::{
    file::{Fingerprint, has_include},
    history::History,
};
use crate::{
    config::{Zone, ZoneSource, canonical_name},
    control::{LastCommit, Reloaded, ZoneEvent, ZoneState, ZoneStatus},
    store::Store,
    transfer::Announcer,
    zone::{
        self, Kept, Loaded, Progress, Purpose, Shelf,
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

    /// Loads every zone whose file is not the one that was last read; after a failure, tries again.
    pub fn load_changed(self: &Arc<Self>) {
        let mut unwritten = Unwritten::default();
        for (name, zone) in self.configured() {
            let ZoneSource::File(file) = &zone.source else { continue };
            let current = Fingerprint::of(file).ok();
            let same = lock(&self.entries).get(&name).is_some_and(|entry| {
                entry.status.last_error.is_none()
                    && entry.fingerprint.is_some()
                    && entry.fingerprint == current
            });
            // What a file includes may have changed without it.
            if !same || has_include(file).unwrap_or(true) {
                self.load(&name, file);
                unwritten.note(self, &name);
            }
        }
        unwritten.settle(self);
    }

    /// Loads one zone, or all of them, changed or not.
    ///
    /// # Errors
    /// There is no such zone, or it has no file: one line. A zone that is refused is no error here,
    /// but told in the list.
    pub fn reload(self: &Arc<Self>, name: Option<&str>) -> anyhow::Result<Vec<Reloaded>> {
        let configured = self.configured();
        let wanted = match name {
            None => configured,
            Some(text) => {
                let name = canonical_name(text)
                    .map_err(|error| anyhow::anyhow!("\"{text}\" is no name of a zone: {error}"))?;
                let Some(zone) = configured.get(&name) else {
                    bail!("no zone \"{name}\" is configured: `responder status` lists the zones")
                };
                if matches!(zone.source, ZoneSource::Primaries(_)) {
                    bail!(
                        "zone \"{name}\" comes from primaries: `responder zone refresh {name}` asks \
                         them"
                    )
                }
                BTreeMap::from([(name, zone.clone())])
            }
        };
        let mut reloaded = Vec::new();
        let mut unwritten = Unwritten::default();
        for (name, zone) in wanted {
            let ZoneSource::File(file) = &zone.source else { continue };
            self.load(&name, file);
            unwritten.note(self, &name);
            let entries = lock(&self.entries);
            let status = entries.get(&name).map(|entry| &entry.status);
            reloaded.push(Reloaded {
                serial: status.and_then(|status| status.serial),
                error: status.and_then(|status| status.last_error.clone()),
                zone: name,
            });
        }
        unwritten.settle(self);
        Ok(reloaded)
    }

    /// Every zone, by name.
    pub fn status(&self) -> Vec<ZoneStatus> {
        lock(&self.entries).values().map(|entry| entry.status.clone()).collect()
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

    /// Writes a zone to disk that is served.
    fn settle(&self, name: &str) {
        let _alone = lock(&self.loading);
        let mut kept = self.lend(name);
        let settled = catch_unwind(AssertUnwindSafe(|| kept.settle()));
        if settled.is_err() {
            error!(zone = name, "writing the zone to disk failed: please report this");
        }
        if let Some(entry) = lock(&self.entries).get_mut(name) {
            entry.kept = kept;
        }
        self.record(name);
        self.announce(name);
    }

    fn load(&self, name: &str, file: &Path) {
        let _alone = lock(&self.loading);
        // The configuration may have changed while this load waited for its turn.
        let wanted = |entry: &Entry| entry.zone.source == ZoneSource::File(file.to_owned());
        if !lock(&self.entries).get(name).is_some_and(wanted) {
            return;
        }
        // Taken before reading: a change during the load is seen at the next chance.
        let fingerprint = Fingerprint::of(file).ok();
        let started = Instant::now();
        // A fault in the compiler is this zone's misfortune, not the daemon's.
        let tell = |progress: &Progress| info!(zone = name, "loading: {progress}");
        let mut kept = self.lend(name);
        let load =
            |progress: &Progress| zone::load_keeping(&self.store, name, file, progress, &mut kept);
        let result = catch_unwind(AssertUnwindSafe(|| zone::watched(TELL_EVERY, tell, load)));
        let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let result = match result {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err("the zone compiler failed: please report this with the file".to_owned()),
        };
        log_load(name, &result, milliseconds);
        if result.is_ok() {
            // Data of a file do not grow too old, whatever was served before.
            self.expire_after(name, None);
        }
        let from = lock(&self.entries).get(name).and_then(|entry| entry.status.serial);
        self.history.note(name, history::of_file(from, &result, milliseconds));

        let mut entries = lock(&self.entries);
        let Some(entry) = entries.get_mut(name) else { return };
        entry.fingerprint = fingerprint;
        entry.kept = kept;
        entry.status.note(result, milliseconds);
        // Who is told of a version asks for it: it has to be on disk.
        let ready = !entry.kept.is_unwritten();
        drop(entries);
        self.record(name);
        if ready {
            self.announce(name);
        }
    }
}

/// The large zone that is served but not yet on disk; one at a time, since it is held in memory.
#[derive(Default)]
struct Unwritten(Option<String>);

impl Unwritten {
    /// A zone was loaded.
    fn note(&mut self, zones: &Zones, name: &str) {
        if lock(&zones.entries).get(name).is_some_and(|entry| entry.kept.is_unwritten())
            && let Some(before) = self.0.replace(name.to_owned())
        {
            zones.settle(&before);
        }
    }

    /// Has it written while the daemon goes on.
    fn settle(self, zones: &Arc<Zones>) {
        let Some(name) = self.0 else { return };
        let zones = Arc::clone(zones);
        // One that cannot be written now is written before it changes.
        let writing = thread::Builder::new().name("archive".into());
        drop(writing.spawn(move || zones.settle(&name)));
    }
}

impl ZoneStatus {
    /// What became of an attempt to load it.
    fn note(&mut self, result: Result<Loaded, String>, milliseconds: u64) {
        match result {
            Ok(loaded) => {
                self.state = ZoneState::Serving;
                self.serial = Some(loaded.serial);
                self.records = loaded.records;
                self.names = loaded.names;
                self.bytes = loaded.bytes;
                self.loaded_at = Some(seconds_since_1970());
                self.load_milliseconds = Some(milliseconds);
                self.dead_bytes = loaded.dead;
                self.last_commit = loaded.committed.map(LastCommit::from);
                self.warnings = loaded.warnings;
                self.last_error = None;
            }
            Err(error) => {
                if self.state != ZoneState::Serving {
                    self.state = ZoneState::Failed;
                }
                self.last_error = Some(error);
            }
        }
    }
}

/// How often the log says how far a long load has come.
const TELL_EVERY: Duration = Duration::from_secs(3);

fn log_load(name: &str, result: &Result<Loaded, String>, milliseconds: u64) {
    match result {
        Ok(loaded) => {
            if let Some(commit) = &loaded.committed {
                info!(
                    zone = name,
                    serial = commit.serial,
                    owners = commit.owners,
                    written = commit.written,
                    microseconds = commit.steps.total().as_micros() as u64,
                    disk_microseconds = commit.steps.kept.as_micros() as u64,
                    "changes committed"
                );
            }
            info!(
                zone = name,
                serial = loaded.serial,
                records = loaded.records,
                names = loaded.names,
                bytes = loaded.bytes,
                milliseconds,
                "zone loaded"
            );
            for warning in &loaded.warnings {
                warn!(zone = name, "{warning}");
            }
        }
        Err(message) => error!(zone = name, "zone refused: {message}"),
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

fn new_status(zone: &Zone) -> ZoneStatus {
    ZoneStatus {
        name: zone.name.clone(),
        state: ZoneState::Loading,
        serial: None,
        records: 0,
        names: 0,
        bytes: 0,
        dead_bytes: 0,
        reserved_bytes: 0,
        index_slots: 0,
        index_used: 0,
        last_commit: None,
        loaded_at: None,
        load_milliseconds: None,
        file: file_of(zone),
        warnings: Vec::new(),
        last_error: None,
        secondary: None,
    }
}

fn file_of(zone: &Zone) -> Option<String> {
    match &zone.source {
        ZoneSource::File(file) => {
            let absolute = std::path::absolute(file);
            Some(absolute.as_ref().unwrap_or(file).display().to_string())
        }
        ZoneSource::Primaries(_) => None,
    }
}

fn seconds_since_1970() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A panic while a lock was held leaves data that are still whole: each update is made at once.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
