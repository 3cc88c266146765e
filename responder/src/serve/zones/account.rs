//! What is told of a zone in `responder status`.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::{
    config::{Zone, ZoneSource},
    control::{LastCommit, ZoneState, ZoneStatus},
    zone::Loaded,
};

/// The account of a zone that waits to be loaded.
pub fn new_status(zone: &Zone) -> ZoneStatus {
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

impl ZoneStatus {
    /// What became of an attempt to load it.
    pub(super) fn note(&mut self, result: Result<Loaded, String>, milliseconds: u64) {
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

/// The file of a zone, as an operator is told.
pub fn file_of(zone: &Zone) -> Option<String> {
    match &zone.source {
        ZoneSource::File(file) => {
            let absolute = std::path::absolute(file);
            Some(absolute.as_ref().unwrap_or(file).display().to_string())
        }
        ZoneSource::Primaries(_) => None,
    }
}

/// The wall clock.
pub fn seconds_since_1970() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
