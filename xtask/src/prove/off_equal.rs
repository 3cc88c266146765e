//! The kernel's replies and the daemon's own, octet for octet.

use serde_json::json;

use super::{Args, Outcome, root, servers};
use crate::{
    cleanup::Scratch,
    net::Pair,
    refereeing::{
        ask::{self, Pace, Replies},
        judge::{describe, hexadecimal},
        peers::{Kind, Zone},
        queries::Query,
        tally::Tally,
    },
    strict::Message,
};

/// The check.
///
/// # Errors
/// When a server cannot be started or asked.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let folder = Scratch::create()?;
    let program = servers::program(args)?;
    let zones = [root::unpack(args.zone.as_deref(), folder.path())?];
    let queries = questions(args, &zones, folder.path())?;
    let replies = |mode: &str| -> anyhow::Result<Replies> {
        let pair = Pair::create()?;
        let _daemon = servers::start_ours(&program, &pair, &zones, mode, folder.path())?;
        let client = servers::from_client(&pair);
        let ours = servers::side(&client);
        let replies = ours.reach(|us| ask::datagrams(us, &queries, Pace::default()))?;
        println!("{mode}: {} lost, {} sent again", replies.lost(), replies.resent);
        Ok(replies)
    };
    let (native, off) = (replies("native")?, replies("off")?);
    let mut tally = Tally::default();
    for (query, pair) in queries.iter().zip(native.replies.iter().zip(&off.replies)) {
        match pair {
            (Some(native), Some(off)) if native == off => tally.equal += 1,
            (Some(native), Some(off)) => tally.differ("octets differ", || {
                let query = describe(query);
                format!("{query}\n--- native\n{}--- off\n{}", show(native), show(off))
            }),
            (None, None) => tally.differ("no reply from either", || describe(query)),
            (None, _) => tally.differ("no reply from the kernel", || describe(query)),
            (_, None) => tally.differ("no reply with xdp off", || describe(query)),
        }
    }
    println!("{tally}");
    let figures = json!({
        "queries": queries.len(),
        "equal": tally.equal,
        "different": tally.faults(),
        "lost": { "native": native.lost(), "off": off.lost() },
        "sent again": { "native": native.resent, "off": off.resent },
    });
    Ok(Outcome { holds: tally.equal == queries.len() as u64, figures })
}

/// The queries of `root-nsd`: they are drawn from what NSD transfers.
fn questions(args: &Args, zones: &[Zone], folder: &std::path::Path) -> anyhow::Result<Vec<Query>> {
    let pair = Pair::create()?;
    let _nsd = servers::start_peer(Kind::Nsd, &pair, zones, 1, folder)?;
    let client = servers::from_client(&pair);
    root::questions(args, &zones[0], &servers::side(&client))
}

fn show(reply: &[u8]) -> String {
    match Message::parse(reply) {
        Ok(message) => message.to_string(),
        Err(fault) => format!("{fault}: {}\n", hexadecimal(reply)),
    }
}
