//! The daemon dies, restarts, is upgraded: the kernel goes on answering.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::{Map, Value, json};

use super::{Args, Outcome, servers};
use crate::{
    cleanup::Scratch,
    daemon::{self, Daemon},
    gen_zone,
    load::generator::{Flood, kxdpgun},
    net::{Pair, SERVER_INTERFACE},
    process,
    refereeing::peers::Zone,
    strict::Name,
};

/// Queries per second: steady, and well below what one core of a small machine answers.
pub const RATE: u32 = 20_000;
/// How long a load goes on before something happens to the daemon, and between two happenings.
const PAUSE: Duration = Duration::from_secs(1);

/// What is tried.
struct Trial {
    /// Delegations in the zone, unless `--count` says otherwise.
    names: usize,
    /// `xdp.lease` of the daemon under test.
    lease: Duration,
    /// How long each load lasts, in seconds.
    seconds: u32,
}

/// A small zone, and the lease.
///
/// # Errors
/// When something cannot be built, started or measured.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    judge(args, &Trial { names: 10_000, lease: Duration::from_secs(5), seconds: 5 })
}

/// A million delegations.
///
/// # Errors
/// As [`run`].
pub fn million(args: &Args) -> anyhow::Result<Outcome> {
    judge(args, &Trial { names: 1_000_000, lease: Duration::from_secs(120), seconds: 10 })
}

fn judge(args: &Args, trial: &Trial) -> anyhow::Result<Outcome> {
    let folder = Scratch::create()?;
    let other = match &args.other_program {
        Some(program) => program.clone(),
        None => other_layout(folder.path())?,
    };
    let program = servers::program(args)?;
    let node = Node::prepare(args, trial, &folder)?;
    let mut steps = Map::new();
    let mut holds = true;
    let mut note = |name: &str, step: Step| {
        println!("{name}: {}", if step.holds { "holds" } else { "DOES NOT HOLD" });
        holds &= step.holds;
        steps.insert(name.to_owned(), step.figures);
    };

    let mut daemon = node.start(&program, &["--on-stop", "keep"])?;
    note("steady", node.lossless(&mut daemon, |_| Ok(json!({})))?);
    let turn = Turn { program: &program, end: "keep", ..Turn::default() };
    let turns = [
        Turn { name: "kill -9, and a restart", right: adopted, ..turn },
        Turn {
            name: "restart after the zone was changed",
            change: true,
            right: |happened| happened["the store is adopted"] == true,
            ..turn
        },
        Turn { name: "stop with keep, and a start", signal: libc::SIGTERM, right: adopted, ..turn },
        Turn { name: "upgrade to another layout", signal: libc::SIGTERM, program: &other, ..turn },
        Turn { name: "downgrade", end: "detach", ..turn },
    ];
    for turn in turns {
        let happen = |daemon: &mut Daemon| node.turn(daemon, &turn);
        note(turn.name, node.lossless(&mut daemon, happen)?.and(turn.right));
    }
    if trial.lease < Duration::from_secs(10) {
        note("lease", node.lease(&mut daemon, &program)?);
    }
    note("stop with detach", node.detach(&mut daemon)?);
    Ok(Outcome { holds, figures: Value::Object(steps) })
}

/// One daemon ends, and another follows it.
#[derive(Clone, Copy)]
struct Turn<'a> {
    name: &'static str,
    /// What ends the first.
    signal: libc::c_int,
    /// Whether the zone's file changes in between.
    change: bool,
    /// What follows, and its `--on-stop`.
    program: &'a Path,
    end: &'static str,
    /// What is to have happened, beside that nothing was lost.
    right: fn(&Value) -> bool,
}

impl Default for Turn<'_> {
    fn default() -> Self {
        let (signal, right) = (libc::SIGKILL, |_: &Value| true);
        Self { name: "", signal, change: false, program: Path::new(""), end: "", right }
    }
}

/// Builds the daemon with a store that is laid out otherwise.
fn other_layout(folder: &Path) -> anyhow::Result<PathBuf> {
    let built = daemon::build_with(&["--features", "other-layout"])?;
    let kept = folder.join("responder-other-layout");
    fs::copy(&built, &kept).with_context(|| built.display().to_string())?;
    Ok(kept)
}

/// What one step found.
pub struct Step {
    /// Whether it is as claimed.
    pub holds: bool,
    /// The figures.
    pub figures: Value,
}

impl Step {
    /// The same, if what happened is as it should be too.
    fn and(mut self, right: impl FnOnce(&Value) -> bool) -> Self {
        self.holds &= right(&self.figures["happened"]);
        self
    }
}

/// A restart that goes on with the store is ready within a second.
fn adopted(happened: &Value) -> bool {
    happened["the store is adopted"] == true
        && happened["ready after milliseconds"].as_u64().is_some_and(|took| took <= 1000)
}

/// A daemon's surroundings.
struct Node {
    lease: Duration,
    seconds: u32,
    zone: PathBuf,
    pair: Pair,
    folder: PathBuf,
    config: PathBuf,
    queries: PathBuf,
    pins: PathBuf,
}

impl Node {
    fn prepare(args: &Args, trial: &Trial, scratch: &Scratch) -> anyhow::Result<Self> {
        let folder = scratch.path().join("node");
        fs::create_dir(&folder)?;
        let (file, queries) = (folder.join("lac.zone"), folder.join("queries"));
        gen_zone::generate(&gen_zone::Args {
            names: args.count.unwrap_or(trial.names),
            signed: None,
            seed: args.seed,
            apex: "lac.".into(),
            out: file.clone(),
            queries: Some(queries.clone()),
            count: 100_000,
        })?;
        let zones = [Zone { apex: Name::from_text("lac.")?, file: file.clone() }];
        // In a namespace of its own the daemon sees no other bpffs that outlives it.
        let pins = scratch.mount_bpffs()?.join("node");
        let pair = Pair::create()?;
        // Spread over threads, packets wait for the scheduler, and a veth's ring may overflow meanwhile.
        let xdp = format!(
            "receive-scaling = \"off\"\npins = \"{}\"\nlease = \"{}s\"\n",
            pins.display(),
            trial.lease.as_secs()
        );
        let config = servers::configure_ours(&pair, &zones, "native", &xdp, &folder)?;
        let (lease, seconds) = (trial.lease, trial.seconds);
        Ok(Self { lease, seconds, zone: file, pair, folder, config, queries, pins })
    }

    fn start(&self, program: &Path, arguments: &[&str]) -> anyhow::Result<Daemon> {
        let (server, patience) = (&self.pair.server, Duration::from_secs(120));
        Daemon::start_with(server, program, &self.config, arguments, &self.folder, patience)
    }

    /// Starts it again; how long that took.
    fn restart(&self, daemon: &mut Daemon, program: &Path, end: &str) -> anyhow::Result<Value> {
        let start = Instant::now();
        *daemon = self.start(program, &["--on-stop", end])?;
        let took = start.elapsed().as_millis() as u64;
        let adopted = daemon.status()?["data-plane"]["adopted"].clone();
        Ok(json!({ "ready after milliseconds": took, "the store is adopted": adopted }))
    }

    /// Ends a daemon and starts the one that follows; how long that took.
    fn turn(&self, daemon: &mut Daemon, turn: &Turn<'_>) -> anyhow::Result<Value> {
        daemon.end(turn.signal, Duration::from_secs(10))?;
        if turn.change {
            self.change_zone()?;
        } else {
            thread::sleep(PAUSE);
        }
        self.restart(daemon, turn.program, turn.end)
    }

    /// Adds a name to the zone's file.
    fn change_zone(&self) -> anyhow::Result<()> {
        let mut file = fs::OpenOptions::new().append(true).open(&self.zone)?;
        Ok(file.write_all(b"another-name.lac. 60 IN A 192.0.2.1\n")?)
    }

    fn lossless(
        &self,
        daemon: &mut Daemon,
        happen: impl FnOnce(&mut Daemon) -> anyhow::Result<Value>,
    ) -> anyhow::Result<Step> {
        let field = Field { pair: &self.pair, queries: &self.queries, seconds: self.seconds };
        field.lossless(daemon, |daemon| daemon.status(), happen)
    }

    /// Dead for longer than the lease: everything is passed, and nobody is there. Alive again: answered.
    fn lease(&self, daemon: &mut Daemon, program: &Path) -> anyhow::Result<Step> {
        daemon.end(libc::SIGKILL, Duration::from_secs(5))?;
        let before = self.flood()?;
        thread::sleep(self.lease);
        let after = self.flood()?;
        let restarted = self.restart(daemon, program, "detach")?;
        let passed = daemon.status()?["data-plane"]["xdp"]["passed"]["lease"].clone();
        let again = self.flood()?;
        let holds = before.replies == before.queries
            && after.replies == 0
            && passed.as_u64().is_some_and(|passed| passed >= after.queries)
            && again.replies == again.queries;
        let count = |flood: &Flood| json!({ "queries": flood.queries, "replies": flood.replies });
        let figures = json!({
            "dead, before the end of the lease": count(&before),
            "dead, after": count(&after),
            "passed for that reason": passed,
            "restart": restarted,
            "alive again": count(&again),
        });
        Ok(Step { holds, figures })
    }

    /// A second of the load.
    fn flood(&self) -> anyhow::Result<Flood> {
        kxdpgun(&self.pair, &self.queries, RATE, 1)
    }

    /// After SIGTERM there is no program on the interface, and no pin.
    fn detach(&self, daemon: &mut Daemon) -> anyhow::Result<Step> {
        daemon.end(libc::SIGTERM, Duration::from_secs(10))?;
        let mut show = self.pair.server.command("bpftool");
        let attached = process::output(show.args(["-j", "net", "show", "dev", SERVER_INTERFACE]))?;
        let attached: Value = serde_json::from_str(&attached)?;
        let nothing = |hook: &str| attached[0][hook].as_array().is_none_or(Vec::is_empty);
        let holds = nothing("xdp") && nothing("tc") && !self.pins.exists();
        let figures = json!({ "attached": attached, "pins are gone": !self.pins.exists() });
        Ok(Step { holds, figures })
    }
}

/// Where a load is lossless or is not.
pub struct Field<'f> {
    /// The generator's side, and the server's.
    pub pair: &'f Pair,
    /// What is asked.
    pub queries: &'f Path,
    /// How long each load lasts, in seconds.
    pub seconds: u32,
}

impl Field<'_> {
    /// Runs a steady load while something happens to what is served by. No query may stay without a reply: by
    /// the client's count or by the kernel's, since either loses some to a machine that is busy otherwise (the
    /// client replies that it cannot take in time, the kernel's queries that the veth drops on the way).
    ///
    /// # Errors
    /// When something cannot be measured, or what happens fails or takes longer than the load.
    pub fn lossless<T>(
        &self,
        server: &mut T,
        status: impl Fn(&T) -> anyhow::Result<Value>,
        happen: impl FnOnce(&mut T) -> anyhow::Result<Value>,
    ) -> anyhow::Result<Step> {
        let before = answered(&status(server)?)?;
        let (flood, happened) = self.during_load(|| happen(server))?;
        // The counters are pinned too: they go on.
        let answered = answered(&status(server)?)?.saturating_sub(before);
        let lost = |replies| flood.queries.saturating_sub(replies);
        let figures = json!({
            "queries": flood.queries,
            "lost by the client's count": lost(flood.replies),
            "lost by the kernel's count": lost(answered),
            "happened": happened,
        });
        let lost = lost(flood.replies).min(lost(answered));
        Ok(Step { holds: lost == 0 && flood.queries > u64::from(RATE), figures })
    }

    fn during_load(
        &self,
        happen: impl FnOnce() -> anyhow::Result<Value>,
    ) -> anyhow::Result<(Flood, Value)> {
        thread::scope(|scope| {
            let load = scope.spawn(|| kxdpgun(self.pair, self.queries, RATE, self.seconds));
            thread::sleep(PAUSE);
            let start = Instant::now();
            let happened = happen()?;
            let took = start.elapsed() + PAUSE;
            let flood =
                load.join().map_err(|_| anyhow::anyhow!("the generator's thread failed"))??;
            ensure!(
                took < Duration::from_secs(self.seconds.into()),
                "the load ended before what was to happen: {} s",
                took.as_secs()
            );
            Ok((flood, happened))
        })
    }
}

/// What both hooks have answered so far.
fn answered(status: &Value) -> anyhow::Result<u64> {
    let count = |hook| servers::counters(status, hook)["answered"].as_u64();
    Ok(count("xdp").context("no counters")? + count("tc").context("no counters")?)
}
