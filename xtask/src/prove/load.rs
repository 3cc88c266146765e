//! The same flood on the same veth pair for a bare reflector, the peers and us.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{Args, Outcome, servers};
use crate::{
    cleanup::Scratch,
    gen_zone,
    net::{CLIENT_INTERFACE, Pair, SERVER_INTERFACE},
    process,
    refereeing::peers::{Kind, Zone},
    strict::Name,
};

/// Queries in the generator's file, unless `--count` says otherwise.
const QUERIES: usize = 200_000;
/// Delegations in the zone.
const NAMES: usize = 10_000;
/// Our rate must be this share of the reflector's.
const OF_REFLECTOR: f64 = 0.65;
/// And so many times the best peer's.
const TIMES_BEST_PEER: f64 = 2.5;

/// The check.
///
/// # Errors
/// When something cannot be built, started or measured.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let folder = Scratch::create()?;
    let program = servers::program(args)?;
    let load = Load::prepare(args, folder.path())?;
    let busy = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    // In turns, so that what else the machine does falls on all alike.
    let mut runs: Vec<Vec<Row>> = (0..5).map(|_| Vec::new()).collect();
    for _ in 0..args.rounds.max(1) {
        runs[0].push(load.reflector()?);
        runs[1].push(load.peer(Kind::Knot)?);
        runs[2].push(load.peer(Kind::Nsd)?);
        runs[3].push(load.peer(Kind::Bind)?);
        runs[4].push(load.ours(&program)?);
    }
    let rates: Vec<u64> = runs.iter().map(|rows| median(rows)).collect();
    let of_reflector = rates[4] as f64 / rates[0].max(1) as f64;
    let times_best_peer =
        rates[4] as f64 / rates[1..4].iter().max().map_or(1.0, |&best| best as f64);
    for (rows, rate) in runs.iter().zip(&rates) {
        println!("{:10} {rate:>9} replies/s, {}", rows[0].server, rows[0].size);
    }
    let servers = runs.iter().zip(&rates).map(|(rows, rate)| {
        let rounds: Vec<Value> = rows.iter().map(Row::figures).collect();
        json!({ "server": rows[0].server, "replies per second": rate, "rounds": rounds })
    });
    let figures = json!({
        "delegations": NAMES,
        "attempted per second": args.rate,
        "seconds": args.seconds,
        "queues": args.queues,
        "load average before": busy.trim(),
        "servers": servers.collect::<Vec<Value>>(),
        "ours of reflector": of_reflector,
        "at least": OF_REFLECTOR,
        "ours of best peer": times_best_peer,
        "at least times": TIMES_BEST_PEER,
    });
    let holds = of_reflector >= OF_REFLECTOR && times_best_peer >= TIMES_BEST_PEER;
    Ok(Outcome { holds, figures })
}

/// The middle one of the rates.
fn median(rows: &[Row]) -> u64 {
    let mut rates: Vec<u64> = rows.iter().map(|row| row.rate).collect();
    rates.sort_unstable();
    rates[rates.len() / 2]
}

/// What every server is loaded with.
struct Load<'a> {
    args: &'a Args,
    folder: &'a Path,
    zones: [Zone; 1],
    queries: PathBuf,
}

/// One server's figures.
struct Row {
    server: &'static str,
    rate: u64,
    share: String,
    size: String,
    counters: Value,
}

impl Row {
    fn figures(&self) -> Value {
        let Self { rate, share, size, counters, .. } = self;
        json!({
            "replies per second": rate,
            "share of sent": share,
            "average reply": size,
            "status": counters,
        })
    }
}

impl<'a> Load<'a> {
    fn prepare(args: &'a Args, folder: &'a Path) -> anyhow::Result<Self> {
        let (file, queries) = (folder.join("lac.zone"), folder.join("queries"));
        gen_zone::generate(&gen_zone::Args {
            names: NAMES,
            signed: None,
            seed: args.seed,
            apex: "lac.".into(),
            out: file.clone(),
            queries: Some(queries.clone()),
            count: args.count.unwrap_or(QUERIES),
        })?;
        let apex = Name::from_text("lac.")?;
        Ok(Self { args, folder, zones: [Zone { apex, file }], queries })
    }

    fn reflector(&self) -> anyhow::Result<Row> {
        let pair = Pair::with_queues(self.args.queues)?;
        let (source, object) = (self.folder.join("reflector.c"), self.folder.join("reflector.o"));
        fs::write(&source, include_str!("reflector.c"))?;
        let mut clang = Command::new("clang");
        clang.args(["-O2", "-target", "bpf", "-c"]).arg(&source).arg("-o").arg(&object);
        process::output(&mut clang).context("remedy: cargo xtask setup")?;
        let mut ip = pair.server.command("ip");
        ip.args(["link", "set", "dev", SERVER_INTERFACE, "xdpdrv", "obj"]).arg(&object);
        process::output(ip.args(["sec", "xdp"]))?;
        self.flood("reflector", &pair)
    }

    fn peer(&self, kind: Kind) -> anyhow::Result<Row> {
        let pair = Pair::with_queues(self.args.queues)?;
        let _peer = servers::start_peer(kind, &pair, &self.zones, 2, self.folder)?;
        self.flood(kind.program(), &pair)
    }

    fn ours(&self, program: &Path) -> anyhow::Result<Row> {
        let pair = Pair::with_queues(self.args.queues)?;
        let daemon = servers::start_ours(program, &pair, &self.zones, "native", self.folder)?;
        let mut row = self.flood("responder", &pair)?;
        row.counters = daemon.status()?;
        Ok(row)
    }

    /// One run of kxdpgun from the client's side.
    fn flood(&self, server: &'static str, pair: &Pair) -> anyhow::Result<Row> {
        let (seconds, rate) = (self.args.seconds.to_string(), self.args.rate.to_string());
        let mut generator = pair.client.command("kxdpgun");
        generator.args(["-t", &seconds, "-Q", &rate, "-i"]).arg(&self.queries);
        generator.arg(servers::server_ip().to_string());
        let flood = || {
            let output = process::tie(&mut generator).output();
            // It leaves its program attached.
            let mut ip = pair.client.command("ip");
            process::output(ip.args(["link", "set", "dev", CLIENT_INTERFACE, "xdp", "off"]))?;
            output.context("remedy: cargo xtask setup")
        };
        let output = pair.with_free_client_interface(flood)??;
        // It says everything on the one or the other.
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let line = |start: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(start));
            line.map(str::trim).with_context(|| format!("kxdpgun does not say {start:?}: {said}"))
        };
        // total replies:   6057348 (1211469 pps) (99%)
        let replies = line("total replies:")?;
        let mut brackets = replies.split('(').skip(1);
        let rate = brackets.next().and_then(|text| text.split(' ').next()?.parse().ok());
        let share = brackets.next().unwrap_or_default().trim_end_matches(')').to_owned();
        let row = Row {
            server,
            rate: rate.with_context(|| format!("no rate in {replies:?}"))?,
            share,
            size: line("average DNS reply size:").unwrap_or_default().to_owned(),
            counters: Value::Null,
        };
        println!("{server}: {replies}");
        Ok(row)
    }
}
