//! Mutated packets through the loaded programs (`BPF_PROG_TEST_RUN`) and through the host's engine: the
//! same verdict, the same octets, the same counters, and replies that a strict reader accepts.
//!
//! The test is the short form. `cargo xtask prove fuzz` runs it with many packets by way of
//! `RESPONDER_FUZZ_PACKETS`, `RESPONDER_FUZZ_SEED` and `RESPONDER_FUZZ_FIGURES` (a file for the figures).
//! A difference is minimised and written to `fixtures/`, from where another test plays it again for ever.
//!
//! | module | what |
//! |---|---|
//! | [`corpus`] | well-formed queries |
//! | [`damage`] | mutations of messages |
//! | [`link`] | frames around them, and mutations of headers |
//! | [`arena`] | the programs and the host's engine side by side |
//! | [`judge`] | what a reply must be whatever both say |
//! | [`campaign`] | many packets on every processor |
//! | [`minimise`] | the smallest frame that shows a difference |
//! | [`fixture`] | frames with a name, as text |
//!
//! Needs root and BPF; without them it fails and says so.

mod arena;
mod campaign;
mod corpus;
mod damage;
mod fixture;
mod judge;
mod link;
mod minimise;
mod octets;
#[path = "../refereeing/mod.rs"]
mod refereeing;

use std::{
    env, fs,
    hash::{BuildHasher as _, RandomState},
    path::{Path, PathBuf},
    thread,
};

use refereeing::{peers::Zone, random};
use responder::{
    answer::Answerer,
    dataplane::DataPlane,
    store::{Store, StoreOptions},
    strict,
};
use responder_common::verdict::Verdict;

use arena::Plane;
use campaign::Report;
use fixture::Fixture;

#[test]
fn mutated_packets_are_treated_alike_by_kernel_and_host() {
    let packets = variable("RESPONDER_FUZZ_PACKETS");
    // A short run looks at the same packets every time, and at others.
    let mut seeds = vec![variable("RESPONDER_FUZZ_SEED").unwrap_or(1)];
    if packets.is_none() {
        seeds.push(RandomState::new().hash_one(0));
    }
    let folder = tempfile::tempdir().expect("a scratch folder");
    let variants = arena::variants(folder.path()).unwrap_or_else(|error| panic!("{error}"));
    let threads = thread::available_parallelism().map_or(1, |count| count.get() as u64);
    for seed in seeds {
        let packets = packets.unwrap_or(100_000);
        println!("seed {seed}, {threads} threads");
        let report = campaign::run(&variants, packets, seed, threads);
        println!("{report}");
        for finding in &report.findings {
            finding.write(&fixtures()).expect("the folder of the fixtures");
            println!("{}: {}", fixtures().join(&finding.name).display(), finding.note);
        }
        if let Some(file) = env::var_os("RESPONDER_FUZZ_FIGURES") {
            fs::write(&file, figures(seed, &report)).expect("a place for the figures");
        }
        assert!(report.findings.is_empty(), "{:?}: {}", report.findings, rerun(seed));
        assert_eq!(report.packets, packets);
        for verdict in REACHED {
            let count = report.verdicts[verdict as usize];
            assert!(count > 0, "no packet was {}: {}", verdict.label(), rerun(seed));
        }
    }
}

#[test]
fn every_fixture_is_treated_alike() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let variants = arena::variants(folder.path()).unwrap_or_else(|error| panic!("{error}"));
    let kept = Fixture::all_in(&fixtures()).expect("the folder of the fixtures");
    assert!(!kept.is_empty(), "no fixtures");
    for mut plane in variants.iter().map(Plane::load) {
        for Fixture { name, note, frame } in &kept {
            let said = plane.compare_counted(frame);
            assert!(said.is_ok(), "{name}: {} zones: {said:?}\n{note}", plane.label);
        }
    }
}

#[test]
fn a_difference_is_noticed_minimised_and_kept() {
    let zone = Zone::all_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../zones"))
        .expect("the sample zones")
        .into_iter()
        .find(|zone| zone.apex.to_string() == "lac.")
        .expect("lac.");
    let options = |id: &str| StoreOptions { udp_size: 1232, id: id.into() };
    let (programs, store) = DataPlane::load(&options("one"))
        .unwrap_or_else(|error| panic!("this needs root and BPF: {error:#}"));
    let known = arena::serve(&store, std::slice::from_ref(&zone));
    // Another name for the node: nothing but the data of NSID and of the CHAOS names can differ.
    let other = Store::in_memory(&options("two")).expect("memory").into();
    arena::serve(&other, &[zone]);
    let mut plane = Plane::new("lac", programs, Answerer::new(other), known);
    let mut source = campaign::Source::new(random::Random::new(1));
    let (frame, difference) = (0..10_000)
        .find_map(|_| {
            let frame = source.next(&plane.known).to_vec();
            plane.compare(&frame).err().map(|difference| (frame, difference))
        })
        .expect("a difference within 10,000 packets");
    assert!(difference.contains("octets of"), "{difference}");
    let finding = campaign::describe(&mut plane, &frame, &difference);
    // Ethernet, IPv4, UDP, header, the root's question, OPT, NSID; or a name of CHAOS in place of OPT.
    let shortest = 14 + 20 + 8 + 12 + 5 + 11 + 4;
    assert!(finding.frame.len() <= shortest, "{} octets: {finding:?}", finding.frame.len());
    assert!(plane.compare_counted(&finding.frame).is_err(), "still a difference");
    let folder = tempfile::tempdir().expect("a scratch folder");
    finding.write(folder.path()).expect("a file");
    let kept = Fixture::all_in(folder.path()).expect("a folder");
    assert_eq!((&kept[0].name, &kept[0].frame), (&finding.name, &finding.frame));
}

/// What the packets must have led to, or they test less than they claim.
const REACHED: [Verdict; 26] = [
    Verdict::Positive,
    Verdict::Alias,
    Verdict::NoData,
    Verdict::NxDomain,
    Verdict::Referral,
    Verdict::Truncated,
    Verdict::Refused,
    Verdict::FormErr,
    Verdict::NotImp,
    Verdict::BadVersion,
    Verdict::TooLong,
    Verdict::Identity,
    Verdict::NotQuery,
    Verdict::Runt,
    Verdict::Martian,
    Verdict::NoChecksum,
    Verdict::BadLength,
    Verdict::NotIp,
    Verdict::NotUdp,
    Verdict::NotOurs,
    Verdict::IpOptions,
    Verdict::IpFragment,
    Verdict::Oversize,
    Verdict::Notify,
    Verdict::Transfer,
    Verdict::Tsig,
];

fn rerun(seed: u64) -> String {
    format!("again with RESPONDER_FUZZ_SEED={seed}")
}

fn figures(seed: u64, report: &Report) -> String {
    let verdicts: serde_json::Map<String, serde_json::Value> = Verdict::ALL
        .iter()
        .map(|verdict| (verdict.label().to_owned(), report.verdicts[*verdict as usize].into()))
        .collect();
    let findings: Vec<&str> = report.findings.iter().map(|finding| finding.name.as_str()).collect();
    serde_json::json!({
        "packets": report.packets,
        "seed": seed,
        "seconds": report.time.as_secs_f64(),
        "packets a second": report.rate().round(),
        "verdicts": verdicts,
        "findings": findings,
    })
    .to_string()
}

/// A number from the environment.
fn variable(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text:?}")))
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/fixtures")
}
