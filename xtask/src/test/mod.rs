//! `cargo xtask test`: everything that CI runs, in order, with the time that each step takes.

mod endings;

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, ensure};

use crate::{
    cleanup, process,
    setup::{self, For},
    target_folder,
};

/// Runs everything that CI runs: style, lints, documentation, tests, the demo.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// A step: its name, and what it does to the tally.
type Step = (&'static str, fn(&mut Tally) -> anyhow::Result<()>);

const STEPS: &[Step] = &[
    ("this machine can run the kernel's tests", kernel_is_ready),
    ("formatting", formatting),
    ("lints", lints),
    ("lints of the kernel programs", kernel_lints),
    ("documentation", documentation),
    ("tests", tests),
    ("recorded cases, where they are beside the repository", conformance),
    ("demo", demo),
    ("a minute of floods, kills and restarts", soak),
    ("every ending of the demo leaves nothing behind", |_| endings::leave_nothing()),
];

/// What passed and what failed: every test counts, and so does every other step.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
}

/// The command.
///
/// # Errors
/// When something is missing on this machine. If anything failed, the process ends here.
pub fn run(_: &Args) -> anyhow::Result<()> {
    let start = Instant::now();
    setup::ensure(&[For::Build, For::Run, For::Test])?;
    let mut tally = Tally::default();
    let mut report = Vec::new();
    for (name, step) in STEPS {
        println!("\n==> {name}");
        let time = Instant::now();
        let counted = tally.passed + tally.failed;
        let result = step(&mut tally);
        let failed = result.is_err();
        if tally.passed + tally.failed == counted {
            *(if failed { &mut tally.failed } else { &mut tally.passed }) += 1;
        } else if failed && tally.failed == 0 {
            tally.failed += 1; // what did not compile ran no test
        }
        if let Err(error) = result {
            eprintln!("failed: {error:#}");
        }
        let verdict = if failed { "FAILED" } else { "ok" };
        report.push(format!("{verdict:>6}  {name} ({:.1} s)", time.elapsed().as_secs_f64()));
    }
    println!("\n{}\n{:.0} s in all", report.join("\n"), start.elapsed().as_secs_f64());
    if tally.ignored > 0 {
        println!("{} ignored: these were not run", tally.ignored);
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    if tally.failed > 0 {
        cleanup::finish();
        std::process::exit(1); // nothing may follow the summary
    }
    Ok(())
}

/// The tests that need the kernel fail without this, each in its own words; here the remedy is said
/// once.
fn kernel_is_ready(_: &mut Tally) -> anyhow::Result<()> {
    // SAFETY: a plain system call.
    let root = unsafe { libc::geteuid() } == 0;
    ensure!(
        root,
        "XDP, tc and namespaces need root: `sudo -E env PATH=\"$PATH\" cargo xtask test`"
    );
    ensure!(
        Path::new("/sys/kernel/btf/vmlinux").exists(),
        "this kernel has no BTF (CONFIG_DEBUG_INFO_BTF): boot a distribution's kernel, 6.1 or newer"
    );
    drop(crate::net::Pair::create().context("network namespaces and veth pairs")?);
    Ok(())
}

fn formatting(_: &mut Tally) -> anyhow::Result<()> {
    process::run(&mut cargo(&["fmt", "--all", "--check"])).context("run `cargo fmt --all`")
}

fn lints(_: &mut Tally) -> anyhow::Result<()> {
    let mut clippy = cargo(&["clippy", "--all-targets"]);
    process::run(clippy.args(HOST).args(["--", "-D", "warnings"]))
}

/// clippy looks at the kernel programs as if they were for this machine: types and lifetimes are the
/// same, and the BPF compiler need not bring a clippy of its own.
fn kernel_lints(_: &mut Tally) -> anyhow::Result<()> {
    let mut clippy = cargo(&["clippy", "--package", "responder-ebpf"]);
    // A folder of its own, since these flags would have everything else compiled again.
    clippy.arg("--target-dir").arg(target_folder().join("kernel-lints"));
    clippy.env("CARGO_ENCODED_RUSTFLAGS", "--cfg=bpf_target_arch=\"x86_64\"\x1f-Cpanic=abort");
    clippy.env("RUSTC_BOOTSTRAP", "1"); // BPF assembly is unstable
    process::run(clippy.args(["--", "-D", "warnings"]))
}

fn documentation(_: &mut Tally) -> anyhow::Result<()> {
    let mut doc = cargo(&["doc", "--no-deps", "--document-private-items"]);
    // The private items are documented too, so a link to one leads somewhere.
    let flags = "-D warnings -A rustdoc::private_intra_doc_links";
    process::run(doc.args(HOST).env("RUSTDOCFLAGS", flags))
}

fn tests(tally: &mut Tally) -> anyhow::Result<()> {
    let mut command = cargo(&["test", "--no-fail-fast"]);
    let mut child = process::tie(command.args(HOST)).stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().context("no output")?;
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        tally.add_summary(&line);
    }
    let status = child.wait()?;
    ensure!(status.success(), "`{}` failed", process::describe(&command));
    Ok(())
}

/// The cases are no part of the repository, and nothing in it depends on them.
fn conformance(_: &mut Tally) -> anyhow::Result<()> {
    if !crate::prove::ferret_is_here() {
        println!("they are not: `cargo xtask prove ferret --file FILE` runs them from elsewhere");
        return Ok(());
    }
    process::run(Command::new(std::env::current_exe()?).args(["prove", "ferret"]))
}

fn demo(_: &mut Tally) -> anyhow::Result<()> {
    process::run(Command::new(std::env::current_exe()?).args(["run", "--once"]))
}

/// The short form of the check that goes on for a quarter of an hour.
fn soak(_: &mut Tally) -> anyhow::Result<()> {
    let mut soak = Command::new(std::env::current_exe()?);
    process::run(soak.args(["prove", "soak", "--minutes", "0.5"]))
}

/// Everything but the kernel's programs, which the daemon's build script compiles.
const HOST: [&str; 3] = ["--workspace", "--exclude", "responder-ebpf"];

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(setup::cargo());
    command.args(arguments).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    command
}

impl Tally {
    /// Adds the summary line of a test program: `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
    fn add_summary(&mut self, line: &str) {
        let Some(summary) = line.trim().strip_prefix("test result: ") else { return };
        let count = |word: &str| -> u64 {
            let parts = summary.split([';', '.']).map(str::trim);
            parts.filter_map(|part| part.strip_suffix(word)?.trim().parse::<u64>().ok()).sum()
        };
        self.passed += count("passed");
        self.failed += count("failed");
        self.ignored += count("ignored");
    }
}

#[cfg(test)]
mod tests_of_the_tally {
    use super::*;

    #[test]
    fn summaries_of_test_programs_add_up() {
        let mut tally = Tally::default();
        tally.add_summary(
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out",
        );
        tally.add_summary("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured");
        tally.add_summary("running 7 tests");
        assert_eq!(tally, Tally { passed: 15, failed: 2, ignored: 1 });
    }
}
