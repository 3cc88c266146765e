//! Floods, reloads, transfers, kills and restarts, for as long as one likes: what is counted is what came, and
//! nothing grows.

pub mod holdings;
mod node;
mod packets;

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use self::{
    holdings::{Holdings, Seen},
    node::{Files, Node},
    packets::Packets,
};
use super::{Args, Outcome, ixfr_million::primary::Primary};
use crate::{
    cleanup::Scratch,
    load::frames::{Frames, Sources},
    net::Pair,
    strict::Name,
};

/// Minutes, unless `--minutes` says otherwise.
const MINUTES: f64 = 15.0;
/// What comes before nothing may grow any more: caches fill, the store gets the segments that it needs.
const WARMING: usize = 2;
/// What a process may hold more in the last cycles than in the first ones, in octets: the allocator's play.
const PLAY: u64 = 8 << 20;
/// The flood is begun anew so often; each begins with 0.3 s that are its own.
const FLOOD: Duration = Duration::from_secs(1);

/// The check.
///
/// # Errors
/// When something cannot be built, started or measured.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let scratch = Scratch::create()?;
    let files = Files::prepare(args, &scratch)?;
    let pair = Pair::create()?;
    let apex = Name::from_text("sv.")?;
    let primary = Primary::start(&pair, &apex, &files.transferred, files.folder())?;
    let mut node = Node::start(args, &pair, &primary, &files)?;
    let time = Duration::from_secs_f64(args.minutes.unwrap_or(MINUTES) * 60.0);
    let (start, base) = (Instant::now(), node.packets()?);
    let mut cycles: Vec<Cycle> = Vec::new();
    let mut seen = Seen::default();
    while cycles.len() < WARMING + 2 || start.elapsed() < time {
        let cycle = cycle(&mut node, &pair, &files, &base, &mut seen)?;
        println!("{:5.0} s  {cycle}", start.elapsed().as_secs_f64());
        let counts = cycle.counts();
        cycles.push(cycle);
        if !counts {
            break;
        }
    }
    let happened = node.happened();
    node.end()?;
    let left = seen.left()?;
    let flat = is_flat(&cycles);
    let counts = cycles.iter().all(Cycle::counts);
    let last = cycles.last().map(|cycle| cycle.packets.clone());
    let figures = json!({
        "seconds": start.elapsed().as_secs(),
        "cycles": cycles.len(),
        "happened": happened,
        "the interface's packets": last.as_ref().map(|packets| packets.received),
        "verdicts": last.as_ref().map(|packets| packets.verdicts),
        "of them": last.as_ref().map(|packets| packets.kinds.clone()),
        "runs of the programs by the daemon itself": last.as_ref().map(|packets| packets.probes),
        "each cycle's count is exact": counts,
        "nothing grows": flat,
        "kernel objects of former daemons that are left": left,
        "held at the end of each cycle": cycles.iter().map(|c| c.held.figures()).collect::<Vec<_>>(),
    });
    Ok(Outcome { holds: counts && flat && left == 0 && node::enough(&happened), figures })
}

/// What one cycle ended with.
struct Cycle {
    /// Since the begin.
    packets: Packets,
    held: Holdings,
}

impl Cycle {
    fn counts(&self) -> bool {
        self.packets.received == self.packets.verdicts
    }
}

impl std::fmt::Display for Cycle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Packets { received, verdicts, .. } = self.packets;
        write!(f, "packets {received}, verdicts {verdicts}, {}", self.held)
    }
}

/// 256 networks: with limits on, most is over the rate.
const FORGED: Sources =
    Sources { networks: 256, first: Ipv4Addr::new(20, 0, 0, 0), stride: 1 << 16, hosts: 0xff };

/// Twice, without limits and with them: under a flood the zones change, are transferred, and the daemon is
/// killed, started, stopped and started again.
fn cycle(
    node: &mut Node<'_>,
    pair: &Pair,
    files: &Files,
    base: &Packets,
    seen: &mut Seen,
) -> anyhow::Result<Cycle> {
    for limits in [false, true] {
        node.limit(limits)?;
        pair.with_free_client_interface(|| -> anyhow::Result<()> {
            let mut frames = Frames::attach(pair, &files.queries, files.folder())?;
            frames.spoof(&FORGED);
            let ended = AtomicBool::new(false);
            thread::scope(|scope| {
                let flood = scope.spawn(|| -> anyhow::Result<()> {
                    while !ended.load(Relaxed) {
                        let window = if limits { 4096 } else { 128 };
                        frames.flood(pair, window, FLOOD)?;
                    }
                    Ok(())
                });
                let happened = node.happen(seen);
                ended.store(true, Relaxed);
                let flooded = flood.join().map_err(|_| anyhow::anyhow!("the flood's thread fell"));
                happened.and(flooded?)
            })
        })??;
    }
    let packets = node.packets()?.since(base);
    let held = node.held()?;
    seen.add(&held);
    Ok(Cycle { packets, held })
}

/// Whether the last cycles hold no more than the first ones after the warming.
fn is_flat(cycles: &[Cycle]) -> bool {
    let held: Vec<&Holdings> = cycles.iter().skip(WARMING).map(|cycle| &cycle.held).collect();
    let (early, late) = held.split_at(held.len() / 2);
    let most = |part: &[&Holdings], what: fn(&Holdings) -> u64| {
        part.iter().map(|held| what(held)).max().unwrap_or(0)
    };
    let grown = |what: fn(&Holdings) -> u64| most(late, what).saturating_sub(most(early, what));
    !early.is_empty()
        && grown(|held| held.private) <= PLAY
        && grown(|held| held.resident) <= PLAY
        && grown(|held| held.map_octets) == 0
        && grown(|held| held.maps.len() as u64) == 0
        && grown(|held| held.programs.len() as u64) == 0
        && grown(|held| held.links.len() as u64) == 0
        && grown(|held| held.pins.unwrap_or(0)) == 0
        && grown(|held| held.descriptors) <= 2
}

/// The sum of all numbers of counters, whatever their kinds.
fn sum(value: &Value) -> u64 {
    match value {
        Value::Number(number) => number.as_u64().unwrap_or(0),
        Value::Object(fields) => fields.values().map(sum).sum(),
        _ => 0,
    }
}
