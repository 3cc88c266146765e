//! Random names that do not exist, from everywhere: nothing is over its rate, so all that counts is what a
//! reply costs, and what becomes of others when there are too many.

use std::time::Duration;

use serde_json::json;

use super::{
    LIMITED, UNBOUNDED,
    field::{self, EVERYWHERE, Field},
};
use crate::{
    load::{resolvers, usage},
    net::SERVER_INTERFACE,
    prove::{Args, Outcome},
};

/// So many queries may be under way while the capacity is sought.
const WINDOWS: [u64; 4] = [64, 256, 1024, 4096];
/// Shares of the capacity at which the flood is sent evenly.
const SHARES: [f64; 4] = [0.4, 0.8, 0.9, 1.2];
/// The one that counts.
const COUNTS: f64 = 0.8;

/// A flood of random names in a signed zone.
///
/// # Errors
/// When something cannot be built, started or measured.
pub fn subdomain_flood(args: &Args) -> anyhow::Result<Outcome> {
    let names = args.count.unwrap_or(1_000_000);
    let field = Field::absent(args, names)?;
    let node = field.start(LIMITED)?;
    let time = Duration::from_secs(args.seconds.into());
    let (mut rows, mut lost) = (Vec::new(), 1.0);
    let (peak, last) = field.with_frames(&node, |frames| {
        frames.spoof(&EVERYWHERE);
        let mut peak = 0.0_f64;
        for window in WINDOWS {
            // With the resolvers beside, as in what is compared with it.
            peak = peak.max(field.flood(&node, frames, window, time)?.flooded.rate());
        }
        println!("{names} delegations: at most {peak:.0} replies/s");
        let mut last = 0.0;
        for share in SHARES.map(Some).into_iter().chain([None]) {
            frames.pace(share.map_or(0, |share| (share * peak) as u64));
            let counts = || [SERVER_INTERFACE, resolvers::INTERFACE].map(|i| node.interface(i));
            let before = counts();
            let busy = usage::busy()?;
            let flood = field.flood(&node, frames, UNBOUNDED, time)?;
            // Before the flood counts, and while resolvers wait for the last replies, it goes on or others
            // do little: the whole is divided by all that was answered, as it was at the same rate.
            let busy = (usage::busy()? - busy) as f64;
            let after = counts();
            let (rate, flooded) = (flood.flooded.rate(), flood.flooded);
            let taken = flooded.taken as f64 / flooded.time.as_secs_f64();
            let interfaces = before.into_iter().zip(after).map(|(before, after)| {
                Ok(crate::prove::servers::since(&after?, &before?))
            });
            let interfaces = interfaces.collect::<anyhow::Result<Vec<_>>>()?;
            if share == Some(COUNTS) {
                lost = flood.asked.lost();
            }
            last = rate;
            let name = share.map_or("the generator's limit".to_owned(), |s| format!("{s} of it"));
            let each = busy / (rate * (time.as_secs_f64() + 0.3));
            println!(
                "{name}: {:.0} queries/s, {rate:.0} replies/s, {each:.2} µs each, resolvers lost {:.5}",
                taken,
                flood.asked.lost()
            );
            rows.push(json!({
                "flood": name,
                "queries per second": taken,
                "replies per second": rate,
                "microseconds of all processors per reply": each,
                "resolvers": field::asked(&flood.asked),
                "first interface": interfaces[0],
                "resolvers' interface": interfaces[1],
            }));
        }
        Ok((peak, last))
    })?;
    let holds = last >= 0.9 * peak && lost <= 0.001;
    let figures = json!({
        "delegations": names,
        "capacity": peak,
        "floods": rows,
        "rate at the generator's limit of the capacity": last / peak,
        "resolvers lost at 0.8 of it": lost,
    });
    Ok(Outcome { holds, figures })
}
