//! The results: what was measured joins what was measured before, workload by workload.

use std::fs;

use serde_json::{Value, json};

use super::{server::Server, workload::Workload};
use crate::{
    bench::{
        Common, machine,
        plot::Bars,
        table::{Table, thousands},
    },
    load::median,
};

/// Puts the figures of a workload in place of those of another day, and writes table and pictures
/// anew.
///
/// # Errors
/// When a file cannot be written.
pub fn record(common: &Common, workload: Workload, figures: Value) -> anyhow::Result<()> {
    let file = common.file("peers.json")?;
    let all = fs::read_to_string(&file).unwrap_or_default();
    let mut all: Vec<Value> = serde_json::from_str(&all).unwrap_or_default();
    all.retain(|one| one["label"] != figures["label"]);
    all.push(figures);
    let place =
        |one: &Value| Workload::EVERY.iter().position(|other| one["label"] == other.label());
    all.sort_by_key(place);
    common.write_json("peers.json", &json!(all))?;
    let rows: Vec<(String, Vec<Row>)> = all.iter().map(rows_of).collect();
    common.write("peers.md", &page(&all, &rows))?;
    for (name, title, unit, decimals, number) in pictures() {
        let bars = Bars {
            title: title.into(),
            unit: unit.into(),
            decimals,
            names: Server::ALL.iter().map(|server| server.label().to_owned()).collect(),
            groups: rows.iter().map(|(label, rows)| (label.clone(), bars(rows, number))).collect(),
        };
        bars.draw(&common.file(name)?)?;
    }
    println!("{}", table(rows_of_label(&rows, workload)));
    Ok(())
}

/// A server's figures for one workload: medians, of ratios within a round; of processor time the least.
#[derive(Debug, Default)]
struct Row {
    server: String,
    flood: f64,
    of_reflector: Option<f64>,
    of_scaled: Option<f64>,
    frames: f64,
    octets: String,
    above: Option<f64>,
    each: f64,
    dnsperf: f64,
    load: Option<f64>,
    resident: Option<f64>,
    proportional: Option<f64>,
}

fn rows_of(workload: &Value) -> (String, Vec<Row>) {
    let servers = || workload["servers"].as_array().into_iter().flatten();
    let rounds = |server: &Value, turn: &str, name: &str| -> Vec<f64> {
        let rounds = server[turn].as_array().into_iter().flatten();
        rounds.filter_map(|round| round[name].as_f64()).collect()
    };
    let of = |label: &str, turn: &str, name: &str| {
        servers().find(|server| server["server"] == label).map(|server| rounds(server, turn, name))
    };
    let (bare, scaled) = (Server::Reflector.label(), Server::ReflectorThread.label());
    let (rate, each) = ("replies per second", "microseconds per reply");
    let row = |server: &Value| {
        let label = server["server"].as_str().unwrap_or_default();
        let (flood, steady) = (rounds(server, "flood", rate), rounds(server, "steady", each));
        let share = |of: Option<Vec<f64>>| {
            of.map(|of| median(flood.iter().zip(of).map(|(ours, all)| ours / all.max(1.0))))
        };
        let above = of(bare, "steady", each)
            .filter(|_| label != bare)
            .map(|of| least(&steady) - least(&of));
        Row {
            server: label.to_owned(),
            of_reflector: share(of(bare, "flood", rate)),
            of_scaled: share(of(scaled, "flood", rate)),
            flood: median(flood.iter().copied()),
            frames: median(rounds(server, "frames", rate)),
            octets: server["flood"][0]["average reply"].as_str().unwrap_or_default().to_owned(),
            above,
            each: least(&steady),
            dnsperf: median(rounds(server, "dnsperf", "queries per second")),
            load: server["load seconds"].as_f64(),
            resident: server["resident megabytes"].as_f64(),
            proportional: server["proportional megabytes"].as_f64(),
        }
    };
    (workload["label"].as_str().unwrap_or_default().to_owned(), servers().map(row).collect())
}

/// What else the machine does only ever adds to the time.
fn least(times: &[f64]) -> f64 {
    times.iter().copied().reduce(f64::min).unwrap_or(f64::NAN)
}

fn rows_of_label(rows: &[(String, Vec<Row>)], workload: Workload) -> &[Row] {
    rows.iter().find(|(label, _)| label == workload.label()).map_or(&[], |(_, rows)| rows)
}

fn table(rows: &[Row]) -> String {
    let mut table = Table::new(&[
        "server",
        "flood, replies/s",
        "of the reflector",
        "of the reflector, scaled",
        "frames, replies/s",
        "reply",
        "µs/reply at the steady rate",
        "above the reflector",
        "dnsperf, queries/s",
        "load, s",
        "memory, MB (RSS)",
        "memory, MB (PSS)",
    ]);
    let some = |number: Option<f64>, decimals: usize| {
        number.map_or_else(|| "–".to_owned(), |number| format!("{number:.decimals$}"))
    };
    for row in rows {
        table.row(&[
            row.server.clone(),
            thousands(row.flood),
            some(row.of_reflector, 2),
            some(row.of_scaled, 2),
            thousands(row.frames),
            row.octets.clone(),
            format!("{:.2}", row.each),
            some(row.above, 2),
            thousands(row.dnsperf),
            some(row.load, 2),
            some(row.resident, 0),
            some(row.proportional, 0),
        ]);
    }
    table.text()
}

fn page(all: &[Value], rows: &[(String, Vec<Row>)]) -> String {
    let mut text = String::from(INTRODUCTION);
    for (workload, (label, rows)) in all.iter().zip(rows) {
        text += &format!(
            "\n## {label}\n\n`{}`; load average at the end {}\n\n{}",
            workload["command"].as_str().unwrap_or_default(),
            workload["load average"].as_str().unwrap_or_default(),
            table(rows)
        );
    }
    if let Some(last) = all.iter().max_by_key(|one| one["at"].as_u64()) {
        text += "\n## Where and with what\n\n";
        text += &machine::lines(&last["machine"], &last["versions"]);
    }
    text
}

const INTRODUCTION: &str = "# Other servers beside us\n\n\
    `cargo xtask bench peers`: every server on a veth pair of its own, two workers each where it takes a \
    number, minimal responses, no rate limits; all of them run and wait, one at a time is measured, in \
    turns. Medians of the rounds; shares are taken within a round, since the machine's \
    speed varies from minute to minute.\n\n\
    - *reflector*: a bare XDP program that swaps the addresses and sends the query back: the ceiling.\n\
    - *responder (scaled)* is our default: where an interface has one receive queue and the machine \
    several processors, our daemon spreads its work (`xdp.receive-scaling = \"auto\"`), so that XDP \
    and tc run beside the generator instead of on its processor. *responder, \"off\"* leaves the \
    interface as it was found, which is how the peers and the bare reflector have it. The reflector \
    with its polling given to a thread is the fair ceiling of our default.\n\
    - *flood*: kxdpgun, as fast as the pair takes it. *frames*: a generator that takes next to no time of \
    the processors and sends frames with room, as network cards do, of which XDP answers everything; \
    as many queries under way as suit the server best. *µs/reply*: time of all processors, generator \
    included, for each reply at a steady rate; what is above the reflector's is the server's. It is \
    taken in ticks of 10 ms, and the least of the rounds counts: what else the machine does only adds.\n\
    - *load*: from the start of the process until it answers for the zone. *RSS* counts what a server's \
    processes share for each of them, *PSS* once; of ours both include the maps.\n\n\
    ![flood](peers-flood.svg)\n\n![frames](peers-frames.svg)\n\n![processor time](peers-processor.svg)\n\n![memory](peers-memory.svg)\n";

/// A number of a row.
type Number = fn(&Row) -> Option<f64>;

fn pictures() -> [(&'static str, &'static str, &'static str, usize, Number); 4] {
    [
        ("peers-frames.svg", "Flood by the kernel's own frames", "replies per second", 0, |row| {
            Some(row.frames)
        }),
        ("peers-flood.svg", "Flood", "replies per second", 0, |row| Some(row.flood)),
        (
            "peers-processor.svg",
            "Processor time of a reply at a steady rate",
            "microseconds above the bare reflector's, all processors",
            2,
            |row| row.above,
        ),
        ("peers-memory.svg", "Memory", "megabytes (PSS)", 0, |row| row.proportional),
    ]
}

fn bars(rows: &[Row], number: Number) -> Vec<Option<f64>> {
    let row = |server: &Server| rows.iter().find(|row| row.server == server.label());
    Server::ALL.iter().map(|server| row(server).and_then(number)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_a_round_and_times_the_least() {
        let rounds = |rates: [u64; 3], times: [f64; 3]| {
            let flood = rates.map(|rate| json!({ "replies per second": rate }));
            let steady = times.map(|each| json!({ "microseconds per reply": each }));
            (json!(flood), json!(steady))
        };
        let (flood, steady) = rounds([100, 1000, 100], [1.0, 2.0, 1.0]);
        let (slow, dear) = rounds([50, 500, 90], [3.0, 4.0, 1.5]);
        let workload = json!({ "label": "some", "servers": [
            { "server": "reflector", "flood": flood, "steady": steady },
            { "server": "NSD", "flood": slow, "steady": dear, "load seconds": 1.5 },
        ]});
        let (label, rows) = rows_of(&workload);
        assert_eq!((label.as_str(), rows.len()), ("some", 2));
        assert_eq!(rows[1].of_reflector, Some(0.5));
        assert_eq!(rows[1].above, Some(0.5));
        assert_eq!((rows[0].above, rows[1].of_scaled), (None, None));
        assert_eq!(rows[1].load, Some(1.5));
    }
}
