//! The real root zone: every reply as NSD gives it, and given in the kernel.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Args, Outcome, root, servers};
use crate::{
    cleanup::Scratch,
    net::Pair,
    refereeing::{
        ask::{self, Pace},
        contest::{Contest, Opponent},
        judge::Judge,
        peers::Kind,
        tally::Tally,
    },
};

/// The share of the queries that must be answered in the kernel.
const LEAST_SHARE: f64 = 0.99;

/// The check.
///
/// # Errors
/// When a server cannot be started or asked.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let folder = Scratch::create()?;
    let program = servers::program(args)?;
    let zones = [root::unpack(args.zone.as_deref(), folder.path())?];

    let their_pair = Pair::create()?;
    let their_client = servers::from_client(&their_pair);
    let _nsd = servers::start_peer(Kind::Nsd, &their_pair, &zones, 1, folder.path())?;
    let theirs = servers::side(&their_client);
    let queries = root::questions(args, &zones[0], &theirs)?;
    let their_replies = theirs.reach(|nsd| ask::datagrams(nsd, &queries, Pace::default()))?;
    println!("NSD: {} lost, {} sent again", their_replies.lost(), their_replies.resent);

    let our_pair = Pair::create()?;
    let our_client = servers::from_client(&our_pair);
    let daemon = servers::start_ours(&program, &our_pair, &zones, "native", folder.path())?;
    let ours = servers::side(&our_client);
    let before = daemon.status()?;
    let our_replies = ours.reach(|us| ask::datagrams(us, &queries, Pace::default()))?;
    let after = daemon.status()?;
    let added =
        |hook| servers::since(&servers::counters(&after, hook), &servers::counters(&before, hook));
    let (xdp, tc) = (added("xdp"), added("tc"));
    println!("ours: {} lost, {} sent again", our_replies.lost(), our_replies.resent);

    let apexes = [zones[0].apex.clone()];
    let judge = Judge {
        peer: Kind::Nsd,
        apexes: &apexes,
        data: &[],
        unread: &[],
        udp_size: servers::UDP_SIZE,
    };
    let contest = Contest { ours, theirs: vec![Opponent { side: theirs, judge }] };
    let lost = their_replies.lost();
    let tally = contest.judge_all(&queries, &our_replies.replies, &[their_replies.replies])?;
    println!("{tally}");

    let sent = queries.len() as u64 + our_replies.resent;
    let answered = |hook: &Value| hook["answered"].as_u64().unwrap_or(0);
    let share = (answered(&xdp) + answered(&tc)) as f64 / sent as f64;
    let holds = tally.faults() == 0
        && our_replies.lost() == 0
        && lost == 0
        && tally.equal == queries.len() as u64
        && share >= LEAST_SHARE;
    let figures = json!({
        "queries": queries.len(),
        "equal": tally.equal,
        "different": tally.faults(),
        "differences": by_class(&tally),
        "examples": examples(&tally),
        "rules": rules(&tally),
        "notes": tally.notes,
        "lost": { "ours": our_replies.lost(), "nsd": lost },
        "sent again": { "ours": our_replies.resent, "nsd": their_replies.resent },
        "kernel": {
            "share": share,
            "least share": LEAST_SHARE,
            "xdp": xdp,
            "tc": tc,
        },
    });
    Ok(Outcome { holds, figures })
}

/// The rules that were needed, with the number of replies.
pub(super) fn rules(tally: &Tally) -> BTreeMap<&str, u64> {
    tally.rules.iter().map(|(rule, count)| (rule.class, *count)).collect()
}

pub(super) fn by_class(tally: &Tally) -> BTreeMap<&str, u64> {
    tally.differences.iter().map(|(class, (count, _))| (class.as_str(), *count)).collect()
}

pub(super) fn examples(tally: &Tally) -> Value {
    tally
        .differences
        .iter()
        .map(|(class, (_, examples))| (class.clone(), json!(examples)))
        .collect()
}
