//! qemu: started, listened to, killed in time.
//!
//! The guest has two serial lines, each a file here: its console, for people, and its report, a line of
//! JSON for each step.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde_json::Value;

use super::guest;
use crate::process::Running;

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor.
    Kvm,
    /// qemu.
    None,
}

impl Accelerator {
    /// Its name.
    pub fn label(self) -> &'static str {
        match self {
            Self::Kvm => "KVM",
            Self::None => "none (TCG)",
        }
    }
}

/// How a boot ended.
#[derive(Debug)]
pub struct Ending {
    /// The report, line by line.
    pub lines: Vec<Value>,
    /// Where the console's output is.
    pub console: PathBuf,
    /// Why the machine had to be killed, or how it fell.
    pub fault: Option<String>,
    /// What ran it.
    pub accelerator: Accelerator,
}

impl Ending {
    /// Whether the guest came to the end of its work, however that went.
    pub fn is_complete(&self) -> bool {
        self.lines.iter().any(|line| line["end"] == true)
    }

    /// The release of the guest's kernel, as it says itself.
    pub fn kernel(&self) -> Option<&str> {
        self.lines.iter().find_map(|line| line["kernel"].as_str())
    }
}

/// How long a guest may take to its first line.
const BOOT: [(Accelerator, Duration); 2] =
    [(Accelerator::Kvm, Duration::from_secs(60)), (Accelerator::None, Duration::from_secs(300))];

/// A boot.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The kernel's image.
    pub kernel: &'a Path,
    /// What it finds in memory.
    pub initramfs: &'a Path,
    /// The guest's memory in MiB.
    pub memory: u32,
    /// What runs it.
    pub accelerator: Accelerator,
    /// When it is killed.
    pub limit: Duration,
    /// Packets of its fuzzing.
    pub packets: u64,
    /// The folder for what it says.
    pub logs: &'a Path,
}

/// Boots the kernel, and returns when the machine is off, or was killed.
///
/// # Errors
/// When qemu cannot be started.
pub fn boot(plan: &Plan<'_>) -> anyhow::Result<Ending> {
    let &Plan { kernel, initramfs, memory, accelerator, limit, packets, logs } = plan;
    let (console, report) = (logs.join("console.log"), logs.join("report.json"));
    let complaints = logs.join("qemu.log");
    for file in [&console, &report] {
        File::create(file).with_context(|| file.display().to_string())?;
    }
    let (way, processor) = match accelerator {
        Accelerator::Kvm => ("kvm", "host"),
        Accelerator::None => ("tcg,thread=multi", "max"),
    };
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(["-accel", way, "-cpu", processor, "-smp", "2", "-m", &format!("{memory}M")]);
    qemu.args(["-nodefaults", "-display", "none", "-no-reboot", "-kernel"]).arg(kernel);
    qemu.arg("-initrd").arg(initramfs);
    let first = guest::FIRST;
    qemu.arg("-append").arg(format!(
        "console=ttyS0 panic=-1 quiet rdinit={first} -- vmtest --inside --packets {packets}"
    ));
    for line in [&console, &report] {
        qemu.arg("-serial").arg(format!("file:{}", line.display()));
    }
    let log = File::create(&complaints).with_context(|| complaints.display().to_string())?;
    qemu.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    println!("booting {} (accelerator: {})", kernel.display(), accelerator.label());
    let mut machine = Running::start(&mut qemu)?;

    let start = Instant::now();
    let boot = BOOT.iter().find(|(kind, _)| *kind == accelerator).map_or(limit, |(_, boot)| *boot);
    let mut lines = Vec::new();
    let fault = loop {
        let ended = machine.ended()?;
        follow(&report, &mut lines);
        let end = lines.iter().any(|line| line["end"] == true);
        if let Some(status) = ended {
            break (!end).then(|| format!("qemu ended early ({status}): {}", last(&complaints)));
        }
        let time = start.elapsed();
        if last(&complaints).contains("KVM internal error") {
            break Some("KVM cannot run an instruction of the guest".to_owned());
        }
        if lines.is_empty() && time > boot {
            break Some(format!("no sign of life within {} s, killed", boot.as_secs()));
        }
        if time > limit {
            break Some(format!("killed after {} s", limit.as_secs()));
        }
        thread::sleep(Duration::from_millis(200));
    };
    drop(machine);
    Ok(Ending { lines, console, fault, accelerator })
}

/// Reads what has come to the report, and shows what is new.
fn follow(report: &Path, lines: &mut Vec<Value>) {
    let text = fs::read_to_string(report).unwrap_or_default();
    // A line that is still being written has no end.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let new = whole.lines().filter_map(|line| serde_json::from_str::<Value>(line.trim()).ok());
    for line in new.skip(lines.len()).collect::<Vec<_>>() {
        if let Some(kernel) = line["kernel"].as_str() {
            println!("  up: {kernel}");
        }
        if let Some(step) = line["step"].as_str() {
            let verdict = if line["ok"] == true { "ok" } else { "FAILED" };
            println!("{verdict:>8}  {step} ({} s)", line["seconds"]);
        }
        lines.push(line);
    }
}

/// The first of the last lines of a log, the rest is qemu's dump of registers.
fn last(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.lines().take(4).collect::<Vec<_>>().join(" / ")
}
