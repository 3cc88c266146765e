//! Floods against rate limits: what is reflected, what ordinary resolvers lose, what the limits cost.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    os::fd::OwnedFd,
    path::PathBuf,
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::{Args, Outcome, servers};
use crate::{
    cleanup::Scratch,
    daemon::Daemon,
    gen_zone::{self, Signed},
    load::{
        frames::{Flooded, Frames},
        median, resolvers,
        usage::{self, Memory},
    },
    net::{Pair, SERVER, SERVER_INTERFACE},
    refereeing::peers::Zone,
    strict::Name,
};

/// Delegations of the zone.
const NAMES: usize = 10_000;
/// Queries of the flood's file.
const QUERIES: usize = 50_000;
/// Questions a second of all resolvers together: five of each.
const ORDINARY: u32 = 5_000;
/// So many may be under way when most get no reply.
const UNBOUNDED: u64 = 1 << 16;

/// A zone, its queries, and a pair with a second interface.
struct Field {
    folder: Scratch,
    program: PathBuf,
    zones: [Zone; 1],
    queries: PathBuf,
    ordinary: Vec<Name>,
}

/// A daemon at work.
struct Node {
    daemon: Daemon,
    _hears: OwnedFd,
    pair: Pair,
}

impl Field {
    fn prepare(args: &Args, absent: bool) -> anyhow::Result<Self> {
        let folder = Scratch::create()?;
        let program = servers::program(args)?;
        let (file, queries) = (folder.path().join("lac.zone"), folder.path().join("queries"));
        let zone = gen_zone::Args {
            names: args.count.filter(|_| absent).unwrap_or(NAMES),
            signed: Some(Signed::Nsec3Optout),
            seed: args.seed,
            apex: "lac.".into(),
            out: file.clone(),
            queries: Some(queries.clone()),
            count: QUERIES,
        };
        gen_zone::generate(&zone)?;
        if absent {
            gen_zone::ask_absent(&zone, &queries)?;
        }
        let ordinary = gen_zone::labels(args.seed).take(1000);
        let ordinary = ordinary.map(|label| Name::from_text(&format!("{label}.lac.")));
        let ordinary = ordinary.collect::<Result<_, _>>().context("a name")?;
        let zones = [Zone { apex: Name::from_text("lac.")?, file }];
        Ok(Self { folder, program, zones, queries, ordinary })
    }

    /// Starts the daemon on both interfaces with these lines in its configuration.
    fn start(&self, lines: &str) -> anyhow::Result<Node> {
        let pair = Pair::create()?;
        let hears = resolvers::connect(&pair, server()?)?;
        let folder = self.folder.path().join("node");
        let config = servers::configure_ours(&pair, &self.zones, "native", "", &folder)?;
        let text = fs::read_to_string(&config)?;
        let one = format!("interfaces = {:?}", [SERVER_INTERFACE]);
        let two = format!("interfaces = {:?}", [SERVER_INTERFACE, resolvers::INTERFACE]);
        fs::write(&config, text.replace(&one, &two) + "\n" + lines)?;
        let patience = Duration::from_secs(120);
        let daemon = Daemon::start(&pair.server, &self.program, &config, &folder, patience)?;
        Ok(Node { daemon, _hears: hears, pair })
    }

    fn ask(&self, node: &Node, time: Duration) -> anyhow::Result<resolvers::Asked> {
        resolvers::ask(&node.pair, servers::address(), &self.ordinary, ORDINARY, time)
    }

    /// Floods with these bits of the source address random, for a second that does not count and then for
    /// the time, while the ordinary resolvers ask; octets of a query's frame, on the average, first.
    fn flood(
        &self,
        node: &Node,
        random: u32,
        window: u64,
        time: Duration,
    ) -> anyhow::Result<(f64, Flooded, resolvers::Asked, Value)> {
        node.pair.with_free_client_interface(|| {
            let mut frames = Frames::attach(&node.pair, &self.queries, self.folder.path())?;
            frames.spoof(random);
            let octets = frames.mean_octets();
            frames.flood(&node.pair, window, Duration::from_secs(1))?;
            let before = node.daemon.status()?;
            let (flooded, asked) = thread::scope(|scope| -> anyhow::Result<_> {
                let asking = scope.spawn(|| self.ask(node, time));
                let flooded = frames.flood(&node.pair, window, time)?;
                let Ok(asked) = asking.join() else { bail!("the resolvers' thread failed") };
                Ok((flooded, asked?))
            })?;
            let status = servers::since(&node.daemon.status()?, &before)["data-plane"].clone();
            Ok((octets, flooded, asked, status))
        })?
    }
}

fn server() -> anyhow::Result<Ipv4Addr> {
    match SERVER[0] {
        IpAddr::V4(address) => Ok(address),
        IpAddr::V6(_) => bail!("the pair has IPv4 first"),
    }
}

fn asked(asked: resolvers::Asked) -> Value {
    json!({
        "questions": asked.sent,
        "answered": asked.answered,
        "of them truncated": asked.truncated,
        "lost": asked.lost(),
    })
}

const LIMITED: &str = "[rate-limit]\nmode = \"on\"\n";

/// Reflection: forged sources in one /16, and in 256 networks of 256 addresses far from one another.
///
/// # Errors
/// When something cannot be built, started or measured.
pub fn reflection(args: &Args) -> anyhow::Result<Outcome> {
    let field = Field::prepare(args, false)?;
    let time = Duration::from_secs(args.seconds.into());
    let mut rows = Vec::new();
    let mut holds = true;
    for (limits, lines) in [("off", ""), ("on", LIMITED)] {
        let node = field.start(lines)?;
        for (sources, random) in [("one /16", 0xffff), ("256 networks /24", 0x00ff_00ff)] {
            let (octets, flooded, heard, status) = field.flood(&node, random, UNBOUNDED, time)?;
            // What the server took: what the generator sent too fast was never there.
            let taken = taken(&status) - heard.sent.min(taken(&status));
            let seconds = flooded.time.as_secs_f64();
            let (came, went) = (taken as f64 * octets, flooded.counted.octets as f64);
            let fine = went <= came && heard.lost() < 0.001;
            holds &= fine || limits == "off";
            println!("limits {limits}, {sources}: {:.2} octets out for each in", went / came);
            rows.push(json!({
                "limits": limits,
                "sources": sources,
                "queries per second": taken as f64 / seconds,
                "octets in per second": came / seconds,
                "octets out per second": went / seconds,
                "octets out for each in": went / came,
                "resolvers": asked(heard),
                "holds": fine,
            }));
        }
    }
    Ok(Outcome { holds, figures: Value::Array(rows) })
}

/// Packets that the programs answered or dropped.
fn taken(status: &Value) -> u64 {
    let count = |hook: &Value| {
        let dropped = hook["dropped"]
            .as_object()
            .map_or(0, |dropped| dropped.values().filter_map(Value::as_u64).sum::<u64>());
        hook["answered"].as_u64().unwrap_or(0) + dropped
    };
    count(&status["xdp"]) + count(&status["tc"])
}

/// Random names that do not exist, in a signed zone, from everywhere: nothing is over its rate, so all
/// that counts is what a reply costs.
///
/// # Errors
/// As [`reflection`].
pub fn subdomain_flood(args: &Args) -> anyhow::Result<Outcome> {
    let field = Field::prepare(args, true)?;
    let node = field.start(LIMITED)?;
    let time = Duration::from_secs(args.seconds.into());
    let mut rows = Vec::new();
    let (mut peak, mut last, mut lost) = (0.0_f64, 0.0, 0.0);
    for window in [64, 256, 1024, 4096, UNBOUNDED] {
        let busy = usage::busy()?;
        let (_, flooded, heard, _) = field.flood(&node, EVERYWHERE, window, time)?;
        // The flood that warms up takes its part of the time.
        let busy = (usage::busy()? - busy) as f64 * time.as_secs_f64() / (time.as_secs_f64() + 1.6);
        (peak, last) = (peak.max(flooded.rate()), flooded.rate());
        if flooded.rate() <= 0.8 * peak || rows.is_empty() {
            lost = heard.lost();
        }
        println!("{window} under way: {:.0} replies/s, lost {:.5}", flooded.rate(), heard.lost());
        rows.push(json!({
            "under way": window,
            "replies per second": flooded.rate(),
            "microseconds of all processors per reply": busy / flooded.counted.replies.max(1) as f64,
            "resolvers": asked(heard),
        }));
    }
    let holds = last >= 0.9 * peak && lost <= 0.001;
    let figures = json!({
        "delegations": args.count.unwrap_or(NAMES),
        "floods": rows,
        "rate at the generator's limit of the peak": last / peak,
    });
    Ok(Outcome { holds, figures })
}

/// Bits of an address that are random in a flood from everywhere: 134,217,728 sources.
const EVERYWHERE: u32 = 0x07ff_ffff;

/// The same load from everywhere with and without limits, in turns.
///
/// # Errors
/// As [`reflection`].
pub fn cost(args: &Args) -> anyhow::Result<Outcome> {
    let field = Field::prepare(args, false)?;
    let time = Duration::from_secs(args.seconds.into());
    let rate = |lines: &str| -> anyhow::Result<f64> {
        let node = field.start(lines)?;
        let flooded = node.pair.with_free_client_interface(|| {
            let mut frames = Frames::attach(&node.pair, &field.queries, field.folder.path())?;
            frames.spoof(EVERYWHERE);
            frames.flood(&node.pair, 256, time)
        })??;
        Ok(flooded.rate())
    };
    let mut rounds = Vec::new();
    for _ in 0..args.rounds.max(1) {
        let round = [rate("")?, rate(LIMITED)?];
        println!("{:.0} replies/s without limits, {:.0} with", round[0], round[1]);
        rounds.push(round);
    }
    let share = median(rounds.iter().map(|[off, on]| on / off));
    let figures = json!({ "rounds: off, on": rounds, "on of off": share, "at least": 0.93 });
    Ok(Outcome { holds: share >= 0.93, figures })
}

/// Memory does not grow, whatever number of sources asks.
///
/// # Errors
/// As [`reflection`].
pub fn memory(args: &Args) -> anyhow::Result<Outcome> {
    let field = Field::prepare(args, false)?;
    let node = field.start(LIMITED)?;
    let wanted = args.count.unwrap_or(100_000_000) as u64;
    let maps = || maps(&node);
    let (held, before) = (Memory::of(node.daemon.process())?.resident, maps()?);
    let sent = node.pair.with_free_client_interface(|| -> anyhow::Result<u64> {
        let mut frames = Frames::attach(&node.pair, &field.queries, field.folder.path())?;
        frames.spoof(EVERYWHERE);
        let mut sent = 0;
        while sent < wanted {
            sent += frames.flood(&node.pair, 256, Duration::from_secs(5))?.counted.replies;
        }
        Ok(sent)
    })??;
    let (after, now) = (maps()?, Memory::of(node.daemon.process())?.resident);
    // The table's pages become the process's as it looks at them: not in this check.
    let holds = before == after && now <= held + (8 << 20);
    let figures = json!({
        "replies to random sources": sent,
        "octets of the maps before": before,
        "and after": after,
        "resident octets of the daemon before": held,
        "and after.": now,
    });
    Ok(Outcome { holds, figures })
}

/// The kernel's memory for the maps of limits.
fn maps(node: &Node) -> anyhow::Result<Value> {
    let mut show = std::process::Command::new("bpftool");
    let text = crate::process::output(show.args(["-j", "map", "show"]))?;
    let all: Vec<Value> = serde_json::from_str(&text)?;
    let own = node.daemon.process();
    let ours = |map: &&Value| {
        let holders = map["pids"].as_array().into_iter().flatten();
        let held = holders.filter_map(|holder| holder["pid"].as_u64()).any(|p| p == u64::from(own));
        held && matches!(map["name"].as_str(), Some("LIMITS" | "LISTED"))
    };
    Ok(all.iter().filter(ours).map(|map| (name(map), map["bytes_memlock"].clone())).collect())
}

fn name(map: &Value) -> String {
    map["name"].as_str().unwrap_or_default().to_owned()
}
