//! Servers in namespaces of their own, ours with the kernel programs among them.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use serde_json::Value;

use super::Args;
use crate::{
    daemon::{self, Daemon},
    net::{Namespace, Pair, SERVER, SERVER_INTERFACE},
    refereeing::{
        configs,
        contest::Side,
        peers::{Kind, Peer, Plan, Zone},
    },
};

/// No reply over UDP is larger, in octets.
pub const UDP_SIZE: u16 = 1232;

/// Where every server answers, each in a namespace of its own.
pub fn address() -> SocketAddr {
    SocketAddr::new(SERVER[0], 53)
}

/// Our program: the one given, or one built now.
///
/// # Errors
/// When it does not build.
pub fn program(args: &Args) -> anyhow::Result<PathBuf> {
    match &args.program {
        Some(program) => fs::canonicalize(program).with_context(|| program.display().to_string()),
        None => daemon::build(),
    }
}

/// Runs work where the clients of a pair are; for [`Side`].
pub fn from_client(pair: &Pair) -> impl Fn(&mut (dyn FnMut() + Send)) {
    |work| within(&pair.client, work)
}

fn within(namespace: &Namespace, work: &mut (dyn FnMut() + Send)) {
    // The namespace exists as long as its handle; failing to enter it is a fault of ours.
    namespace.enter(work).expect("the namespace can be entered");
}

/// A side of a contest for the server of this pair.
pub fn side<'a>(within: &'a dyn Fn(&mut (dyn FnMut() + Send))) -> Side<'a> {
    Side { address: address(), within }
}

/// Starts a peer on the server's side of a pair.
///
/// # Errors
/// As [`Peer::start`].
pub fn start_peer(
    kind: Kind,
    pair: &Pair,
    zones: &[Zone],
    workers: usize,
    folder: &Path,
) -> anyhow::Result<Peer> {
    let wrap = ["ip", "netns", "exec", pair.server.name()].map(str::to_owned);
    let plan = Plan {
        kind,
        program: None,
        address: address(),
        zones,
        udp_size: UDP_SIZE,
        workers,
        folder: &folder.join(kind.program()),
        wrap: &wrap,
        within: &from_client(pair),
    };
    Ok(Peer::start(&plan)?)
}

/// Starts our daemon on the server's side of a pair.
///
/// # Errors
/// As [`Daemon::start`].
pub fn start_ours(
    program: &Path,
    pair: &Pair,
    zones: &[Zone],
    mode: &str,
    folder: &Path,
) -> anyhow::Result<Daemon> {
    let folder = folder.join(format!("responder-{mode}"));
    fs::create_dir_all(folder.join("state"))?;
    let plan = Plan {
        kind: Kind::Responder,
        program: Some(program),
        address: address(),
        zones,
        udp_size: UDP_SIZE,
        workers: 1,
        folder: &folder,
        wrap: &[],
        within: &from_client(pair),
    };
    let interfaces: &[&str] = if mode == "off" { &[] } else { &[SERVER_INTERFACE] };
    let config = folder.join("responder.toml");
    fs::write(&config, configs::responder(&plan, mode, interfaces))?;
    Daemon::start(&pair.server, program, &config, &folder, Duration::from_secs(120))
}

/// The counters of one hook in `responder status --json`, by verdict.
pub fn counters(status: &Value, hook: &str) -> BTreeMap<String, u64> {
    let found = find(status, hook);
    let pairs = found.into_iter().flatten();
    pairs.filter_map(|(label, count)| Some((label.clone(), count.as_u64()?))).collect()
}

/// The first object under this key, wherever it is.
fn find<'a>(value: &'a Value, key: &str) -> Option<&'a serde_json::Map<String, Value>> {
    let object = value.as_object()?;
    let here = object
        .get(key)
        .and_then(Value::as_object)
        .filter(|counts| !counts.is_empty() && counts.values().all(Value::is_u64));
    here.or_else(|| object.values().find_map(|value| find(value, key)))
}

/// The IP address that clients ask.
pub fn server_ip() -> IpAddr {
    SERVER[0]
}
