//! `bench micro`: criterion's benches of the host's engine and the zone compiler.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::{
    Common, machine,
    silence::Silence,
    table::{Table, thousands},
    workspace,
    zones::{self, Wanted},
};
use crate::{cleanup::Scratch, gen_zone::Signed, process, setup};

/// The engine and the zone compiler on the host, by criterion.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    common: Common,
    /// Only benches whose name contains this; nothing is recorded then
    #[arg(long)]
    only: Option<String>,
    /// Makes the zones and builds, and measures nothing
    #[arg(long)]
    prepare: bool,
}

/// Delegations of the zones that the engine answers from.
const NAMES: usize = 10_000;
/// Delegations of the zones that are loaded.
const LOADS: [usize; 2] = [10_000, 100_000];

/// The command.
///
/// # Errors
/// When a zone cannot be made, or the bench fails.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let folder = zones::folder(&format!("micro-{NAMES}"))?;
    for (apex, signed) in [
        ("plain", None),
        ("optout", Some(Signed::Nsec3Optout)),
        ("nsec3", Some(Signed::Nsec3)),
        ("nsec", Some(Signed::Nsec)),
    ] {
        let wanted = Wanted { apex, names: NAMES, signed, count: 0 };
        zones::make(&wanted, &folder.join(format!("{apex}.zone")), None)?;
    }
    let loads = folder.join("load");
    fs::create_dir_all(&loads)?;
    for names in LOADS {
        for (how, signed) in [("unsigned", None), ("optout", Some(Signed::Nsec3Optout))] {
            let wanted = Wanted { apex: "load", names, signed, count: 0 };
            zones::make(&wanted, &loads.join(format!("{how}-{names}.zone")), None)?;
        }
    }
    let bench = |arguments: &[&str]| {
        let mut cargo = Command::new(setup::cargo());
        cargo.args(["bench", "--package", "responder", "--bench", "micro"]).args(arguments);
        cargo.current_dir(workspace());
        cargo
    };
    process::run(&mut bench(&["--no-run"]))?;
    if args.prepare {
        return Ok(());
    }
    let home = Scratch::create()?;
    let mut cargo = bench(&[]);
    if let Some(only) = &args.only {
        cargo.args(["--", only]);
    }
    cargo.env("RESPONDER_BENCH_ZONES", &folder).env("CRITERION_HOME", home.path());
    let mut silence = Silence::over(&args.common.lock);
    silence.begin()?;
    process::run(&mut cargo)?;
    silence.end();
    if args.only.is_some() {
        return Ok(());
    }
    let rows = estimates(home.path())?;
    let (machine, versions) = (machine::describe(), machine::versions());
    let mut table = Table::new(&["bench", "median, ns", "from", "to"]);
    for row in &rows {
        let number = |name: &str| thousands(row[name].as_f64().unwrap_or_default());
        let name = row["name"].as_str().unwrap_or_default().to_owned();
        table.row(&[name, number("nanoseconds"), number("from"), number("to")]);
    }
    let page = format!(
        "# The engine and the compiler on the host\n\n`cargo xtask bench micro`: criterion's medians and \
         their 95 % bounds, in nanoseconds. `answer`: one query of each class through \
         `responder::answer::Answerer`, zones of {} names, all in cache. `load`: a zone file read, compiled \
         and published, by its delegations.\n\n{}\n{}",
        thousands(NAMES as f64),
        table.text(),
        machine::lines(&machine, &versions)
    );
    let figures = json!({ "rows": rows, "machine": machine, "versions": versions });
    args.common.write_json("micro.json", &figures)?;
    args.common.write("micro.md", &page)
}

/// What criterion left: a folder for each bench of each group.
fn estimates(home: &Path) -> anyhow::Result<Vec<Value>> {
    let mut rows = Vec::new();
    for group in ["answer", "load"] {
        for bench in fs::read_dir(home.join(group)).context("criterion left nothing")? {
            let folder = bench?.path().join("new");
            let read = |name: &str| -> anyhow::Result<Value> {
                Ok(serde_json::from_str(&fs::read_to_string(folder.join(name))?)?)
            };
            if !folder.is_dir() {
                continue; // its own report
            }
            let (bench, estimates) = (read("benchmark.json")?, read("estimates.json")?);
            let median = &estimates["median"];
            rows.push(json!({
                "name": bench["full_id"],
                "nanoseconds": median["point_estimate"],
                "from": median["confidence_interval"]["lower_bound"],
                "to": median["confidence_interval"]["upper_bound"],
            }));
        }
    }
    ensure!(!rows.is_empty(), "criterion left no figures");
    rows.sort_by_key(|row| row["name"].as_str().map(str::to_owned));
    Ok(rows)
}
