//! What limits cost: replies a second, and memory.

use std::{net::Ipv4Addr, time::Duration};

use serde_json::json;

use super::{
    LIMITED,
    field::{EVERYWHERE, Field},
};
use crate::{
    load::{
        frames::{Frames, Sources},
        median,
    },
    prove::{Args, Outcome, soak::holdings::Holdings},
};

/// Queries under way: enough for the best rate.
const WINDOW: u64 = 256;

/// Resolvers of a large zone: 60,000 networks, each far below its rate, and so is what lies around them.
const RESOLVERS: Sources = Sources { networks: 60_000, stride: 7 << 8, ..EVERYWHERE };

/// What a rate must reach of the rate without limits.
const SHARE: f64 = 0.93;
/// How often the rates are compared; rates of the same daemon differ by a tenth and more from one second to the
/// next, so short rounds side by side tell more than a few long ones.
const PAIRS: usize = 32;
/// A part of the time that a load lasts: a third of a second by default.
const ROUND: u32 = 15;
/// And from fewer networks, and half a million, which is only told.
const TOLD: usize = 6;
/// Fewer, whom this generator's rate leaves within their limits too: no more than five in what lies around one.
const FEW: Sources = Sources { networks: 10_000, stride: 61 << 8, ..EVERYWHERE };
/// Without limits, and with.
const MODES: [&str; 2] = ["", LIMITED];

/// The same legitimate load with and without limits, in turns, at one daemon that is told by its configuration.
/// The median of the pairs' ratios counts.
///
/// # Errors
/// When something cannot be built, started or measured.
pub fn cost(args: &Args) -> anyhow::Result<Outcome> {
    let field = Field::prepare(args)?;
    let node = field.start(MODES[0])?;
    let pairs = args.count.unwrap_or(PAIRS);
    let time = Duration::from_secs(args.seconds.into()) / ROUND;
    let compare = |frames: &mut Frames, sources: &Sources, pairs: usize| {
        frames.spoof(sources);
        let mut rounds = Vec::new();
        for round in 0..pairs {
            let mut rates = [0.0; 2];
            // Whichever is first is no better off.
            for mode in [round % 2, 1 - round % 2] {
                node.limit(MODES[mode])?;
                let flooded = frames.flood(&node.pair, WINDOW, time)?;
                anyhow::ensure!(flooded.counted.truncated == 0, "limited: {flooded:?}");
                rates[mode] = flooded.rate();
            }
            let [off, on] = rates;
            let share = on / off;
            let networks = sources.networks;
            println!(
                "{networks} networks: {off:.0} replies/s without limits, {on:.0} with: {share:.3}"
            );
            rounds.push(rates);
        }
        Ok(rounds)
    };
    let [resolvers, few, everywhere] = field.with_frames(&node, |frames| {
        frames.pin()?;
        let told = TOLD.min(pairs);
        Ok([
            compare(frames, &RESOLVERS, pairs)?,
            compare(frames, &FEW, told)?,
            compare(frames, &EVERYWHERE, told)?,
        ])
    })?;
    let share = |rounds: &[[f64; 2]]| median(rounds.iter().map(|[off, on]| on / off));
    let reached = share(&resolvers);
    println!("{reached:.3} of the rate without limits, {SHARE} is wanted");
    let figures = json!({
        "60,000 networks, pairs: off, on": resolvers,
        "on of off": reached,
        "at least": SHARE,
        "10,000 networks, pairs: off, on": few,
        "on of off from 10,000": share(&few),
        "524,288 networks, pairs: off, on": everywhere,
        "on of off from 524,288": share(&everywhere),
    });
    Ok(Outcome { holds: reached >= SHARE, figures })
}

/// A source for each address, out of a thousand million.
const SINGLE: &str = "[rate-limit]\nmode = \"on\"\nipv4-prefix = 32\n";
const ADDRESSES: Sources =
    Sources { networks: 1 << 22, first: Ipv4Addr::new(128, 0, 0, 0), stride: 1 << 8, hosts: 0xff };
/// Draws out of so many that make 100,000,000 different ones.
const DRAWS: usize = 105_000_000;

/// The table of limits and the sieve before it, in octets.
const TABLE: u64 = (16 << 20) + (72 << 10);

/// Memory does not grow, whatever number of sources asks.
///
/// # Errors
/// As [`cost`].
pub fn memory(args: &Args) -> anyhow::Result<Outcome> {
    let field = Field::prepare(args)?;
    let node = field.start(SINGLE)?;
    let daemon = node.ours()?.process();
    let wanted = args.count.unwrap_or(DRAWS) as u64;
    let before = Holdings::of(daemon, None)?;
    anyhow::ensure!(before.map_octets > TABLE, "the table of limits is not among {before}");
    let sent = field.with_frames(&node, |frames| {
        frames.spoof(&ADDRESSES);
        let mut sent = 0;
        while sent < wanted {
            sent += frames.flood(&node.pair, WINDOW, Duration::from_secs(10))?.counted.replies;
            println!("{sent} replies");
        }
        Ok(sent)
    })?;
    let after = Holdings::of(daemon, None)?;
    // The table's pages become the process's as it looks at them.
    let same = before.maps == after.maps && before.map_octets == after.map_octets;
    let holds = same && after.resident <= before.resident + TABLE + (4 << 20);
    let addresses = f64::from(ADDRESSES.networks) * 256.0;
    let figures = json!({
        "replies to random sources": sent,
        "different sources, expected": addresses * (1.0 - (-(sent as f64) / addresses).exp()),
        "before": before.figures(),
        "after": after.figures(),
    });
    Ok(Outcome { holds, figures })
}
