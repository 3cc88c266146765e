//! `bench peers --loads`: how long servers load a zone, and what memory they hold then.
//!
//! Each is started alone, and ends before the next one starts: what is measured is what a machine with
//! one server sees. Of ours every map of the kernel programs is part of the memory.

use std::{path::Path, thread, time::Duration};

use serde_json::{Value, json};

use super::{
    Args,
    server::{Running, Server},
    workload::{Prepared, Workload},
};
use crate::{
    bench::{machine, silence::Silence, table::Table},
    cleanup::Scratch,
    load::{median, usage::Memory},
};

/// After the first answer, until memory is looked at: what a server still has to tidy up.
const SETTLING: Duration = Duration::from_secs(5);

/// Who loads.
const SERVERS: [Server; 4] = [Server::Knot, Server::Nsd, Server::Bind, Server::Responder];

/// Measures all servers, in turns, and writes `loads.json` and `loads.md`.
///
/// # Errors
/// When something cannot be started or measured.
pub fn run(args: &Args, program: &Path, prepared: &[(Workload, Prepared)]) -> anyhow::Result<()> {
    let mut workloads = Vec::new();
    for (workload, prepared) in prepared {
        let mut rounds: Vec<Vec<(f64, Memory)>> = vec![Vec::new(); SERVERS.len()];
        for _ in 0..args.rounds() {
            for (server, figures) in SERVERS.into_iter().zip(&mut rounds) {
                let one = load(args, program, server, prepared)?;
                println!("{}, {}: {:.2} s", workload.label(), server.label(), one.0);
                figures.push(one);
            }
        }
        let servers: Vec<Value> = SERVERS.into_iter().zip(&rounds).map(figures).collect();
        workloads.push(json!({ "label": workload.label(), "servers": servers }));
    }
    let all = json!({
        "command": format!("cargo xtask bench peers --loads --rounds {}", args.rounds()),
        "machine": machine::describe(),
        "versions": machine::versions(),
        "workloads": workloads,
    });
    args.common.write_json("loads.json", &all)?;
    let page = page(&all);
    args.common.write("loads.md", &page)?;
    println!("{page}");
    Ok(())
}

/// Seconds to the first answer, and the memory then.
fn load(
    args: &Args,
    program: &Path,
    server: Server,
    prepared: &Prepared,
) -> anyhow::Result<(f64, Memory)> {
    let folder = Scratch::create()?;
    let mut silence = Silence::over(&args.common.lock);
    silence.begin()?;
    let one = Running::start(server, &prepared.zone, program, folder.path())?;
    silence.end();
    thread::sleep(SETTLING);
    let load = one.load.unwrap_or_default().as_secs_f64();
    Ok((load, one.memory()?.unwrap_or_default()))
}

fn figures((server, rounds): (Server, &Vec<(f64, Memory)>)) -> Value {
    let megabytes = |number: fn(&Memory) -> u64| {
        median(rounds.iter().map(|(_, memory)| number(memory) as f64)) / 1e6
    };
    json!({
        "server": server.label(),
        "load seconds": rounds.iter().map(|(seconds, _)| *seconds).collect::<Vec<_>>(),
        "median seconds": median(rounds.iter().map(|(seconds, _)| *seconds)),
        "resident megabytes": megabytes(|memory| memory.resident),
        "proportional megabytes": megabytes(|memory| memory.proportional),
    })
}

fn page(all: &Value) -> String {
    let mut text = format!(
        "# Loading\n\n`{}`: each server alone, from the start of its process until it answers for the \
         zone; its memory {} s later, of ours with every map. Medians of the rounds. *Of the best peer*: \
         our figure, divided by the least of the others\'.\n",
        all["command"].as_str().unwrap_or_default(),
        SETTLING.as_secs()
    );
    for workload in all["workloads"].as_array().into_iter().flatten() {
        text += &format!("\n## {}\n\n", workload["label"].as_str().unwrap_or_default());
        let mut table = Table::new(&["server", "load, s", "memory, MB (RSS)", "memory, MB (PSS)"]);
        let servers: Vec<&Value> = workload["servers"].as_array().into_iter().flatten().collect();
        const NUMBERS: [&str; 3] =
            ["median seconds", "resident megabytes", "proportional megabytes"];
        let number = |server: &Value, name: &str| server[name].as_f64().unwrap_or(f64::NAN);
        for server in &servers {
            let [load, resident, proportional] = NUMBERS.map(|name| number(server, name));
            table.row(&[
                server["server"].as_str().unwrap_or_default().to_owned(),
                format!("{load:.2}"),
                format!("{resident:.0}"),
                format!("{proportional:.0}"),
            ]);
        }
        if let Some((ours, peers)) = servers.split_last() {
            let of_best = NUMBERS.map(|name| {
                let best =
                    peers.iter().map(|peer| number(peer, name)).fold(f64::INFINITY, f64::min);
                format!("{:.2}", number(ours, name) / best)
            });
            let [load, resident, proportional] = of_best;
            table.row(&["of the best peer".to_owned(), load, resident, proportional]);
        }
        text += &table.text();
    }
    text + "\n## Where and with what\n\n" + &machine::lines(&all["machine"], &all["versions"])
}
