//! The demo is ended in every way, and nothing of it may stay: no process, program or namespace.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};

use crate::{cleanup, net, process};

/// How long an ending may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// SIGINT and SIGTERM leave nothing. After SIGKILL the server and its programs are gone at once, and
/// the namespaces with the next start.
pub fn leave_nothing() -> anyhow::Result<()> {
    for (signal, name) in [(libc::SIGINT, "SIGINT"), (libc::SIGTERM, "SIGTERM")] {
        let mut demo = Demo::start()?;
        process::send(demo.child.id(), signal);
        let status = demo.child.wait()?;
        ensure!(status.success(), "after {name} the demo ended with {status}");
        ensure!(!demo.has_namespaces(), "{name} leaves a namespace");
        ensure!(!demo.has_scratch(), "{name} leaves a scratch folder");
        println!("{name}: nothing is left");
    }

    let mut demo = Demo::start()?;
    demo.child.kill()?;
    demo.child.wait()?;
    wait_until("the server is gone after SIGKILL", || Ok(demo.server_processes()?.is_empty()))?;
    wait_until("its programs are gone too", || Ok(!demo.has_program()?))?;
    cleanup::sweep();
    ensure!(!demo.has_namespaces(), "the next start leaves the namespace of a killed run");
    ensure!(!demo.has_scratch(), "the next start leaves the scratch folder of a killed run");
    println!("SIGKILL: the server and its programs went at once, the rest with the next start");

    let mut demo = Demo::start()?;
    let server = demo.server_processes()?;
    ensure!(!server.is_empty(), "no server runs in {}", demo.namespace);
    for pid in server {
        process::send(pid, libc::SIGKILL);
    }
    let status = demo.child.wait()?;
    ensure!(!status.success(), "the demo does not notice that its server was killed");
    ensure!(!demo.has_namespaces(), "a killed server leaves a namespace");
    println!("a killed server: the demo says so, and nothing is left");
    Ok(())
}

/// A running `cargo xtask run`.
struct Demo {
    child: Child,
    /// The server's namespace.
    namespace: String,
}

impl Demo {
    /// Starts it and reads along until it serves.
    fn start() -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = process::tie(command.arg("run")).stdout(Stdio::piped()).spawn()?;
        let output = BufReader::new(child.stdout.take().context("no output")?);
        let mut namespace = None;
        let mut lines = output.lines();
        for line in &mut lines {
            let line = line?;
            let word = line.split_whitespace().find(|word| word.starts_with(cleanup::PREFIX));
            if let Some(name) = word.and_then(|word| word.strip_suffix("-client")) {
                namespace = Some(format!("{name}-server"));
            }
            if line.starts_with("Ctrl-C") {
                // What it goes on to say must not meet a closed pipe.
                thread::spawn(move || lines.for_each(drop));
                let namespace = namespace.context("the demo names no namespace")?;
                return Ok(Self { child, namespace });
            }
        }
        bail!("the demo ended ({}) before it served", child.wait()?)
    }

    fn has_namespaces(&self) -> bool {
        let client = self.namespace.replace("-server", "-client");
        [&self.namespace, &client].iter().any(|name| Path::new(net::NAMESPACES).join(name).exists())
    }

    fn has_scratch(&self) -> bool {
        let prefix = format!("{}{}-", cleanup::PREFIX, self.child.id());
        let entries = std::env::temp_dir().read_dir().into_iter().flatten().flatten();
        entries.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
    }

    fn server_processes(&self) -> anyhow::Result<Vec<u32>> {
        let list = process::output(Command::new("ip").args(["netns", "pids", &self.namespace]))?;
        Ok(list.lines().filter_map(|line| line.trim().parse().ok()).collect())
    }

    /// Whether an XDP or tc program is attached to the server's interface.
    fn has_program(&self) -> anyhow::Result<bool> {
        let mut bpftool = Command::new("ip");
        bpftool.args(["netns", "exec", &self.namespace, "bpftool", "net", "show"]);
        Ok(process::output(&mut bpftool)?.contains(net::SERVER_INTERFACE))
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            process::send(self.child.id(), libc::SIGTERM);
            _ = self.child.wait();
        }
    }
}

fn wait_until(what: &str, mut holds: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !holds()? {
        ensure!(Instant::now() < deadline, "not so after {} s: {what}", PATIENCE.as_secs());
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
