//! Zones that an earlier daemon compiled and that are still as they were: they are not loaded again.
//!
//! With each version goes a note in the store (`Store::record`): from what it was made. A zone with a file
//! is as it was if the file is; one that others may have, or that comes from primaries, if its archive has
//! the mark that it got with that version. What is not as it was goes on being answered from until it has
//! been loaded.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use tracing::{debug, error, info, warn};

use super::{
    Entry, Zones,
    file::{Fingerprint, has_include},
    lock, purpose_of,
};
use crate::{
    config::ZoneSource,
    control::ZoneState,
    zone::{self, Purpose},
};

/// From what a version was made, and what an operator is told of it.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    /// The file as it was when it was read; none for a zone with primaries.
    fingerprint: Option<Fingerprint>,
    /// Whether it includes others.
    includes: bool,
    /// The mark of the archive that holds the same.
    mark: Option<u64>,
    records: u64,
    names: u64,
    loaded_at: Option<u64>,
    warnings: Vec<String>,
}

impl Zones {
    /// Notes in the store from what the version was made that is served now.
    pub(super) fn record(&self, name: &str) {
        if !self.store.is_lasting() {
            return;
        }
        let note = {
            let mut entries = lock(&self.entries);
            let Some(entry) = entries.get_mut(name) else { return };
            if entry.status.state != ZoneState::Serving || entry.status.last_error.is_some() {
                // What is served is not what the entry tells of.
                return;
            }
            let file = match &entry.zone.source {
                ZoneSource::File(file) => Some(file.clone()),
                ZoneSource::Primaries(_) => None,
            };
            let includes = file.is_some_and(|file| has_include(&file).unwrap_or(true));
            Note {
                fingerprint: entry.fingerprint.clone(),
                includes,
                mark: entry.kept.mark(),
                records: entry.status.records,
                names: entry.status.names,
                loaded_at: entry.status.loaded_at,
                warnings: entry.status.warnings.clone(),
            }
        };
        let recorded = serde_json::to_vec(&note).map_err(std::io::Error::from).and_then(|note| {
            let apex = zone::name::from_text_lower(name).map_err(std::io::Error::other)?;
            self.store.record(&apex, &note)
        });
        if let Err(error) = recorded {
            warn!(zone = name, "the next start will load all zones anew: {error}");
        }
    }

    /// Goes on with what an earlier daemon compiled of a zone, if it is still served. Where it is not as it
    /// was, or nobody can tell, it is still to be loaded.
    pub(super) fn go_on(&self, entry: &mut Entry) {
        let Ok(apex) = zone::name::from_text_lower(&entry.zone.name) else { return };
        let Some(adopted) = self.store.adopted(&apex) else { return };
        let Ok(note) = serde_json::from_slice::<Note>(&adopted.note) else { return };
        let purpose = purpose_of(&entry.zone);
        let agrees = note.mark.is_some_and(|mark| entry.kept.resume(&apex, mark, note.names));
        let same = match &entry.zone.source {
            ZoneSource::File(file) => {
                let now = Fingerprint::of(file).ok();
                let same = !note.includes && now.is_some() && now == note.fingerprint;
                same && (agrees || purpose == Purpose::Changes)
            }
            ZoneSource::Primaries(_) => note.fingerprint.is_none() && agrees,
        };
        let name = &entry.zone.name;
        if !same && purpose == Purpose::Restart {
            // It is compiled from its archive, or transferred.
            debug!(zone = name, "what is on disk is not what the kernel answers from");
            return;
        }
        entry.status.state = ZoneState::Serving;
        entry.status.serial = Some(adopted.serial);
        entry.status.records = note.records;
        entry.status.names = note.names;
        entry.status.bytes = adopted.bytes;
        entry.status.loaded_at = note.loaded_at;
        entry.status.warnings = note.warnings;
        if same {
            debug!(
                zone = name,
                serial = adopted.serial,
                "goes on as an earlier daemon compiled it"
            );
            entry.fingerprint = note.fingerprint;
        }
        let life = entry.shelf.life().filter(|_| purpose == Purpose::Restart);
        if life.is_some_and(|(life, _)| life.rest().is_zero()) {
            error!(zone = name, "the zone expired while no daemon ran");
        }
    }

    /// Takes out of service what an earlier daemon served and this one is not to serve; whoever wants to know
    /// of new versions is told of the others, as at any start.
    pub fn settle_adopted(&self) {
        let _alone = lock(&self.loading);
        let (mut kept, mut unclaimed) = (Vec::new(), Vec::new());
        let claimed: HashMap<Vec<u8>, String> = lock(&self.entries)
            .keys()
            .filter_map(|name| Some((zone::name::from_text_lower(name).ok()?, name.clone())))
            .collect();
        for apex in self.store.apexes().iter().filter(|apex| self.store.is_sealed(apex)) {
            match claimed.get(apex) {
                Some(name) => kept.push(name),
                None => unclaimed.push(zone::name::to_text(apex)),
            }
        }
        if !kept.is_empty() {
            let zones = kept.len();
            info!(zones, "going on with the store that an earlier daemon left");
        }
        kept.into_iter().for_each(|name| self.announce(name));
        if !unclaimed.is_empty() {
            let zones = unclaimed.join(" ");
            info!(zones, "removed: an earlier daemon served them, and they are not configured");
            self.store.remove_zones(unclaimed.iter().map(String::as_str));
        }
    }
}
