//! A secondary that is killed at random moments while versions arrive: each start serves a whole version,
//! none older than one that was seen before. `cargo xtask prove kill-transfers` does so 500 times.

use std::{
    collections::BTreeSet,
    env, fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use hickory_proto::{op::Message, rr::RecordType};
use serde_json::json;

use crate::{
    harness::{Daemon, query, serial},
    peers::{Kind, Plan, Primary},
    primaries::{PATIENT, is_served, node, secondary},
};

/// The zone that is transferred.
pub const ZONE: &str = "tld.test.";
/// How many kills, unless the environment says otherwise.
const KILLS: u32 = 12;
/// Names that say the serial of their version.
const NAMES: u32 = 300;

/// A version: every name says its serial. The tenth versions are so different that they come as a whole.
pub fn version(origin: &str, serial: u32) -> String {
    let mut text = format!(
        "$ORIGIN {origin}\n$TTL 60\n@ SOA ns1 hostmaster {serial} 7200 3600 1209600 300\n@ NS ns1\nns1 \
         A 192.0.2.1\n"
    );
    for name in 0..NAMES {
        text += &format!("n{name} TXT \"{serial}\"\n");
    }
    if serial.is_multiple_of(10) {
        (0..2000).for_each(|name| text += &format!("more{name}-{serial} A 192.0.2.9\n"));
    }
    text
}

fn texts(daemon: &Daemon<'_>, zone: &str) -> BTreeSet<String> {
    let names = (0..NAMES).step_by(17);
    names
        .map(|name| {
            let query = query(3, &format!("n{name}.{zone}"), RecordType::TXT);
            let reply = Message::from_vec(&daemon.ask(&query)).unwrap();
            assert_eq!(reply.answers.len(), 1, "{reply}");
            reply.answers[0].data.to_string().trim_matches('"').to_owned()
        })
        .collect()
}

pub fn soa(daemon: &Daemon<'_>, zone: &str) -> u32 {
    serial(&daemon.ask(&query(3, zone, RecordType::SOA)))
}

/// What is served: one version, whole. Asked again where a new one came in between.
pub fn served(daemon: &Daemon<'_>, zone: &str) -> u32 {
    for _ in 0..100 {
        let before = soa(daemon, zone);
        let texts = texts(daemon, zone);
        if soa(daemon, zone) == before {
            assert_eq!(texts, BTreeSet::from([before.to_string()]), "{}", daemon.log());
            return before;
        }
    }
    panic!("versions come faster than they can be looked at");
}

#[test]
fn each_start_after_a_kill_serves_a_whole_version() {
    let kills: u32 = env::var("RESPONDER_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let started = Instant::now();
    let mut node = node("");
    let plan = Plan {
        kind: Kind::Knot,
        zone: ZONE,
        text: &version(ZONE, 1),
        algorithm: None,
        notify: Some(node.port),
    };
    let primary = Primary::start(&plan);
    node.configure(&secondary(&[primary.port], None, PATIENT));
    let node = &mut node;
    let daemon = node.serve();
    daemon.until("the first version", || is_served(&daemon, 1));
    drop(daemon);
    let (done, newest) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(1)));
    let (stop, current) = (Arc::clone(&done), Arc::clone(&newest));
    let mut seen = 1;
    let mut forms: BTreeSet<String> = BTreeSet::new();
    thread::scope(|scope| {
        scope.spawn(move || {
            while !stop.load(Relaxed) {
                let next = current.load(Relaxed) + 1;
                primary.update(ZONE, &version(ZONE, next));
                current.store(next, Relaxed);
                thread::sleep(Duration::from_millis(40));
            }
        });
        for round in 0..kills {
            let daemon = node.serve();
            let found = served(&daemon, ZONE);
            assert!(found >= seen, "{seen} was seen, {found} is served after kill {round}");
            // Moments spread over what a transfer takes.
            thread::sleep(Duration::from_micros(u64::from(round * 7919 % 211) * 1000));
            seen = soa(&daemon, ZONE);
            for line in daemon.log().lines().filter(|line| line.contains("zone transferred")) {
                let form = line.split("kind=\"").nth(1).and_then(|rest| rest.split('"').next());
                forms.extend(form.map(str::to_owned));
            }
        }
        done.store(true, Relaxed);
    });
    assert!(seen > 1 && forms.contains("ixfr"), "{seen} {forms:?}");
    if let Ok(file) = env::var("RESPONDER_KILL_FIGURES") {
        let figures = json!({
            "kills": kills,
            "versions-offered": newest.load(Relaxed),
            "last-version-seen": seen,
            "forms": forms,
            "seconds": started.elapsed().as_secs(),
        });
        fs::write(file, figures.to_string()).unwrap();
    }
}
