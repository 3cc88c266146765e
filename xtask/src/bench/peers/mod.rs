//! `bench peers`: the same load on the same kind of veth pair for a bare reflector, the peers and us.
//!
//! All servers run at once, each on a pair of its own, and wait; one at a time is measured, in turns, so
//! that what else the machine does falls on all alike. Ratios are taken within a round, and their median
//! counts.

mod loads;
mod profile;
mod report;
mod server;
mod together;
mod workload;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use super::{Common, machine, silence::Silence};
use crate::{
    cleanup::Scratch,
    daemon,
    load::{frames::Frames, generator, usage},
    setup::{self, For},
};
use server::{Running, Server};
use workload::{Prepared, Workload};

/// The same load for a bare reflector, Knot, NSD, BIND and us.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    common: Common,
    /// Zones and queries [default: all]
    #[arg(long, value_delimiter = ',')]
    workloads: Vec<Workload>,
    /// Who takes part [default: all]
    #[arg(long, value_delimiter = ',')]
    servers: Vec<Server>,
    /// How long each measurement lasts
    #[arg(long, default_value_t = 2)]
    seconds: u32,
    /// How often each is repeated; medians count
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Queries per second that the flood attempts
    #[arg(long, default_value_t = 1_500_000)]
    rate: u32,
    /// Queries per second at which processor time is taken
    #[arg(long, default_value_t = 100_000)]
    steady: u32,
    /// One round of a second, of the 10,000 delegations and the NXDOMAIN flood alone
    #[arg(long)]
    quick: bool,
    /// Only how long servers load and what memory they hold then, each alone on the machine
    #[arg(long)]
    loads: bool,
    /// Only what the processors' time goes to at the steady rate, line by line, beside the reflector
    #[arg(long, conflicts_with = "loads")]
    profile: bool,
    /// Only our servers and the reflector, with the zones of all workloads at once, in turns
    #[arg(long, conflicts_with_all = ["loads", "profile"])]
    together: bool,
    /// With `--together`: another responder program to compare ours with
    #[arg(long, value_name = "FILE", requires = "together")]
    before: Option<PathBuf>,
    /// The signed root zone (may be gzipped) [default: the one beside the repository; without one the
    /// workload is left out]
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// The responder program [default: it is built]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Makes the zones and builds, and measures nothing
    #[arg(long)]
    prepare: bool,
}

impl Args {
    fn workloads(&self) -> Vec<Workload> {
        if !self.workloads.is_empty() {
            return self.workloads.clone();
        }
        if self.quick {
            return vec![Workload::TenThousand, Workload::Absent];
        }
        if self.loads {
            return vec![Workload::Million, Workload::SignedMillion];
        }
        if self.together {
            return vec![Workload::Million, Workload::TenMillion];
        }
        let root = crate::prove::root::find(self.root.as_deref());
        if let Err(error) = &root {
            println!("the root zone is left out: {error}");
        }
        let mut all = Workload::ALL.to_vec();
        all.retain(|&workload| workload != Workload::Root || root.is_ok());
        all
    }

    fn servers(&self) -> Vec<Server> {
        if self.servers.is_empty() { Server::ALL.to_vec() } else { self.servers.clone() }
    }

    fn rounds(&self) -> usize {
        if self.quick { 1 } else { self.rounds.max(1) }
    }

    fn seconds(&self) -> u32 {
        if self.quick { 1 } else { self.seconds.max(1) }
    }
}

/// The command.
///
/// # Errors
/// When something cannot be built, started or measured.
pub fn run(args: &Args) -> anyhow::Result<()> {
    setup::ensure(&[For::Build, For::Run, For::Test])?;
    let program = match &args.program {
        Some(program) => fs::canonicalize(program)?,
        None => daemon::build()?,
    };
    let mut prepared = Vec::new();
    for workload in args.workloads() {
        prepared.push((workload, workload.prepare(args.root.as_deref())?));
    }
    if args.prepare {
        return Ok(());
    }
    if args.loads {
        return loads::run(args, &program, &prepared);
    }
    if args.together {
        return together::run(args, &program, &prepared);
    }
    if args.profile {
        return profile::run(args, &program, &prepared);
    }
    for (workload, prepared) in prepared {
        println!("\n{}", workload.label());
        let figures = Contest { args, program: &program, workload, prepared }.run()?;
        report::record(&args.common, workload, figures)?;
    }
    Ok(())
}

/// One workload for all servers.
struct Contest<'a> {
    args: &'a Args,
    program: &'a Path,
    workload: Workload,
    prepared: Prepared,
}

impl Contest<'_> {
    fn run(&self) -> anyhow::Result<Value> {
        let args = self.args;
        let folder = Scratch::create()?;
        let (mut running, mut figures) = (Vec::new(), Vec::new());
        let mut silence = Silence::over(&args.common.lock);
        for server in args.servers() {
            silence.begin()?;
            let zone = &self.prepared.zone;
            let one = Running::start(server, zone, self.program, folder.path())?;
            let load = one.load.map(|load| (load.as_secs_f64() * 100.0).round() / 100.0);
            println!("{}: answers after {} s", server.label(), load.unwrap_or(0.0));
            figures.push(json!({ "server": server.label(), "load seconds": load }));
            running.push(one);
        }
        running.iter().try_for_each(Running::settle)?;
        for _ in 0..args.rounds() {
            silence.begin()?;
            turn(&running, &mut figures, "flood", |one| self.flood(one))?;
            silence.begin()?;
            turn(&running, &mut figures, "steady", |one| self.steady(one))?;
            silence.begin()?;
            turn(&running, &mut figures, "frames", |one| self.frames(one, folder.path()))?;
        }
        silence.begin()?;
        turn(&running, &mut figures, "dnsperf", |one| self.dnsperf(one))?;
        silence.end();
        for (one, figures) in running.iter().zip(&mut figures) {
            if let Some(memory) = one.memory()? {
                figures["resident megabytes"] = json!(memory.resident / 1_000_000);
                figures["proportional megabytes"] = json!(memory.proportional / 1_000_000);
            }
            let status = one.status()?;
            if !status.is_null() {
                figures["data plane"] = status["data-plane"].clone();
                figures["store megabytes"] =
                    json!(status["store-bytes"].as_u64().unwrap_or(0) / 1_000_000);
            }
        }
        Ok(json!({
            "name": self.workload.name(),
            "label": self.workload.label(),
            "command": self.command(),
            "at": SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
            "load average": fs::read_to_string("/proc/loadavg")?.trim(),
            "seconds": args.seconds(),
            "rounds": args.rounds(),
            "attempted per second": args.rate,
            "steady per second": args.steady,
            "machine": machine::describe(),
            "versions": machine::versions(),
            "servers": figures,
        }))
    }

    fn flood(&self, one: &Running) -> anyhow::Result<Value> {
        let (rate, seconds) = (self.args.rate, self.args.seconds());
        let flood = generator::kxdpgun(&one.pair, &self.prepared.queries, rate, seconds)?;
        Ok(json!({
            "replies per second": flood.rate,
            "share of sent": flood.share,
            "average reply": flood.size,
        }))
    }

    fn frames(&self, one: &Running, folder: &Path) -> anyhow::Result<Value> {
        let time = Duration::from_secs(self.args.seconds().into());
        let best = Frames::best(&one.pair, &self.prepared.queries, folder, time)?;
        Ok(json!({
            "replies per second": best.rate() as u64,
            "share of sent": format!("{:.1}%", best.answered() * 100.0),
        }))
    }

    /// Processor time of the whole machine for each reply.
    fn steady(&self, one: &Running) -> anyhow::Result<Value> {
        let (rate, seconds) = (self.args.steady, self.args.seconds());
        let before = usage::busy()?;
        let flood = generator::kxdpgun(&one.pair, &self.prepared.queries, rate, seconds)?;
        let spent = usage::busy()? - before;
        let each = spent as f64 / flood.replies.max(1) as f64;
        Ok(json!({ "microseconds per reply": each, "share of sent": flood.share }))
    }

    fn dnsperf(&self, one: &Running) -> anyhow::Result<Value> {
        let Prepared { plain, dnssec_ok, .. } = &self.prepared;
        let rate = generator::dnsperf(&one.pair, plain, *dnssec_ok, self.args.seconds())?;
        Ok(json!({ "queries per second": rate }))
    }

    /// What would measure the same again.
    fn command(&self) -> String {
        let args = self.args;
        format!(
            "cargo xtask bench peers --workloads {} --seconds {} --rounds {} --rate {} --steady {}",
            self.workload.name(),
            args.seconds(),
            args.rounds(),
            args.rate,
            args.steady
        )
    }
}

/// Measures all servers, one after the other.
fn turn(
    running: &[Running],
    figures: &mut [Value],
    name: &str,
    measure: impl Fn(&Running) -> anyhow::Result<Value>,
) -> anyhow::Result<()> {
    for (one, figures) in running.iter().zip(figures) {
        let value = measure(one)?;
        println!("{name:8} {:26} {value}", one.server.label());
        match figures[name].as_array_mut() {
            Some(rounds) => rounds.push(value),
            None => figures[name] = json!([value]),
        }
    }
    Ok(())
}
