//! Our signed replies, given in the kernel, through a validating resolver: Unbound in the client's
//! namespace, with each zone's own key as trust anchor. What is not proved as the RFCs want it is bogus.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};

use super::{
    Args, Outcome,
    million::{self, Arena},
    root, root_nsd, servers,
};
use crate::{
    cleanup::Scratch,
    net::Pair,
    refereeing::{ask::Pace, judge::leading_name, peers::Kind, resolver::Validation, tally::Tally},
    strict::{Name, rtype},
};

/// As for `million`, of which only some are different and end in our zones.
const QUERIES: usize = 100_000;
/// The root zone's signatures are of 2020; a time at which they were valid.
const ROOT_DATE: &str = "20201022000000";
/// A resolver takes its time with what it has to prove first.
const PACE: Pace = Pace { sockets: 2, window: 32, patience: Duration::from_secs(3), tries: 3 };

/// The check.
///
/// # Errors
/// When a zone cannot be made, a server cannot be started or asked.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let folder = Scratch::create()?;
    let program = servers::program(args)?;
    let mut holds = true;
    let mut figures = Vec::new();
    for arena in Arena::all(args, folder.path())? {
        if arena.name == million::UNSIGNED {
            continue;
        }
        let folder = folder.path().join(arena.name);
        let pairs = [Pair::create()?, Pair::create()?];
        let clients = pairs.each_ref().map(servers::from_client);
        let knot = servers::start_peer(Kind::Knot, &pairs[1], &arena.zones, 1, &folder)?;
        let known = arena.transfer(&servers::side(&clients[1]))?;
        drop(knot);
        let daemon = servers::start_ours(&program, &pairs[0], &arena.zones, "native", &folder)?;
        let date = (arena.name == root::NAME).then_some(ROOT_DATE);
        let resolver = servers::start_resolver(&pairs[0], &arena.zones, date, &folder)?;

        let count = args.count.unwrap_or(QUERIES);
        let draw = arena.queries(&known, count, args.seed).into_iter();
        let delegations = known.owners_of(rtype::NS).map(|name| (name.lower(), rtype::DS));
        let asked: BTreeSet<(Vec<u8>, u16)> =
            draw.map(|query| (query.name.lower(), query.qtype)).chain(delegations).collect();
        let asked: Vec<(Name, u16)> =
            asked.into_iter().map(|(wire, qtype)| (leading_name(&wire), qtype)).collect();
        println!("{}: {} different questions", arena.name, asked.len());
        let data = known.data();
        let validation = Validation {
            ours: servers::side(&clients[0]),
            resolver: servers::resolver_side(&clients[0]),
            apexes: &arena.apexes(),
            data: &data,
        };
        let before = daemon.status()?;
        let tally = validation.run(&asked, PACE)?;
        let after = daemon.status()?;
        drop(resolver);
        let kernel = ["xdp", "tc"].map(|hook| {
            let counters = |status| servers::counters(status, hook);
            servers::since(&counters(&after), &counters(&before))
        });
        let passed = million::passed(&kernel[1]);
        println!("{}: {tally}", arena.name);
        holds &= tally.faults() == 0 && tally.equal > 0 && passed.is_empty();
        figures.push(report(arena.name, &tally, &kernel, &passed.into_iter().collect()));
    }
    Ok(Outcome { holds, figures: json!({ "zones": figures }) })
}

fn report(zones: &str, tally: &Tally, kernel: &[Value; 2], passed: &Value) -> Value {
    json!({
        "zones": zones,
        "as it should be": tally.equal,
        "different": tally.faults(),
        "differences": root_nsd::by_class(tally),
        "examples": root_nsd::examples(tally),
        "classes": tally.notes,
        "kernel": { "xdp": kernel[0], "tc": kernel[1], "queries passed": passed },
    })
}
