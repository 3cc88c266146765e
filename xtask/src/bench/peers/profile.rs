//! `bench peers --profile`: what the processors' time goes to at a steady rate, line by line.
//!
//! perf looks 4,999 times a second at what each processor runs. Of two servers under the same load, the
//! lines in which they differ are what the one costs more than the other.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::{
    Args,
    server::{Running, Server},
    workload::{Prepared, Workload},
};
use crate::{
    bench::{machine, silence::Silence, table::Table},
    cleanup::Scratch,
    load::generator,
    process,
    setup::{self, For},
};

/// Looks per second and processor: no multiple of the kernel's ticks.
const FREQUENCY: u32 = 4999;

/// Lines of a table; what costs less is one line together.
const LINES: usize = 24;

/// Who is compared: ours with the reflector that has its interface polled in the same way.
const PAIRS: [[Server; 2]; 2] =
    [[Server::ReflectorThread, Server::Responder], [Server::Reflector, Server::ResponderInline]];

/// Nanoseconds of all processors for each reply, by what they ran.
type Lines = BTreeMap<String, f64>;

/// Measures, and writes `profile.json` and `profile.md`.
///
/// # Errors
/// When something cannot be started or measured.
pub fn run(args: &Args, program: &Path, prepared: &[(Workload, Prepared)]) -> anyhow::Result<()> {
    setup::ensure(&[For::Profile])?;
    let mut workloads = Vec::new();
    for (workload, prepared) in prepared {
        for pair in PAIRS {
            let folder = Scratch::create()?;
            let mut silence = Silence::over(&args.common.lock);
            let mut both = Vec::new();
            for server in pair {
                silence.begin()?;
                let one = Running::start(server, &prepared.zone, program, folder.path())?;
                let lines = steady(args, &one, prepared, folder.path())?;
                println!(
                    "{}, {}: {:.2} µs a reply",
                    workload.label(),
                    server.label(),
                    lines.values().sum::<f64>() / 1000.0
                );
                both.push(json!({ "server": server.label(), "nanoseconds per reply": lines }));
            }
            workloads.push(json!({ "label": workload.label(), "servers": both }));
        }
    }
    // In place of those of another day.
    let file = args.common.file("profile.json")?;
    let former: Value =
        serde_json::from_str(&fs::read_to_string(file).unwrap_or_default()).unwrap_or_default();
    let former = former["workloads"].as_array().cloned().unwrap_or_default();
    let again = |one: &Value| workloads.iter().any(|now| now["label"] == one["label"]);
    let kept: Vec<Value> = former.into_iter().filter(|one| !again(one)).collect();
    let mut workloads = [kept, workloads].concat();
    let place =
        |one: &Value| Workload::EVERY.iter().position(|other| one["label"] == other.label());
    workloads.sort_by_key(place);
    let all = json!({
        "command": format!(
            "cargo xtask bench peers --profile --seconds {} --steady {}",
            args.seconds(),
            args.steady
        ),
        "machine": machine::describe(),
        "versions": machine::versions(),
        "workloads": workloads,
    });
    args.common.write_json("profile.json", &all)?;
    let page = page(&all);
    args.common.write("profile.md", &page)?;
    println!("{page}");
    Ok(())
}

/// One server under the steady load.
fn steady(args: &Args, one: &Running, prepared: &Prepared, folder: &Path) -> anyhow::Result<Lines> {
    one.settle()?;
    let data = folder.join("perf.data");
    let mut perf = Command::new("perf");
    perf.args(["record", "--all-cpus", "--event", "cpu-clock", "--freq", &FREQUENCY.to_string()]);
    perf.arg("--output").arg(&data).stdout(Stdio::null()).stderr(Stdio::null());
    let mut looking = process::tie(&mut perf).spawn().context("remedy: cargo xtask setup")?;
    let flood = generator::kxdpgun(&one.pair, &prepared.queries, args.steady, args.seconds());
    process::send(looking.id(), libc::SIGINT);
    looking.wait()?;
    let flood = flood?;
    ensure!(flood.replies > 0, "{}: no replies", one.server.label());
    let mut report = Command::new("perf");
    report.args(["report", "--stdio", "--no-children", "--field-separator", "|"]);
    report.args(["--fields", "sample,comm,dso,sym", "--input"]).arg(&data);
    let said = process::output(report.stderr(Stdio::null()))?;
    let each = 1e9 / f64::from(FREQUENCY) / flood.replies as f64;
    let mut lines = Lines::new();
    for (looks, line) in said.lines().filter_map(line) {
        *lines.entry(line).or_default() += looks * each;
    }
    ensure!(!lines.is_empty(), "perf saw nothing: {said}");
    Ok(lines)
}

/// Reads a line of perf's report: how often, and what ran; nothing where the processor was idle.
fn line(text: &str) -> Option<(f64, String)> {
    let mut fields = text.splitn(4, '|').map(str::trim);
    let (looks, command, object, symbol) =
        (fields.next()?.parse().ok()?, fields.next()?, fields.next()?, fields.next()?);
    let (level, symbol) = symbol.split_once(' ')?;
    if level == "[.]" {
        let whose =
            if command.starts_with("kxdpgun") { "the generator" } else { "other processes" };
        return Some((looks, format!("{whose}, outside the kernel")));
    }
    if command == "swapper" && ["halt", "idle"].iter().any(|word| symbol.contains(word)) {
        return None;
    }
    // bpf_prog_0123456789abcdef_name: the tag changes with every build.
    let ours = symbol.strip_prefix("bpf_prog_").and_then(|rest| rest.split_once('_'));
    let what = match ours {
        Some((_, name)) => format!("program: {}", function(name)),
        None if object.starts_with("bpf_prog_") => "program".to_owned(),
        None => symbol.to_owned(),
    };
    Some((looks, what))
}

/// A function of a program as its source has it. The BPF linker leaves `_3A_` in the place of a colon; what
/// is called through a loop of the kernel's is a closure: the function around it is meant.
fn function(symbol: &str) -> String {
    let mut name = String::new();
    let mut rest = symbol;
    while let Some(at) = rest.find('_') {
        let code = rest.get(at + 1..at + 3).and_then(|code| u8::from_str_radix(code, 16).ok());
        let code = code.filter(|_| rest.as_bytes().get(at + 3) == Some(&b'_'));
        let taken = if code.is_some() { at + 4 } else { at + 1 };
        name += &rest[..at];
        name.push(code.map_or('_', char::from));
        rest = &rest[taken..];
    }
    name += rest;
    let Some((_, called)) = name.split_once('<') else { return name };
    let called = called.split("::{").next().unwrap_or(called);
    called.strip_prefix("responder_common::").unwrap_or(called).to_owned()
}

fn page(all: &Value) -> String {
    let mut text = format!(
        "# What the processors' time goes to\n\n`{}`: all processors, generator included, at a steady \
         rate; nanoseconds for each reply by the kernel's own symbols, as perf sees them {FREQUENCY} \
         times a second on each processor. The lines in which the two differ most come first.\n",
        all["command"].as_str().unwrap_or_default(),
    );
    for workload in all["workloads"].as_array().into_iter().flatten() {
        let servers: Vec<&Value> = workload["servers"].as_array().into_iter().flatten().collect();
        let names: Vec<&str> = servers.iter().filter_map(|one| one["server"].as_str()).collect();
        let lines = |one: &Value| {
            let lines = one["nanoseconds per reply"].as_object().cloned().unwrap_or_default();
            lines.into_iter().map(|(name, each)| (name, each.as_f64().unwrap_or(0.0))).collect()
        };
        let both: Vec<Lines> = servers.into_iter().map(lines).collect();
        let [Some(before), Some(ours)] = [both.first(), both.get(1)] else { continue };
        text += &format!("\n## {}\n\n", workload["label"].as_str().unwrap_or_default());
        text += &table(&names, before, ours);
    }
    text + "\n## Where and with what\n\n" + &machine::lines(&all["machine"], &all["versions"])
}

fn table(names: &[&str], before: &Lines, ours: &Lines) -> String {
    let mut table = Table::new(&["what ran, ns a reply", names[0], names[1], "more"]);
    let of = |lines: &Lines, name: &String| lines.get(name).copied().unwrap_or(0.0);
    let every: BTreeSet<&String> = before.keys().chain(ours.keys()).collect();
    let mut rows: Vec<(&str, f64, f64)> =
        every.into_iter().map(|name| (name.as_str(), of(before, name), of(ours, name))).collect();
    rows.sort_by(|one, other| (other.2 - other.1).abs().total_cmp(&(one.2 - one.1).abs()));
    let sum = |rows: &[(&str, f64, f64)]| {
        rows.iter().fold((0.0, 0.0), |sum, row| (sum.0 + row.1, sum.1 + row.2))
    };
    let all = sum(&rows);
    let rest = sum(rows.get(LINES..).unwrap_or_default());
    rows.truncate(LINES);
    rows.push(("all else", rest.0, rest.1));
    rows.push(("in all", all.0, all.1));
    for (name, before, ours) in rows {
        let numbers = [before, ours, ours - before].map(|number| format!("{number:.0}"));
        let [before, ours, more] = numbers;
        table.row(&[format!("`{name}`"), before, ours, more]);
    }
    table.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_perf_are_read() {
        let read = |text: &str| line(text).map(|(looks, what)| format!("{looks} {what}"));
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(read("# Total Lost Samples: 0"), None);
        assert_eq!(read(" 9  |swapper |[kernel.kallsyms] |[k] pv_native_safe_halt"), None);
        assert_eq!(read(" 7  |napi/v1-5 |[kernel.kallsyms] |[k] veth_poll"), some("7 veth_poll"));
        assert_eq!(
            read("12|kxdpgun|bpf_prog_1f|[k] bpf_prog_01234567_responder_xdp"),
            some("12 program: responder_xdp")
        );
        assert_eq!(
            read(
                "4|kxdpgun|bpf_prog_1f|[k] bpf_prog_01234567_call_3C_responder_common_3A__3A_locate\
                 _3A__3A_walk_3A__3A__7B_closure_env_23_1_7D__3C_responder_ebpf"
            ),
            some("4 program: locate::walk")
        );
        assert_eq!(
            read("3|kxdpgun/0|kxdpgun|[.] 0x0000000000001234"),
            some("3 the generator, outside the kernel")
        );
        assert_eq!(read("2|rustc|a.so|[.] a::b"), some("2 other processes, outside the kernel"));
    }

    #[test]
    fn what_differs_most_comes_first() {
        let lines = |all: &[(&str, f64)]| -> Lines {
            all.iter().map(|&(name, each)| (name.to_owned(), each)).collect()
        };
        let text = table(
            &["before", "ours"],
            &lines(&[("a", 10.0), ("b", 5.0)]),
            &lines(&[("a", 11.0), ("c", 7.0)]),
        );
        let rows: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "| `c` | 0 | 7 | 7 |",
                "| `b` | 5 | 0 | -5 |",
                "| `a` | 10 | 11 | 1 |",
                "| `all else` | 0 | 0 | 0 |",
                "| `in all` | 15 | 18 | 3 |",
            ]
        );
    }
}
