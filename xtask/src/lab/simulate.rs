//! `cargo xtask lab --simulate`: every zone of a large cloud changes at once. How long does the last node wait?
//!
//! What one distributor spends on a zone and a node is measured (`--scale`). How the pairs of them get into each
//! other's way has no formula: NOTIFYs wait for places until the one before was answered, a node's transfers for
//! their places at each distributor, all for its processor. So that is played here, event by event: for a pair,
//! the first NOTIFY to arrive, a place at who sent it, three round trips (connection, SOA, IXFR), a turn at the
//! distributor's processor and its line, and the commit at the node. Who finds no place at a distributor asks
//! the other one, and then waits for the zone's retry interval.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    fmt, fs,
    path::Path,
};

use serde_json::{Value, json};

/// A moment, or a time, in microseconds.
type Micros = u64;

const MILLISECOND: Micros = 1000;
/// What `--scale` measures: a distributor's processor for a changed zone, once and for each node; octets.
const EACH_ZONE: Micros = 690;
const EACH_PAIR: Micros = 280;
const OCTETS: u64 = 1330;
/// A small version at the node: archive, compilation, publication.
const COMMIT: Micros = 3 * MILLISECOND;
/// The distributor's line, in octets per second: 1 Gbit/s.
const LINE: u64 = 125_000_000;

/// The retry interval of the zones.
const RETRY: Micros = 60_000 * MILLISECOND;

/// Bounds that an operator may set, and NOTIFY's, which is fixed.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// `limits.transfers-per-primary` of the nodes.
    per_primary: usize,
    /// `limits.transfers-out` of the distributors, and `limits.transfers-out-per-peer`.
    out: usize,
    per_peer: usize,
    /// NOTIFYs that a distributor has on the way at a time.
    notifies: usize,
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "limits {}, {}, {}", self.per_primary, self.out, self.per_peer)
    }
}

/// The defaults, and what a large cloud may set.
const LIMITS: [Limits; 3] = [
    Limits { per_primary: 4, out: 64, per_peer: 8, notifies: 256 },
    Limits { per_primary: 16, out: 500, per_peer: 16, notifies: 256 },
    Limits { per_primary: 64, out: 500, per_peer: 64, notifies: 256 },
];

/// A cloud of one level.
#[derive(Debug, Clone)]
struct Cloud {
    zones: usize,
    /// The way there and back, in microseconds: by node, by distributor.
    ways: Vec<Vec<Micros>>,
    /// When each distributor has the new version of each zone; its own work comes on top.
    published: Vec<Vec<Micros>>,
    limits: Limits,
}

/// What became of it.
struct Outcome {
    /// When each node serves each zone.
    served: Vec<Vec<Micros>>,
    /// For how long each distributor's processor worked.
    worked: Vec<Micros>,
    /// How often a distributor had no place.
    refused: usize,
}

impl Outcome {
    /// When each node serves the last zone, the fastest node first.
    fn last(&self) -> Vec<Micros> {
        let last = |zones: &Vec<Micros>| zones.iter().copied().max().unwrap_or(0);
        let mut times: Vec<Micros> = self.served.iter().map(last).collect();
        times.sort_unstable();
        times
    }
}

/// What happens to a pair of node and zone, at a distributor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The NOTIFY arrives at the node.
    Heard,
    /// The question for the differences arrives at the distributor.
    Asked,
    /// The node serves it, and its place is free.
    Served,
    /// The node hears that there was no place, and its own is free.
    Refused,
}

impl Cloud {
    /// Plays a change of every zone.
    fn play(&self) -> Outcome {
        let (nodes, distributors) = (self.ways.len(), self.published.len());
        let mut events = BinaryHeap::new();
        let mut free: Vec<Micros> = vec![0; distributors];
        let mut worked = vec![0; distributors];
        for (distributor, worked) in worked.iter_mut().enumerate() {
            for (at, node, zone) in self.notifies_of(distributor, worked) {
                events.push(Reverse((at, Event::Heard, node, zone, distributor)));
            }
        }
        let mut served = vec![vec![None; self.zones]; nodes];
        let mut begun = vec![vec![false; self.zones]; nodes];
        let mut places = vec![vec![self.limits.per_primary; distributors]; nodes];
        // Transfers that a distributor has not done with: until when, and whose.
        let mut out: Vec<VecDeque<(Micros, usize)>> = vec![VecDeque::new(); distributors];
        let mut refusals = vec![vec![0; self.zones]; nodes];
        let mut refused = 0;
        let mut waiting = vec![vec![VecDeque::new(); distributors]; nodes];
        while let Some(Reverse((now, event, node, zone, distributor))) = events.pop() {
            let way = self.ways[node][distributor];
            match event {
                Event::Heard if begun[node][zone] => {}
                Event::Heard => {
                    begun[node][zone] = true;
                    waiting[node][distributor].push_back(zone);
                }
                Event::Asked if self.is_full(&mut out[distributor], now, node) => {
                    refused += 1;
                    let at = now + way / 2;
                    events.push(Reverse((at, Event::Refused, node, zone, distributor)));
                }
                Event::Asked => {
                    let done = now.max(free[distributor]) + EACH_PAIR;
                    free[distributor] = done + OCTETS * 1_000_000 / LINE;
                    worked[distributor] += EACH_PAIR;
                    out[distributor].push_back((free[distributor], node));
                    let at = free[distributor] + way / 2 + COMMIT;
                    events.push(Reverse((at, Event::Served, node, zone, distributor)));
                }
                Event::Served => {
                    served[node][zone] = Some(now);
                    places[node][distributor] += 1;
                }
                Event::Refused => {
                    places[node][distributor] += 1;
                    refusals[node][zone] += 1;
                    begun[node][zone] = false;
                    let other = (distributor + 1) % distributors;
                    // Only when none has a place it waits.
                    let rest = if refusals[node][zone] % distributors == 0 { RETRY } else { 0 };
                    events.push(Reverse((now + rest, Event::Heard, node, zone, other)));
                }
            }
            while places[node][distributor] > 0
                && let Some(zone) = waiting[node][distributor].pop_front()
            {
                places[node][distributor] -= 1;
                // There and back for the connection and for the SOA; there for the differences.
                let at = now + 2 * way + way / 2;
                events.push(Reverse((at, Event::Asked, node, zone, distributor)));
            }
        }
        let all = |zones: Vec<Option<Micros>>| zones.into_iter().flatten().collect();
        Outcome { served: served.into_iter().map(all).collect(), worked, refused }
    }

    /// Whether a distributor has no place for another transfer to a node.
    fn is_full(&self, out: &mut VecDeque<(Micros, usize)>, now: Micros, node: usize) -> bool {
        while out.front().is_some_and(|(done, _)| *done <= now) {
            out.pop_front();
        }
        out.len() >= self.limits.out
            || out.iter().filter(|(_, peer)| *peer == node).count() >= self.limits.per_peer
    }

    /// When the NOTIFYs of a distributor arrive: each has a place until it is answered, zone by zone.
    fn notifies_of(&self, distributor: usize, worked: &mut Micros) -> Vec<(Micros, usize, usize)> {
        let mut order: Vec<usize> = (0..self.zones).collect();
        order.sort_by_key(|zone| self.published[distributor][*zone]);
        let mut places: BinaryHeap<Reverse<Micros>> =
            (0..self.limits.notifies).map(|_| Reverse(0)).collect();
        let mut ready = 0;
        let mut arrivals = Vec::new();
        for zone in order {
            ready = ready.max(self.published[distributor][zone]) + EACH_ZONE;
            *worked += EACH_ZONE;
            for (node, ways) in self.ways.iter().enumerate() {
                let way = ways[distributor];
                let place = places.pop().map_or(0, |Reverse(place)| place);
                let sent = place.max(ready);
                places.push(Reverse(sent + way));
                arrivals.push((sent + way / 2, node, zone));
            }
        }
        arrivals
    }
}

/// Ways of 10 to 200 milliseconds, evenly, in an order that only looks arbitrary.
fn ways(nodes: usize, distributors: usize) -> Vec<Vec<Micros>> {
    let mut state = 1_u64;
    let mut next = || {
        // Knuth's MMIX generator.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (10 + (state >> 33) % 191) * MILLISECOND
    };
    (0..nodes).map(|_| (0..distributors).map(|_| next()).collect()).collect()
}

/// Plays the clouds of `docs/scale.md`, prints a table, and writes `simulation.json`.
///
/// # Errors
/// When the file cannot be written.
pub fn run(folder: &Path) -> anyhow::Result<()> {
    const ZONES: usize = 10_000;
    println!(
        "every one of {ZONES} zones changes at once; seconds until nodes serve the last of them, and what the \
         busiest distributor works meanwhile; limits: a node's transfers per primary, a distributor's in all, per \
         peer\n\n{:44} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "", "fastest", "median", "slowest", "working", "refused"
    );
    let mut rows = Vec::new();
    let mut tell = |name: String, outcome: &Outcome| {
        let last = outcome.last();
        let seconds = |time: Micros| time as f64 / 1e6;
        let (fastest, median) = (seconds(last[0]), seconds(last[last.len() / 2]));
        let slowest = seconds(last[last.len() - 1]);
        let working = seconds(outcome.worked.iter().copied().max().unwrap_or(0));
        println!(
            "{name:44} {fastest:>8.1} {median:>8.1} {slowest:>8.1} {working:>8.1} {:>8}",
            outcome.refused
        );
        rows.push(json!({
            "cloud": name,
            "refused": outcome.refused,
            "seconds": { "fastest": fastest, "median": median, "slowest": slowest, "working": working },
        }));
    };
    for nodes in [6, 12, 30, 100] {
        for limits in LIMITS {
            let published = vec![vec![0; ZONES]; 2];
            let cloud = Cloud { zones: ZONES, ways: ways(nodes, 2), published, limits };
            tell(format!("{nodes} nodes, {limits}"), &cloud.play());
        }
    }
    for limits in LIMITS {
        let published = vec![vec![0; ZONES]; 2];
        let top = Cloud { zones: ZONES, ways: ways(20, 2), published, limits };
        let above = top.play();
        tell(format!("tree, top, 10 × 2 below, {limits}"), &above);
        // The region whose distributors are the last.
        let last = |pair: &&[Vec<Micros>]| pair.iter().flatten().copied().max();
        let region = above.served.chunks(2).max_by_key(last).unwrap_or_default().to_vec();
        let below = Cloud { zones: ZONES, ways: ways(10, 2), published: region, limits };
        tell(format!("tree, slowest region of 10, {limits}"), &below.play());
    }
    fs::create_dir_all(folder)?;
    let file = folder.join("simulation.json");
    let report: Value = json!({ "zones": ZONES, "clouds": rows });
    fs::write(&file, serde_json::to_string_pretty(&report)? + "\n")?;
    println!("\nfigures: {}", file.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cloud(zones: usize, ways: Vec<Vec<Micros>>) -> Cloud {
        let published = vec![vec![0; zones]; ways[0].len()];
        Cloud { zones, ways, published, limits: unbounded(4) }
    }

    /// Limits of a node alone.
    fn unbounded(per_primary: usize) -> Limits {
        Limits { per_primary, out: usize::MAX, per_peer: usize::MAX, notifies: 256 }
    }

    fn line(octets: u64) -> Micros {
        octets * 1_000_000 / LINE
    }

    #[test]
    fn one_pair_takes_its_ways_and_its_work() {
        let way = 100 * MILLISECOND;
        let time = EACH_ZONE + way / 2 + 3 * way + EACH_PAIR + line(OCTETS) + COMMIT;
        assert_eq!(cloud(1, vec![vec![way]]).play().last(), [time]);
    }

    #[test]
    fn a_far_node_is_bound_by_its_places() {
        let way = 100 * MILLISECOND;
        let last = cloud(400, vec![vec![way]]).play().last()[0];
        // A hundred rounds of four, each of three ways.
        let rounds = 100 * (3 * way + COMMIT);
        assert!(last >= rounds && last < rounds + rounds / 20, "{last} against {rounds}");
        let places = Cloud { limits: unbounded(40), ..cloud(400, vec![vec![way]]) };
        assert!(places.play().last()[0] < last / 5);
    }

    #[test]
    fn many_near_nodes_are_bound_by_the_processor() {
        let (nodes, zones) = (50, 200);
        let outcome =
            Cloud { limits: unbounded(64), ..cloud(zones, vec![vec![MILLISECOND]; nodes]) }.play();
        let work = (nodes * zones) as u64 * (EACH_PAIR + line(OCTETS));
        let last = outcome.last()[nodes - 1];
        assert!(last >= work && last < work + work / 5, "{last} against {work}");
        assert_eq!(outcome.served.iter().map(Vec::len).sum::<usize>(), nodes * zones);
    }

    #[test]
    fn places_for_notifies_bound_many_far_nodes() {
        let way = 200 * MILLISECOND;
        let (nodes, zones) = (64, 400);
        let outcome =
            Cloud { limits: unbounded(400), ..cloud(zones, vec![vec![way]; nodes]) }.play();
        let told = (nodes * zones / 256) as u64 * way;
        assert!(outcome.last()[0] >= told, "{:?} against {told}", outcome.last());
    }

    #[test]
    fn with_two_distributors_the_nearer_is_asked() {
        let ways = vec![vec![200 * MILLISECOND, 10 * MILLISECOND]];
        let near = cloud(100, vec![vec![10 * MILLISECOND]]).play().last();
        assert_eq!(cloud(100, ways).play().last(), near);
    }

    #[test]
    fn without_a_place_the_other_distributor_is_asked_and_then_later_again() {
        let way = 100 * MILLISECOND;
        let nodes = vec![vec![way]; 4];
        // Four come to the one place at the same moment: one is served, and three wait for a retry interval.
        let limits = Limits { out: 1, ..unbounded(4) };
        let alone = Cloud { limits, ..cloud(1, nodes) }.play();
        assert!(alone.refused > 2 && alone.last()[0] < RETRY, "{:?}", alone.last());
        assert!(alone.last()[1..].iter().all(|last| *last > RETRY), "{:?}", alone.last());
        let limits = Limits { out: 3, ..unbounded(4) };
        let two = Cloud { limits, ..cloud(1, vec![vec![way, way]; 4]) }.play();
        assert_eq!(two.refused, 1);
        assert!(two.last()[3] < RETRY, "{:?}", two.last());
    }
}
