//! The wall clock is set a year on and a year back: neither the lease nor a zone's expiry heeds it.
//!
//! Setting this machine's clock would disturb whatever else runs on it, so here the daemon alone sees another
//! one (`clock.c`); the kernel's programs know none but the monotonic one.

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    os::unix::fs::{FileExt as _, PermissionsExt as _},
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use super::{Args, Outcome, servers};
use crate::{
    cleanup::Scratch,
    daemon::Daemon,
    net::{CLIENT, Pair, SERVER, SERVER_INTERFACE},
    process,
};

/// A year, in seconds.
const YEAR: i64 = 365 * 86_400;
/// `xdp.lease` of the first daemons.
const LEASE: Duration = Duration::from_secs(8);
/// For how long the zone is good without a word from its primary.
const EXPIRE: Duration = Duration::from_secs(40);
/// What may be between a moment and its observation.
const PRECISION: Duration = Duration::from_secs(1);
/// The lease is renewed so often, so its end is that much sooner after the last sign of life.
const RENEWAL: Duration = Duration::from_secs(1);
/// How long anything may take that is not to be measured.
const PATIENCE: Duration = Duration::from_secs(90);

/// The check, with a clock that the daemon alone sees.
///
/// # Errors
/// When something cannot be built, started or measured.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let scratch = Scratch::create()?;
    let program = servers::program(args)?;
    let (library, offset) = (scratch.path().join("clock.so"), scratch.path().join("offset"));
    let source = scratch.path().join("clock.c");
    fs::write(&source, include_str!("clock.c"))?;
    let mut clang = Command::new("clang");
    clang.args(["-O2", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source);
    process::output(&mut clang).context("remedy: cargo xtask setup")?;
    fs::write(&offset, [0; 8])?;
    let wrapped = scratch.path().join("responder");
    let script = format!(
        "#!/bin/sh\nLD_PRELOAD={} CLOCK_OFFSET={} exec {} \"$@\"\n",
        library.display(),
        offset.display(),
        program.display()
    );
    fs::write(&wrapped, script)?;
    fs::set_permissions(&wrapped, fs::Permissions::from_mode(0o755))?;
    let file = fs::File::options().write(true).open(&offset)?;
    // One store, since the daemon has the file mapped.
    let set = |seconds: i64| Ok(file.write_all_at(&seconds.to_ne_bytes(), 0)?);
    trial(&wrapped, &set).map(|figures| Outcome { holds: true, figures })
}

/// The trial, with something that sets the clock to be off by so many seconds.
///
/// # Errors
/// When something does not hold, or cannot be measured.
pub fn trial(program: &Path, set: &dyn Fn(i64) -> anyhow::Result<()>) -> anyhow::Result<Value> {
    let scratch = Scratch::create()?;
    let pair = Pair::create()?;
    let field = Field::prepare(program, &pair, &scratch, set)?;
    let stepped = field.steps()?;
    let lease = field.lease()?;
    let expiry = field.expiry()?;
    set(0)?;
    Ok(json!({ "steps": stepped, "lease": lease, "expiry": expiry }))
}

struct Field<'f> {
    program: &'f Path,
    pair: &'f Pair,
    scratch: &'f Scratch,
    pins: std::path::PathBuf,
    set: &'f dyn Fn(i64) -> anyhow::Result<()>,
    /// The wall clock at the begin.
    real: SystemTime,
    begun: Instant,
}

impl<'f> Field<'f> {
    fn prepare(
        program: &'f Path,
        pair: &'f Pair,
        scratch: &'f Scratch,
        set: &'f dyn Fn(i64) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let expire = EXPIRE.as_secs();
        for (folder, zone) in [("primary", "sv."), ("node", "lac.")] {
            let folder = scratch.path().join(folder);
            fs::create_dir(&folder)?;
            let text = format!(
                "$ORIGIN {zone}\n$TTL 60\n@ SOA ns host 7 3600 3600 {expire} 60\n@ NS ns\nns A 192.0.2.1\n"
            );
            fs::write(folder.join("zone"), text)?;
        }
        let pins = scratch.mount_bpffs()?.join("node");
        let (real, begun) = (SystemTime::now(), Instant::now());
        Ok(Self { program, pair, scratch, pins, set, real, begun })
    }

    fn primary(&self) -> anyhow::Result<Daemon> {
        let folder = self.scratch.path().join("primary");
        let (client, server) = (CLIENT[0], SERVER[0]);
        let text = format!(
            "[node]\nid = \"primary\"\nstate = \"state\"\n[listen]\naddresses = [\"{client}\"]\n[xdp]\nmode = \
             \"off\"\n[[zone]]\nname = \"sv.\"\nfile = \"zone\"\ntransfer-to = [{{ address = \"{server}\" }}]\n"
        );
        fs::write(folder.join("config"), text)?;
        let config = folder.join("config");
        Daemon::start(&self.pair.client, self.program, &config, &folder, PATIENCE)
    }

    fn node(&self, lease: Duration) -> anyhow::Result<Daemon> {
        let folder = self.scratch.path().join("node");
        let (client, server, pins) = (CLIENT[0], SERVER[0], self.pins.display());
        let lease = lease.as_secs();
        let text = format!(
            "[node]\nid = \"node\"\nstate = \"state\"\n[listen]\naddresses = [\"{server}\"]\n[xdp]\nmode = \
             \"native\"\ninterfaces = [\"{SERVER_INTERFACE}\"]\npins = \"{pins}\"\nlease = \"{lease}s\"\n[transfer]\n\
             source = [\"{server}\"]\nexpire-min = \"10s\"\n[[zone]]\nname = \"lac.\"\nfile = \"zone\"\n[[zone]]\nname \
             = \"sv.\"\nprimaries = [{{ address = \"{client}\" }}]\n"
        );
        fs::write(folder.join("config"), text)?;
        let (config, arguments) = (folder.join("config"), ["--on-stop", "keep"]);
        let space = &self.pair.server;
        Daemon::start_with(space, self.program, &config, &arguments, &folder, PATIENCE)
    }

    /// A year on, a year back, and right again; started anew at each: what is known of the zone's life is the
    /// same, and XDP answers.
    fn steps(&self) -> anyhow::Result<Value> {
        let primary = self.primary()?;
        let mut node = self.node(LEASE)?;
        self.until("the zone is served", || self.is_answered())?;
        let confirmed = Confirmed::of(&node)?;
        let mut rows = Vec::new();
        for years in [1, -1, 0] {
            (self.set)(years * YEAR)?;
            for restarted in [false, true] {
                if restarted {
                    node.end(libc::SIGKILL, PATIENCE)?;
                    node = self.node(LEASE)?;
                }
                // As long as a renewal, at the least.
                thread::sleep(RENEWAL + RENEWAL / 2);
                self.is_seen(&node, years)?;
                let before = answered(&node)?;
                ensure!(self.is_answered()?, "{years} years, not answered: {}", node.log_tail());
                ensure!(answered(&node)? > before, "{years} years: not by XDP");
                let left = confirmed.compare(&node)?;
                rows.push(json!({
                    "years": years,
                    "started anew": restarted,
                    "seconds to expiry": left,
                }));
            }
        }
        drop(primary);
        node.end(libc::SIGKILL, PATIENCE)?;
        Ok(Value::Array(rows))
    }

    /// Whether the daemon's clock is set: when it reads a zone, it says when.
    fn is_seen(&self, node: &Daemon, years: i64) -> anyhow::Result<()> {
        let mut reload = Command::new(self.program);
        let config = self.scratch.path().join("node/config");
        process::output(reload.args(["zone", "reload", "lac.", "--config"]).arg(config))?;
        let loaded = zone(node, "lac.")?["loaded-at"].as_i64().context("loaded when?")?;
        // Not by our own clock, which in a machine of its own is set as well.
        let real = (self.real + self.begun.elapsed()).duration_since(UNIX_EPOCH)?;
        let off = loaded - i64::try_from(real.as_secs())?;
        ensure!(
            (off - years * YEAR).abs() < 60,
            "the daemon does not see the clock as it is set: off by {off} s, not by {years} years"
        );
        Ok(())
    }

    /// Dead for as long as the lease, while the clock steps: answered until then, and no longer.
    fn lease(&self) -> anyhow::Result<Value> {
        let primary = self.primary()?;
        let mut node = self.node(LEASE)?;
        self.until("the zone is served", || self.is_answered())?;
        thread::sleep(RENEWAL * 2);
        node.end(libc::SIGKILL, PATIENCE)?;
        drop(primary);
        let dead = Instant::now();
        for years in [1, -1] {
            (self.set)(years * YEAR)?;
            thread::sleep(LEASE / 8);
            ensure!(self.is_answered()?, "{years} years: not answered within the lease");
        }
        while self.is_answered()? {
            ensure!(dead.elapsed() < LEASE * 3, "the lease does not end");
            thread::sleep(Duration::from_millis(50));
        }
        let after = dead.elapsed();
        ensure!(
            after >= LEASE - RENEWAL - PRECISION && after <= LEASE + PRECISION,
            "the lease of {LEASE:?} ended {after:?} after the daemon"
        );
        // And what is known of the zone's life outlives the daemon: nobody confirms it any more.
        let mut kept = Vec::new();
        for years in [1, -1] {
            (self.set)(years * YEAR)?;
            node = self.node(LEASE)?;
            let (left, most) = (expiry(&node)?, EXPIRE.saturating_sub(dead.elapsed()).as_secs());
            ensure!(left > 0 && left <= most + 1, "{left} s to the expiry, {most} expected");
            ensure!(self.is_answered()?, "{years} years: not answered after a start");
            node.end(libc::SIGKILL, PATIENCE)?;
            kept.push(json!({ "years": years, "seconds to expiry": left, "at the most": most }));
        }
        (self.set)(0)?;
        Ok(json!({
            "seconds": LEASE.as_secs(),
            "ended after seconds": after.as_secs_f64(),
            "started without a primary": kept,
        }))
    }

    /// Without its primary and without the daemon: SERVFAIL by XDP within a second of the moment.
    fn expiry(&self) -> anyhow::Result<Value> {
        let primary = self.primary()?;
        let mut node = self.node(EXPIRE * 4)?;
        let mut refresh = Command::new(self.program);
        let config = self.scratch.path().join("node/config");
        process::output(refresh.args(["zone", "refresh", "sv.", "--config"]).arg(config))?;
        let confirmed = Instant::now();
        drop(primary);
        node.end(libc::SIGKILL, PATIENCE)?;
        (self.set)(YEAR)?;
        let mut last_good = Duration::ZERO;
        let expired = loop {
            match self.ask()? {
                Some(0) => last_good = confirmed.elapsed(),
                Some(2) => break confirmed.elapsed(),
                other => bail!(
                    "{:?} after its confirmation the zone is answered {other:?}",
                    confirmed.elapsed()
                ),
            }
            ensure!(confirmed.elapsed() < EXPIRE * 2, "the zone does not expire");
            thread::sleep(Duration::from_millis(50));
        };
        ensure!(
            expired >= EXPIRE - PRECISION && expired <= EXPIRE + PRECISION,
            "good for {EXPIRE:?}, SERVFAIL after {expired:?}"
        );
        (self.set)(0)?;
        Ok(json!({
            "good for seconds": EXPIRE.as_secs(),
            "answered until": last_good.as_secs_f64(),
            "SERVFAIL after": expired.as_secs_f64(),
        }))
    }

    /// Whether the transferred zone is answered for with data.
    fn is_answered(&self) -> anyhow::Result<bool> {
        Ok(self.ask()? == Some(0))
    }

    /// The response code to a question for the SOA of `sv.`, if there is a reply.
    fn ask(&self) -> anyhow::Result<Option<u8>> {
        const QUERY: &[u8] = b"\0\x01\0\0\0\x01\0\0\0\0\0\0\x02sv\0\0\x06\0\x01";
        self.pair.client.enter(|| -> anyhow::Result<_> {
            let socket = UdpSocket::bind(SocketAddr::new(CLIENT[0], 0))?;
            socket.set_read_timeout(Some(Duration::from_millis(300)))?;
            let mut reply = [0; 512];
            // Where nobody listens, the kernel says so at once.
            let sent = socket.connect(servers::address()).and_then(|()| socket.send(QUERY));
            let came = sent.is_ok() && socket.recv(&mut reply).is_ok();
            Ok(came.then_some(reply[3] & 15))
        })?
    }

    fn until(&self, what: &str, holds: impl Fn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !holds()? {
            ensure!(Instant::now() < deadline, "not seen: {what}");
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

/// When a daemon said how long its zone is good.
struct Confirmed {
    at: Instant,
    expiry: u64,
}

impl Confirmed {
    fn of(node: &Daemon) -> anyhow::Result<Self> {
        Ok(Self { expiry: expiry(node)?, at: Instant::now() })
    }

    /// What is left; it must be what was left, less the time since, or more where the primary confirmed the zone
    /// again.
    fn compare(&self, node: &Daemon) -> anyhow::Result<u64> {
        let left = expiry(node)?;
        let least = self.expiry.saturating_sub(self.at.elapsed().as_secs() + 2);
        ensure!(
            left >= least && left <= EXPIRE.as_secs(),
            "{left} s to the expiry, {least} to {} expected",
            EXPIRE.as_secs()
        );
        Ok(left)
    }
}

/// Seconds until the transferred zone expires.
fn expiry(node: &Daemon) -> anyhow::Result<u64> {
    let zone = zone(node, "sv.")?;
    ensure!(zone["secondary"]["expired"] == false, "expired: {zone}");
    zone["secondary"]["expiry"].as_u64().with_context(|| format!("no expiry: {zone}"))
}

fn zone(node: &Daemon, name: &str) -> anyhow::Result<Value> {
    let status = node.status()?;
    let zones = status["zones"].as_array().context("no zones")?;
    zones.iter().find(|zone| zone["name"] == name).cloned().context("no such zone")
}

fn answered(node: &Daemon) -> anyhow::Result<u64> {
    servers::counters(&node.status()?, "xdp")["answered"].as_u64().context("no counters")
}
