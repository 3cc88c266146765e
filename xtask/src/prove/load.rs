//! The same flood on the same links for a bare reflector, the peers and us.
//!
//! Each server is flooded as hard as the generator can, and once more a little harder than what it has
//! answered: some give more where they are not drowned. The better one counts.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};

use super::{Args, Outcome, servers};
use crate::{
    cleanup::Scratch,
    gen_zone::{self, Signed},
    load::{
        beside::{self, Beside},
        frames::Frames,
        generator::{Flood, kxdpgun, two_kxdpguns},
        median, reflector,
    },
    net::{Pair, SERVER_INTERFACE},
    refereeing::peers::{Kind, Zone},
    strict::Name,
};

/// Queries in the generator's file, unless `--count` says otherwise.
const QUERIES: usize = 200_000;

/// What is claimed of which load.
struct Claim {
    /// Delegations in the zone.
    names: usize,
    signed: Option<Signed>,
    /// Whether every query asks for a name that is not there.
    absent: bool,
    /// Our rate must be this share of the reflector's.
    of_reflector: f64,
    /// And so many times the best peer's.
    times_best_peer: f64,
    /// Who asks.
    generator: Generator,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Generator {
    /// `kxdpgun` over one link.
    Kxdpgun,
    /// `kxdpgun` over each of two links.
    TwoKxdpguns,
    /// [`Frames`], with the number of queries under way that suits each server best.
    Frames,
}

/// Ten thousand delegations, a registry's mix.
///
/// # Errors
/// When something cannot be built, started or measured.
pub fn mixed(args: &Args) -> anyhow::Result<Outcome> {
    judge(
        args,
        &Claim {
            names: 10_000,
            signed: None,
            absent: false,
            of_reflector: 0.65,
            times_best_peer: 2.5,
            generator: kxdpguns(args, 1),
        },
    )
}

/// Every name random and absent, DO set, in a zone with NSEC3 and opt-out.
///
/// Over two links: over one the reflector uses one of two processors, so that it is half of the ceiling.
///
/// # Errors
/// As [`mixed`].
pub fn signed_nxdomain(args: &Args) -> anyhow::Result<Outcome> {
    judge(args, &absent_signed(kxdpguns(args, 2)))
}

/// The same by a generator that takes next to no time of the processors, in frames that have room.
///
/// # Errors
/// As [`mixed`].
pub fn signed_nxdomain_frames(args: &Args) -> anyhow::Result<Outcome> {
    // Its reflector is no ceiling that a server could come near to: it looks at nothing but a header.
    judge(args, &Claim { of_reflector: 0.15, ..absent_signed(Generator::Frames) })
}

fn kxdpguns(args: &Args, links: u8) -> Generator {
    match args.links.unwrap_or(links) {
        1 => Generator::Kxdpgun,
        _ => Generator::TwoKxdpguns,
    }
}

fn absent_signed(generator: Generator) -> Claim {
    Claim {
        names: 100_000,
        signed: Some(Signed::Nsec3Optout),
        absent: true,
        of_reflector: 0.40,
        times_best_peer: 3.0,
        generator,
    }
}

fn judge(args: &Args, claim: &Claim) -> anyhow::Result<Outcome> {
    let folder = Scratch::create()?;
    let program = servers::program(args)?;
    let load = Load::prepare(args, claim, folder.path())?;
    let busy = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    // In turns, so that what else the machine does falls on all alike.
    let mut rounds: Vec<[Row; 5]> = Vec::new();
    for _ in 0..args.rounds.max(1) {
        rounds.push([
            load.reflector()?,
            load.peer(Kind::Knot)?,
            load.peer(Kind::Nsd)?,
            load.peer(Kind::Bind)?,
            load.ours(&program)?,
        ]);
    }
    // Ratios within a round: noise comes and goes.
    let of_reflector = median(rounds.iter().map(|round| round[4].rate() / round[0].rate()));
    let times_best_peer = median(rounds.iter().map(|round| {
        let peers = round[1..4].iter().map(Row::rate);
        round[4].rate() / peers.fold(1.0, f64::max)
    }));
    let mut servers = Vec::new();
    for number in 0..5 {
        let rows = || rounds.iter().map(|round| &round[number]);
        let (Row { server, flood, .. }, rate) = (&rounds[0][number], median(rows().map(Row::rate)));
        println!("{server:10} {rate:>9} replies/s, {}", flood.size);
        let rounds: Vec<Value> = rows().map(Row::figures).collect();
        servers.push(json!({ "server": server, "replies per second": rate, "rounds": rounds }));
    }
    let figures = json!({
        "delegations": claim.names,
        "signed": claim.signed.map(|signed| format!("{signed:?}")),
        "generator": format!("{:?}", claim.generator),
        "attempted per second": args.rate,
        "seconds": args.seconds,
        "load average before": busy.trim(),
        "servers": servers,
        "ours of reflector": of_reflector,
        "at least": claim.of_reflector,
        "ours of best peer": times_best_peer,
        "at least times": claim.times_best_peer,
    });
    let holds = of_reflector >= claim.of_reflector && times_best_peer >= claim.times_best_peer;
    Ok(Outcome { holds, figures })
}

/// What every server is loaded with.
struct Load<'a> {
    args: &'a Args,
    folder: &'a Path,
    zones: [Zone; 1],
    queries: PathBuf,
    /// The same, for the second link.
    other_queries: PathBuf,
    generator: Generator,
}

/// One server's figures.
struct Row {
    server: &'static str,
    flood: Flood,
    counters: Value,
}

impl Row {
    fn rate(&self) -> f64 {
        self.flood.rate.max(1) as f64
    }

    fn figures(&self) -> Value {
        json!({
            "replies per second": self.flood.rate,
            "share of sent": self.flood.share,
            "average reply": self.flood.size,
            "status": self.counters,
        })
    }
}

impl<'a> Load<'a> {
    fn prepare(args: &'a Args, claim: &Claim, folder: &'a Path) -> anyhow::Result<Self> {
        let (file, queries) = (folder.join("lac.zone"), folder.join("queries"));
        let zone = gen_zone::Args {
            names: claim.names,
            signed: claim.signed,
            seed: args.seed,
            apex: "lac.".into(),
            out: file.clone(),
            queries: (!claim.absent).then(|| queries.clone()),
            count: args.count.unwrap_or(QUERIES),
        };
        gen_zone::generate(&zone)?;
        if claim.absent {
            gen_zone::ask_absent(&zone, &queries)?;
        }
        let other_queries = folder.join("queries.other");
        fs::write(&other_queries, from_the_middle(&fs::read_to_string(&queries)?))?;
        let apex = Name::from_text("lac.")?;
        let zones = [Zone { apex, file }];
        let generator = claim.generator;
        Ok(Self { args, folder, zones, queries, other_queries, generator })
    }

    /// The links that the load comes over: the pair, and the second one if there is one.
    fn links(&self) -> anyhow::Result<Links> {
        let pair = Pair::create()?;
        let two = self.generator == Generator::TwoKxdpguns;
        let beside = two.then(|| Beside::connect(&pair)).transpose()?;
        Ok(Links { beside, pair })
    }

    fn reflector(&self) -> anyhow::Result<Row> {
        let links = self.links()?;
        for interface in links.interfaces() {
            reflector::attach_to(&links.pair, interface, self.folder)?;
        }
        self.flood("reflector", &links)
    }

    fn peer(&self, kind: Kind) -> anyhow::Result<Row> {
        let links = self.links()?;
        let _peer = servers::start_peer(kind, &links.pair, &self.zones, 2, self.folder)?;
        self.flood(kind.program(), &links)
    }

    fn ours(&self, program: &Path) -> anyhow::Result<Row> {
        let links = self.links()?;
        let daemon = match links.interfaces() {
            [_] => servers::start_ours(program, &links.pair, &self.zones, "native", self.folder)?,
            // Nearly no reply has room over veth: XDP would only cost the copy that it works on.
            both => {
                servers::start_ours_on(program, &links.pair, &self.zones, "tc", both, self.folder)?
            }
        };
        let mut row = self.flood("responder", &links)?;
        row.counters = daemon.status()?;
        Ok(row)
    }

    fn flood(&self, server: &'static str, links: &Links) -> anyhow::Result<Row> {
        let flood = match self.generator {
            Generator::Frames => self.frames(&links.pair)?,
            Generator::Kxdpgun | Generator::TwoKxdpguns => {
                let drowned = self.kxdpgun(links, self.args.rate)?;
                let near = drowned.rate.saturating_mul(5) / 4;
                let near = self.kxdpgun(links, self.args.rate.min(near.try_into()?))?;
                if near.rate > drowned.rate { near } else { drowned }
            }
        };
        println!("{server}: {} replies/s, {} of those sent", flood.rate, flood.share);
        Ok(Row { server, flood, counters: Value::Null })
    }

    fn kxdpgun(&self, Links { pair, beside }: &Links, rate: u32) -> anyhow::Result<Flood> {
        let (queries, seconds) = ([&*self.queries, &*self.other_queries], self.args.seconds);
        match beside {
            None => kxdpgun(pair, queries[0], rate, seconds),
            Some(beside) => two_kxdpguns(pair, beside, queries, rate, seconds),
        }
    }

    fn frames(&self, pair: &Pair) -> anyhow::Result<Flood> {
        let time = Duration::from_secs(self.args.seconds.into());
        let best = Frames::best(pair, &self.queries, self.folder, time)?;
        Ok(Flood {
            queries: best.sent,
            replies: best.counted.replies,
            rate: best.rate() as u64,
            share: format!("{:.1}%", best.answered() * 100.0),
            size: format!("{} B", best.counted.octets / best.counted.replies.max(1)),
        })
    }
}

/// The ways to a server.
struct Links {
    beside: Option<Beside>,
    pair: Pair,
}

impl Links {
    /// Their ends at the server.
    fn interfaces(&self) -> &'static [&'static str] {
        match self.beside {
            None => &[SERVER_INTERFACE],
            Some(_) => &[SERVER_INTERFACE, beside::INTERFACE],
        }
    }
}

/// The same lines, the second half first: two generators do not ask the same at the same time.
fn from_the_middle(lines: &str) -> String {
    let middle = lines[lines.len() / 2..].find('\n').map_or(0, |end| lines.len() / 2 + end + 1);
    lines[middle..].to_owned() + &lines[..middle]
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines_are_turned_whole() {
        assert_eq!(super::from_the_middle("a\nb\nc\nd\n"), "d\na\nb\nc\n");
        assert_eq!(super::from_the_middle("only\n"), "only\n");
    }
}
