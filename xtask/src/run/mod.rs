//! `cargo xtask run`: builds the daemon and runs it, in a demo of its own or with given arguments.

use std::{
    ffi::OsString,
    io::{IsTerminal as _, Write as _, stdout},
    os::unix::process::CommandExt as _,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, bail, ensure};
use serde_json::Value;

use crate::{
    cleanup::{self, Scratch},
    daemon::{self, Daemon},
    net::{Pair, SERVER},
    process,
    setup::{self, For},
};
use counts::Counts;
use demo::Question;

mod counts;
mod demo;

/// How long the sample zones may take to load.
const PATIENCE: Duration = Duration::from_secs(60);

/// Builds the daemon and runs it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// End after the demo's self-check; the exit code is its verdict
    #[arg(long, conflicts_with = "arguments")]
    once: bool,
    /// Arguments to `responder serve`, such as `--interface eth0 --config responder.toml`. None: a
    /// demo with the zones of zones/, in network namespaces of its own
    #[arg(last = true)]
    arguments: Vec<OsString>,
}

/// The command.
///
/// # Errors
/// When something is missing, does not build or does not answer.
pub fn run(args: Args) -> anyhow::Result<()> {
    if args.arguments.is_empty() { demo(args.once) } else { serve(&args.arguments) }
}

/// Becomes `responder serve`.
fn serve(arguments: &[OsString]) -> anyhow::Result<()> {
    setup::ensure(&[For::Build])?;
    let program = daemon::build()?;
    let mut command = Command::new(&program);
    command.arg("serve").args(arguments);
    println!("{}", process::describe(&command));
    // Only returns if it fails.
    Err(command.exec()).with_context(|| program.display().to_string())
}

fn demo(once: bool) -> anyhow::Result<()> {
    setup::ensure(&[For::Build, For::Run])?;
    let program = daemon::build()?;
    let scratch = Scratch::create()?;
    let pair = Pair::create()?;
    let zones = demo::zones()?;
    let config = demo::write_config(scratch.path(), &zones)?;
    let mut daemon = Daemon::start(&pair.server, &program, &config, scratch.path(), PATIENCE)?;
    let refused = refused_zones(&daemon.status()?);
    let question = Question::choose(&zones)?;

    let prefix = if std::env::var_os("SUDO_USER").is_some() { "sudo " } else { "" };
    let dig = question.dig(&pair.client, SERVER[0]);
    let served = zones.len() - refused.len();
    println!("responder serves {served} zones on a veth pair; ask it:\n");
    println!("  {prefix}{}\n", process::describe(&dig));

    self_check(&mut daemon, dig)?;
    ensure!(refused.is_empty(), "sample zones are refused:\n{}", refused.join("\n"));
    if once {
        return Ok(());
    }
    println!("Ctrl-C ends it and leaves nothing behind\n");
    cleanup::interruption_is_success();
    watch(&mut daemon)
}

/// The zones that are not served, each with the reason.
fn refused_zones(status: &Value) -> Vec<String> {
    let zones = status["zones"].as_array().into_iter().flatten();
    let refused = zones.filter(|zone| zone["state"] != "serving");
    let text = |value: &Value| value.as_str().unwrap_or("no reason is given").to_owned();
    refused.map(|zone| format!("{}: {}", text(&zone["name"]), text(&zone["last-error"]))).collect()
}

/// Asks once and has the counters prove that the kernel answered.
fn self_check(daemon: &mut Daemon, mut dig: Command) -> anyhow::Result<()> {
    let before = Counts::read(&daemon.status()?)?;
    let reply = process::output(dig.args(["+tries=1", "+time=2"]))
        .map_err(|error| anyhow!("no answer: {error}; the daemon's log:\n{}", daemon.log_tail()))?;
    daemon.ensure_alive()?;
    let after = Counts::read(&daemon.status()?)?;
    let count = after.since(&before);
    println!("{}\n", reply.trim());
    if !reply.contains("status: NOERROR") || !reply.contains("ANSWER SECTION") {
        bail!("the self-check's question was not answered as it should be");
    }
    match (count.xdp.answered, count.tc.answered) {
        (0, 0) => bail!("answered, but not in the kernel: {count}"),
        (0, _) => println!("self-check: answered in the kernel, by tc ({count})"),
        (_, _) => println!("self-check: answered in the kernel, by XDP ({count})"),
    }
    Ok(())
}

/// A live line of rates, until a signal ends the process.
fn watch(daemon: &mut Daemon) -> anyhow::Result<()> {
    let live = stdout().is_terminal();
    let mut last = Counts::read(&daemon.status()?)?;
    let mut time = Instant::now();
    loop {
        thread::sleep(Duration::from_secs(1));
        daemon.ensure_alive()?;
        let now = Counts::read(&daemon.status()?)?;
        let rates = now.since(&last).per_second(time.elapsed());
        (last, time) = (now, Instant::now());
        if live {
            print!("\r\x1b[K{rates}");
            _ = stdout().flush();
        } else if !rates.is_nothing() {
            println!("{rates}");
        }
    }
}
