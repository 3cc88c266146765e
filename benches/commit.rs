//! What a commit of 1,000 names costs in zones of several sizes: `cargo bench -p responder --bench commit
//! [-- NAMES...]`. Needs root: the store is the kernel programs' own.
//!
//! A zone shaped like a TLD's is loaded from a file; then 1,000 of its delegations change, come or go, and
//! the file is loaded again. What is told is the commit itself: from the first look at the store until
//! queries see the new version and nobody reads the one before.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    time::Instant,
};

use anyhow::{Context, Result};
use responder::{
    dataplane::DataPlane,
    store::StoreOptions,
    zone::{self, Kept, Progress},
};

/// Delegations that a commit changes.
const CHANGED: u64 = 1_000;
/// Commits for each size.
const ROUNDS: u64 = 5;

fn main() -> Result<()> {
    let mut sizes: Vec<u64> = std::env::args().filter_map(|text| text.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![100_000, 1_000_000];
    }
    for names in sizes {
        measure(names).with_context(|| format!("a zone of {names} delegations"))?;
    }
    Ok(())
}

fn measure(names: u64) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("lac.zone");
    let options = StoreOptions { udp_size: 1232, id: "bench".into() };
    let (_programs, store) = DataPlane::load(&options)?;
    let mut kept = Kept::within(folder.path().join("archive"));
    let mut load = |round: u64| -> Result<(zone::Loaded, f64)> {
        write_zone(&file, names, round)?;
        let start = Instant::now();
        let loaded = zone::load_keeping(&store, "lac.", &file, &Progress::default(), &mut kept)?;
        Ok((loaded, start.elapsed().as_secs_f64()))
    };
    let (first, seconds) = load(0)?;
    println!(
        "{names} delegations: {} octets in the store, loaded whole in {seconds:.2} s",
        first.bytes
    );
    let mut times = Vec::new();
    for round in 1..=ROUNDS {
        let (loaded, seconds) = load(round)?;
        let commit = loaded.committed.context("the zone was compiled as a whole")?;
        times.push(commit.took);
        println!(
            "  round {round}: {} owners differ, {} nodes written, committed in {:.2} ms; \
             file to served in {seconds:.2} s; {} octets live, {} dead",
            commit.owners,
            commit.written,
            commit.took.as_secs_f64() * 1e3,
            loaded.bytes,
            loaded.dead,
        );
    }
    times.sort();
    println!("  median {:.2} ms", times[times.len() / 2].as_secs_f64() * 1e3);
    Ok(())
}

/// Writes the zone of a round: 1,000 delegations, spread over it, are other ones than in any other round.
fn write_zone(file: &Path, names: u64, round: u64) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(file)?);
    writeln!(
        out,
        "$ORIGIN lac.\n$TTL 86400\n@ SOA ns1.nic hostmaster.nic {} 7200 3600 1209600 900\n\
         @ NS ns1.nic\nns1.nic A 192.0.2.1",
        round + 1
    )?;
    let every = names / CHANGED;
    for number in 0..names {
        // Which of the 1,000: each round other places.
        let changes = every > 0 && number % every == round * 7 % every && round > 0;
        let host = if changes { number + round } else { number } % 3_000;
        let label = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        match (changes, number % 3) {
            (true, 0) => continue,
            (true, 1) => writeln!(out, "new{round}-{label:x} NS ns1.host{host}.net.")?,
            _ => {}
        }
        if number % 5 < 2 {
            writeln!(
                out,
                "d{label:x} NS ns1.d{label:x}\nd{label:x} NS ns2.d{label:x}\n\
                 ns1.d{label:x} A 198.51.{}.{}\nns2.d{label:x} A 203.0.113.{}",
                number >> 8 & 255,
                number & 255,
                (number + round * u64::from(changes)) & 255
            )?;
        } else {
            writeln!(out, "d{label:x} NS ns1.host{host}.net.\nd{label:x} NS ns2.host{host}.net.")?;
        }
    }
    Ok(out.flush()?)
}
