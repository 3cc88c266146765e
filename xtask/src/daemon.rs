//! The daemon as xtask uses it: built, started inside a namespace, asked how it does.

use std::{
    fs::File,
    io,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::{
    net::Namespace,
    process::{self, Running},
    setup,
};

/// Builds the daemon, optimised, and returns where the program is.
///
/// # Errors
/// When it does not build.
pub fn build() -> anyhow::Result<PathBuf> {
    build_with(&[])
}

/// As [`build`], with more arguments to cargo.
///
/// # Errors
/// When it does not build.
pub fn build_with(arguments: &[&str]) -> anyhow::Result<PathBuf> {
    println!("building responder (release) {}", arguments.join(" "));
    let mut cargo = Command::new(setup::cargo());
    cargo.args(["build", "--release", "--package", "responder", "--bin", "responder"]);
    cargo.args(["--message-format", "json-render-diagnostics"]).stderr(Stdio::inherit());
    cargo.args(arguments);
    let child = process::tie(&mut cargo).stdout(Stdio::piped()).spawn().context("cargo build")?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("responder does not build (see above)");
    }
    executable(&output.stdout, "responder")
}

/// Where cargo put a program, by its own messages: whatever target folder is configured.
///
/// # Errors
/// When it does not say.
pub fn executable(messages: &[u8], target: &str) -> anyhow::Result<PathBuf> {
    messages
        .split(|&octet| octet == b'\n')
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == target)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .context("cargo does not say where it put the program")
}

/// A daemon in a namespace; stopped on drop.
#[derive(Debug)]
pub struct Daemon {
    program: PathBuf,
    config: PathBuf,
    log: PathBuf,
    running: Running,
}

impl Daemon {
    /// Starts `responder serve` and waits until it says that it is ready. Its log goes to
    /// `serve.log` in `folder`.
    ///
    /// # Errors
    /// When it ends before, with the end of its log, or is not ready in time.
    pub fn start(
        namespace: &Namespace,
        program: &Path,
        config: &Path,
        folder: &Path,
        patience: Duration,
    ) -> anyhow::Result<Self> {
        Self::start_with(namespace, program, config, &[], folder, patience)
    }

    /// As [`Daemon::start`], with more arguments.
    ///
    /// # Errors
    /// As [`Daemon::start`].
    pub fn start_with(
        namespace: &Namespace,
        program: &Path,
        config: &Path,
        arguments: &[&str],
        folder: &Path,
        patience: Duration,
    ) -> anyhow::Result<Self> {
        let socket = folder.join("notify");
        _ = std::fs::remove_file(&socket);
        let notify = UnixDatagram::bind(&socket).with_context(|| socket.display().to_string())?;
        notify.set_read_timeout(Some(Duration::from_millis(100)))?;
        let log = folder.join("serve.log");
        let output = File::create(&log).with_context(|| log.display().to_string())?;
        let mut command = namespace.command(program);
        command
            .args(["serve", "--config"])
            .arg(config)
            .args(arguments)
            .env("NOTIFY_SOCKET", &socket);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let running = Running::start(&mut command)?;
        let mut daemon =
            Self { program: program.to_owned(), config: config.to_owned(), log, running };
        daemon.await_ready(&notify, patience)?;
        Ok(daemon)
    }

    fn await_ready(&mut self, notify: &UnixDatagram, patience: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + patience;
        let mut buffer = [0; 4096];
        loop {
            match notify.recv(&mut buffer) {
                Ok(length) => {
                    if buffer[..length]
                        .split(|&octet| octet == b'\n')
                        .any(|line| line == b"READY=1")
                    {
                        return Ok(());
                    }
                }
                Err(error) if timed_out(&error) => {}
                Err(error) => return Err(error).context("waiting for the daemon"),
            }
            if let Some(status) = self.running.ended()? {
                bail!("`responder serve` ended ({status}):\n{}", self.log_tail());
            }
            if Instant::now() > deadline {
                bail!("not ready after {} s:\n{}", patience.as_secs(), self.log_tail());
            }
        }
    }

    /// `responder status --json`.
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub fn status(&self) -> anyhow::Result<Value> {
        let text = self.says(&["status", "--json"])?;
        serde_json::from_str(&text).with_context(|| format!("status is not JSON: {text}"))
    }

    /// What it answers to a command of the operator's.
    ///
    /// # Errors
    /// When it does not.
    pub fn says(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(&self.program);
        process::output(command.args(arguments).arg("--config").arg(&self.config))
    }

    /// The process, to measure it.
    pub fn process(&self) -> u32 {
        self.running.id()
    }

    /// Fails with the end of its log if it has ended.
    ///
    /// # Errors
    /// When it has ended.
    pub fn ensure_alive(&mut self) -> anyhow::Result<()> {
        match self.running.ended()? {
            None => Ok(()),
            Some(status) => bail!("`responder serve` ended ({status}):\n{}", self.log_tail()),
        }
    }

    /// Sends it a signal and waits for its end.
    ///
    /// # Errors
    /// When it has not ended after `patience`.
    pub fn end(&mut self, signal: libc::c_int, patience: Duration) -> anyhow::Result<()> {
        self.running.signal(signal);
        let deadline = Instant::now() + patience;
        while self.running.ended()?.is_none() {
            if Instant::now() > deadline {
                bail!("not ended {} s after a signal:\n{}", patience.as_secs(), self.log_tail());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The last lines that it logged.
    pub fn log_tail(&self) -> String {
        // The last lines may still be on their way.
        thread::sleep(Duration::from_millis(50));
        let text = self.log();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

fn timed_out(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}
