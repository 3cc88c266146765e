//! What limits cost: replies a second, and memory.

use std::{net::Ipv4Addr, time::Duration};

use serde_json::json;

use super::{
    LIMITED,
    field::{EVERYWHERE, Field},
};
use crate::{
    load::{frames::Sources, median},
    prove::{Args, Outcome, soak::holdings::Holdings},
};

/// Queries under way: enough for the best rate.
const WINDOW: u64 = 256;

/// Resolvers of a large zone: 60,000 networks, each far below its rate, and so is what lies around them.
const RESOLVERS: Sources = Sources { networks: 60_000, stride: 7 << 8, ..EVERYWHERE };

/// What a rate must reach of the rate without limits.
const SHARE: f64 = 0.93;

/// The same legitimate load with and without limits, in turns; and from half a million networks, which is
/// only told.
///
/// # Errors
/// When something cannot be built, started or measured.
pub fn cost(args: &Args) -> anyhow::Result<Outcome> {
    let field = Field::prepare(args)?;
    let time = Duration::from_secs(args.seconds.into()) / 2;
    let loads = [RESOLVERS, EVERYWHERE];
    let rates = |lines: &str| -> anyhow::Result<[f64; 2]> {
        let node = field.start(lines)?;
        field.with_frames(&node, |frames| {
            let mut rates = [0.0; 2];
            for (sources, rate) in loads.iter().zip(&mut rates) {
                frames.spoof(sources);
                let flooded = frames.flood(&node.pair, WINDOW, time)?;
                anyhow::ensure!(flooded.counted.truncated == 0, "limited: {flooded:?}");
                *rate = flooded.rate();
            }
            Ok(rates)
        })
    };
    let mut rounds = [Vec::new(), Vec::new()];
    for _ in 0..args.rounds.max(1) {
        let (off, on) = (rates("")?, rates(LIMITED)?);
        for (load, rounds) in rounds.iter_mut().enumerate() {
            let (off, on) = (off[load], on[load]);
            println!(
                "{} networks: {off:.0} replies/s without limits, {on:.0} with: {:.3}",
                loads[load].networks,
                on / off
            );
            rounds.push([off, on]);
        }
    }
    let [resolvers, everywhere] =
        rounds.each_ref().map(|rounds| median(rounds.iter().map(|[off, on]| on / off)));
    let figures = json!({
        "60,000 networks, rounds: off, on": rounds[0],
        "on of off": resolvers,
        "at least": SHARE,
        "524,288 networks, rounds: off, on": rounds[1],
        "on of off there": everywhere,
    });
    Ok(Outcome { holds: resolvers >= SHARE, figures })
}

/// A source for each address, out of a thousand million.
const SINGLE: &str = "[rate-limit]\nmode = \"on\"\nipv4-prefix = 32\n";
const ADDRESSES: Sources =
    Sources { networks: 1 << 22, first: Ipv4Addr::new(128, 0, 0, 0), stride: 1 << 8, hosts: 0xff };
/// Draws out of so many that make 100,000,000 different ones.
const DRAWS: usize = 105_000_000;

/// Memory does not grow, whatever number of sources asks.
///
/// # Errors
/// As [`cost`].
pub fn memory(args: &Args) -> anyhow::Result<Outcome> {
    let field = Field::prepare(args)?;
    let node = field.start(SINGLE)?;
    let daemon = node.ours()?.process();
    let wanted = args.count.unwrap_or(DRAWS) as u64;
    let before = Holdings::of(daemon, field.folder.path())?;
    anyhow::ensure!(before.map_octets > 4 << 20, "the table of limits is not among {before}");
    let sent = field.with_frames(&node, |frames| {
        frames.spoof(&ADDRESSES);
        let mut sent = 0;
        while sent < wanted {
            sent += frames.flood(&node.pair, WINDOW, Duration::from_secs(10))?.counted.replies;
            println!("{sent} replies");
        }
        Ok(sent)
    })?;
    let after = Holdings::of(daemon, field.folder.path())?;
    // The table's pages become the process's as it looks at them: 4 MiB at the most.
    let same = before.maps == after.maps && before.map_octets == after.map_octets;
    let holds = same && after.resident <= before.resident + (8 << 20);
    let addresses = f64::from(ADDRESSES.networks) * 256.0;
    let figures = json!({
        "replies to random sources": sent,
        "different sources, expected": addresses * (1.0 - (-(sent as f64) / addresses).exp()),
        "before": before.figures(),
        "after": after.figures(),
    });
    Ok(Outcome { holds, figures })
}
