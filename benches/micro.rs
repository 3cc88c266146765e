//! The answer engine and the zone compiler on the host, timed by criterion.
//!
//! `cargo xtask bench micro` makes the zones and calls this with `RESPONDER_BENCH_ZONES`: a folder with
//! the zones of the benches and, in `load/`, those that are only loaded, each named by its delegations.

#[allow(dead_code, reason = "the other bench uses more of it")]
mod classes;
#[path = "../responder/tests/everywhere/packet.rs"]
mod packet;
#[path = "../responder/tests/refereeing/random.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod random;

use std::{env, fs, hint::black_box, path::PathBuf, sync::Arc, time::Duration};

use criterion::{BatchSize, Criterion, Throughput};
use responder::{
    answer::{Answerer, Transport},
    store::{Store, StoreOptions},
    zone,
};

use classes::{CLASSES, Edns, Zones};

/// Names that the queries of a class ask for in turn; with what belongs to them they stay in the caches.
const QUERIES: usize = 1024;
/// Names in the zone of many kinds.
const NAMES: usize = 10_000;

fn main() -> anyhow::Result<()> {
    let folder = env::var_os("RESPONDER_BENCH_ZONES").map(PathBuf::from);
    let folder = folder.ok_or(anyhow::anyhow!("no zones; remedy: cargo xtask bench micro"))?;
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .configure_from_args();
    answers(&mut criterion, &folder)?;
    loads(&mut criterion, &folder.join("load"))?;
    criterion.final_summary();
    Ok(())
}

fn store() -> std::io::Result<Store> {
    Store::in_memory(&StoreOptions { udp_size: 1232, id: "bench".into() })
}

fn answers(criterion: &mut Criterion, folder: &std::path::Path) -> anyhow::Result<()> {
    let store = Arc::new(store()?);
    let zones = Zones::load(&store, folder, NAMES)?;
    let mut answerer = Answerer::new(store);
    let mut reply = Vec::new();
    let mut group = criterion.benchmark_group("answer");
    for class in CLASSES {
        for &edns in class.edns {
            let messages = zones.messages(class.names, class.qtype, edns, QUERIES)?;
            for message in &messages {
                let verdict = answerer.verdict(message, Transport::Udp, &mut reply);
                anyhow::ensure!(verdict.label() == class.verdict, "{}: {verdict:?}", class.label);
            }
            let label = match edns {
                Edns::On => format!("{}, EDNS", class.label),
                Edns::Off | Edns::Do => class.label.to_owned(),
            };
            let mut turn = messages.iter().cycle();
            group.bench_function(label, |bencher| {
                bencher.iter(|| {
                    let message = turn.next().expect("a cycle");
                    black_box(answerer.verdict(black_box(message), Transport::Udp, &mut reply))
                });
            });
        }
    }
    group.finish();
    Ok(())
}

fn loads(criterion: &mut Criterion, folder: &std::path::Path) -> anyhow::Result<()> {
    let mut group = criterion.benchmark_group("load");
    group.sample_size(10);
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|end| end == "zone")) {
        let label = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let delegations = label.split('-').next_back().and_then(|count| count.parse().ok());
        let delegations = delegations.ok_or(anyhow::anyhow!("{label}: how many delegations?"))?;
        group.throughput(Throughput::Elements(delegations));
        group.bench_function(label, |bencher| {
            bencher.iter_batched(
                || store().expect("memory"),
                |store| {
                    zone::load(&store, "load", file).unwrap_or_else(|error| panic!("{error}"));
                    store
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
    Ok(())
}
