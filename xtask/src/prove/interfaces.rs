//! Interfaces go and come back, change their MTU, go down and up: service resumes by itself.

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Map, Value, json};

use super::{Args, Outcome, servers};
use crate::{
    cleanup::Scratch,
    daemon::Daemon,
    net::{CLIENT, Pair, SERVER_INTERFACE},
    process,
    refereeing::peers::Zone,
    strict::Name,
};

/// Service resumes within this time.
const PATIENCE: Duration = Duration::from_secs(5);

/// The check.
///
/// # Errors
/// When something cannot be built, started or measured.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let folder = Scratch::create()?;
    let program = servers::program(args)?;
    let file = folder.path().join("lac.zone");
    fs::write(&file, "$TTL 60\n@ SOA ns host 7 1 1 1 1\n@ NS ns\nns A 192.0.2.1\n")?;
    let zones = [Zone { apex: Name::from_text("lac.")?, file }];
    let node = folder.path().join("node");
    let pins = folder.mount_bpffs()?.join("node");
    let pair = Pair::create()?;
    let xdp = format!("pins = \"{}\"\n", pins.display());
    let config = servers::configure_ours(&pair, &zones, "native", &xdp, &node)?;
    let patience = Duration::from_secs(60);
    let arguments = ["--on-stop", "detach"];
    let mut daemon =
        Daemon::start_with(&pair.server, &program, &config, &arguments, &node, patience)?;
    let watched = Watched { pair: &pair, daemon: &daemon, log: node.join("serve.log") };
    watched.answered()?;

    let mut steps = Map::new();
    let mut holds = true;
    let mut note = |name: &str, step: Value| {
        holds &= step["lines of the log as expected"] == true;
        println!("{name}: {step}");
        steps.insert(name.to_owned(), step);
    };
    let set = |words: &[&str]| pair.set_server_link(words);
    let step = watched.after(&["the MTU has changed"], || set(&["mtu", "1400"]))?;
    note("MTU changed", step);
    let step = watched.after(&["the interface is down"], || set(&["down"]))?;
    note("link down", step);
    let step = watched.after(&["the link is up"], || set(&["up"]))?;
    note("link up", step);
    for name in ["pulled and put back", "pulled and put back again"] {
        let lines = ["the interface is gone", "the interface is back"];
        let step = watched.after(&lines, || {
            let before = told(&watched.log)?.len();
            pair.pull()?;
            watched.until("the loss is seen", || Ok(told(&watched.log)?.len() > before))?;
            pair.put_back()
        })?;
        note(name, step);
    }
    let pinned = fs::read_dir(&pins)?.count();
    // Two links, the counters and the store: what the lost interfaces had is gone.
    let tidy = pinned == 4;
    steps.insert("pins".to_owned(), pinned.into());
    let spread = scaling(&pair)?;
    daemon.end(libc::SIGTERM, Duration::from_secs(10))?;
    // What was found on the interface that is there now, not on those that are gone.
    let found = scaling(&pair)?;
    let restored = spread != found && found.iter().all(|value| value.chars().all(|c| c == '0'));
    let values = json!({ "while the daemon runs": spread, "afterwards": found });
    steps.insert("receive scaling".to_owned(), values);
    Ok(Outcome { holds: holds && tidy && restored, figures: Value::Object(steps) })
}

/// How the work of the interface's receive queue is spread: threaded NAPI, and the mask of RPS.
fn scaling(pair: &Pair) -> anyhow::Result<Vec<String>> {
    let folder = format!("/sys/class/net/{SERVER_INTERFACE}");
    let mut cat = pair.server.command("cat");
    cat.args([format!("{folder}/threaded"), format!("{folder}/queues/rx-0/rps_cpus")]);
    Ok(process::output(&mut cat)?.lines().map(str::to_owned).collect())
}

/// A daemon, and where it is asked and what it says.
struct Watched<'a> {
    pair: &'a Pair,
    daemon: &'a Daemon,
    log: std::path::PathBuf,
}

impl Watched<'_> {
    /// Does something to the interface: how soon XDP answers again, unless the link is down, and whether the
    /// log has these lines more and no others.
    fn after(
        &self,
        lines: &[&str],
        happen: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<Value> {
        let before = told(&self.log)?.len();
        let start = Instant::now();
        happen()?;
        let is_down = lines.iter().any(|line| line.contains("down"));
        let resumed = if is_down { None } else { Some(self.answered()?) };
        let took = start.elapsed().as_millis() as u64;
        self.until("the lines of the log", || Ok(told(&self.log)?.len() >= before + lines.len()))?;
        let new = told(&self.log)?.split_off(before);
        let expected = new.len() == lines.len()
            && new.iter().zip(lines).all(|(line, expected)| line.contains(expected));
        Ok(json!({
            "answered again after milliseconds": resumed.map(|()| took),
            "lines of the log as expected": expected,
            "lines": new,
        }))
    }

    /// Asks until XDP answers.
    fn answered(&self) -> anyhow::Result<()> {
        let count = || -> anyhow::Result<u64> {
            let status = self.daemon.status()?;
            servers::counters(&status, "xdp")["answered"].as_u64().context("no counters")
        };
        let before = count()?;
        self.until("an answer by XDP", || Ok(ask(self.pair)? && count()? > before))
    }

    fn until(
        &self,
        what: &str,
        mut holds: impl FnMut() -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !holds()? {
            if Instant::now() > deadline {
                bail!("not seen: {what}\n{}", self.daemon.log_tail());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

/// Lines of the log about the interface, its first attachment left out.
fn told(log: &Path) -> anyhow::Result<Vec<String>> {
    let text = fs::read_to_string(log)?;
    let ours = |line: &&str| {
        line.contains(&format!("interface=\"{SERVER_INTERFACE}\"")) && !line.contains(" spread ")
    };
    let first = |line: &&str| !line.contains(" attached interface=");
    Ok(text.lines().filter(ours).filter(first).map(str::to_owned).collect())
}

/// Whether a query for the SOA is answered soon.
fn ask(pair: &Pair) -> anyhow::Result<bool> {
    const QUERY: &[u8] = b"\0\x01\0\0\0\x01\0\0\0\0\0\0\x03lac\0\0\x06\0\x01";
    pair.client.enter(|| -> anyhow::Result<bool> {
        let socket = UdpSocket::bind(SocketAddr::new(CLIENT[0], 0))?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let mut reply = [0; 512];
        let sent = socket.send_to(QUERY, servers::address());
        let answered = sent.is_ok() && socket.recv(&mut reply).is_ok();
        ensure!(!answered || reply[3] & 15 == 0, "it is answered with an error");
        Ok(answered)
    })?
}
