//! `bench peers --together`: our servers with all the workloads' zones at once, in turns.
//!
//! What a larger zone costs is a ratio of two rates, and the machine's speed varies from minute to minute:
//! so both are taken within a round. The reflector gets each workload's queries too, since a generator
//! has more to do with one file than with another.

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::{
    Args,
    server::{Running, Server},
    workload::{Prepared, Workload},
};
use crate::{
    bench::{
        machine,
        silence::Silence,
        table::{Table, thousands},
    },
    cleanup::Scratch,
    load::{generator, median, usage},
};

/// Who takes part: each of ours behind the reflector whose interface is polled in the same way.
const SERVERS: [Server; 4] =
    [Server::Reflector, Server::ResponderInline, Server::ReflectorThread, Server::Responder];

/// A server with one of the workloads.
struct Contestant<'a> {
    workload: Workload,
    prepared: &'a Prepared,
    /// Whether it is the program of `--before`.
    before: bool,
    running: Running,
    flood: Vec<f64>,
    steady: Vec<f64>,
}

impl Contestant<'_> {
    fn label(&self) -> String {
        let before = if self.before { ", before" } else { "" };
        format!("{}{before}", self.running.server.label())
    }
}

/// Measures, and writes `together.json` and `together.md`.
///
/// # Errors
/// When something cannot be started or measured.
pub fn run(args: &Args, program: &Path, prepared: &[(Workload, Prepared)]) -> anyhow::Result<()> {
    let before = args.before.as_deref().map(fs::canonicalize).transpose()?;
    let folder = Scratch::create()?;
    let mut silence = Silence::over(&args.common.lock);
    let mut all = Vec::new();
    for (workload, prepared) in prepared {
        let wanted = |server: &Server| args.servers.is_empty() || args.servers.contains(server);
        for server in SERVERS.into_iter().filter(wanted) {
            let ours = matches!(server, Server::Responder | Server::ResponderInline);
            let former = before.as_deref().filter(|_| ours).map(|former| (former, true));
            for (program, before) in [(program, false)].into_iter().chain(former) {
                silence.begin()?;
                // A state directory has one daemon.
                let own = folder.path().join(all.len().to_string());
                fs::create_dir(&own)?;
                let running = Running::start(server, &prepared.zone, program, &own)?;
                let (flood, steady) = (Vec::new(), Vec::new());
                let workload = *workload;
                all.push(Contestant { workload, prepared, before, running, flood, steady });
            }
        }
    }
    all.iter().try_for_each(|one| one.running.settle())?;
    for _ in 0..args.rounds() {
        for one in &mut all {
            silence.begin()?;
            one.measure(args)?;
        }
    }
    silence.end();
    let rows: Vec<Value> = all.iter().map(|one| figures(one, &all)).collect();
    let all = json!({
        "command": command(args, prepared),
        "load average": fs::read_to_string("/proc/loadavg")?.trim(),
        "machine": machine::describe(),
        "versions": machine::versions(),
        "rows": rows,
    });
    args.common.write_json("together.json", &all)?;
    let page = page(&all);
    args.common.write("together.md", &page)?;
    println!("{page}");
    Ok(())
}

impl Contestant<'_> {
    fn measure(&mut self, args: &Args) -> anyhow::Result<()> {
        let (pair, queries) = (&self.running.pair, &self.prepared.queries);
        let flood = generator::kxdpgun(pair, queries, args.rate, args.seconds())?;
        self.flood.push(flood.rate as f64);
        let busy = usage::busy()?;
        let steady = generator::kxdpgun(pair, queries, args.steady, args.seconds())?;
        self.steady.push((usage::busy()? - busy) as f64 / steady.replies.max(1) as f64);
        let last = |all: &[f64]| all.last().copied().unwrap_or(f64::NAN);
        println!(
            "{}, {}: flood {:.0}, {:.2} µs",
            self.workload.label(),
            self.label(),
            last(&self.flood),
            last(&self.steady)
        );
        Ok(())
    }
}

/// A row, with what it is of the same server's rate with the first workload, and of the program before.
fn figures(one: &Contestant<'_>, all: &[Contestant<'_>]) -> Value {
    let like = |workload: Workload, before: bool| {
        all.iter().find(|other| {
            other.workload == workload
                && other.before == before
                && other.running.server == one.running.server
        })
    };
    let share = |of: Option<&Contestant<'_>>| {
        let rounds = one.flood.iter();
        of.map(|of| median(rounds.zip(&of.flood).map(|(ours, of)| ours / of.max(1.0))))
    };
    let first = all.first().and_then(|first| like(first.workload, one.before));
    let first = first.filter(|first| first.workload != one.workload);
    let former = like(one.workload, true).filter(|_| !one.before);
    json!({
        "workload": one.workload.label(),
        "server": one.label(),
        "flood": one.flood,
        "steady": one.steady,
        "flood median": median(one.flood.iter().copied()),
        "steady least": one.steady.iter().copied().reduce(f64::min),
        "flood of first": share(first),
        "flood of before": share(former),
    })
}

/// What would measure the same again.
fn command(args: &Args, prepared: &[(Workload, Prepared)]) -> String {
    let names: Vec<String> = prepared.iter().map(|(workload, _)| workload.name()).collect();
    format!(
        "cargo xtask bench peers --together --workloads {} --seconds {} --rounds {} --rate {} --steady {}",
        names.join(","),
        args.seconds(),
        args.rounds(),
        args.rate,
        args.steady
    )
}

fn page(all: &Value) -> String {
    let mut text = format!(
        "# Zones of several sizes beside each other\n\n`{}`: all servers run, and are measured in turns. \
         Every workload asks as many queries, drawn from all of its names alike, and the reflector answers \
         those of each. Medians of the rounds; of processor time the least. *Of the first*: the same \
         server's rate with the first zone, within a round.\n\n",
        all["command"].as_str().unwrap_or_default()
    );
    let mut table = Table::new(&[
        "zone",
        "server",
        "flood, replies/s",
        "of the first",
        "of the program before",
        "µs/reply at the steady rate",
    ]);
    for row in all["rows"].as_array().into_iter().flatten() {
        let word = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let rate = |name: &str| thousands(row[name].as_f64().unwrap_or(0.0));
        let share =
            |name: &str| row[name].as_f64().map_or("–".into(), |share| format!("{share:.2}"));
        table.row(&[
            word("workload"),
            word("server"),
            rate("flood median"),
            share("flood of first"),
            share("flood of before"),
            share("steady least"),
        ]);
    }
    text += &table.text();
    text + "\n## Where and with what\n\n" + &machine::lines(&all["machine"], &all["versions"])
}
