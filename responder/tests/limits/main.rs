//! Limits, cookies and the access list: in the kernel programs and on the host, over one store.
//!
//! Needs root and BPF; without them it fails and says so.

#[path = "../everywhere/packet.rs"]
mod packet;

mod cookies;
mod listed;
mod replies;

use std::{net::IpAddr, path::Path, sync::Arc};

use responder::{
    answer::Answerer,
    dataplane::{
        DataPlane,
        trial::{HookPoint, Trial},
    },
    limits::Rates,
    store::{Store, StoreOptions, limiter::Settings},
    strict, zone,
};
use responder_common::{limit::switch, verdict::Action};

use packet::{Headers, Packet};

const HOOKS: [HookPoint; 2] = [HookPoint::Xdp, HookPoint::Tc];

const APEX: &[u8] = b"\x08wildcard\x07example\0";

/// A minute in ticks: nothing is earned while a test runs.
const BURST: u32 = 60_000_000;

fn load() -> (DataPlane, Arc<Store>) {
    let options = StoreOptions { udp_size: 1232, id: "limits-test".into() };
    let (plane, store) = DataPlane::load(&options)
        .unwrap_or_else(|error| panic!("these tests need root and BPF: {error:#}"));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../zones");
    for apex in ["wildcard.example", "lac"] {
        let file = folder.join(format!("{apex}.zone"));
        zone::load(&store, apex, &file).unwrap_or_else(|error| panic!("{error}"));
    }
    store.set_wall_clock();
    (plane, store)
}

/// One reply a second and a burst of a minute: sixty replies at the start.
fn settings(switches: u32) -> Settings {
    let rates = Rates { positive: 1, referral: 1, nxdomain: 1, error: 1 };
    Settings {
        switches,
        rates,
        burst: BURST,
        octets: 0,
        octets_wide: 0,
        slip: 2,
        ipv4_prefix: 24,
        ipv6_prefix: 56,
        ipv4_prefix_wide: 16,
        ipv6_prefix_wide: 40,
        passed_per_source: 0,
        passed: 0,
    }
}

const ON: u32 = switch::REPLIES | switch::ENFORCE;

/// What a run of messages came to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    whole: u32,
    cut: u32,
    dropped: u32,
    passed: u32,
}

fn from(address: &str) -> Headers {
    match address.parse().expect("an address") {
        IpAddr::V4(v4) => Headers { source: v4.octets().to_vec(), ..Headers::v4() },
        IpAddr::V6(v6) => Headers { source: v6.octets().to_vec(), ..Headers::v6() },
    }
}

/// Sends a message so many times from an address to a hook.
fn flood(plane: &DataPlane, hook: HookPoint, address: &str, message: &[u8], times: u32) -> Tally {
    let (headers, mut tally) = (from(address), Tally::default());
    for _ in 0..times {
        let frame = headers.frame(message);
        let Trial { action, frame: after, .. } = plane.trial(hook, &frame).expect("a run");
        match action {
            Action::Drop => tally.dropped += 1,
            Action::Pass => {
                assert_eq!(after, frame, "what is passed is untouched");
                tally.passed += 1;
            }
            Action::Reply => {
                let packet = Packet::read(&after).expect("a sound frame");
                packet.check_reply_to(&headers).expect("sound headers");
                let reply = strict::Message::parse(packet.message).expect("a message");
                if reply.header.tc {
                    assert!(packet.message.len() <= message.len(), "no longer than the query");
                    assert_eq!(reply.rcode(), 0, "truncated, it says nothing else");
                    tally.cut += 1;
                } else {
                    tally.whole += 1;
                }
            }
        }
    }
    tally
}

fn host(store: &Arc<Store>, address: &str) -> Answerer {
    let mut answerer = Answerer::new(Arc::clone(store));
    answerer.set_client(Some(address.parse().expect("an address")));
    answerer
}
