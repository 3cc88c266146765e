//! `cargo xtask vmtest`: the programs load, and answer every class, on Debian 12's stock kernel 6.1.
//!
//! A machine in qemu boots that kernel with an image made here: this very program as its first process
//! ([`guest`]), our tests, the daemon, and what they need of this system. No network is involved.
//!
//! | module | what |
//! |---|---|
//! | [`debian`] | the kernel, from Debian's package, without installing it |
//! | [`image`] | what the guest finds in its memory: an initramfs |
//! | [`machine`] | qemu: started, listened to, killed in time |
//! | [`guest`] | what happens inside |

mod cpio;
mod debian;
mod guest;
mod image;
mod live;
mod machine;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Map, Value, json};

use crate::{
    cleanup::Scratch,
    daemon, process,
    setup::{self, For},
    target_folder,
};
use image::Programs;
use machine::{Accelerator, Ending};

/// Boots Debian 12's stock kernel in qemu, loads the programs there and has every class answered.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Another kernel to try: a package linux-image-*-amd64 [default: Debian 12's newest 6.1]
    #[arg(long, value_name = "DEB")]
    kernel: Option<PathBuf>,
    /// Emulate the processor even where /dev/kvm is there
    #[arg(long)]
    emulate: bool,
    /// The guest's memory in MiB
    #[arg(long, default_value_t = 2048)]
    memory: u32,
    /// When the guest is killed, in seconds [default: 600, emulated 2400]
    #[arg(long)]
    limit: Option<u64>,
    /// Mutated packets for each kind of signing that go through the programs there
    #[arg(long, default_value_t = 40_000)]
    packets: u64,
    /// Where the figures go [default: vmtest/vmtest.json in the target folder]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// We are the guest's first process
    #[arg(long, hide = true)]
    inside: bool,
}

/// Processed instructions that a program may take, on each kernel: half of the budget of 200,000.
const VERIFIER_MOST: u64 = 100_000;

/// The command.
///
/// # Errors
/// When something is missing, or a step fails in the guest; with the guest's log.
pub fn run(args: &Args) -> anyhow::Result<()> {
    if args.inside {
        guest::run(args.packets);
    }
    setup::ensure(&[For::Build, For::Run, For::Test, For::Vm])?;
    let start = Instant::now();
    let cache = target_folder().join("vmtest");
    fs::create_dir_all(&cache).with_context(|| cache.display().to_string())?;
    let kernel = debian::kernel(&cache, args.kernel.as_deref())?;
    let programs = Programs { daemon: daemon::build()?, tests: tests()? };
    let host = on_this_kernel(&programs.tests)?;

    let scratch = Scratch::create()?;
    let initramfs = image::make(scratch.path(), &kernel, &programs)?;
    let boot = |accelerator| {
        let emulated = accelerator == Accelerator::None;
        let limit = args.limit.unwrap_or(if emulated { 2400 } else { 600 });
        let limit = Duration::from_secs(limit);
        machine::boot(&machine::Plan {
            kernel: &kernel.image,
            initramfs: &initramfs,
            memory: args.memory,
            accelerator,
            limit,
            packets: args.packets,
            logs: &cache,
        })
    };
    let mut ending = None;
    let mut without = None;
    if !args.emulate && Path::new("/dev/kvm").exists() {
        let tried = boot(Accelerator::Kvm)?;
        if tried.is_complete() {
            ending = Some(tried);
        } else {
            let reason = tried.fault.unwrap_or_else(|| "the report is not complete".to_owned());
            println!("/dev/kvm does not carry the guest ({reason}): emulating, which takes longer");
            without = Some(reason);
        }
    }
    let ending = match ending {
        Some(ending) => ending,
        None => boot(Accelerator::None)?,
    };
    let report = report(&host, &ending, without, start)?;
    let file = args.out.clone().unwrap_or_else(|| cache.join("vmtest.json"));
    fs::write(&file, serde_json::to_string_pretty(&report)? + "\n")
        .with_context(|| file.display().to_string())?;
    judge(&report, &ending, &file)
}

/// The tests that run in the guest as well, by name.
fn tests() -> anyhow::Result<BTreeMap<String, PathBuf>> {
    println!("building the tests");
    let mut cargo = Command::new(setup::cargo());
    cargo.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    cargo.args(["test", "--package", "responder", "--no-run"]);
    for name in guest::TESTS {
        cargo.args(["--test", name]);
    }
    let output = process::output(cargo.args(["--message-format", "json-render-diagnostics"]))?;
    let messages = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let found: BTreeMap<String, PathBuf> = messages
        .filter(|message| message["target"]["kind"][0] == "test")
        .filter_map(|message| {
            let name = message["target"]["name"].as_str()?.to_owned();
            Some((name, PathBuf::from(message["executable"].as_str()?)))
        })
        .collect();
    for name in guest::TESTS {
        ensure!(found.contains_key(name), "cargo does not say where it put the test {name}");
    }
    Ok(found)
}

/// What this machine's verifier counts.
fn on_this_kernel(tests: &BTreeMap<String, PathBuf>) -> anyhow::Result<Value> {
    let mut test = Command::new(&tests[guest::VERIFIER]);
    let said = process::output(test.arg("--nocapture")).context("the verifier of this machine")?;
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(json!({ "kernel": release.trim(), "verifier": guest::counts(&said) }))
}

/// Everything that was found, as JSON.
fn report(
    host: &Value,
    ending: &Ending,
    without_kvm: Option<String>,
    start: Instant,
) -> anyhow::Result<Value> {
    let step = |name: &str| ending.lines.iter().find(|line| line["step"] == name);
    let guest_counts = step(guest::VERIFIER).map(|step| step["figures"]["verifier"].clone());
    let mut faults: Vec<String> = ending.fault.iter().cloned().collect();
    for line in ending.lines.iter().filter(|line| line["ok"] == false) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        faults.push(format!("{}: {}", text(&line["step"]), text(&line["error"])));
    }
    if !ending.is_complete() {
        faults.push("the guest did not come to the end of its work".to_owned());
    }
    for (kernel, counts) in
        [("this", Some(&host["verifier"])), ("the guest's", guest_counts.as_ref())]
    {
        let both = |counts: &&Map<String, Value>| {
            ["responder_xdp", "responder_tc"].iter().all(|program| counts.contains_key(*program))
        };
        match counts.and_then(Value::as_object).filter(both) {
            None => faults.push(format!("{kernel} kernel did not count both programs")),
            Some(counts) => faults.extend(
                counts.iter().filter(|(_, count)| count.as_u64() > Some(VERIFIER_MOST)).map(
                    |(program, count)| {
                        format!("{kernel} kernel: {program} takes {count} instructions")
                    },
                ),
            ),
        }
    }
    let steps: Vec<&Value> = ending.lines.iter().filter(|line| line["step"].is_string()).collect();
    Ok(json!({
        "holds": faults.is_empty(),
        "faults": faults,
        "seconds": start.elapsed().as_secs(),
        "host": host,
        "guest": { "kernel": ending.kernel(), "verifier": guest_counts, "steps": steps },
        "accelerator": ending.accelerator.label(),
        "kvm refused": without_kvm,
        "most instructions": VERIFIER_MOST,
        "console": ending.console.display().to_string(),
    }))
}

fn judge(report: &Value, ending: &Ending, file: &Path) -> anyhow::Result<()> {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let (host, guest) = (&report["host"], &report["guest"]);
    println!("\ninstructions processed by the verifier ({VERIFIER_MOST} at the most)");
    println!("{:<36}{:>28}{:>28}", "", text(&host["kernel"]), text(&guest["kernel"]));
    for program in host["verifier"].as_object().into_iter().flat_map(|counts| counts.keys()) {
        let count = |kernel: &Value| kernel["verifier"][program].to_string();
        let (here, there) = (count(host), count(guest));
        println!("{program:<36}{here:>28}{there:>28}");
    }
    println!("\nfigures: {}", file.display());
    let faults = report["faults"].as_array().map(Vec::as_slice).unwrap_or_default();
    if faults.is_empty() {
        println!("vmtest: holds");
        return Ok(());
    }
    let faults: Vec<String> = faults.iter().map(text).collect();
    bail!("{}\nthe guest's console: {}", faults.join("\n"), ending.console.display());
}
