//! Zone files: which of them are read, when, and what the log says of it.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::bail;
use tracing::{error, info, warn};

use super::{
    Entry, Zones,
    file::{Fingerprint, has_include},
    history, lock,
};
use crate::{
    config::{ZoneSource, canonical_name},
    control::Reloaded,
    zone::{self, Loaded, Progress},
};

impl Zones {
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
