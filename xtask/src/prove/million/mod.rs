//! A million queries and more to us, NSD and Knot about large and odd zones, signed in every way. Each
//! reply of ours is record for record that of a peer, or of a class in the checked-in table, which names
//! our rule and its source. All of it is answered in the kernel.

mod arena;
mod table;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::ensure;
use serde_json::{Value, json};

use super::{Args, Outcome, root_nsd, servers};
use crate::{
    cleanup::Scratch,
    net::Pair,
    refereeing::{
        ask::{self, Pace},
        contest::{Contest, Opponent},
        judge::Judge,
        peers::Kind,
        queries::Query,
        tally::Tally,
    },
};

pub use arena::{Arena, UNSIGNED};

/// Queries in all, unless `--count` says otherwise.
const QUERIES: usize = 1_000_000;
/// So many are asked and judged at a time.
const BATCH: usize = 50_000;
/// What tc may pass on: no queries over UDP.
const NOT_QUERIES: [&str; 2] = ["not-ip", "not-udp"];

/// The check.
///
/// # Errors
/// When a zone cannot be made, a server cannot be started or asked.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let folder = Scratch::create()?;
    let program = servers::program(args)?;
    let wanted = args.count.unwrap_or(QUERIES);
    let mut found = Vec::new();
    for arena in Arena::all(args, folder.path())? {
        let folder = folder.path().join(arena.name);
        found.push(fight(args, &program, &arena, wanted, &folder)?);
    }
    let all = found.iter().map(|one| one.queries).sum::<usize>();
    let table = table::Table::of(found.iter().map(|one| (one.arena, &one.tally)));
    println!("{}", table.text());
    let unlisted = table.unlisted();
    for class in &unlisted {
        println!("not in the checked-in table: {class}");
    }
    let whole = |one: &Found| one.holds();
    let holds = found.iter().all(whole) && unlisted.is_empty() && all >= wanted;
    let file = args.file("million").with_extension("md");
    table.write(&file)?;
    println!("table of the differences: {}", file.display());
    let figures = json!({
        "queries": all,
        "wanted": wanted,
        "identical": found.iter().map(|one| one.tally.identical).sum::<u64>(),
        "by rule": found.iter().map(|one| one.tally.equal - one.tally.identical).sum::<u64>(),
        "different": found.iter().map(|one| one.tally.faults()).sum::<u64>(),
        "not in the table": unlisted,
        "arenas": found.iter().map(Found::figures).collect::<Vec<_>>(),
    });
    Ok(Outcome { holds, figures })
}

/// What came of one arena.
struct Found {
    arena: &'static str,
    queries: usize,
    sent: u64,
    lost: usize,
    seconds: f64,
    tally: Tally,
    kernel: [Value; 2],
}

impl Found {
    /// How many queries the kernel answered.
    fn answered(&self) -> u64 {
        self.kernel.iter().map(|hook| hook["answered"].as_u64().unwrap_or(0)).sum()
    }

    /// Whether every reply is right, and came from the kernel.
    fn holds(&self) -> bool {
        self.tally.faults() == 0
            && self.tally.equal == self.queries as u64
            && self.lost == 0
            && self.answered() >= self.queries as u64
            && passed(&self.kernel[1]).is_empty()
    }

    fn figures(&self) -> Value {
        let Self { queries, sent, lost, tally, .. } = self;
        json!({
            "zones": self.arena,
            "queries": queries,
            "seconds": self.seconds.round(),
            "identical": tally.identical,
            "by rule": tally.equal - tally.identical,
            "rules": root_nsd::rules(tally),
            "an example of each": tally
                .examples
                .iter()
                .map(|(rule, example)| (rule.class, example.lines().collect::<Vec<_>>()))
                .collect::<BTreeMap<_, _>>(),
            "notes": tally.notes,
            "different": tally.faults(),
            "differences": root_nsd::by_class(tally),
            "examples": root_nsd::examples(tally),
            "lost": lost,
            "sent": sent,
            "kernel": {
                "answered": self.answered(),
                "share": self.answered() as f64 / *sent as f64,
                "queries passed": passed(&self.kernel[1]),
                "xdp": self.kernel[0],
                "tc": self.kernel[1],
            },
        })
    }
}

/// What tc left to the sockets, by reason; TCP and ARP are no concern of the kernel programs.
pub fn passed(tc: &Value) -> BTreeMap<String, Value> {
    let passed = tc["passed"].as_object().cloned().unwrap_or_default();
    passed.into_iter().filter(|(label, _)| !NOT_QUERIES.contains(&label.as_str())).collect()
}

/// Starts the three servers on an arena's zones and asks them everything.
fn fight(
    args: &Args,
    program: &std::path::Path,
    arena: &Arena,
    wanted: usize,
    folder: &std::path::Path,
) -> anyhow::Result<Found> {
    let start = Instant::now();
    let pairs = [Pair::create()?, Pair::create()?, Pair::create()?];
    let clients = pairs.each_ref().map(servers::from_client);
    let readable: Vec<_> = arena.readable_by_nsd();
    let nsd = servers::start_peer(Kind::Nsd, &pairs[1], &readable, 1, folder)?;
    let knot = servers::start_peer(Kind::Knot, &pairs[2], &arena.zones, 1, folder)?;
    let daemon = servers::start_ours(program, &pairs[0], &arena.zones, "native", folder)?;

    let known = arena.transfer(&servers::side(&clients[2]))?;
    let queries = arena.queries(&known, wanted, args.seed);
    println!(
        "{}: {} zones, {} records, {} queries; loaded in {:.1} s (NSD), {:.1} s (Knot)",
        arena.name,
        arena.zones.len(),
        known.records(),
        queries.len(),
        nsd.started_in.as_secs_f64(),
        knot.started_in.as_secs_f64(),
    );
    let data = known.data();
    let apexes = arena.apexes();
    let judge = |peer, unread| Judge {
        peer,
        apexes: &apexes,
        data: &data,
        unread,
        udp_size: servers::UDP_SIZE,
    };
    let contest = Contest {
        ours: servers::side(&clients[0]),
        theirs: vec![
            Opponent {
                side: servers::side(&clients[1]),
                judge: judge(Kind::Nsd, &arena.unread_by_nsd),
            },
            Opponent { side: servers::side(&clients[2]), judge: judge(Kind::Knot, &[]) },
        ],
    };
    let before = daemon.status()?;
    let mut found = Found {
        arena: arena.name,
        queries: queries.len(),
        sent: 0,
        lost: 0,
        seconds: 0.0,
        tally: Tally::default(),
        kernel: Default::default(),
    };
    for batch in queries.chunks(BATCH) {
        found.add(batch, &contest)?;
    }
    let after = daemon.status()?;
    found.kernel = ["xdp", "tc"].map(|hook| {
        servers::since(&servers::counters(&after, hook), &servers::counters(&before, hook))
    });
    found.seconds = start.elapsed().as_secs_f64();
    println!("{}: {}", arena.name, found.tally);
    ensure!(found.kernel[0].is_object(), "`responder status` tells nothing of the kernel: {after}");
    Ok(found)
}

impl Found {
    /// Asks and judges some of the queries.
    fn add(&mut self, batch: &[Query], contest: &Contest<'_>) -> anyhow::Result<()> {
        // A reply is some milliseconds away at the most; patience is for a busy machine.
        let pace = Pace { patience: Duration::from_millis(800), ..Pace::default() };
        let ours = contest.ours.reach(|us| ask::datagrams(us, batch, pace))?;
        self.sent += batch.len() as u64 + ours.resent;
        self.lost += ours.lost();
        let theirs = contest.ask_peers(batch, pace)?;
        self.tally.merge(contest.judge_all(batch, &ours.replies, &theirs)?);
        println!(
            "  {}: {} judged, {} identical, {} different",
            self.arena,
            self.tally.equal + self.tally.faults(),
            self.tally.identical,
            self.tally.faults()
        );
        Ok(())
    }
}
