//! One look at a service: everything that its health depends on, gathered and weighed.
//!
//! What withdraws a family of addresses: the program in the kernel gives no answer or a wrong one, or no
//! longer hangs where it was attached; sockets give none or a wrong one over UDP or TCP; no interface is up;
//! every zone of the service is gone. What never does: a zone among others, and load. A probe that is not
//! answered in time counts only if next to nothing else was answered meanwhile: a busy node is slow, not
//! dead (RFC 9199, section 3.3 wants it to absorb).

use std::{net::SocketAddr, time::Duration};

use super::{
    probe::{Failure, Question},
    route::Family,
};
use crate::{
    control::ZoneState,
    serve::{Counters, Daemon, Event},
    zone::name,
};

/// Replies over one transport, while a probe waited, that tell of load.
const BUSY: u64 = 100;

/// What one look at a family found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// Why it should not be announced.
    pub faults: Vec<String>,
    /// What an operator should know, and no more.
    pub notes: Vec<String>,
}

impl Look {
    /// Whether it speaks for the service.
    pub fn is_good(&self) -> bool {
        self.faults.is_empty()
    }

    /// Adds another's findings.
    pub fn add(&mut self, other: Self) {
        self.faults.extend(other.faults);
        self.notes.extend(other.notes);
    }
}

/// A zone of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneLook {
    /// Its name.
    pub name: String,
    /// What it is doing.
    pub state: ZoneState,
    /// Time since a primary confirmed it, if it has primaries.
    pub age: Option<Duration>,
    /// Refreshes in a row that failed.
    pub failures: u32,
}

/// Weighs the zones of a service: it is gone only when all of them are. `max_age` is the age at which a
/// zone counts as gone.
pub fn of_zones(zones: &[ZoneLook], max_age: Option<Duration>) -> Look {
    let mut look = Look::default();
    let is_stale =
        |zone: &ZoneLook| max_age.is_some_and(|most| zone.age.is_some_and(|age| age > most));
    let gone: Vec<String> = zones
        .iter()
        .filter_map(|zone| match zone.state {
            ZoneState::Serving if is_stale(zone) => Some(format!(
                "{} (no primary confirmed it for {} s)",
                zone.name,
                zone.age.unwrap_or_default().as_secs()
            )),
            ZoneState::Serving => None,
            state => Some(format!("{} ({})", zone.name, state.label())),
        })
        .collect();
    if zones.is_empty() {
        look.faults.push("there are no zones".to_owned());
    } else if gone.len() == zones.len() {
        look.faults.push(format!("every zone is gone: {}", shortened(&gone)));
    } else if !gone.is_empty() {
        look.notes.push(format!("zones gone: {}", shortened(&gone)));
    }
    let behind: Vec<String> = zones
        .iter()
        .filter(|zone| zone.failures > 0 && zone.state == ZoneState::Serving)
        .map(|zone| zone.name.clone())
        .collect();
    if !behind.is_empty() {
        look.notes.push(format!("primaries not reached: {}", shortened(&behind)));
    }
    look
}

/// The first few of a list that may be long.
fn shortened(list: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut text = list.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if list.len() > SHOWN {
        text += &format!(" and {} more", list.len() - SHOWN);
    }
    text
}

/// Asks one address over UDP and TCP; `count` tells what both have done so far.
pub fn of_sockets(
    count: &dyn Fn() -> [u64; 2],
    server: SocketAddr,
    question: &Question,
    patience: Duration,
) -> Look {
    let mut look = Look::default();
    let before = count();
    let results = [question.over_udp(server, patience), question.over_tcp(server, patience)];
    // Counting may cost as much as asking.
    let after = if results.iter().all(Result::is_ok) { before } else { count() };
    for (index, (transport, result)) in ["UDP", "TCP"].into_iter().zip(results).enumerate() {
        let meanwhile = after[index].saturating_sub(before[index]);
        match result {
            Ok(()) => {}
            Err(Failure::Silent(why)) if meanwhile >= BUSY => {
                look.notes.push(format!("{server} over {transport}: busy ({why})"));
            }
            Err(Failure::Silent(why) | Failure::Wrong(why)) => {
                look.faults.push(format!("{server} over {transport}: {why}"));
            }
            Err(Failure::Absent) => {
                look.faults.push(format!("no interface has {}", server.ip()));
                break;
            }
        }
    }
    look
}

/// What a transport's sockets have done that takes work, connections turned away included.
pub fn answered(counters: &Counters) -> u64 {
    counters.answered() + counters.get(Event::Full) + counters.get(Event::SourceFull)
}

/// The zones of a service: those it names, or all but the catalogs.
pub fn zones_of(daemon: &Daemon, named: &[String]) -> Vec<ZoneLook> {
    let mut zones = Vec::new();
    daemon.zones.visit(|zone, status| {
        let is_catalog = zone.members.is_some() || zone.is_produced;
        if if named.is_empty() { !is_catalog } else { named.contains(&zone.name) } {
            let (name, state) = (zone.name.clone(), status.state);
            zones.push(ZoneLook { name, state, age: None, failures: 0 });
        }
    });
    for zone in &mut zones {
        let apex = name::from_text_lower(&zone.name).ok();
        let Some(secondary) = apex.and_then(|apex| daemon.transfers.secondaries.get(&apex)) else {
            continue;
        };
        let secondary = secondary.status();
        if secondary.expired {
            zone.state = ZoneState::Expired;
        } else if zone.state == ZoneState::Loading && secondary.last_error.is_some() {
            zone.state = ZoneState::Failed;
        }
        (zone.age, zone.failures) = (secondary.age.map(Duration::from_secs), secondary.failures);
    }
    zones
}

/// Which family an address is of.
pub fn family(server: &SocketAddr) -> Family {
    if server.is_ipv4() { Family::V4 } else { Family::V6 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str, state: ZoneState, age: Option<u64>) -> ZoneLook {
        ZoneLook { name: name.to_owned(), state, age: age.map(Duration::from_secs), failures: 0 }
    }

    #[test]
    fn only_the_loss_of_every_zone_counts() {
        let (good, bad) =
            (zone("a.", ZoneState::Serving, None), zone("b.", ZoneState::Expired, None));
        assert_eq!(of_zones(std::slice::from_ref(&good), None), Look::default());
        let mixed = of_zones(&[good, bad.clone()], None);
        assert!(mixed.is_good());
        assert_eq!(mixed.notes, ["zones gone: b. (expired)"]);
        let lost = of_zones(&[bad.clone(), zone("c.", ZoneState::Failed, None)], None);
        assert_eq!(lost.faults, ["every zone is gone: b. (expired), c. (failed)"]);
        assert!(!of_zones(&[], None).is_good());
    }

    #[test]
    fn age_counts_only_where_it_is_bounded() {
        let old = [zone("a.", ZoneState::Serving, Some(100))];
        assert!(of_zones(&old, None).is_good());
        assert!(of_zones(&old, Some(Duration::from_secs(100))).is_good());
        assert!(!of_zones(&old, Some(Duration::from_secs(99))).is_good());
    }
}
