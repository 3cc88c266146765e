//! The guest's first process: readies the system, does the steps one after the other, reports each,
//! switches the machine off.

use std::{
    env,
    ffi::CString,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::{fd::AsRawFd as _, unix::fs::symlink},
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context as _, anyhow, bail};
use serde_json::{Map, Value, json};

use super::live;
use crate::refereeing::sign::Denial;

/// This program, inside.
pub const FIRST: &str = "/bin/xtask";
/// The daemon, inside.
pub const DAEMON: &str = "/bin/responder";
/// Modules of the kernel that are needed, in the order in which they are loaded; they need no others.
pub const MODULES: [&str; 3] =
    ["drivers/net/veth.ko", "net/sched/sch_ingress.ko", "net/sched/cls_bpf.ko"];

/// The test that counts what the verifier does.
pub const VERIFIER: &str = "verifier";
/// The tests of `responder/tests` that run inside, in this order.
pub const TESTS: [&str; 3] = [VERIFIER, "kernel", FUZZ];
const FUZZ: &str = "fuzz";

/// The line to the outside.
const REPORT: &str = "/dev/ttyS1";

/// Where a test is, inside.
pub fn test(name: &str) -> PathBuf {
    Path::new("/bin").join(format!("test-{name}"))
}

/// Where a module is, inside.
pub fn module(path: &str) -> PathBuf {
    Path::new("/modules").join(Path::new(path).file_name().unwrap_or_default())
}

/// Where the signed sample zones are, inside.
pub fn zones(denial: Denial) -> PathBuf {
    Path::new("/zones").join(format!("{denial:?}"))
}

/// Does everything, and switches the machine off.
pub fn run(packets: u64) -> ! {
    if std::process::id() != 1 {
        eprintln!("error: --inside is for the guest's first process");
        std::process::exit(2);
    }
    if let Err(error) = work(packets) {
        eprintln!("the guest's work: {error:#}");
    }
    // SAFETY: plain system calls.
    unsafe {
        libc::sync();
        // The last line may still be on its way through the serial port.
        libc::sleep(1);
        libc::reboot(libc::RB_POWER_OFF);
    }
    std::process::exit(1)
}

fn work(packets: u64) -> anyhow::Result<()> {
    // SAFETY: no other thread uses the environment yet.
    unsafe { env::set_var("PATH", "/bin") };
    // Not /tmp: this checkout may be there, and memory it is anyway.
    for (kind, place) in [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        ("tmpfs", "/run"),
        ("bpf", "/sys/fs/bpf"),
    ] {
        mount(kind, place)?;
    }
    // Where `ip` keeps its namespaces.
    fs::create_dir_all("/var")?;
    symlink("/run", "/var/run")?;
    let mut report = OpenOptions::new().write(true).open(REPORT).context(REPORT)?;
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    say(&mut report, &json!({ "kernel": release.trim() }))?;
    step(&mut report, "modules", || {
        MODULES.iter().try_for_each(|path| insert(&module(path)))?;
        Ok(json!(MODULES))
    })?;
    for name in TESTS {
        step(&mut report, name, || run_test(name, packets))?;
    }
    for (name, part) in live::PARTS {
        step(&mut report, name, part)?;
    }
    say(&mut report, &json!({ "end": true }))
}

/// Does a step and reports it; a failed one does not keep the next from being tried.
fn step(
    report: &mut File,
    name: &str,
    work: impl FnOnce() -> anyhow::Result<Value>,
) -> anyhow::Result<()> {
    println!("==> {name}");
    let start = Instant::now();
    let result = work();
    let seconds = start.elapsed().as_secs();
    let line = match result {
        Ok(figures) => json!({ "step": name, "ok": true, "seconds": seconds, "figures": figures }),
        Err(error) => {
            let error = format!("{error:#}");
            println!("{error}");
            json!({ "step": name, "ok": false, "seconds": seconds, "error": error })
        }
    };
    say(report, &line)
}

fn say(report: &mut File, line: &Value) -> anyhow::Result<()> {
    writeln!(report, "{line}").context(REPORT)
}

/// Runs a test to its end; what it printed goes to the console.
fn run_test(name: &str, packets: u64) -> anyhow::Result<Value> {
    let figures = Path::new("/tmp/figures.json");
    let mut command = Command::new(test(name));
    command.args(["--nocapture", "--test-threads", "1"]);
    command.env("RESPONDER_FUZZ_PACKETS", packets.to_string());
    command.env("RESPONDER_FUZZ_FIGURES", figures);
    let output = command.output().with_context(|| name.to_owned())?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    println!("{said}");
    if !output.status.success() {
        let lines: Vec<&str> = said.lines().collect();
        bail!("{}: {}", output.status, lines[lines.len().saturating_sub(20)..].join("\n"));
    }
    let passed = said.lines().find(|line| line.starts_with("test result: ")).unwrap_or_default();
    let mut found = json!({ "result": passed });
    match name {
        VERIFIER => found["verifier"] = counts(&said),
        FUZZ => {
            let text = fs::read_to_string(figures).context("the test left no figures")?;
            found["campaign"] = serde_json::from_str(&text)?;
        }
        _ => {}
    }
    Ok(found)
}

/// What the test of the verifier printed: `PROGRAM: NUMBER instructions processed`.
pub fn counts(said: &str) -> Value {
    let mut counts = Map::new();
    for line in said.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        for window in words.windows(4) {
            if let [program, number, "instructions", "processed"] = window
                && let (Some(program), Ok(number)) =
                    (program.strip_suffix(':'), number.parse::<u64>())
            {
                counts.insert(program.to_owned(), number.into());
            }
        }
    }
    Value::Object(counts)
}

fn mount(kind: &str, place: &str) -> anyhow::Result<()> {
    let (source, target) = (CString::new(kind)?, CString::new(place)?);
    // SAFETY: the strings end with zeros and live through the call; no data is passed.
    let done = unsafe {
        libc::mount(source.as_ptr(), target.as_ptr(), source.as_ptr(), 0, std::ptr::null())
    };
    if done != 0 {
        return Err(anyhow!(io::Error::last_os_error()).context(format!("mounting {place}")));
    }
    Ok(())
}

fn insert(module: &Path) -> anyhow::Result<()> {
    let file = File::open(module).with_context(|| module.display().to_string())?;
    // SAFETY: the descriptor is open, and the parameters are an empty string.
    let done = unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), c"".as_ptr(), 0) };
    if done != 0 {
        let error = anyhow!(io::Error::last_os_error());
        return Err(error.context(format!("module {}", module.display())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_found_wherever_they_stand_in_a_line() {
        let said = "running 1 test\ntest x ... responder_tc: 58089 instructions processed\n\
                    responder_xdp: 53153 instructions processed\nok\n";
        assert_eq!(counts(said), json!({ "responder_tc": 58_089, "responder_xdp": 53_153 }));
        assert_eq!(counts("test result: ok"), json!({}));
    }
}
