//! Servers in namespaces of their own, ours with the kernel programs among them.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use serde_json::Value;

use super::Args;
use crate::{
    daemon::{self, Daemon},
    net::{CLIENT, Namespace, Pair, SERVER, SERVER_INTERFACE},
    refereeing::{
        configs,
        contest::Side,
        peers::{Kind, Peer, Plan, Upstream, Zone},
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
    start(kind, pair, zones, workers, folder, None, 0)
}

/// As [`start_peer`] with a worker, limited to so many replies a second to one source, none: not limited.
///
/// # Errors
/// As [`Peer::start`].
pub fn start_limited_peer(
    kind: Kind,
    pair: &Pair,
    zones: &[Zone],
    limit: u32,
    folder: &Path,
) -> anyhow::Result<Peer> {
    start(kind, pair, zones, 2, folder, None, limit)
}

/// As [`start_peer`], for Knot taking its queries by AF_XDP.
///
/// # Errors
/// As [`Peer::start`].
pub fn start_knot_xdp(
    pair: &Pair,
    zones: &[Zone],
    workers: usize,
    folder: &Path,
) -> anyhow::Result<Peer> {
    start(Kind::Knot, pair, zones, workers, &folder.join("af-xdp"), Some(SERVER_INTERFACE), 0)
}

fn start(
    kind: Kind,
    pair: &Pair,
    zones: &[Zone],
    workers: usize,
    folder: &Path,
    interface: Option<&str>,
    limit: u32,
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
        upstream: None,
        interface,
        limit,
    };
    Ok(Peer::start(&plan)?)
}

/// Where a resolver answers, beside the clients.
fn resolver_address() -> SocketAddr {
    SocketAddr::new(CLIENT[0], 53)
}

/// The resolver beside the clients of a pair.
pub fn resolver_side<'a>(within: &'a dyn Fn(&mut (dyn FnMut() + Send))) -> Side<'a> {
    Side { address: resolver_address(), within }
}

/// Starts a validating resolver on the clients' side of a pair, for zones that the server's side serves;
/// `date` is when their signatures are valid, if that is not now.
///
/// # Errors
/// As [`Peer::start`].
pub fn start_resolver(
    pair: &Pair,
    zones: &[Zone],
    date: Option<&'static str>,
    folder: &Path,
) -> anyhow::Result<Peer> {
    let wrap = ["ip", "netns", "exec", pair.client.name()].map(str::to_owned);
    let plan = Plan {
        kind: Kind::Unbound,
        program: None,
        address: resolver_address(),
        zones,
        udp_size: UDP_SIZE,
        workers: 1,
        folder: &folder.join(Kind::Unbound.program()),
        wrap: &wrap,
        within: &from_client(pair),
        upstream: Some(Upstream { address: address(), date }),
        interface: None,
        limit: 0,
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
    start_ours_scaled(program, pair, zones, mode, "auto", folder)
}

/// As [`start_ours`] on these interfaces, each of whose queues has a processor of its own.
///
/// # Errors
/// As [`Daemon::start`].
pub fn start_ours_on(
    program: &Path,
    pair: &Pair,
    zones: &[Zone],
    mode: &str,
    interfaces: &[&str],
    folder: &Path,
) -> anyhow::Result<Daemon> {
    let folder = folder.join(format!("responder-{mode}-on"));
    let xdp = "receive-scaling = \"off\"\n";
    let config = configure_ours_on(pair, zones, mode, interfaces, xdp, &folder)?;
    Daemon::start(&pair.server, program, &config, &folder, Duration::from_secs(120))
}

/// As [`start_ours`], with a word for `xdp.receive-scaling`.
///
/// # Errors
/// As [`Daemon::start`].
pub fn start_ours_scaled(
    program: &Path,
    pair: &Pair,
    zones: &[Zone],
    mode: &str,
    scaling: &str,
    folder: &Path,
) -> anyhow::Result<Daemon> {
    let folder = folder.join(format!("responder-{mode}-{scaling}"));
    let xdp = format!("receive-scaling = \"{scaling}\"\n");
    let config = configure_ours(pair, zones, mode, &xdp, &folder)?;
    Daemon::start(&pair.server, program, &config, &folder, Duration::from_secs(120))
}

/// Writes a configuration of ours, with `xdp` among the lines of its `[xdp]`.
///
/// # Errors
/// When the folder cannot be written.
pub fn configure_ours(
    pair: &Pair,
    zones: &[Zone],
    mode: &str,
    xdp: &str,
    folder: &Path,
) -> anyhow::Result<PathBuf> {
    configure_ours_on(pair, zones, mode, &[SERVER_INTERFACE], xdp, folder)
}

/// The same, for these interfaces.
///
/// # Errors
/// As [`configure_ours`].
pub fn configure_ours_on(
    pair: &Pair,
    zones: &[Zone],
    mode: &str,
    interfaces: &[&str],
    xdp: &str,
    folder: &Path,
) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(folder.join("state"))?;
    let plan = Plan {
        kind: Kind::Responder,
        program: None,
        address: address(),
        zones,
        udp_size: UDP_SIZE,
        workers: 1,
        folder,
        wrap: &[],
        within: &from_client(pair),
        upstream: None,
        interface: None,
        limit: 0,
    };
    let interfaces = if mode == "off" { &[] } else { interfaces };
    let config = folder.join("responder.toml");
    let text = configs::responder(&plan, mode, interfaces);
    let text = text.replace("[xdp]\n", &format!("[xdp]\n{xdp}"));
    fs::write(&config, text)?;
    Ok(config)
}

/// What a hook (`xdp` or `tc`) counts in `responder status --json`.
pub fn counters(status: &Value, hook: &str) -> Value {
    status["data-plane"][hook].clone()
}

/// What was added between two readings of counters, leaving out what was not.
pub fn since(now: &Value, before: &Value) -> Value {
    match now {
        Value::Number(_) => {
            let count = |value: &Value| value.as_u64().unwrap_or(0);
            (count(now) - count(before)).into()
        }
        Value::Object(fields) => {
            let fields = fields.iter().map(|(label, now)| (label, since(now, &before[label])));
            let fields = fields.filter(|(_, added)| *added != 0);
            fields.map(|(label, added)| (label.clone(), added)).collect()
        }
        other => other.clone(),
    }
}
