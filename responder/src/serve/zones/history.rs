//! The last events of each zone, in memory: a restart forgets them.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Mutex,
};

use super::{account::seconds_since_1970, lock};
use crate::{control::ZoneEvent, zone::Loaded};

/// Events that are kept of a zone; the oldest go first.
const KEPT: usize = 100;

/// The last events of each zone.
#[derive(Default)]
pub(super) struct History(Mutex<BTreeMap<String, VecDeque<ZoneEvent>>>);

impl History {
    /// Notes an event that has just ended.
    pub fn note(&self, zone: &str, event: ZoneEvent) {
        let mut zones = lock(&self.0);
        let events = zones.entry(zone.to_owned()).or_default();
        if events.len() == KEPT {
            events.pop_front();
        }
        events.push_back(ZoneEvent { at: seconds_since_1970(), ..event });
    }

    /// The events of a zone, the last one first.
    pub fn of(&self, zone: &str) -> Vec<ZoneEvent> {
        lock(&self.0)
            .get(zone)
            .map(|events| events.iter().rev().cloned().collect())
            .unwrap_or_default()
    }

    /// Forgets the events of a zone.
    pub fn forget(&self, zone: &str) {
        lock(&self.0).remove(zone);
    }
}

/// The event of a file that was read.
pub(super) fn of_file(
    from: Option<u32>,
    result: &Result<Loaded, String>,
    milliseconds: u64,
) -> ZoneEvent {
    let loaded = result.as_ref().ok();
    ZoneEvent {
        what: "file".to_owned(),
        from,
        serial: loaded.map(|loaded| loaded.serial),
        records: loaded.map(|loaded| loaded.records),
        milliseconds,
        error: result.as_ref().err().cloned(),
        ..ZoneEvent::default()
    }
}
