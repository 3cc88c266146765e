//! From TOML to [`Config`]: the sections and their rules.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use toml::de::DeTable;

use super::{
    Config, LEASE, Limits, Listen, Node, Reading, Telemetry, Transfer, Xdp, Zone, ZoneSource,
    catalogs,
    diagnostic::Source,
    limits, peers, services,
    table::{Reader, Table},
    tls, zones,
};
use crate::dataplane::{Mode, ReceiveScaling, watch::Watch};

/// The longest NSID: an OPT with it and a cookie fits 512 octets beside a 255-octet name.
const NSID_OCTETS: usize = 64;
/// The longest name of a network interface (IFNAMSIZ, without its final zero).
const INTERFACE_OCTETS: usize = 15;

/// Reads a configuration; see [`Config::parse`].
pub(super) fn parse(file: &Path, text: &str) -> Reading {
    let reader = Reader::new(Source::new(file, text));
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let message = format!("not TOML: {}", error.message().replace('\n', ", "));
        reader.fault(&error.span().unwrap_or(0..0), message);
    }
    // What a broken line meant is unknown, and the faults that follow from it would only confuse.
    let is_toml = errors.is_empty();
    let config = if is_toml {
        read_document(reader.document(&document), file.parent().unwrap_or(Path::new("")))
    } else {
        Config::default()
    };
    let (faults, warnings) = reader.into_findings();
    Reading { config, is_toml, faults, warnings }
}

fn read_document(document: Table<'_>, directory: &Path) -> Config {
    let node = read_node(document.section("node"), directory);
    let mut listen = read_listen(document.section("listen"));
    let xdp = read_xdp(document.section("xdp"), directory);
    let telemetry = read_telemetry(document.section("telemetry"));
    let limits = read_limits(document.section("limits"));
    let rate_limit = limits::read_rate_limit(document.section("rate-limit"));
    let cookies = limits::read_cookies(document.section("cookies"), directory);
    let transfer = read_transfer(document.section("transfer"), directory);
    let keys = zones::read_keys(document.sections("key"), directory);
    let (tls, profiles) = tls::read_profiles(document.sections("tls"), directory);
    let known = zones::Known { keys: &keys, profiles: &profiles, templates: &Default::default() };
    let templates = zones::read_zones(document.sections("template"), "template", &known, directory);
    let names = templates.iter().map(|template| template.name.clone()).collect();
    let known = zones::Known { templates: &names, ..known };
    let mut zones = zones::read_zones(document.sections("zone"), "zone", &known, directory);
    for zone in zones.iter_mut().filter(|zone| zone.is_produced) {
        zone.source = ZoneSource::File(catalogs::file(&node.state, &zone.name));
    }
    if let Some((zone, catalog)) = catalogs::missing(&zones, &templates) {
        let message = format!(
            "zone \"{}\" is to be listed in catalog \"{catalog}\", which is not produced here: add a \
             [[zone]] of that name with produce-catalog = true",
            zone.name
        );
        document.reader().fault(&(0..0), message);
    }
    let watchdog = peers::read_watchdog(document.section("watchdog"));
    let peers = peers::read_peers(document.sections("peer"));
    let services = services::read_services(
        document.sections("service"),
        &node,
        &mut listen,
        &zone_names(&zones),
        directory,
    );
    document.finish();
    let keys = keys.into_values().flatten().collect();
    Config {
        node,
        listen,
        xdp,
        telemetry,
        limits,
        rate_limit,
        cookies,
        transfer,
        keys,
        tls,
        templates,
        zones,
        services,
        peers,
        watchdog,
    }
}

/// The zones that are known by name; none where catalogs bring more.
fn zone_names(zones: &[Zone]) -> Vec<String> {
    match zones.iter().any(|zone| zone.members.is_some()) {
        true => Vec::new(),
        false => zones.iter().map(|zone| zone.name.clone()).collect(),
    }
}

fn read_node(table: Table<'_>, directory: &Path) -> Node {
    let default = Node::default();
    let id = table.parsed("id", |id| match id.len() {
        0 => Err("the identity is empty: give the node a name, or leave the key out".to_owned()),
        octets if octets > NSID_OCTETS => Err(format!(
            "the identity has {octets} octets: NSID carries at most {NSID_OCTETS}, shorten it"
        )),
        _ => Ok(id.to_owned()),
    });
    let state = table.parsed("state", |path| resolve(directory, path));
    let user = table.parsed("user", |name| match name {
        "" => Err("the name is empty: name a user, or leave the key out".to_owned()),
        name => Ok(name.to_owned()),
    });
    table.finish();
    Node {
        id: id.map_or(default.id, |(id, _)| id),
        state: state.map_or(default.state, |(state, _)| state),
        user: user.map(|(user, _)| user),
    }
}

fn read_listen(table: Table<'_>) -> Listen {
    let reader = table.reader();
    let addresses = table.distinct("addresses", parse_service_address);
    if !table.has("addresses") || table.is_empty_list("addresses") {
        reader.fault(
            &table.span_of("addresses"),
            "addresses in [listen] is missing: name the addresses that this node answers on, \
             such as addresses = [\"192.0.2.53\"]",
        );
    }
    let port = table.integer("port", 1..=65_535).map_or(53, to_u16);
    table.finish();
    Listen { addresses, port, coming: Vec::new() }
}

fn read_xdp(table: Table<'_>, directory: &Path) -> Xdp {
    let reader = table.reader();
    let mode = table.parsed("mode", |mode| match mode {
        "native" => Ok(Mode::Native),
        "tc" => Ok(Mode::Tc),
        "off" => Ok(Mode::Off),
        "auto" => Ok(Mode::Auto),
        _ => Err("the modes are \"native\", \"tc\", \"off\" and \"auto\"".to_owned()),
    });
    let mode = mode.map_or(Mode::Auto, |(mode, _)| mode);
    let interfaces = table.distinct("interfaces", parse_interface);
    if !table.has("interfaces") || table.is_empty_list("interfaces") {
        let span = table.span_of("interfaces");
        let remedy = "name the interfaces on which queries arrive, such as \
                      interfaces = [\"eth0\"], or set mode = \"off\"";
        match mode {
            Mode::Off => {}
            Mode::Auto => {
                let message =
                    format!("interfaces in [xdp] is empty, so only sockets answer: {remedy}");
                reader.warn(&span, message);
            }
            Mode::Native | Mode::Tc => {
                reader.fault(&span, format!("interfaces in [xdp] is empty: {remedy}"));
            }
        }
    }
    let receive_scaling = table.parsed("receive-scaling", |text| match text {
        "auto" => Ok(ReceiveScaling::Auto),
        "on" => Ok(ReceiveScaling::On),
        "off" => Ok(ReceiveScaling::Off),
        _ => Err("one of \"auto\", \"on\" and \"off\"".to_owned()),
    });
    let receive_scaling = receive_scaling.map_or(ReceiveScaling::Auto, |(wanted, _)| wanted);
    let pins = table.parsed("pins", |path| resolve(directory, path)).map(|(pins, _)| pins);
    let lease = table
        .duration("lease", Duration::from_secs(5)..=Duration::from_secs(30 * 86_400))
        .unwrap_or(LEASE);
    let shadow = table.integer("shadow", 0..=u64::from(u32::MAX)).unwrap_or(0) as u32;
    let debug = table.boolean("debug").unwrap_or(false);
    let watch = Watch { shadow, debug };
    table.finish();
    Xdp { mode, interfaces, receive_scaling, pins, lease, watch }
}

fn read_telemetry(table: Table<'_>) -> Telemetry {
    let listen = table.parsed("listen", |text| {
        text.parse::<SocketAddr>()
            .map_err(|_| "not an address and a port, such as \"127.0.0.1:9153\"".to_owned())
    });
    table.finish();
    Telemetry { listen: listen.map(|(address, _)| address) }
}

fn read_limits(table: Table<'_>) -> Limits {
    let default = Limits::default();
    let count =
        |key, most, default| table.integer(key, 1..=most).map_or(default, |count| count as usize);
    let limits = Limits {
        udp_size: table.integer("udp-size", 512..=4096).map_or(default.udp_size, to_u16),
        udp_threads: count("udp-threads", 1024, default.udp_threads),
        tcp_connections: count("tcp-connections", 1_000_000, default.tcp_connections),
        tcp_connections_per_source: count(
            "tcp-connections-per-source",
            1_000_000,
            default.tcp_connections_per_source,
        ),
        tcp_idle: table
            .duration("tcp-idle", Duration::from_secs(1)..=Duration::from_secs(3600))
            .unwrap_or(default.tcp_idle),
        passed: table.integer("passed", 0..=900_000).map_or(default.passed, |rate| rate as u32),
        passed_per_source: table
            .integer("passed-per-source", 0..=900_000)
            .map_or(default.passed_per_source, |rate| rate as u32),
        transfers: count("transfers", 10_000, default.transfers),
        transfers_per_primary: count(
            "transfers-per-primary",
            10_000,
            default.transfers_per_primary,
        ),
        // Each reads the archive of its zone, which has 512 places for readers.
        transfers_out: count("transfers-out", 500, default.transfers_out),
        transfers_out_per_peer: count(
            "transfers-out-per-peer",
            500,
            default.transfers_out_per_peer,
        ),
        transfer_idle: table
            .duration("transfer-idle", Duration::from_secs(1)..=Duration::from_secs(3600))
            .unwrap_or(default.transfer_idle),
        transfer_time: table
            .duration("transfer-time", Duration::from_secs(1)..=Duration::from_secs(7 * 86_400))
            .unwrap_or(default.transfer_time),
        transfer_octets: table
            .integer("transfer-octets", 4096..=1 << 40)
            .unwrap_or(default.transfer_octets),
        transfer_records: table
            .integer("transfer-records", 2..=1 << 40)
            .unwrap_or(default.transfer_records),
        // A store has one segment at least; more than the most is the most.
        store_octets: table
            .integer("store-octets", 100_000_000..=1 << 40)
            .unwrap_or(default.store_octets),
    };
    table.finish();
    limits
}

fn read_transfer(table: Table<'_>, directory: &Path) -> Transfer {
    let reader = table.reader();
    let mut source: Vec<IpAddr> = Vec::new();
    for (address, span) in table.list("source", parse_address) {
        if source.iter().any(|other| other.is_ipv4() == address.is_ipv4()) {
            let message = format!(
                "source in [transfer] names a second address of {}'s family: keep one a family",
                address
            );
            reader.fault(&span, message);
        } else {
            source.push(address);
        }
    }
    let default = Transfer::default();
    let refresh = read_bounds(&table, ["refresh-min", "refresh-max"], default.refresh);
    let retry = read_bounds(&table, ["retry-min", "retry-max"], default.retry);
    let expire = read_bounds(&table, ["expire-min", "expire-max"], default.expire);
    let tls = tls::read_listener(&table, directory);
    table.finish();
    Transfer { source, refresh, retry, expire, tls }
}

/// The bounds of a timer, from two keys; where only one is given, the other gives way to it.
fn read_bounds(
    table: &Table<'_>,
    [low, high]: [&'static str; 2],
    default: RangeInclusive<Duration>,
) -> RangeInclusive<Duration> {
    const ALLOWED: RangeInclusive<Duration> =
        Duration::from_secs(1)..=Duration::from_secs(10 * 365 * 86_400);
    match (table.duration(low, ALLOWED), table.duration(high, ALLOWED)) {
        (Some(least), Some(most)) if least > most => {
            let message = format!("{low} in {} is longer than {high}: exchange them", table.title);
            table.reader().fault(&table.span_of(low), message);
            default
        }
        (least, most) => {
            let (from, to) = default.into_inner();
            let least = least.unwrap_or_else(|| from.min(most.unwrap_or(from)));
            least..=most.unwrap_or_else(|| to.max(least))
        }
    }
}

/// A path of the configuration; a relative one starts at the configuration's directory.
pub(super) fn resolve(directory: &Path, path: &str) -> Result<PathBuf, String> {
    if path.is_empty() {
        return Err("the path is empty: name a file, or leave the key out".to_owned());
    }
    Ok(directory.join(path))
}

/// An address of a machine: no wildcard, no multicast.
pub(super) fn parse_address(text: &str) -> Result<IpAddr, String> {
    let address: IpAddr = text.parse().map_err(|_| {
        match text.parse::<SocketAddr>() {
            Ok(_) => "the address stands alone here: give the port in its own key",
            Err(_) => "not an IPv4 or IPv6 address",
        }
        .to_owned()
    })?;
    if address.is_multicast() || address == IpAddr::from([255, 255, 255, 255]) {
        return Err("a multicast or broadcast address: use a unicast one".to_owned());
    }
    if let IpAddr::V6(v6) = address
        && let Some(v4) = v6.to_ipv4_mapped()
    {
        return Err(format!("an IPv4 address in IPv6 form: write \"{v4}\""));
    }
    if address.is_unspecified() {
        return Err("not the address of a machine".to_owned());
    }
    Ok(address)
}

/// An address to answer on.
fn parse_service_address(text: &str) -> Result<IpAddr, String> {
    if [IpAddr::from([0, 0, 0, 0]), IpAddr::from(Ipv6Addr::UNSPECIFIED)]
        .iter()
        .any(|wildcard| text.parse() == Ok(*wildcard))
    {
        return Err("a wildcard: name each address, since a reply must leave from the address \
                    that was asked"
            .to_owned());
    }
    parse_address(text)
}

pub(super) fn parse_interface(text: &str) -> Result<String, String> {
    let fits = (1..=INTERFACE_OCTETS).contains(&text.len());
    if !fits || text.contains(|c: char| c == '/' || c.is_whitespace()) {
        return Err("not the name of an interface: `ip link` lists them".to_owned());
    }
    Ok(text.to_owned())
}

/// A number that was checked to fit.
fn to_u16(number: u64) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}
