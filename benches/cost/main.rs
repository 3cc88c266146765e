//! What each class of answer costs in the kernel: the programs' own running time by `BPF_PROG_TEST_RUN`,
//! on a frame in memory, without driver and stack.
//!
//! `cargo xtask bench cost` makes the zones and calls this. A run is: `feed.c` makes the packet a fresh
//! query, then the program answers it. The same with an empty program in its place (`XDP_TX`, or a
//! redirect in tc) is taken off, so what is told is the time above that of a program which only sends the
//! packet back. *Warm* repeats one query; *cold* asks for a name of its own each time, drawn at random
//! from the whole zone, so that what belongs to a name is in no cache.
//!
//! The skb of a run keeps the room that its first reply got, so tc is told without that allocation.

#[path = "../classes/mod.rs"]
mod classes;
mod feed;
mod limits;
#[path = "../../responder/tests/everywhere/packet.rs"]
mod packet;
#[path = "../../responder/tests/refereeing/random.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod random;
#[path = "../../xtask/src/bench/silence.rs"]
mod silence;

use std::{fs, path::PathBuf};

use anyhow::ensure;
use clap::Parser as _;
use responder::{
    dataplane::{
        DataPlane,
        trial::{HookPoint, Trial},
    },
    store::StoreOptions,
};
use serde_json::{Value, json};

use classes::{CLASSES, Class, Edns, Zones};
use feed::{Feed, QUERIES, Target};
use silence::Silence;

#[derive(clap::Parser)]
struct Args {
    /// Holds the zones, each APEX.zone
    #[arg(long)]
    zones: PathBuf,
    /// Names in the zone of many kinds that is made here
    #[arg(long, default_value_t = 1_000_000)]
    names: usize,
    /// Tells what limits add, and nothing else
    #[arg(long)]
    only_limits: bool,
    /// Where the figures go, as JSON
    #[arg(long)]
    out: Option<PathBuf>,
    /// Locks these files, in this order, around some rows, so that others can keep silent meanwhile
    #[arg(long)]
    lock: Vec<PathBuf>,
    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let options = StoreOptions { udp_size: 1232, id: "bench".into() };
    let (plane, store) = DataPlane::load(&options)?;
    let feed = Feed::load()?;
    let zones = Zones::load(&store, &args.zones, args.names)?;
    let mut bench = Bench { plane, feed, zones };
    println!(
        "{:<34}{:>6}{:>7}{:>9}{:>9}{:>9}{:>9}",
        "ns above an empty program", "EDNS", "octets", "XDP warm", "cold", "tc warm", "cold"
    );
    let mut rows = Vec::new();
    let mut silence = Silence::over(&args.lock);
    for class in CLASSES.iter().filter(|_| !args.only_limits) {
        for &edns in class.edns {
            silence.begin()?;
            rows.push(bench.row(class, edns)?);
        }
    }
    let limits = bench.limits(&store, &mut silence)?;
    silence.end();
    if let Some(file) = args.out {
        let figures =
            json!({ "names": args.names, "queries": QUERIES, "rows": rows, "limits": limits });
        fs::write(file, serde_json::to_string_pretty(&figures)? + "\n")?;
    }
    Ok(())
}

struct Bench {
    plane: DataPlane,
    feed: Feed,
    zones: Zones,
}

impl Bench {
    fn row(&mut self, class: &Class, edns: Edns) -> anyhow::Result<Value> {
        let messages = self.zones.messages(class.names, class.qtype, edns, QUERIES)?;
        let headers = packet::Headers::v4();
        let frames: Vec<Vec<u8>> = messages.iter().map(|query| headers.frame(query)).collect();
        let Trial { frame, .. } = self.plane.trial(HookPoint::Xdp, &frames[0])?;
        let octets = packet::Packet::read(&frame).map_err(anyhow::Error::msg)?.message.len();
        let mut row = json!({
            "class": class.label,
            "edns": match edns { Edns::Off => "no", Edns::On => "yes", Edns::Do => "DO" },
            "octets": octets,
        });
        print!("{:<34}{:>6}{octets:>7}", class.label, row["edns"].as_str().unwrap_or_default());
        let hooks = [("xdp", HookPoint::Xdp), ("tc", HookPoint::Tc)];
        for (state, count) in [("warm", 1), ("cold", QUERIES)] {
            self.feed.fill(&frames[..count])?;
            for (name, hook) in hooks {
                let (empty, _) = self.feed.time(hook, Target::Empty)?;
                let before = self.counted(hook, class.verdict);
                let (whole, runs) = self.feed.time(hook, Target::Responder(&self.plane))?;
                let answered = self.counted(hook, class.verdict) - before;
                ensure!(
                    answered == runs,
                    "{}: {answered} of {runs} runs count as {}",
                    class.label,
                    class.verdict
                );
                row[name][state] = json!(whole - empty);
                row[name][format!("{state} empty")] = json!(empty);
            }
        }
        for (name, _) in hooks {
            for state in ["warm", "cold"] {
                print!("{:>9}", row[name][state].as_f64().unwrap_or(f64::NAN));
            }
        }
        println!();
        Ok(row)
    }

    fn counted(&self, hook: HookPoint, verdict: &str) -> u64 {
        let counters = self.plane.counters();
        let counters = if hook == HookPoint::Xdp { counters.xdp } else { counters.tc };
        counters.get(verdict).copied().unwrap_or(0)
    }
}
