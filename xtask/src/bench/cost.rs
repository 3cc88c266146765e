//! `bench cost`: the programs' own time for each class of answers.

use std::{fs, process::Command};

use serde_json::{Value, json};

use super::{
    Common, machine,
    plot::Bars,
    table::{Table, thousands},
    workspace,
    zones::{self, Wanted},
};
use crate::{gen_zone::Signed, process, setup};

/// Nanoseconds of each class of answers in the kernel.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    common: Common,
    /// Names in the zones that queries are spread over
    #[arg(long, default_value_t = 1_000_000)]
    names: usize,
    /// Delegations in the zones with NSEC and with NSEC3 without opt-out, where each is signed
    #[arg(long, default_value_t = 100_000)]
    signed_names: usize,
    /// Makes the zones and builds, and measures nothing
    #[arg(long)]
    prepare: bool,
}

/// The command.
///
/// # Errors
/// When a zone cannot be made, or the bench fails.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let folder = zones::folder(&format!("cost-{}-{}", args.names, args.signed_names))?;
    for (apex, signed, names) in [
        ("plain", None, args.names),
        ("optout", Some(Signed::Nsec3Optout), args.names),
        ("nsec3", Some(Signed::Nsec3), args.signed_names),
        ("nsec", Some(Signed::Nsec), args.signed_names),
    ] {
        let wanted = Wanted { apex, names, signed, count: 0 };
        zones::make(&wanted, &folder.join(format!("{apex}.zone")), None)?;
    }
    let mut cargo = Command::new(setup::cargo());
    cargo.args(["bench", "--package", "responder", "--bench", "cost"]).current_dir(workspace());
    process::run(cargo.arg("--no-run"))?;
    if args.prepare {
        return Ok(());
    }
    let figures = folder.join("figures.json");
    let mut cargo = Command::new(setup::cargo());
    cargo.args(["bench", "--package", "responder", "--bench", "cost", "--", "--zones"]);
    cargo.arg(&folder).args(["--names", &args.names.to_string(), "--out"]).arg(&figures);
    for lock in &args.common.lock {
        cargo.arg("--lock").arg(lock);
    }
    process::run(cargo.current_dir(workspace()))?;
    let mut figures: Value = serde_json::from_str(&fs::read_to_string(&figures)?)?;
    figures["machine"] = machine::describe();
    figures["versions"] = machine::versions();
    figures["signed names"] = json!(args.signed_names);
    args.common.write_json("cost.json", &figures)?;
    args.common.write("cost.md", &report(&figures))?;
    bars(&figures).draw(&args.common.file("cost.svg")?)
}

/// The figures as a page.
fn report(figures: &Value) -> String {
    let mut table =
        Table::new(&["class", "EDNS", "octets", "XDP warm", "XDP cold", "tc warm", "tc cold"]);
    for row in rows(figures) {
        let word = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let number = |value: &Value| thousands(value.as_f64().unwrap_or(f64::NAN));
        table.row(&[
            word("class"),
            word("edns"),
            number(&row["octets"]),
            number(&row["xdp"]["warm"]),
            number(&row["xdp"]["cold"]),
            number(&row["tc"]["warm"]),
            number(&row["tc"]["cold"]),
        ]);
    }
    format!(
        "# What an answer costs in the kernel\n\n`cargo xtask bench cost`: nanoseconds of a program's \
         run by BPF_PROG_TEST_RUN, without driver and stack, above those of an empty program (XDP_TX; a \
         redirect in tc) in its place. Every run gets a fresh query from a feeding program in front, whose \
         time is in both and so in neither figure. Warm: one query over and over. Cold: {} queries, each \
         about a name drawn at random from a zone of {} names ({} with NSEC, and with NSEC3 without \
         opt-out). Medians of seven times 30,000 runs. The skb of a run keeps the room of its first reply, \
         so tc is told without that allocation.\n\n{}\n{}",
        thousands(figures["queries"].as_f64().unwrap_or_default()),
        thousands(figures["names"].as_f64().unwrap_or_default()),
        thousands(figures["signed names"].as_f64().unwrap_or_default()),
        table.text(),
        machine::lines(&figures["machine"], &figures["versions"]),
    )
}

fn bars(figures: &Value) -> Bars {
    let group = |row: &Value| {
        let word = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let edns = match row["edns"].as_str() {
            Some("no") => String::new(),
            Some("DO") => ", DO".into(),
            _ => ", EDNS".into(),
        };
        let bars = ["warm", "cold"].map(|state| row["xdp"][state].as_f64());
        (word("class") + &edns, bars.to_vec())
    };
    Bars {
        title: "What an answer costs in XDP".into(),
        unit: "nanoseconds above an empty program".into(),
        decimals: 0,
        names: vec!["warm".into(), "cold".into()],
        groups: rows(figures).map(group).collect(),
    }
}

fn rows(figures: &Value) -> impl Iterator<Item = &Value> {
    figures["rows"].as_array().into_iter().flatten()
}
