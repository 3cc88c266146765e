//! `[[service]]`, `[[peer]]` and `[watchdog]`: what this node announces, by whom, and who else looks.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;

use super::{
    Listen, Node,
    name::canonical_name,
    read::{parse_address, parse_interface, resolve},
    table::Table,
    zones::parse_prefix,
};
use crate::service::{Community, Family, Marks, Policy};

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

/// Who announces a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnnouncedBy {
    /// Nobody: it is judged, and told in status and metrics.
    Nobody,
    /// BIRD, by a file that its configuration includes.
    BirdInclude {
        /// BIRD's control socket.
        socket: PathBuf,
        /// The file.
        file: PathBuf,
    },
    /// BIRD, by protocols that are enabled and disabled.
    BirdProtocols {
        /// BIRD's control socket.
        socket: PathBuf,
        /// The protocol for each family.
        protocols: Vec<(Family, String)>,
    },
    /// ExaBGP, by `responder announce`, which it runs.
    ExaBgp {
        /// Where that command finds the routes.
        folder: PathBuf,
        /// The next hop of each family; ExaBGP's own address otherwise.
        next_hops: Vec<IpAddr>,
    },
    /// The addresses, put on an interface and taken off it, whose routes a routing daemon redistributes.
    Address {
        /// The interface.
        interface: String,
    },
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

/// `[[peer]]`: another node of the cloud, asked from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its `node.id`, which it tells as NSID.
    pub id: String,
    /// Where it is asked.
    pub addresses: Vec<SocketAddr>,
    /// How often.
    pub interval: Duration,
}

/// `[watchdog]`: the process that withdraws when the daemon cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watchdog {
    /// From one look to the next.
    pub interval: Duration,
    /// Bad looks in a row before it withdraws.
    pub fall: u32,
    /// Good looks in a row before it lets go.
    pub rise: u32,
}

impl Default for Watchdog {
    fn default() -> Self {
        Self { interval: Duration::from_secs(1), fall: 3, rise: 3 }
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);
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

fn read_announcer(
    table: &Table<'_>,
    node: &Node,
    prefixes: &[IpNet],
    directory: &Path,
) -> AnnouncedBy {
    const KINDS: [&str; 3] = ["bird", "exabgp", "address"];
    let named: Vec<&str> = KINDS.into_iter().filter(|kind| table.has(kind)).collect();
    if let [_, second, ..] = named[..] {
        let message =
            format!("{} is announced by {}: keep one", table.title, named.join(" and by "));
        table.reader().fault(&table.span_of(second), message);
    }
    KINDS.into_iter().for_each(|kind| table.known(kind));
    match named.first() {
        Some(&"bird") => read_bird(table.section("bird"), prefixes, directory),
        Some(&"exabgp") => {
            let exabgp = table.section("exabgp");
            let folder = exabgp.parsed("folder", |path| resolve(directory, path));
            let next_hops = exabgp.distinct("next-hops", parse_address);
            exabgp.finish();
            let folder = folder.map_or_else(|| node.state.join("exabgp"), |(folder, _)| folder);
            AnnouncedBy::ExaBgp { folder, next_hops }
        }
        Some(_) => {
            let address = table.section("address");
            let interface = address.parsed("interface", parse_interface);
            if !address.has("interface") {
                let message = format!(
                    "address in {} has no interface: name the one whose addresses the routing \
                     daemon redistributes, such as \"dummy0\"",
                    table.title
                );
                address.reader().fault(&address.span, message);
            }
            address.finish();
            interface
                .map_or(AnnouncedBy::Nobody, |(interface, _)| AnnouncedBy::Address { interface })
        }
        None => {
            let message = format!(
                "{} is announced by nobody: it is judged and told, no more; name bird, exabgp or \
                 address",
                table.title
            );
            table.reader().warn(&table.span, message);
            AnnouncedBy::Nobody
        }
    }
}

fn read_bird(table: Table<'_>, prefixes: &[IpNet], directory: &Path) -> AnnouncedBy {
    let socket = table.parsed("socket", |path| resolve(directory, path));
    let socket = socket.map_or_else(|| PathBuf::from("/run/bird/bird.ctl"), |(path, _)| path);
    let file = table.parsed("include", |path| resolve(directory, path));
    let mut protocols = Vec::new();
    for (key, family) in [("protocol-v4", Family::V4), ("protocol-v6", Family::V6)] {
        if let Some((protocol, span)) = table.parsed(key, parse_protocol) {
            if !prefixes.iter().any(|prefix| Family::of(prefix) == family) {
                let message = format!("{key} in {}: the service has no such prefix", table.title);
                table.reader().warn(&span, message);
            }
            protocols.push((family, protocol));
        }
    }
    let announcer = match (&file, protocols.is_empty()) {
        (Some((file, span)), true) => {
            // What outlives a reboot would be announced before the node answers.
            if !file.starts_with("/run") && !file.starts_with("/tmp") {
                let message = format!(
                    "include in {} outlives a reboot, and BIRD would announce it before this node \
                     answers: put it below /run",
                    table.title
                );
                table.reader().warn(span, message);
            }
            AnnouncedBy::BirdInclude { socket, file: file.clone() }
        }
        (None, false) => {
            for family in prefixes.iter().map(Family::of) {
                if !protocols.iter().any(|(other, _)| *other == family) {
                    let message = format!("{} has no protocol-{family}: name it", table.title);
                    table.reader().fault(&table.span, message);
                    break;
                }
            }
            AnnouncedBy::BirdProtocols { socket, protocols }
        }
        (_, is_none) => {
            let message = match is_none {
                true => {
                    "needs include (a file that bird.conf includes), or protocol-v4 and \
                         protocol-v6 (to be enabled and disabled)"
                }
                false => "has include and protocols: keep one way",
            };
            table.reader().fault(&table.span, format!("{} {message}", table.title));
            AnnouncedBy::Nobody
        }
    };
    table.finish();
    announcer
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

/// An address on an interface and a protocol that is on or off carry no marks.
fn warn_of_marks_without_effect(table: &Table<'_>, announcer: &AnnouncedBy) {
    let (AnnouncedBy::Address { .. } | AnnouncedBy::BirdProtocols { .. }) = announcer else {
        return;
    };
    for key in ["communities", "med", "prepend", "drain"] {
        if table.has(key) {
            let message = format!(
                "{key} in {} has no effect: the routing daemon marks these routes by its own \
                 configuration",
                table.title
            );
            table.reader().warn(&table.span_of(key), message);
        }
    }
}

/// All `[[peer]]`.
pub(super) fn read_peers(tables: Vec<Table<'_>>) -> Vec<Peer> {
    let mut peers = Vec::new();
    for table in tables {
        let id = table.string("id").map(|(id, _)| id.to_owned());
        let port = table.integer("port", 1..=65_535).map_or(53, |port| port as u16);
        let addresses: Vec<SocketAddr> = table
            .distinct("addresses", parse_address)
            .into_iter()
            .map(|address| SocketAddr::new(address, port))
            .collect();
        let interval = table.duration("interval", 100 * MILLISECOND..=HOUR);
        for (key, missing) in [("id", id.is_none()), ("addresses", addresses.is_empty())] {
            if missing && !table.has(key) {
                table.reader().fault(&table.span, format!("[[peer]] has no {key}: give it one"));
            }
        }
        table.finish();
        peers.extend(id.map(|id| Peer {
            id,
            addresses,
            interval: interval.unwrap_or(Duration::from_secs(5)),
        }));
    }
    peers
}

/// `[watchdog]`.
pub(super) fn read_watchdog(table: Table<'_>) -> Watchdog {
    let default = Watchdog::default();
    let count = |key, default| table.integer(key, 1..=1000).map_or(default, |n| n as u32);
    let watchdog = Watchdog {
        interval: table.duration("interval", 50 * MILLISECOND..=HOUR).unwrap_or(default.interval),
        fall: count("fall", default.fall),
        rise: count("rise", default.rise),
    };
    table.finish();
    watchdog
}

/// A service's name is a part of names of files and of BIRD's protocols.
fn parse_name(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match text.len() {
        1..=32 if text.chars().all(allowed) => Ok(text.to_owned()),
        _ => Err("a service's name has 1 to 32 letters, digits, \"-\" and \"_\"".to_owned()),
    }
}

/// A symbol of BIRD's configuration.
fn parse_protocol(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
    match text.chars().next() {
        Some(first) if !first.is_ascii_digit() && text.chars().all(allowed) => Ok(text.to_owned()),
        _ => Err("not the name of a protocol of BIRD: letters, digits and \"_\"".to_owned()),
    }
}
