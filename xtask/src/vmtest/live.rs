//! A real veth pair in the guest: every class, in every mode, the same octets; and what becomes of the
//! tc filter, which on this kernel outlives its process.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use super::guest;
use crate::{
    net::{Pair, SERVER_INTERFACE},
    process,
    prove::servers,
    refereeing::{
        ask::{self, Pace, Replies},
        judge::{describe, hexadecimal},
        peers::Zone,
        queries::{self, Dress, Query},
        sign::Denial,
    },
    strict::{Message, Name, Record, rtype},
};

/// A part of the guest's work: its name and what does it.
pub type Part = (&'static str, fn() -> anyhow::Result<Value>);

/// What is done here.
pub const PARTS: [Part; 5] = [
    ("live, unsigned", || answered(None)),
    ("live, NSEC", || answered(Some(Denial::Nsec))),
    ("live, NSEC3", || answered(Some(Denial::Nsec3))),
    ("live, NSEC3 with opt-out", || answered(Some(Denial::Nsec3OptOut))),
    ("the tc filter's life", filter),
];

/// Queries of each part; a larger number takes every so manieth.
const MOST: usize = 6000;

/// Every kind of reply that a healthy node gives.
const CLASSES: [&str; 12] = [
    "positive",
    "alias",
    "nodata",
    "nxdomain",
    "referral",
    "truncated",
    "refused",
    "formerr",
    "notimp",
    "badvers",
    "yxdomain",
    "identity",
];

/// What passes by that is no query to us: ARP, ICMPv6.
const NO_QUERY: [&str; 3] = ["not-ip", "not-udp", "not-ours"];

/// An emulated processor takes its time, and nothing is to be sent twice.
const PACE: Pace = Pace { sockets: 2, window: 16, patience: Duration::from_secs(20), tries: 2 };

/// Asks the same of each mode. In native mode XDP alone answers: veth gives a frame a whole page here.
fn answered(signed: Option<Denial>) -> anyhow::Result<Value> {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../zones");
    let zones = Zone::all_in(&signed.map_or(samples, guest::zones))?;
    let queries = questions(signed.is_some())?;
    let mut seen = BTreeMap::new();
    let mut first: Option<Replies> = None;
    let mut with_signatures = 0;
    for mode in ["native", "tc", "off"] {
        let (replies, status) = ask(mode, &zones, &queries)?;
        ensure!(replies.lost() == 0, "{mode}: {} queries without a reply", replies.lost());
        let sent = queries.len() as u64 + replies.resent;
        let (xdp, tc) = (&status["data-plane"]["xdp"], &status["data-plane"]["tc"]);
        let (by_xdp, by_tc) = (count(&xdp["answered"]), count(&tc["answered"]));
        match mode {
            "native" => {
                ensure!(
                    (by_xdp, by_tc) == (sent, 0),
                    "native: of {sent} XDP answered {by_xdp}, tc {by_tc}"
                );
                only_strangers(xdp)?;
                classes(&xdp["replies"])?;
            }
            "tc" => {
                ensure!(
                    (by_xdp, by_tc) == (0, sent),
                    "tc: of {sent} tc answered {by_tc}, XDP {by_xdp}"
                );
                only_strangers(tc)?;
            }
            _ => ensure!(by_xdp + by_tc == 0, "off: the kernel answered"),
        }
        if mode != "off" {
            let hook = &status["data-plane"]["attachments"][0]["tc"];
            ensure!(hook == "clsact", "{mode}: status says the tc program hangs by {hook}");
            let udp = count(&status["sockets"]["udp"]["reply"]);
            ensure!(udp == 0, "{mode}: the sockets answered {udp}");
        }
        seen.insert(mode, json!({ "xdp": xdp, "tc": tc, "sent again": replies.resent }));
        match &first {
            None => {
                with_signatures = strictly(&queries, &replies)?;
                first = Some(replies);
            }
            Some(native) => same(&queries, native, &replies, mode)?,
        }
    }
    let enough = if signed.is_some() { queries.len() / 2 } else { 0 };
    ensure!(with_signatures >= enough, "only {with_signatures} replies have signatures");
    Ok(json!({ "queries": queries.len(), "with signatures": with_signatures, "modes": seen }))
}

/// Starts the daemon in a mode, asks, and returns the replies and its account of itself.
fn ask(mode: &str, zones: &[Zone], queries: &[Query]) -> anyhow::Result<(Replies, Value)> {
    let pair = Pair::create()?;
    let folder = crate::cleanup::Scratch::create()?;
    let program = Path::new(guest::DAEMON);
    let mut daemon = servers::start_ours(program, &pair, zones, mode, folder.path())?;
    let replies = pair.client.enter(|| ask::datagrams(servers::address(), queries, PACE))??;
    let status = daemon.status()?;
    for zone in status["zones"].as_array().context("status has zones")? {
        ensure!(zone["state"] == "serving", "{}: {}", zone["name"], zone["last-error"]);
    }
    daemon.end(libc::SIGTERM, PATIENCE)?;
    let left = filters(&pair)?;
    ensure!(left.is_empty(), "after {mode} mode ended, filters are left: {left:?}");
    Ok((replies, status))
}

/// How long the daemon may take to end.
const PATIENCE: Duration = Duration::from_secs(60);

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

/// Nothing but what is no query to us may have been passed on or dropped.
fn only_strangers(hook: &Value) -> anyhow::Result<()> {
    let reasons = |kind: &str| hook[kind].as_object().into_iter().flat_map(|map| map.keys());
    let strangers = |reason: &&String| NO_QUERY.contains(&reason.as_str());
    let others: Vec<_> = reasons("passed").filter(|reason| !strangers(reason)).collect();
    let dropped: Vec<_> = reasons("dropped").collect();
    ensure!(others.is_empty() && dropped.is_empty(), "passed: {others:?}, dropped: {dropped:?}");
    Ok(())
}

fn classes(replies: &Value) -> anyhow::Result<()> {
    let missing: Vec<_> = CLASSES.iter().filter(|class| count(&replies[**class]) == 0).collect();
    ensure!(missing.is_empty(), "no reply was of the classes {missing:?}");
    Ok(())
}

/// Every reply is what the strict decoder takes; how many of them have signatures.
fn strictly(queries: &[Query], replies: &Replies) -> anyhow::Result<usize> {
    let mut with_signatures = 0;
    for (query, reply) in queries.iter().zip(replies.replies.iter().flatten()) {
        match Message::parse(reply) {
            Ok(message) => {
                let mut records = message.answer.iter().chain(&message.authority);
                with_signatures += usize::from(records.any(|record| record.rtype == rtype::RRSIG));
            }
            Err(fault) => bail!("{}: {fault}: {}", describe(query), hexadecimal(reply)),
        }
    }
    Ok(with_signatures)
}

fn same(queries: &[Query], one: &Replies, other: &Replies, mode: &str) -> anyhow::Result<()> {
    for (query, pair) in queries.iter().zip(one.replies.iter().zip(&other.replies)) {
        if let (Some(one), Some(other)) = pair
            && one != other
        {
            let (one, other) = (hexadecimal(one), hexadecimal(other));
            bail!("{}: native says {one}, {mode} says {other}", describe(query));
        }
    }
    Ok(())
}

/// Everything about the sample zones, evenly thinned out, and one query for each odd class.
fn questions(dnssec_ok: bool) -> anyhow::Result<Vec<Query>> {
    let mut all = Vec::new();
    let mut special = Vec::new();
    for zone in Zone::all_in(&guest::zones(Denial::Nsec))? {
        let records = owners(&zone)?;
        for record in records.iter().filter(|record| record.rtype == rtype::DNAME) {
            special.push((too_long(&record.owner)?, rtype::A));
        }
        all.extend(queries::everything(&zone.apex, &records, 1, dnssec_ok));
    }
    let thin = all.len().div_ceil(MOST);
    let kept = all.into_iter().step_by(thin.max(1));
    let mut queries: Vec<Query> = Vec::new();
    let dress = Dress { size: Some(512), dnssec_ok, recursion_desired: false };
    special.push((Name::from_text("www.elsewhere.test.")?, rtype::A));
    for (name, qtype) in special {
        queries.push(Query::new(queries.len(), name, qtype, dress));
    }
    // A list's IDs follow from the numbers, so they are given anew.
    for query in kept {
        let mut query = query;
        let id = (queries.len() as u16).wrapping_mul(40_503).to_be_bytes();
        query.octets[..2].copy_from_slice(&id);
        queries.push(query);
    }
    queries.extend(odd(queries.len(), dress)?);
    Ok(queries)
}

/// Queries that no zone has to do with.
fn odd(number: usize, dress: Dress) -> anyhow::Result<Vec<Query>> {
    let name = Name::from_text("lac.")?;
    let query = |step: usize| Query::new(number + step, name.clone(), rtype::SOA, dress);
    let (mut formerr, mut notimp, mut badvers) = (query(0), query(1), query(2));
    formerr.octets.push(0);
    notimp.octets[2] |= 2 << 3; // STATUS (RFC 1035, section 4.1.1)
    let version = badvers.octets.len() - 5;
    badvers.octets[version] = 1;
    let mut queries = vec![formerr, notimp, badvers];
    for (step, name) in ["id.server.", "hostname.bind.", "version.server."].into_iter().enumerate()
    {
        let plain = Dress::default();
        let mut query = Query::new(number + 3 + step, Name::from_text(name)?, rtype::TXT, plain);
        *query.octets.last_mut().context("a class")? = 3; // CHAOS
        queries.push(query);
    }
    Ok(queries)
}

/// A name below this one of 255 octets.
fn too_long(name: &Name) -> anyhow::Result<Name> {
    let mut room = 255 - name.wire().len();
    let mut labels = Vec::new();
    while room > 1 {
        let length = (room - 1).min(63);
        labels.push(vec![b'x'; length]);
        room -= length + 1;
    }
    let labels = labels.iter().map(Vec::as_slice).chain(name.labels());
    Ok(Name::from_labels(labels)?)
}

/// The owners and types of a zone file as `kzonesign` writes it, a record a line; data are left out.
fn owners(zone: &Zone) -> anyhow::Result<Vec<Record>> {
    let text = fs::read_to_string(&zone.file).with_context(|| zone.file.display().to_string())?;
    let mut found = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with(';')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [owner, _, kind, ..] = words[..] else { continue };
        let Ok(owner) = Name::from_text(owner) else { continue };
        let kind = match kind {
            "A" => rtype::A,
            "NS" => rtype::NS,
            "CNAME" => rtype::CNAME,
            "MX" => rtype::MX,
            "TXT" => rtype::TXT,
            "AAAA" => rtype::AAAA,
            "SRV" => rtype::SRV,
            "DNAME" => rtype::DNAME,
            "DS" => rtype::DS,
            "NSEC" => rtype::NSEC,
            "DNSKEY" => rtype::DNSKEY,
            _ => continue,
        };
        found.insert((owner, kind));
    }
    let record = |(owner, rtype)| Record {
        owner,
        rtype,
        class: 1,
        ttl: 0,
        rdata: Vec::new(),
        canonical: Vec::new(),
        octets: 0,
    };
    Ok(found.into_iter().map(record).collect())
}

/// The filter is there while the daemon is; SIGTERM removes it; after SIGKILL it goes on answering until
/// the next start, which removes it and nobody else's.
fn filter() -> anyhow::Result<Value> {
    let zones = Zone::all_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../zones"))?;
    let pair = Pair::create()?;
    let folder = crate::cleanup::Scratch::create()?;
    let start = || {
        let program = Path::new(guest::DAEMON);
        servers::start_ours(program, &pair, &zones, "native", folder.path())
    };
    let query = [Query::new(1, Name::from_text("lac.")?, rtype::SOA, Dress::default())];
    let pace = Pace { sockets: 1, window: 1, patience: Duration::from_secs(3), tries: 1 };
    let replies = || -> anyhow::Result<usize> {
        let replies = pair.client.enter(|| ask::datagrams(servers::address(), &query, pace))??;
        Ok(1 - replies.lost())
    };
    let mut daemon = start()?;
    ensure!(filters(&pair)?.len() == 1, "one filter while the daemon lives");
    // Somebody else's, which matches nothing.
    process::output(tc(&pair, "add").args(["pref", "60", "bpf", "bytecode", "1,6 0 0 0,"]))?;
    daemon.end(libc::SIGKILL, PATIENCE)?;
    let after_kill = filters(&pair)?;
    ensure!(after_kill.len() == 1, "a filter outlives SIGKILL on this kernel: {after_kill:?}");
    let stale = replies()?;
    let mut again = start()?;
    let after_start = filters(&pair)?;
    ensure!(after_start.len() == 1, "the next start removes the old filter: {after_start:?}");
    ensure!(after_start != after_kill, "it is a new one: {after_start:?}");
    ensure!(replies()? == 1, "no reply after the second start");
    again.end(libc::SIGTERM, PATIENCE)?;
    let after_end = filters(&pair)?;
    ensure!(after_end.is_empty(), "SIGTERM leaves no filter: {after_end:?}");
    ensure!(replies()? == 0, "somebody answers after the end");
    let all = process::output(&mut tc(&pair, "show"))?;
    ensure!(all.contains("pref 60"), "somebody else's filter is gone: {all}");
    Ok(json!({
        "after SIGKILL": { "filters": after_kill.len(), "replies from the filter": stale },
        "after the next start": { "filters": after_start.len() },
        "after SIGTERM": { "filters": after_end.len() },
    }))
}

/// Our filters on the server's interface, as `tc` lists them.
fn filters(pair: &Pair) -> anyhow::Result<Vec<String>> {
    let list = process::output(&mut tc(pair, "show"))?;
    Ok(list.lines().filter(|line| line.contains("responder_tc")).map(str::to_owned).collect())
}

/// `tc filter …` on the ingress of the server's interface.
fn tc(pair: &Pair, verb: &str) -> Command {
    let mut command = pair.server.command("tc");
    command.args(["filter", verb, "dev", SERVER_INTERFACE, "ingress"]);
    command
}
