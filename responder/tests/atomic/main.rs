//! A writer commits versions of a zone back to back while queries flood: every answer is of one version,
//! none is of an older version than one that was seen before it was asked, none is missing, and memory
//! does not grow.
//!
//! By itself it asks through `BPF_PROG_TEST_RUN` and the host's engine. `cargo xtask prove atomic` has it
//! attach to a veth interface and ask from sockets in another namespace, longer:
//!
//! | variable | what |
//! |---|---|
//! | `RESPONDER_ATOMIC_ANSWERS` | answers to check, at least |
//! | `RESPONDER_ATOMIC_COMMITS` | versions to commit, at least |
//! | `RESPONDER_ATOMIC_INTERFACE` | what to attach to; without it nothing is attached |
//! | `RESPONDER_ATOMIC_CLIENT` | the file of the namespace to ask from |
//! | `RESPONDER_ATOMIC_SERVER` | the address to ask |
//! | `RESPONDER_ATOMIC_KILLS` | how many writers, and how many daemons, are killed |
//! | `RESPONDER_ATOMIC_FIGURES` | where the figures go, as JSON |
//!
//! Needs root and BPF; without them it fails and says so.

mod askers;
#[path = "../refereeing/batch.rs"]
mod batch;
mod crash;
#[path = "../everywhere/packet.rs"]
mod packet;
mod template;
mod versions;
mod writer;

use std::{
    env,
    fs::File,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use responder::{
    dataplane::{DataPlane, Mode},
    store::StoreOptions,
};
use serde_json::json;

use template::Template;
use writer::{Memory, Writer};

/// What the threads share.
pub struct Flood {
    /// Every question, and what the reply to it must look like.
    pub templates: Vec<Template>,
    /// The newest version that any reply has shown.
    pub seen: AtomicU32,
    /// Replies that were checked.
    pub answers: AtomicU64,
    /// Queries that got no reply.
    pub lost: AtomicU64,
    /// Set when enough was asked, or something was wrong.
    pub done: AtomicBool,
}

impl Flood {
    /// Judges a reply to question `number`, asked when version `floor` had been seen already.
    pub fn judge(&self, number: usize, floor: u32, reply: &[u8]) {
        let template = &self.templates[number];
        let version = template.version_of(reply).unwrap_or_else(|fault| {
            self.done.store(true, Ordering::Relaxed);
            panic!("{}: {fault}: {}", template.asked, reply.escape_ascii())
        });
        if version < floor {
            self.done.store(true, Ordering::Relaxed);
            panic!("{}: version {version} after {floor} was seen", template.asked);
        }
        self.seen.fetch_max(version, Ordering::SeqCst);
    }
}

/// Prints figures, and writes them where they are wanted.
fn tell(figures: &serde_json::Value) {
    println!("{figures:#}");
    if let Ok(file) = env::var("RESPONDER_ATOMIC_FIGURES") {
        std::fs::write(&file, figures.to_string()).expect("the figures are written");
    }
}

fn number(name: &str, usual: u64) -> u64 {
    env::var(name).map_or(usual, |text| text.parse().expect("a number"))
}

#[test]
fn versions_are_never_mixed_and_none_follows_its_successor() {
    let wanted = number("RESPONDER_ATOMIC_ANSWERS", 300_000);
    let commits = number("RESPONDER_ATOMIC_COMMITS", 300);
    let options = StoreOptions { udp_size: 1232, id: "atomic".into() };
    let (mut plane, store) = DataPlane::load(&options)
        .unwrap_or_else(|error| panic!("this test needs root and BPF: {error:#}"));
    let interface = env::var("RESPONDER_ATOMIC_INTERFACE").ok();
    if let Some(interface) = &interface {
        plane.attach(interface, Mode::Native).expect("attached");
    }
    let mut writer = Writer::new(Arc::clone(&store));
    let flood = Flood {
        templates: template::of_kernel(&mut writer, &plane),
        seen: AtomicU32::new(0),
        answers: AtomicU64::new(0),
        lost: AtomicU64::new(0),
        done: AtomicBool::new(false),
    };
    let started = Instant::now();
    let mut samples: Vec<Memory> = Vec::new();
    thread::scope(|scope| {
        let (flood, plane) = (&flood, &plane);
        if interface.is_some() {
            let server: SocketAddr = env::var("RESPONDER_ATOMIC_SERVER")
                .expect("an address to ask")
                .parse()
                .expect("an address and a port");
            let client = env::var("RESPONDER_ATOMIC_CLIENT").expect("a namespace to ask from");
            for _ in 0..2 {
                let namespace = File::open(&client).expect("the namespace");
                scope.spawn(move || askers::sockets(flood, &namespace, server));
            }
        } else {
            scope.spawn(|| askers::test_runs(flood, plane));
            let store = Arc::clone(&store);
            scope.spawn(move || askers::host(flood, store));
        }
        let every = (commits / 10).max(1);
        while !flood.done.load(Ordering::Relaxed) {
            writer.commit_next();
            if writer.commits.is_multiple_of(every) {
                samples.push(writer.memory());
            }
            let answers = flood.answers.load(Ordering::Relaxed);
            if answers >= wanted && writer.commits >= commits {
                flood.done.store(true, Ordering::Relaxed);
            }
            assert!(started.elapsed() < Duration::from_secs(3600), "{answers} answers in an hour");
        }
    });
    let answers = flood.answers.load(Ordering::Relaxed);
    let lost = flood.lost.load(Ordering::Relaxed);
    let counters = plane.counters();
    let figures = json!({
        "asked by": if interface.is_some() { "sockets over veth" } else { "test runs and the host" },
        "answers": answers,
        "lost": lost,
        "kinds of question": flood.templates.len(),
        "commits": writer.commits,
        "of those compiled as a whole": writer.whole,
        "milliseconds a commit": started.elapsed().as_millis() as f64 / writer.commits as f64,
        "seconds": started.elapsed().as_secs(),
        "replies of the xdp program": replies(&counters.xdp),
        "replies of the tc program": replies(&counters.tc),
        "memory": samples.iter().map(Memory::figures).collect::<Vec<_>>(),
    });
    tell(&figures);
    assert_eq!(lost, 0, "queries without a reply");
    // The first sample is taken when everything has found its size.
    let (first, last) = (&samples[1], samples.last().expect("ten samples"));
    assert!(last.is_no_larger_than(first), "{first:?} became {last:?}");
}

/// How many packets a program answered.
fn replies(counters: &std::collections::BTreeMap<String, u64>) -> u64 {
    let reply = |label: &&String| !label.starts_with("pass-") && !label.starts_with("drop-");
    counters.keys().filter(reply).map(|label| counters[label]).sum()
}
