//! The real root zone: every reply as NSD gives it, and given in the kernel.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Args, Outcome, root, servers};
use crate::{
    cleanup::Scratch,
    net::Pair,
    refereeing::{
        ask::{self, Pace},
        contest::Contest,
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
    let zones = [root::unpack(args, folder.path())?];

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
    let before = Kernel::read(&daemon.status()?);
    let our_replies = ours.reach(|us| ask::datagrams(us, &queries, Pace::default()))?;
    let kernel = Kernel::read(&daemon.status()?).since(&before);
    println!("ours: {} lost, {} sent again", our_replies.lost(), our_replies.resent);

    let apexes = [zones[0].apex.clone()];
    let judge = Judge { peer: Kind::Nsd, apexes: &apexes, udp_size: servers::UDP_SIZE };
    let contest = Contest { ours, theirs, judge };
    let tally = contest.judge_all(&queries, &our_replies.replies, &their_replies.replies)?;
    println!("{tally}");

    let sent = queries.len() as u64 + our_replies.resent;
    let share = kernel.answered() as f64 / sent as f64;
    let holds = tally.faults() == 0
        && our_replies.lost() == 0
        && their_replies.lost() == 0
        && tally.equal == queries.len() as u64
        && share >= LEAST_SHARE;
    let figures = json!({
        "queries": queries.len(),
        "equal": tally.equal,
        "different": tally.faults(),
        "differences": by_class(&tally),
        "examples": examples(&tally),
        "notes": tally.notes,
        "lost": { "ours": our_replies.lost(), "nsd": their_replies.lost() },
        "sent again": { "ours": our_replies.resent, "nsd": their_replies.resent },
        "kernel": {
            "share": share,
            "least share": LEAST_SHARE,
            "xdp": kernel.xdp,
            "tc": kernel.tc,
        },
    });
    Ok(Outcome { holds, figures })
}

fn by_class(tally: &Tally) -> BTreeMap<&str, u64> {
    tally.differences.iter().map(|(class, (count, _))| (class.as_str(), *count)).collect()
}

fn examples(tally: &Tally) -> Value {
    tally
        .differences
        .iter()
        .map(|(class, (_, examples))| (class.clone(), json!(examples)))
        .collect()
}

/// The counters of both hooks.
pub struct Kernel {
    xdp: BTreeMap<String, u64>,
    tc: BTreeMap<String, u64>,
}

impl Kernel {
    fn read(status: &Value) -> Self {
        Self { xdp: servers::counters(status, "xdp"), tc: servers::counters(status, "tc") }
    }

    fn since(mut self, before: &Self) -> Self {
        for (now, before) in [(&mut self.xdp, &before.xdp), (&mut self.tc, &before.tc)] {
            for (label, count) in now.iter_mut() {
                *count -= before.get(label).copied().unwrap_or(0);
            }
            now.retain(|_, count| *count > 0);
        }
        self
    }

    /// Replies sent from either hook: every verdict but the passes and drops.
    fn answered(&self) -> u64 {
        let counts = self.xdp.iter().chain(&self.tc);
        let sent = counts.filter(|(label, _)| !is_unanswered(label));
        sent.map(|(_, count)| count).sum()
    }
}

fn is_unanswered(label: &str) -> bool {
    ["pass", "drop", "to-tc", "to_tc"].iter().any(|start| label.starts_with(start))
}
