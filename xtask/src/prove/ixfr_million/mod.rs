//! A zone of a million delegations follows a Knot primary under a flood: 1,000 changed names come by IXFR.
//! How long until the first reply tells the new version, counted from the moment at which the last octet of
//! the transfer left the relay in front of the primary; and the same for NSD and Knot as followers.

mod flood;
mod followers;
pub mod primary;
pub mod questions;
mod relay;

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use self::{
    flood::{Flood, Verdict},
    followers::Follower,
    primary::Primary,
    questions::{CHANGED, Questions, Version},
    relay::Relay,
};
use super::{Args, Outcome, servers};
use crate::{
    bench::zones::{self, Wanted},
    cleanup::Scratch,
    load::median,
    net::Pair,
    refereeing::{ask, peers::Kind},
    strict::{Name, rtype},
};

/// Delegations.
const NAMES: usize = 1_000_000;
/// From the last octet to the first reply, at the most, of the median and of every change.
const VISIBLE: f64 = 0.050;
/// Sockets that flood.
const ASKERS: usize = 2;
/// How long the first transfer, and each change, may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// The flood before a change, and after it.
const LEAD: Duration = Duration::from_millis(300);
/// A transfer of the changes has so many octets at least: what is smaller is a question for the SOA.
const TRANSFER: u64 = 10_000;

/// The check.
///
/// # Errors
/// When a server cannot be started, or never has the new version.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let scratch = Scratch::create()?;
    let program = servers::program(args)?;
    let apex = Name::from_text("lac.")?;
    let zone = zones::folder("peers")?.join("1m.zone");
    let wanted = Wanted { apex: "lac", names: NAMES, signed: None, count: 0 };
    zones::make(&wanted, &zone, None)?;
    let questions = Questions::of(&apex, NAMES, zones::SEED, primary::LABEL)?;
    let pair = Pair::create()?;
    let started = Instant::now();
    let primary = Primary::start(&pair, &apex, &zone, scratch.path())?;
    println!("Knot has the zone after {:.1} s", started.elapsed().as_secs_f64());
    let relay = pair.client.enter(|| Relay::start(followers::upstream(), primary::address()))??;
    let run = Run { args, program: &program, folder: scratch.path(), pair: &pair, apex: &apex };
    let mut version = Version { serial: primary.serial()?, server: None };
    let mut rows = Vec::new();
    for kind in [Kind::Responder, Kind::Nsd, Kind::Knot] {
        rows.push(run.follow(kind, &primary, &relay, &questions, &mut version)?);
    }
    let ours = &rows[0];
    let holds = ours.holds();
    let figures = json!({
        "delegations": NAMES,
        "changed names": CHANGED,
        "what is measured": "from the last octet of the IXFR at a relay beside the primary, before it is \
            passed on, to the first reply that tells the new version, at a client beside the primary; the \
            flood is of sockets that send 64 queries each and the next 64 when all replies are there",
        "sockets": ASKERS,
        "at most seconds": VISIBLE,
        "followers": rows.iter().map(Row::figures).collect::<Vec<_>>(),
    });
    Ok(Outcome { holds, figures })
}

/// What is alike for all followers.
struct Run<'r> {
    args: &'r Args,
    program: &'r Path,
    folder: &'r Path,
    pair: &'r Pair,
    apex: &'r Name,
}

impl Run<'_> {
    /// Has one follow the primary through a number of versions.
    fn follow(
        &self,
        kind: Kind,
        primary: &Primary<'_>,
        relay: &Relay,
        questions: &Questions,
        version: &mut Version,
    ) -> anyhow::Result<Row> {
        let begun = Instant::now();
        let follower = Follower::start(kind, self.pair, self.apex, self.program, self.folder)?;
        let server = servers::address();
        self.until(version.serial, server)?;
        let transferred = begun.elapsed();
        println!("{}: the whole zone after {:.1} s", kind.program(), transferred.as_secs_f64());
        let mut old = self.pair.client.enter(|| questions.ask(server, version))??;
        let before = follower.status()?;
        let mut changes = Vec::new();
        for _ in 0..self.args.rounds.max(1) {
            let next = Version {
                serial: version.serial.wrapping_add(1),
                server: Some(Name::from_text(&format!("s{}.changed.example.", version.serial))?),
            };
            let (change, new) = self.change(primary, relay, questions, &old, &next)?;
            println!("{}: {}", kind.program(), change.told());
            changes.push(change);
            (old, *version) = (new, next);
        }
        let after = follower.status()?;
        let kernel = before.zip(after).map(|(before, after)| {
            let part = |pointer: &str| {
                let at = |status: &Value| status.pointer(pointer).cloned().unwrap_or_default();
                servers::since(&at(&after), &at(&before))
            };
            json!({
                "xdp": part("/data-plane/xdp/answered"),
                "tc": part("/data-plane/tc/answered"),
                "sockets": part("/sockets/udp"),
                "transfers": part("/transfers"),
            })
        });
        if kind == Kind::Responder {
            let log = fs::read_to_string(followers::log(self.folder)).unwrap_or_default();
            let lines = log.lines().filter(|line| line.contains("zone transferred"));
            lines.for_each(|line| println!("  {line}"));
        }
        Ok(Row { kind, transferred, changes, kernel })
    }

    /// One version after another, under the flood; and every reply of the new one.
    fn change(
        &self,
        primary: &Primary<'_>,
        relay: &Relay,
        questions: &Questions,
        old: &[Vec<u8>],
        next: &Version,
    ) -> anyhow::Result<(Change, Vec<Vec<u8>>)> {
        let server = servers::address();
        let flood = Flood::new(questions, old);
        relay.forget();
        let name = next.server.as_ref().context("a version of ours")?;
        let changed = self.pair.client.enter(|| {
            thread::scope(|scope| {
                let askers: Vec<_> =
                    (0..ASKERS).map(|_| scope.spawn(|| flood.ask(server))).collect();
                thread::sleep(LEAD);
                let changed = primary.change(&questions.labels, name).map(|()| Instant::now());
                let deadline = Instant::now() + PATIENCE;
                while changed.is_ok() && !flood.is_through() && Instant::now() < deadline {
                    thread::sleep(Duration::from_millis(10));
                }
                thread::sleep(LEAD);
                flood.end();
                for asker in askers {
                    asker.join().map_err(|_| anyhow::anyhow!("an asker fell"))??;
                }
                changed
            })
        })??;
        ensure!(flood.is_through(), "the new version is not whole after {} s", PATIENCE.as_secs());
        let passed = relay.largest().filter(|passed| passed.octets > TRANSFER);
        let passed = passed.context("the changes did not come through the relay")?;
        let new = self.pair.client.enter(|| questions.ask(server, next))??;
        let verdict = flood.verdict(&new)?;
        Ok((Change { changed, passed, verdict }, new))
    }

    /// Waits until the follower has a serial.
    fn until(&self, serial: u32, server: SocketAddr) -> anyhow::Result<()> {
        let query = questions::query(self.apex, rtype::SOA);
        let deadline = Instant::now() + PATIENCE;
        loop {
            // One that is not up yet refuses datagrams.
            let reply = self.pair.client.enter(|| ask::exchange_datagram(server, &query))?;
            let reply = reply.ok().flatten().unwrap_or_default();
            if primary::serial_of(&reply).is_ok_and(|found| found == serial) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "no serial {serial} at {server}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// One change, as it was seen from outside.
struct Change {
    /// When the primary had it.
    changed: Instant,
    passed: relay::Passed,
    verdict: Verdict,
}

impl Change {
    /// From the last octet to the first reply, in seconds; less than nothing cannot be.
    fn visible(&self) -> f64 {
        seconds_between(self.passed.last, self.verdict.first_new)
    }

    fn told(&self) -> String {
        format!(
            "visible {:.1} ms after the last of {} octets; {} lost, {} mixed, {} back of {}",
            self.visible() * 1000.0,
            self.passed.octets,
            self.verdict.lost,
            self.verdict.mixed,
            self.verdict.back,
            self.verdict.answers
        )
    }

    fn figures(&self) -> Value {
        let Self { changed, passed, verdict } = self;
        json!({
            "visible after seconds": self.visible(),
            "last old reply after seconds": seconds_between(passed.last, verdict.last_old),
            "octets": passed.octets,
            "from the primary's word to the last octet, seconds":
                seconds_between(*changed, passed.last),
            "transfer seconds": seconds_between(passed.first, passed.last),
            "replies": verdict.answers,
            "replies per second": (verdict.answers as f64 / verdict.seconds).round(),
            "lost": verdict.lost,
            "of neither version": verdict.mixed,
            "of the old version after the new one": verdict.back,
            "longest wait for a window, seconds": verdict.longest.as_secs_f64(),
        })
    }
}

fn seconds_between(from: Instant, to: Instant) -> f64 {
    match to.checked_duration_since(from) {
        Some(time) => time.as_secs_f64(),
        None => -(from - to).as_secs_f64(),
    }
}

/// One follower.
struct Row {
    kind: Kind,
    transferred: Duration,
    changes: Vec<Change>,
    kernel: Option<Value>,
}

impl Row {
    fn visible(&self) -> f64 {
        median(self.changes.iter().map(Change::visible))
    }

    /// Whether nothing was lost, mixed or taken back, and it was there in time.
    fn holds(&self) -> bool {
        let sound = |change: &Change| {
            let Verdict { lost, mixed, back, .. } = change.verdict;
            (lost, mixed, back) == (0, 0, 0)
        };
        self.changes.iter().all(sound) && self.visible() <= VISIBLE
    }

    fn figures(&self) -> Value {
        json!({
            "server": self.kind.program(),
            "whole zone after seconds": self.transferred.as_secs_f64(),
            "visible after seconds, median": self.visible(),
            "visible after seconds, longest":
                self.changes.iter().map(Change::visible).fold(0.0, f64::max),
            "changes": self.changes.iter().map(Change::figures).collect::<Vec<_>>(),
            "counted by us": self.kernel,
        })
    }
}
