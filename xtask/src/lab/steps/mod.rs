//! The script: what befalls the cloud, one step after the other, each with a verdict of its own.

mod clients;
mod distribution;
mod guards;
mod links;
mod nodes;
mod switchboard;

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::cloud::{Catchment, Cloud, Outcome};

/// A step of the script.
pub struct Step {
    /// Its name on the command line.
    pub name: &'static str,
    /// What must hold.
    pub claim: &'static str,
    /// Plays it; whatever it has changed and does not change back, [`Cloud::heal`] does.
    pub play: fn(&mut Cloud, &mut Report) -> anyhow::Result<()>,
}

/// The whole script, in its order.
pub const SCRIPT: &[Step] = &[
    Step {
        name: "nearest",
        claim: "every place is answered by its nearest node, Santo Domingo from San José; nothing is lost",
        play: nodes::nearest,
    },
    Step {
        name: "kill",
        claim: "kill -9 of a node's daemon, and its restart: nothing is lost, no route moves",
        play: nodes::kill,
    },
    Step {
        name: "cut",
        claim: "San José's link dies silently: answered elsewhere within 1 s, Santo Domingo by the next \
                nearest; other places lose nothing",
        play: links::cut,
    },
    Step {
        name: "routing-stops",
        claim: "a node's routing daemon is killed, and starts again: answered elsewhere within 1 s; other \
                places lose nothing",
        play: nodes::routing_stops,
    },
    Step {
        name: "drain",
        claim: "responder drain and undrain, with BIRD, ExaBGP and FRR, a restart in between: nothing is lost, \
                no session ends, the drain survives",
        play: nodes::drain,
    },
    Step {
        name: "detached",
        claim: "a node's program is detached under live BGP: its routes are withdrawn within 2 s",
        play: nodes::detached,
    },
    Step {
        name: "frozen",
        claim: "a node's daemon is frozen under live BGP: the watchdog withdraws its routes within 5 s; nothing \
                is lost, since the kernel answers meanwhile",
        play: nodes::frozen,
    },
    Step {
        name: "lease-ends",
        claim: "a node's daemon is killed and nobody starts it: the kernel answers for it, and the routes go before \
                the lease ends; nothing is lost",
        play: nodes::lease_ends,
    },
    Step {
        name: "flood",
        claim: "30,000 queries a second for names that do not exist at one node: no route moves, other nodes' \
                places lose nothing",
        play: nodes::flood,
    },
    Step {
        name: "update",
        claim: "a version of a zone that a hidden primary publishes is served by every node within 2 s, from \
                each of the four makes",
        play: distribution::update,
    },
    Step {
        name: "new-client",
        claim: "a zone that the distributors add to the catalog is served by every node within 10 s, and \
                gone from all when they drop it",
        play: distribution::new_client,
    },
    Step {
        name: "empty-catalog",
        claim: "both distributors publish an empty catalog: every node holds it back, serves every zone on, and \
                follows when the former one is back",
        play: guards::empty_catalog,
    },
    Step {
        name: "mass-removal",
        claim: "both distributors drop half of the zones at once: held back in the same way",
        play: guards::mass_removal,
    },
    Step {
        name: "broken-catalog",
        claim: "both distributors publish a catalog that is none: every node refuses it and serves every zone on",
        play: guards::broken_catalog,
    },
    Step {
        name: "expired-catalog",
        claim: "both distributors are dead for so long that the catalog expires: every node serves every zone on",
        play: guards::expired_catalog,
    },
    Step {
        name: "switchboard",
        claim: "the switchboard drains a node, and a former version brings it back: nothing is lost, and cloud \
                status shows both",
        play: switchboard::drain_and_rollback,
    },
    Step {
        name: "drain-floor",
        claim: "the switchboard drains no more nodes than the floor allows, and no route moves",
        play: switchboard::drain_floor,
    },
    Step {
        name: "member",
        claim: "who runs a node drains it, but no other's, whatever is sent with the nodes' key",
        play: switchboard::member,
    },
    Step {
        name: "broken-zone",
        claim: "a client publishes a zone that has lost nearly everything: refused, the former one is \
                served on, and the others' are untouched",
        play: clients::broken_zone,
    },
    Step {
        name: "trespass",
        claim: "what a client may do to its own zone it may not to another's: transfer, NOTIFY, or by another's \
                key",
        play: clients::trespass,
    },
    Step {
        name: "distributor-dies",
        claim: "one distributor is killed: an update reaches every node within 2 s through the other",
        play: distribution::one_dies,
    },
    Step {
        name: "cold-boot",
        claim: "a node boots while no distributor and no primary can be reached: it serves every zone from \
                its disk and is announced",
        play: distribution::cold_boot,
    },
    Step {
        name: "v6-fails",
        claim: "IPv6 alone dies on a node's link: its IPv6 is answered elsewhere within 1 s, its IPv4 loses \
                nothing",
        play: links::v6_fails,
    },
    Step {
        name: "split",
        claim: "half of the nodes are split from the distributors: all answer on, and the new version comes \
                to them within 15 s after the end of it",
        play: links::split,
    },
    Step {
        name: "seventh",
        claim: "a seventh node joins at Bogotá and takes the places that it is nearest to; it leaves again; \
                nothing is lost",
        play: nodes::seventh,
    },
    Step {
        name: "last-one",
        claim: "all nodes but one are gone: it answers every place for every zone",
        play: nodes::last_one,
    },
];

/// What a step found.
#[derive(Default)]
pub struct Report {
    /// What was checked, and whether it held.
    pub checks: Vec<(String, bool)>,
    /// Figures for the JSON file.
    pub figures: Map<String, Value>,
    /// Who answered whom before, and after the event.
    pub maps: Vec<(&'static str, Catchment)>,
    /// Queries lost in the whole step.
    pub lost: usize,
    /// Queries lost where nothing was to be lost.
    pub lost_unduly: usize,
    /// The slowest convergence after a fault.
    pub converged: Option<Duration>,
    /// Where traffic went.
    pub moved: Vec<String>,
    /// The beginnings of the names of sessions that the step itself ends; any other that changes has flapped.
    pub touched: Vec<String>,
}

impl Report {
    /// Notes something that must hold.
    pub fn check(&mut self, what: impl Into<String>, holds: bool) {
        self.checks.push((what.into(), holds));
    }

    /// Whether everything held, and something was checked.
    pub fn holds(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|(_, holds)| *holds)
    }

    /// Notes that the step ends the sessions with a node, or those to a place, itself.
    pub fn touch(&mut self, name: &str) {
        self.touched.push(name.to_owned());
    }

    /// Notes a figure.
    pub fn figure(&mut self, name: &str, value: impl Into<Value>) {
        self.figures.insert(name.to_owned(), value.into());
    }

    /// Notes what the load saw of an event, during which only the places of `node`, if any, may lose queries.
    pub fn outcome(
        &mut self,
        cloud: &Cloud,
        event: &str,
        outcome: &Outcome,
        before: &Catchment,
        node: Option<&str>,
    ) {
        let unduly = match node {
            Some(node) => outcome.lost_elsewhere(before, cloud.index(node)),
            None => outcome.lost(),
        };
        self.lost += outcome.lost();
        self.lost_unduly += unduly;
        let moved = moves(cloud, before, &outcome.catchment);
        // A return may take its time: both ways serve.
        if node.is_some() {
            self.converged = self.converged.max(Some(outcome.converged));
        }
        let wrong: usize = outcome.wrong.values().sum();
        self.figure(
            event,
            json!({
                "asked": outcome.asked,
                "lost": outcome.lost(),
                "lost at places of other nodes": unduly,
                "other rcodes": wrong,
                "converged after milliseconds": outcome.converged.as_millis() as u64,
                "moved": moved,
                "longest stall of the load in milliseconds": outcome.stall.as_millis() as u64,
            }),
        );
        let lost = if node.is_some() { "lost at places of other nodes" } else { "lost" };
        self.check(format!("{event}: {lost}: {unduly}"), unduly == 0);
        self.check(format!("{event}: other answers than NOERROR: {wrong}"), wrong == 0);
        self.moved.extend(moved);
    }

    /// Notes that an event's convergence must be within a bound.
    pub fn within(&mut self, event: &str, outcome: &Outcome, bound: Duration) {
        let took = outcome.converged.as_millis();
        let what = format!("{event}: converged within {} ms ({took} ms)", bound.as_millis());
        self.check(what, outcome.converged <= bound);
    }
}

/// Which places are answered by another node than before.
fn moves(cloud: &Cloud, before: &Catchment, after: &Catchment) -> Vec<String> {
    let topology = cloud.topology();
    let name = |node: u8| topology.nodes.get(usize::from(node)).map_or("nobody", |node| node.id);
    let mut moves = Vec::new();
    for (place, (before, after)) in before.iter().zip(after).enumerate() {
        let code = topology.places[place].code;
        let way = |family: usize| format!("{} → {}", name(before[family]), name(after[family]));
        match (before[0] != after[0], before[1] != after[1]) {
            (true, true) if way(0) == way(1) => moves.push(format!("{code}: {}", way(0))),
            (v4, v6) => {
                if v4 {
                    moves.push(format!("{code} v4: {}", way(0)));
                }
                if v6 {
                    moves.push(format!("{code} v6: {}", way(1)));
                }
            }
        }
    }
    moves
}

/// How the names of figures end that are the times of nodes.
pub const TIMES: &str = ", milliseconds";
/// How long an event may take to show its end, on a machine that is busy otherwise.
const PATIENCE: Duration = Duration::from_secs(30);
/// What a silent death of a link may take, with BFD at 3 × 100 ms.
const SECOND: Duration = Duration::from_secs(1);

/// Waits for what an event leads to, and notes what the load saw meanwhile.
fn observe(
    cloud: &Cloud,
    report: &mut Report,
    (event, start): (&str, Instant),
    (before, after): (&Catchment, &Catchment),
    node: Option<&str>,
) -> anyhow::Result<Outcome> {
    let outcome = cloud.settle(start, after, PATIENCE)?;
    report.outcome(cloud, event, &outcome, before, node);
    Ok(outcome)
}
