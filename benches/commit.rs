//! What a commit of 1,000 names costs in zones of several sizes: `cargo bench -p responder --bench commit
//! [-- NAMES... [unsigned] [servers] [security]]`. Needs root: the store is the kernel programs' own.
//!
//! A zone shaped like a TLD's is served; then, round after round, 1,000 of its delegations change, as an
//! IXFR says it. What is told is the time from the hand-over of the difference to the first reply of the
//! XDP program that carries the new serial, and to the return of the call, when the change has gone from the
//! archive's log into the archive too and nobody reads the version before. Each commit finds the processor's caches empty.
//!
//! Three zones of each size: not signed; NSEC3 with opt-out, where the name servers of delegations change
//! and the chain does not; and the same, where delegations become secure or insecure, so that a record of
//! the chain comes or goes with each, and with it the reference of every delegation that it covers.

#[path = "../responder/tests/everywhere/packet.rs"]
mod packet;
#[path = "commit/zones.rs"]
mod zones;

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use responder::{
    dataplane::{
        DataPlane,
        trial::{FRAME_MAX, HookPoint},
    },
    store::StoreOptions,
    zone::{Arrivals, Committed, Kept, Purpose, Steps, archive::JournalLimits},
};
use serde_json::{Value, json};

use packet::{Headers, Packet, query};
use zones::{Changes, Zone, wire};

/// Commits for each zone; the median counts.
const ROUNDS: u32 = 7;

/// More octets than the caches of a processor hold.
const CACHES: usize = 128 << 20;

fn main() -> Result<()> {
    let mut sizes: Vec<u32> = std::env::args().filter_map(|text| text.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![100_000, 1_000_000];
    }
    let every = [Changes::Unsigned, Changes::Servers, Changes::Security];
    let named = |changes: &Changes| {
        std::env::args().any(|word| word == format!("{changes:?}").to_ascii_lowercase())
    };
    let wanted = every.iter().any(named);
    let mut all = Vec::new();
    for names in sizes {
        for changes in every.into_iter().filter(|changes| !wanted || named(changes)) {
            let figures = measure(names, changes);
            all.push(figures.with_context(|| format!("{names} delegations, {changes:?}"))?);
        }
    }
    if let Ok(file) = std::env::var("RESPONDER_COMMIT_FIGURES") {
        std::fs::write(file, Value::from(all).to_string())?;
    }
    Ok(())
}

fn measure(names: u32, changes: Changes) -> Result<Value> {
    let folder = tempfile::tempdir()?;
    let options = StoreOptions { udp_size: 1232, id: "bench".into() };
    let (programs, store) = DataPlane::load(&options)?;
    let mut kept = Kept::within(folder.path().join("archive"));
    kept.set_purpose(Purpose::Restart, JournalLimits::default());
    let mut zone = Zone::new(names, changes);
    let mut elsewhere = vec![1_u64; CACHES / size_of::<u64>()];
    let mut arrivals = Arrivals::new(&wire("lac."));
    zone.each_record(&mut |record| arrivals.add(record))
        .map_err(anyhow::Error::msg)
        .context("the zone")?;
    let start = Instant::now();
    let loaded = arrivals
        .serve(&store, &mut kept)
        .map_err(|refusal| anyhow::anyhow!("{refusal}"))
        .context("the first version")?;
    println!(
        "{names} delegations, {changes:?}: {} octets in the store, compiled and kept in {:.2} s",
        loaded.bytes,
        start.elapsed().as_secs_f64()
    );
    // All are worked out before the first is handed over, and the model is gone by then: to walk through
    // it between two commits would empty the processor's caches, of a large zone's and not of a small one's.
    let differences: Vec<_> = (0..ROUNDS).map(|_| (zone.next(), zone.serial())).collect();
    drop(zone);
    let mut rounds: Vec<(Duration, Duration, Committed)> = Vec::new();
    for (difference, serial) in differences {
        forget(&mut elsewhere);
        let start = Instant::now();
        let (committed, seen, returned) = thread::scope(|scope| -> Result<_> {
            let watch = scope.spawn(|| first_reply(&programs, serial));
            let committed = kept.apply(&store, std::slice::from_ref(&difference));
            let returned = start.elapsed();
            let committed = committed.map_err(|refusal| anyhow::anyhow!("{refusal}"))?;
            let seen = watch.join().expect("no panic")?.duration_since(start);
            Ok((committed, seen, returned))
        })?;
        let Steps { edited, prepared, kept, published, filed } = committed.steps;
        println!(
            "  {} owners differ, {} names written: seen after {} ms, returned after {} ms; edited {}, \
             prepared {}, to disk {}, published {}, filed {}",
            committed.owners,
            committed.written,
            milliseconds(seen),
            milliseconds(returned),
            milliseconds(edited),
            milliseconds(prepared),
            milliseconds(kept),
            milliseconds(published),
            milliseconds(filed),
        );
        rounds.push((seen, returned, committed));
    }
    rounds.sort_by_key(|(seen, ..)| *seen);
    let (seen, returned, committed) = rounds[rounds.len() / 2];
    let median = |step: fn(&Steps) -> Duration| {
        let mut times: Vec<_> = rounds.iter().map(|(.., done)| step(&done.steps)).collect();
        times.sort();
        milliseconds(times[times.len() / 2])
    };
    let steps = json!({
        "edited": median(|steps| steps.edited),
        "prepared": median(|steps| steps.prepared),
        "to disk": median(|steps| steps.kept),
        "published": median(|steps| steps.published),
        "filed": median(|steps| steps.filed),
    });
    println!("  median: seen after {} ms; {steps}", milliseconds(seen));
    Ok(json!({
        "delegations": names,
        "changes": format!("{changes:?}"),
        "names written": committed.written,
        "milliseconds to the first reply": milliseconds(seen),
        "slowest": milliseconds(rounds[rounds.len() - 1].0),
        "milliseconds to the return": milliseconds(returned),
        "milliseconds of each step": steps,
        "octets in the store": loaded.bytes,
    }))
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 100.0
}

/// Empties the processor's caches of whatever the commit before left there: a registry's changes come minutes
/// apart, and the packets between them use the caches too.
fn forget(elsewhere: &mut [u64]) {
    elsewhere.iter_mut().for_each(|word| *word = std::hint::black_box(*word).wrapping_add(1));
}

/// When XDP first answers with a serial.
fn first_reply(programs: &DataPlane, serial: u32) -> Result<Instant> {
    let frame = Headers::v4().frame(&query(1, &wire("lac."), 6, None));
    let mut out = vec![0; FRAME_MAX];
    let started = Instant::now();
    loop {
        let run = programs.trial_into(HookPoint::Xdp, &frame, &mut out)?;
        let now = Instant::now();
        let packet = Packet::read(&out[..run.length]).map_err(anyhow::Error::msg)?;
        if packet.message.windows(4).any(|octets| octets == serial.to_be_bytes()) {
            return Ok(now);
        }
        anyhow::ensure!(started.elapsed() < Duration::from_secs(60), "the serial does not come");
        // The writer has one processor for itself, and this one is not always asked.
        thread::sleep(Duration::from_micros(100));
    }
}
