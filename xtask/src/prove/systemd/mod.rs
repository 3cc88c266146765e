//! The package under a real systemd: the unit as it is shipped, with `node.user`.

mod machine;

use std::{
    fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use anyhow::bail;
use serde_json::{Map, Value, json};

use self::machine::Machine;
use super::{
    Args, Outcome,
    kill::{self, Field, Step},
    servers,
};
use crate::{
    cleanup::Scratch,
    gen_zone,
    load::generator::kxdpgun,
    net::{Pair, SERVER, SERVER_INTERFACE},
    process,
};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long each load lasts, in seconds: a watchdog's time and a restart are in it.
const SECONDS: u32 = 10;
/// The watchdog's time here; the unit's is a minute.
const WATCHDOG: u32 = 3;

/// The check.
///
/// # Errors
/// When something cannot be built, started or measured.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let scratch = Scratch::create()?;
    let program = servers::program(args)?;
    let (folder, queries) = (scratch.path().join("etc"), scratch.path().join("queries"));
    fs::create_dir_all(folder.join("keys"))?;
    gen_zone::generate(&gen_zone::Args {
        names: args.count.unwrap_or(10_000),
        signed: None,
        seed: args.seed,
        apex: "lac.".into(),
        out: folder.join("lac.zone"),
        queries: Some(queries.clone()),
        count: 100_000,
    })?;
    fs::write(folder.join("responder.toml"), configuration())?;
    fs::write(folder.join("drop-in.conf"), format!("[Service]\nWatchdogSec={WATCHDOG}\n"))?;
    let pair = Pair::create()?;
    let machine = Machine::boot(&pair, &program, &folder)?;
    let unit = Unit { machine, pair, queries };
    let found = unit.play();
    if found.as_ref().is_ok_and(|outcome| outcome.holds) {
        return found;
    }
    println!("{}", unit.machine.journal());
    found
}

struct Unit {
    machine: Machine,
    pair: Pair,
    queries: PathBuf,
}

impl Unit {
    fn play(&self) -> anyhow::Result<Outcome> {
        let mut steps = Map::new();
        let mut holds = true;
        let mut note = |name: &str, step: Step| {
            println!(
                "{name}: {} {}",
                if step.holds { "holds" } else { "DOES NOT HOLD" },
                step.figures
            );
            holds &= step.holds;
            steps.insert(name.to_owned(), step.figures);
        };
        note("systemctl start returns once queries are answered", self.start()?);
        note(
            "kill -9: systemd starts it again",
            self.lossless(|unit| {
                unit.machine.systemctl(&["kill", "-s", "KILL", "--kill-whom=main", "responder"])?;
                unit.await_restart()
            })?,
        );
        note(
            "systemctl restart",
            self.lossless(|unit| unit.machine.systemctl(&["restart", "responder"]).map(drop))?,
        );
        note(
            "systemctl reload",
            self.lossless(|unit| unit.machine.systemctl(&["reload", "responder"]).map(drop))?,
        );
        note(
            "frozen: the watchdog has it started again",
            self.lossless(|unit| {
                unit.machine.systemctl(&["kill", "-s", "STOP", "--kill-whom=main", "responder"])?;
                unit.await_restart()
            })?,
        );
        note("systemctl stop detaches", self.stop()?);
        Ok(Outcome { holds, figures: Value::Object(steps) })
    }

    /// Started; who the process is then.
    fn start(&self) -> anyhow::Result<Step> {
        let start = Instant::now();
        self.machine.systemctl(&["start", "responder"])?;
        let took = start.elapsed();
        let flood = kxdpgun(&self.pair, &self.queries, kill::RATE, 1)?;
        // Processes have other numbers inside.
        let file = format!("/proc/{}/status", self.main_process()?);
        let status = process::output(self.machine.command("cat").arg(file))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.map(|rest| rest.trim_start_matches(':').trim().to_owned()).unwrap_or_default()
        };
        let (user, capabilities) = (field("Uid"), field("CapEff"));
        let holds = flood.replies == flood.queries
            && !user.starts_with("0\t")
            && capabilities.chars().all(|digit| digit == '0');
        let figures = json!({
            "milliseconds": took.as_millis() as u64,
            "type": self.machine.property("Type")?,
            "queries": flood.queries,
            "replies": flood.replies,
            "user": user,
            "effective capabilities": capabilities,
            "seccomp": field("Seccomp"),
        });
        Ok(Step { holds, figures })
    }

    /// Under a load of which nothing may be lost.
    fn lossless(&self, happen: impl FnOnce(&Self) -> anyhow::Result<()>) -> anyhow::Result<Step> {
        let field = Field { pair: &self.pair, queries: &self.queries, seconds: SECONDS };
        let before = self.machine.property("NRestarts")?;
        let step = field.lossless(
            &mut &*self,
            |unit| unit.status(),
            |unit| {
                let (start, process) = (Instant::now(), unit.main_process()?);
                happen(unit)?;
                Ok(json!({
                    "milliseconds": start.elapsed().as_millis() as u64,
                    "another process": unit.main_process()? != process,
                }))
            },
        )?;
        let Step { holds, mut figures } = step;
        let active = self.machine.property("ActiveState")?;
        figures["restarts by systemd"] = json!([before, self.machine.property("NRestarts")?]);
        Ok(Step { holds: holds && active == "active", figures })
    }

    /// Waits until systemd has started it anew by itself.
    fn await_restart(&self) -> anyhow::Result<()> {
        let (before, deadline) = (self.machine.property("NRestarts")?, Instant::now() + PATIENCE);
        loop {
            let state = self.machine.property("ActiveState")?;
            if state == "active" && self.machine.property("NRestarts")? != before {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("not started again: {state}");
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Stopped: nothing is attached, nothing pinned, no process left.
    fn stop(&self) -> anyhow::Result<Step> {
        let start = Instant::now();
        self.machine.systemctl(&["stop", "responder"])?;
        let took = start.elapsed();
        let mut show = self.machine.command("bpftool");
        let attached = process::output(show.args(["-j", "net", "show", "dev", SERVER_INTERFACE]))?;
        let attached: Value = serde_json::from_str(&attached)?;
        let nothing = |hook: &str| attached[0][hook].as_array().is_none_or(Vec::is_empty);
        let pins = process::output(self.machine.command("ls").arg("/sys/fs/bpf"))?;
        let result = self.machine.property("Result")?;
        let holds =
            nothing("xdp") && nothing("tc") && result == "success" && !pins.contains("proof");
        let figures = json!({
            "milliseconds": took.as_millis() as u64,
            "result": result,
            "attached": attached,
            "left on bpffs": pins.trim(),
        });
        Ok(Step { holds, figures })
    }

    fn main_process(&self) -> anyhow::Result<String> {
        self.machine.property("MainPID")
    }

    fn status(&self) -> anyhow::Result<Value> {
        let mut status = self.machine.command("responder");
        status.args(["status", "--json", "--config", "/etc/responder/responder.toml"]);
        Ok(serde_json::from_str(&process::output(&mut status)?)?)
    }
}

fn configuration() -> String {
    format!(
        "[node]\nid = \"proof\"\nuser = \"responder\"\n[listen]\naddresses = [\"{}\"]\n[xdp]\nmode = \
         \"native\"\ninterfaces = [\"{SERVER_INTERFACE}\"]\nreceive-scaling = \"off\"\n[[zone]]\nname = \
         \"lac.\"\nfile = \"lac.zone\"\n",
        SERVER[0]
    )
}
