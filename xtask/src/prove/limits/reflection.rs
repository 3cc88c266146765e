//! Reflection: forged sources in one /16, and in 200 networks far from one another.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    LIMITED, UNBOUNDED,
    field::{self, ELSEWHERE, Field, Flood, Node},
};
use crate::{
    load::{
        frames::{Frames, Sources},
        resolvers::{FIRST, STRIDE},
    },
    prove::{Args, Outcome},
    refereeing::peers::Kind,
};

/// What is forged: how it is called, whether resolvers are among it, and what it is.
type Shape = (&'static str, bool, Sources);

/// 65,536 addresses, with 50,000 ports each.
const ONE: Sources = Sources { networks: 256, first: ELSEWHERE, stride: 1 << 8, hosts: 0xff };
/// Networks in 200 different /16.
const MANY: Sources = Sources { networks: 200, first: ELSEWHERE, stride: 1 << 16, hosts: 0xff };

const SHAPES: [Shape; 4] = [
    ("one /16", false, ONE),
    ("200 networks /24", false, MANY),
    ("one /16, of 100 resolvers too", true, Sources { first: FIRST, ..ONE }),
    (
        "200 networks /24, of 181 resolvers too",
        true,
        Sources { first: FIRST, stride: 5 * STRIDE, ..MANY },
    ),
];

/// Queries a second of the floods; the last is what the generator can do.
const PACES: [u64; 3] = [50_000, 200_000, 0];

/// The flood may go on for so long before it counts.
const SETTLING: Duration = Duration::from_secs(1);

/// How much of the queries' octets comes back, at the most. A truncated reply is as long as its query; what is
/// under way at either end of the time, some hundred of a million, is in the one count and not in the other.
const OCTETS: f64 = 1.001;
/// And what resolvers may lose.
const LOST: f64 = 0.001;

/// Our own limits, with floods of every shape and pace.
///
/// # Errors
/// When something cannot be built, started or measured.
pub fn reflection(args: &Args) -> anyhow::Result<Outcome> {
    let field = Field::prepare(args)?;
    let time = Duration::from_secs(args.seconds.into());
    let mut rows = Vec::new();
    let mut holds = true;
    for (limits, lines) in [("off", ""), ("on", LIMITED)] {
        let node = field.start(lines)?;
        field.with_frames(&node, |frames| {
            for shape in &SHAPES {
                for pace in PACES {
                    // Without limits it is only told what limits are for.
                    if limits == "off" && (shape.1 || pace == 50_000) {
                        continue;
                    }
                    let (row, fine) = play(&field, &node, frames, shape, pace, time)?;
                    holds &= fine || limits == "off";
                    println!("limits {limits}, {}", told(&row));
                    rows.push(json!({ "limits": limits, "flood": row, "holds": fine }));
                }
            }
            Ok(())
        })?;
    }
    Ok(Outcome { holds, figures: Value::Array(rows) })
}

/// A line for the reader.
fn told(row: &Value) -> String {
    let number = |key: &str| row[key].as_f64().unwrap_or(f64::NAN);
    format!(
        "{}: {:.0} queries/s, {:.0} replies/s, {:.3} octets out for each in, resolvers lost {:.5}, {} over TCP",
        row["sources"],
        number("queries per second"),
        number("replies per second"),
        number("octets out for each in"),
        row["resolvers"]["lost"].as_f64().unwrap_or(f64::NAN),
        row["resolvers"]["of these answered over TCP"],
    )
}

/// One flood: its figures, and whether it is as it should be.
fn play(
    field: &Field,
    node: &Node,
    frames: &mut Frames,
    (sources, _, forged): &Shape,
    pace: u64,
    time: Duration,
) -> anyhow::Result<(Value, bool)> {
    frames.spoof(forged);
    frames.pace(pace);
    frames.flood(&node.pair, UNBOUNDED, SETTLING)?;
    let Flood { flooded, asked } = field.flood(node, frames, UNBOUNDED, time)?;
    let seconds = flooded.time.as_secs_f64();
    let taken = flooded.taken as f64 / seconds;
    let (came, went) = (taken * flooded.mean_octets(), flooded.counted.octets as f64 / seconds);
    let fine = went <= OCTETS * came && asked.lost() < LOST;
    let row = json!({
        "sources": sources,
        "queries sent per second": flooded.sent as f64 / seconds,
        "queries per second": taken,
        "replies per second": flooded.rate(),
        "of them truncated": flooded.counted.truncated as f64 / flooded.counted.replies.max(1) as f64,
        "octets in per second": came,
        "octets out per second": went,
        "octets out for each in": went / came,
        "resolvers": field::asked(&asked),
    });
    Ok((row, fine))
}

/// Questions a second of all resolvers, of which those in one /16 have a tenth: some 900,000 octets a second
/// beyond those of the queries, where 500,000 are allowed.
const BUSY: u32 = 20_000;
/// Of them the share that may be asked twice: the tenth, of which one in sixteen is tried, and the first ones.
const TWICE: f64 = 0.02;

/// Resolvers that are many in one /16, and no flood.
///
/// # Errors
/// When something cannot be built, started or measured.
pub fn neighbours(args: &Args) -> anyhow::Result<Outcome> {
    let field = Field::prepare(args)?;
    let node = field.start(LIMITED)?;
    let asked = field.ask(&node, BUSY, Duration::from_secs(args.seconds.into()) * 2)?;
    let twice = asked.truncated as f64 / asked.sent.max(1) as f64;
    println!(
        "{} questions, {} truncated, {} of these answered over TCP, lost {:.5}",
        asked.sent,
        asked.truncated,
        asked.over_tcp,
        asked.lost()
    );
    let figures = json!({ "resolvers": field::asked(&asked), "asked twice": twice });
    // Were nobody truncated, there would be nothing to see.
    let holds = asked.truncated > 0 && twice < TWICE && asked.lost() < LOST;
    Ok(Outcome { holds, figures })
}

/// What limits the peers have, and what they let through.
const RATE: u32 = 200;

/// The same floods, of sources that no resolver shares, against our limits and the peers': octets reflected,
/// what resolvers lose, and replies a second to all that floods, with limits and without.
///
/// # Errors
/// When something cannot be built, started or measured.
pub fn peers(args: &Args) -> anyhow::Result<Outcome> {
    let field = Field::prepare(args)?;
    let time = Duration::from_secs(args.seconds.into());
    let mut rows = Vec::new();
    let mut ours = true;
    for kind in [Kind::Responder, Kind::Knot, Kind::Nsd, Kind::Bind] {
        for limits in [false, true] {
            let node = match kind {
                Kind::Responder => field.start(if limits { LIMITED } else { "" })?,
                _ => field.start_peer(kind, if limits { RATE } else { 0 })?,
            };
            let name = kind.program();
            field.with_frames(&node, |frames| {
                for (shape, pace) in [(0, PACES[0]), (1, PACES[0]), (0, 0), (1, 0)] {
                    let (row, fine) = play(&field, &node, frames, &SHAPES[shape], pace, time)?;
                    println!("{name}, limits {limits}: {}", told(&row));
                    anyhow::ensure!(
                        limits || row["replies per second"].as_f64() > Some(0.0),
                        "{name} sends no reply: nothing is compared"
                    );
                    ours &= fine || !limits || !matches!(kind, Kind::Responder);
                    rows.push(json!({ "server": name, "limits": limits, "flood": row }));
                }
                Ok(())
            })?;
        }
    }
    Ok(Outcome { holds: ours, figures: Value::Array(rows) })
}
