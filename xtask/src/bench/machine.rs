//! Where and with what something was measured.

use std::{fs, process::Command, thread};

use serde_json::{Value, json};

use super::workspace;

/// The machine, as far as it matters.
pub fn describe() -> Value {
    let line = |file: &str, name: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name)).map(str::to_owned);
        let value = line.and_then(|line| Some(line.split_once(':')?.1.trim().to_owned()));
        value.unwrap_or_default()
    };
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    json!({
        "processor": line("/proc/cpuinfo", "model name"),
        "processors": thread::available_parallelism().map_or(0, usize::from),
        "memory": line("/proc/meminfo", "MemTotal"),
        "kernel": kernel.trim(),
    })
}

/// What a program says of its version, in a line.
fn version(program: &str, argument: &str) -> String {
    let output = Command::new(program).arg(argument).output();
    let said = output.map_or_else(|_| Vec::new(), |output| [output.stdout, output.stderr].concat());
    let said = String::from_utf8_lossy(&said);
    let line = said.lines().find(|line| line.contains(|letter: char| letter.is_ascii_digit()));
    line.unwrap_or("missing").trim().to_owned()
}

/// The versions of everything that takes part.
pub fn versions() -> Value {
    let mut git = Command::new("git");
    git.args(["describe", "--always", "--dirty"]).current_dir(workspace());
    let commit = git.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    json!({
        "responder": commit.unwrap_or_default().trim(),
        "knotd": version("knotd", "--version"),
        "nsd": version("nsd", "-v"),
        "named": version("named", "-v"),
        "kxdpgun": version("kxdpgun", "--version"),
        "dnsperf": version("dnsperf", "-h"),
        "rustc": version("rustc", "--version"),
    })
}

/// Both as lines of Markdown.
pub fn lines(machine: &Value, versions: &Value) -> String {
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut text = format!(
        "Machine: {} processors ({}), {} of memory, Linux {}.\n\nVersions:\n\n",
        word(&machine["processors"]),
        word(&machine["processor"]),
        word(&machine["memory"]),
        word(&machine["kernel"]),
    );
    for (program, version) in versions.as_object().into_iter().flatten() {
        text += &format!("- {program}: {}\n", word(version));
    }
    text
}
