//! `[[service]]`: what this node announces, for which zones, and how it is judged.

use std::{collections::BTreeMap, net::IpAddr, path::Path, time::Duration};

use ipnet::IpNet;

use super::{
    Listen, Node,
    announcers::{AnnouncedBy, read_announcer, warn_of_marks_without_effect},
    name::canonical_name,
    table::Table,
    zones::parse_prefix,
};
use crate::service::{Community, Marks, Policy};

/// A group of prefixes that is announced for a group of zones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name in commands, log and metrics.
    pub name: String,
    /// What is announced; IPv4 and IPv6 are judged apart.
    pub prefixes: Vec<IpNet>,
    /// The addresses of `listen.addresses` within them, which are probed.
    pub addresses: Vec<IpAddr>,
    /// The zones whose loss withdraws it, canonical; all zones if empty.
    pub zones: Vec<String>,
    /// How its routes are marked.
    pub marks: Marks,
    /// How they are marked beyond that while less preferred.
    pub drain_marks: Marks,
    /// Who announces it.
    pub announcer: AnnouncedBy,
    /// How it is judged.
    pub health: Health,
}

/// How a service is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// From one look to the next.
    pub interval: Duration,
    /// How long a probe waits for its reply.
    pub timeout: Duration,
    /// A zone that no primary confirmed for so long counts as gone.
    pub max_age: Option<Duration>,
    /// How long zones that are still loading delay the first announcement.
    pub load_wait: Duration,
    /// For how long the node answers on after it withdrew, when it is stopped.
    pub stop_wait: Duration,
    /// The rules.
    pub policy: Policy,
}

pub(super) const MILLISECOND: Duration = Duration::from_millis(1);

pub(super) const HOUR: Duration = Duration::from_secs(3600);

const DAY: Duration = Duration::from_secs(86_400);

/// All `[[service]]`.
pub(super) fn read_services(
    tables: Vec<Table<'_>>,
    node: &Node,
    listen: &mut Listen,
    zones: &[String],
    directory: &Path,
) -> Vec<Service> {
    let mut lines = BTreeMap::new();
    let mut services = Vec::new();
    for table in tables {
        services.extend(read_service(table, &mut lines, node, listen, zones, directory));
    }
    for service in &services {
        if matches!(service.announcer, AnnouncedBy::Address { .. }) {
            listen.coming.extend(&service.addresses);
        }
    }
    services
}

fn read_service(
    mut table: Table<'_>,
    lines: &mut BTreeMap<String, usize>,
    node: &Node,
    listen: &Listen,
    zones: &[String],
    directory: &Path,
) -> Option<Service> {
    let name = table.unique_name("service", lines, parse_name);
    let prefixes = table.distinct("prefixes", parse_prefix);
    let mut addresses = Vec::new();
    if prefixes.is_empty() {
        let message = format!(
            "{} has no prefixes: name what it announces, such as prefixes = [\"192.0.2.0/24\"]",
            table.title
        );
        table.reader().fault(&table.span_of("prefixes"), message);
    }
    for prefix in &prefixes {
        let within: Vec<IpAddr> =
            listen.addresses.iter().copied().filter(|address| prefix.contains(address)).collect();
        if within.is_empty() {
            let message = format!(
                "prefixes in {}: no address of listen.addresses lies in {prefix}: nobody would \
                 answer there",
                table.title
            );
            table.reader().fault(&table.span_of("prefixes"), message);
        }
        addresses.extend(within);
    }
    addresses.sort();
    addresses.dedup();
    let zones = table.distinct("zones", |text| {
        let name = canonical_name(text)?;
        match zones.contains(&name) {
            true => Ok(name),
            // Members of catalogs are not known yet.
            false if zones.is_empty() => Ok(name),
            false => Err("no [[zone]] of that name: correct it, or leave zones out for all".into()),
        }
    });
    let (marks, drain_marks) = read_marks(&table);
    let announcer = read_announcer(&table, node, &prefixes, directory);
    let health = read_health(&table);
    warn_of_marks_without_effect(&table, &announcer);
    table.finish();
    let name = name?;
    Some(Service { name, prefixes, addresses, zones, marks, drain_marks, announcer, health })
}

fn read_marks(table: &Table<'_>) -> (Marks, Marks) {
    let communities = table.distinct("communities", str::parse::<Community>);
    let med = table.integer("med", 0..=u32::MAX.into()).map(|med| med as u32);
    let number = table.integer("as", 1..=u32::MAX.into()).map(|number| number as u32);
    let prepend = table.integer("prepend", 0..=16).unwrap_or(0) as u8;
    if prepend > 0 && number.is_none() {
        let message =
            format!("prepend in {} needs as: the autonomous system to prepend", table.title);
        table.reader().fault(&table.span_of("prepend"), message);
    }
    let drain = table.section("drain");
    // The wait is a rule of the judge's: see `read_health`.
    drain.known("wait");
    let longer = drain.integer("prepend", 0..=16).unwrap_or(3) as u8;
    drain.finish();
    let path = |times| number.filter(|_| times > 0).map(|number| (number, times));
    let marks = Marks { communities: communities.clone(), med, prepend: path(prepend) };
    let mut communities = communities;
    if !communities.contains(&Community::GRACEFUL_SHUTDOWN) {
        communities.push(Community::GRACEFUL_SHUTDOWN);
    }
    (marks, Marks { communities, med, prepend: path(prepend.saturating_add(longer)) })
}

fn read_health(table: &Table<'_>) -> Health {
    let health = table.section("health");
    let number = |key, default| health.integer(key, 1..=1000).map_or(default, |n| n as u32);
    let time = |key, from, default| health.duration(key, from..=DAY).unwrap_or(default);
    let seconds = Duration::from_secs;
    let interval = time("interval", 100 * MILLISECOND, seconds(1));
    let hold_down = time("hold-down", Duration::ZERO, seconds(10));
    let drain = table.section("drain");
    let judged = Health {
        interval,
        timeout: time("timeout", 10 * MILLISECOND, interval.min(seconds(1))),
        max_age: health.duration("max-age", seconds(1)..=365 * DAY),
        load_wait: time("load-wait", Duration::ZERO, seconds(60)),
        stop_wait: time("stop-wait", Duration::ZERO, seconds(1)),
        policy: Policy {
            rise: number("rise", 3),
            fall: number("fall", 3),
            hold_down,
            hold_down_max: time("hold-down-max", Duration::ZERO, hold_down.max(HOUR / 6)),
            forget: time("forget", seconds(1), HOUR / 2),
            last_resort: table.boolean("last-resort").unwrap_or(false),
            drain_wait: drain.duration("wait", Duration::ZERO..=HOUR).unwrap_or(seconds(10)),
        },
    };
    health.finish();
    judged
}

/// A service's name is a part of names of files and of BIRD's protocols.
fn parse_name(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match text.len() {
        1..=32 if text.chars().all(allowed) => Ok(text.to_owned()),
        _ => Err("a service's name has 1 to 32 letters, digits, \"-\" and \"_\"".to_owned()),
    }
}
