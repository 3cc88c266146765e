//! `[[key]]` and `[[zone]]`: lists whose members refer to one another.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;

use super::{
    Downstream, Key, Peers, Primary, Zone, ZoneSource, catalogs, limits,
    name::canonical_name,
    read::{parse_address, resolve},
    table::Table,
    tls,
};
use crate::zone::{
    archive::JournalLimits,
    guard::{Check, Guards, Zonemd},
};

/// The keys by name. One that is at fault elsewhere is there without its content, so that zones
/// which name it are not accused too.
pub(super) type Keys = BTreeMap<String, Option<Key>>;

/// The port of DNS (RFC 1035, section 4.2).
const PORT: u16 = 53;

/// TSIG algorithms (RFC 8945, section 6) that are taken; MD5 is not.
const ALGORITHMS: [&str; 5] =
    ["hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"];

pub(super) fn read_keys(tables: Vec<Table<'_>>, directory: &Path) -> Keys {
    let mut keys = Keys::new();
    let mut lines = BTreeMap::new();
    for mut table in tables {
        let name = table.unique_name("key", &mut lines, canonical_name);
        let algorithm = table.parsed("algorithm", |text| {
            let algorithm = text.trim_end_matches('.').to_ascii_lowercase();
            match ALGORITHMS.contains(&algorithm.as_str()) {
                true => Ok(algorithm),
                false => Err(format!("the algorithms are {}", ALGORITHMS.join(", "))),
            }
        });
        let secret_file = table.parsed("secret-file", |path| resolve(directory, path));
        if secret_file.is_none() && !table.has("secret-file") {
            table.reader().fault(
                &table.span,
                format!("{} has no secret-file: name the file that holds its secret", table.title),
            );
        }
        table.forbid(
            "secret",
            "secrets never stand in the configuration: put it into a file of its own, readable \
             by the daemon only, and name that with secret-file",
        );
        let algorithm =
            algorithm.map_or_else(|| "hmac-sha256".to_owned(), |(algorithm, _)| algorithm);
        if let Some(name) = name {
            let key = secret_file.map(|(secret_file, _)| Key {
                name: name.clone(),
                algorithm,
                secret_file,
            });
            keys.insert(name, key);
        }
        table.finish();
    }
    keys
}

/// What zones may name.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub keys: &'a Keys,
    pub profiles: &'a tls::Names,
    pub templates: &'a catalogs::Templates,
}

/// Zones, or templates of zones: lists of the same keys.
pub(super) fn read_zones(
    tables: Vec<Table<'_>>,
    kind: &str,
    known: &Known<'_>,
    directory: &Path,
) -> Vec<Zone> {
    let mut lines = BTreeMap::new();
    let read = |table| read_zone(table, kind, &mut lines, known, directory);
    tables.into_iter().filter_map(read).collect()
}

fn read_zone(
    mut table: Table<'_>,
    kind: &str,
    lines: &mut BTreeMap<String, usize>,
    known: &Known<'_>,
    directory: &Path,
) -> Option<Zone> {
    let Known { keys, profiles, templates } = *known;
    let name = table.unique_name(kind, lines, canonical_name);
    let file = table.parsed("file", |path| resolve(directory, path));
    if kind == "template" && table.has("file") {
        let message = format!("file in {}: members of a catalog come from primaries", table.title);
        table.reader().fault(&table.span_of("file"), message);
    }
    let members = catalogs::read_members(&table, templates);
    let listed = catalogs::read_listed(&table);
    let is_produced = table.boolean("produce-catalog").unwrap_or(false);
    let inventory = catalogs::read_inventory(&table, is_produced);
    let primaries: Vec<Primary> = table
        .sections("primaries")
        .into_iter()
        .filter_map(|primary| read_primary(primary, keys, profiles))
        .collect();
    let notify_from = table.list("notify-from", parse_prefix);
    let transfer_to: Vec<Peers> = table
        .sections("transfer-to")
        .into_iter()
        .filter_map(|peers| read_peers(peers, keys))
        .collect();
    let notify_to: Vec<Downstream> = table
        .sections("notify-to")
        .into_iter()
        .filter_map(|downstream| read_downstream(downstream, keys))
        .collect();
    if !notify_to.is_empty() && transfer_to.is_empty() {
        let message = format!(
            "notify-to in {}: nobody may transfer the zone: say who may with transfer-to",
            table.title
        );
        table.reader().warn(&table.span_of("notify-to"), message);
    }
    let notify_key = known_key(&table, "notify-key", keys);
    let default = JournalLimits::default();
    let journal = JournalLimits {
        octets: table.integer("journal-octets", 0..=1 << 40).unwrap_or(default.octets),
        entries: table.integer("journal-entries", 0..=1_000_000).unwrap_or(default.entries),
    };
    let guards = read_guards(&table, directory);
    let of_primaries =
        ["notify-from", "notify-key", "max-shrink", "zonemd", "check-command", "check-time"];
    for key in of_primaries {
        if table.has("file") && table.has(key) {
            let message = format!("{key} in {}: this is for zones with primaries", table.title);
            table.reader().fault(&table.span_of(key), message);
        }
    }
    let source = match (table.has("file"), table.has("primaries")) {
        (false, false) if is_produced => Some(ZoneSource::File(PathBuf::new())),
        (_, _) if is_produced => {
            let message = format!(
                "{} is produced here: it has neither a file nor primaries of its own",
                table.title
            );
            table.reader().fault(&table.span, message);
            None
        }
        (true, false) => file.map(|(file, _)| ZoneSource::File(file)),
        (false, true) if !primaries.is_empty() => Some(ZoneSource::Primaries(primaries)),
        (false, true) => {
            if table.is_empty_list("primaries") {
                let message = format!("{} has an empty list of primaries: name one", table.title);
                table.reader().fault(&table.span_of("primaries"), message);
            }
            None
        }
        (true, true) => {
            let message = format!(
                "{} has both a file and primaries: keep the one that its data come from",
                table.title
            );
            table.reader().fault(&table.span_of("primaries"), message);
            None
        }
        (false, false) => {
            let message = format!(
                "{} has neither a file nor primaries: say where its data come from",
                table.title
            );
            table.reader().fault(&table.span, message);
            None
        }
    };
    let rates = limits::read_zone_rates(&table);
    table.finish();
    Some(Zone {
        name: name?,
        source: source?,
        notify_from: notify_from.into_iter().map(|(prefix, _)| prefix).collect(),
        notify_key,
        transfer_to,
        journal,
        notify_to,
        guards,
        members,
        listed,
        is_produced,
        rates,
        inventory,
    })
}

/// What a zone's versions must satisfy.
fn read_guards(table: &Table<'_>, directory: &Path) -> Guards {
    let zonemd = table.parsed("zonemd", Zonemd::parse);
    let mut words = table.list("check-command", |word| Ok(word.to_owned())).into_iter();
    let time = table.duration("check-time", Duration::from_secs(1)..=Duration::from_secs(3600));
    let program = words.next().map(|(program, _)| program);
    if program.is_none() && table.has("check-time") {
        let message = format!("check-time in {} is of no use without check-command", table.title);
        table.reader().fault(&table.span_of("check-time"), message);
    }
    let check = program.map(|program| Check {
        // One without a slash is looked for where programs are.
        program: if program.contains('/') { directory.join(program) } else { program.into() },
        arguments: words.map(|(word, _)| word).collect(),
        time: time.unwrap_or(Duration::from_secs(60)),
    });
    let max_shrink = table.integer("max-shrink", 0..=99).map(|percent| percent as u8);
    Guards { max_shrink, zonemd: zonemd.map_or(Zonemd::default(), |(zonemd, _)| zonemd), check }
}

fn read_primary(table: Table<'_>, keys: &Keys, profiles: &tls::Names) -> Option<Primary> {
    let profile = table.parsed("tls", |text| {
        if profiles.contains(text) {
            return Ok(text.to_owned());
        }
        Err("there is no such [[tls]]: add one with this name".to_owned())
    });
    let port = if table.has("tls") { tls::PORT } else { PORT };
    let (address, key) = read_server(table, keys, port)?;
    Some(Primary { address, key, tls: profile.map(|(name, _)| name) })
}

fn read_downstream(table: Table<'_>, keys: &Keys) -> Option<Downstream> {
    let (address, key) = read_server(table, keys, PORT)?;
    Some(Downstream { address, key })
}

/// A server's address and port, and the name of its key.
fn read_server(table: Table<'_>, keys: &Keys, port: u16) -> Option<(SocketAddr, Option<String>)> {
    let address = table.parsed("address", parse_address);
    require(&table, "address", "such as { address = \"203.0.113.7\" }");
    let port = table.integer("port", 1..=65_535).unwrap_or(u64::from(port));
    let key = known_key(&table, "key", keys);
    table.finish();
    Some((SocketAddr::new(address?.0, u16::try_from(port).ok()?), key))
}

fn read_peers(table: Table<'_>, keys: &Keys) -> Option<Peers> {
    let prefix = table.parsed("address", parse_prefix);
    require(&table, "address", "such as { address = \"198.51.100.0/24\" }");
    let key = known_key(&table, "key", keys);
    let tls = table.boolean("tls").unwrap_or(false);
    table.finish();
    Some(Peers { prefix: prefix?.0, key, tls })
}

fn require(table: &Table<'_>, key: &str, example: &str) {
    if !table.has(key) {
        let message = format!("{} has no {key}: give one, {example}", table.title);
        table.reader().fault(&table.span, message);
    }
}

/// The key that a peer names, which must be one of this file.
fn known_key(table: &Table<'_>, entry: &'static str, keys: &Keys) -> Option<String> {
    let (key, _) = table.parsed(entry, |text| {
        let name = canonical_name(text)?;
        if keys.contains_key(&name) {
            return Ok(name);
        }
        let known: Vec<&str> = keys.keys().map(String::as_str).collect();
        Err(match known.as_slice() {
            [] => "there is no such key: add a [[key]] with this name".to_owned(),
            known => format!(
                "there is no such key: add a [[key]] with this name, or use one of {}",
                known.join(", ")
            ),
        })
    })?;
    Some(key)
}

/// A prefix, or an address that stands for itself alone.
///
/// # Errors
/// It is neither, or has bits beyond its length.
pub fn parse_prefix(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address));
    }
    let prefix: IpNet = text
        .parse()
        .map_err(|_| "not an address or a prefix, such as \"203.0.113.0/24\"".to_owned())?;
    if prefix.addr() != prefix.network() {
        return Err(format!("bits are set beyond the prefix: write \"{}\"", prefix.trunc()));
    }
    Ok(prefix)
}
