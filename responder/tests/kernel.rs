//! The kernel programs and the host's engine over one store: every reply the same octets.
//!
//! Needs root and BPF; without them it fails and says so.

#[path = "everywhere/packet.rs"]
mod packet;

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use responder::{
    answer::{Answerer, Transport},
    dataplane::{
        DataPlane, lease,
        trial::{HookPoint, Trial},
    },
    store::{Store, StoreOptions},
    strict,
    zone::{self, read},
};
use responder_common::verdict::Action;

use packet::{Headers, Packet, query};

const TYPES: [u16; 12] = [1, 2, 5, 6, 15, 16, 28, 39, 43, 46, 255, 65280];

fn load() -> (DataPlane, Arc<Store>) {
    let options = StoreOptions { udp_size: 1232, id: "kernel-test".into() };
    DataPlane::load(&options)
        .unwrap_or_else(|error| panic!("these tests need root and BPF: {error:#}"))
}

/// Loads every sample zone and returns their names, apexes first.
fn sample_zones(store: &Store) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../zones");
    let mut names = BTreeSet::new();
    let files = std::fs::read_dir(&folder).expect("the sample zones");
    for file in files.map(|entry| entry.expect("readable").path()) {
        if file.extension().is_none_or(|extension| extension != "zone") {
            continue;
        }
        let apex = file.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
        zone::load(store, &apex, &file).unwrap_or_else(|error| panic!("{error}"));
        let apex = zone::name::from_text(&apex).expect("a name");
        read::read(&apex, &file, &read::Limits::default(), &mut |record| {
            names.insert(record.owner.to_vec());
            Ok(())
        })
        .expect("just loaded");
    }
    assert!(names.len() > 200, "only {} names", names.len());
    names.into_iter().collect()
}

/// Asks both and compares; what the host said.
fn compare(plane: &DataPlane, host: &mut Answerer, message: &[u8], reply: &mut Vec<u8>) -> Action {
    let verdict = host.verdict(message, Transport::Udp, reply);
    let headers = Headers::v4();
    for hook in [HookPoint::Xdp, HookPoint::Tc] {
        let mut query = headers.frame(message);
        // One sum in 65,536 is that of the pseudo header: tc would take it for a local sender's, who wants
        // the same kind back (`frame::is_partial`). Without a checksum none is.
        query[40..42].fill(0);
        let Trial { action, frame, .. } = plane.trial(hook, &query).expect("a run");
        assert_eq!(action, verdict.action(), "{hook:?}: host says {verdict:?} to {message:02x?}");
        match action {
            Action::Reply => {
                let packet = Packet::read(&frame).expect("a sound frame");
                assert_eq!(packet.message, &reply[..], "{hook:?}: to {message:02x?}");
                packet.check_reply_to(&headers).unwrap_or_else(|fault| panic!("{hook:?}: {fault}"));
            }
            Action::Pass => assert_eq!(frame, query, "{hook:?}: what is passed is untouched"),
            Action::Drop => {}
        }
    }
    verdict.action()
}

#[test]
fn without_a_lease_the_kernel_passes_everything() {
    let (plane, store) = load();
    let frame = Headers::v4().frame(&query(1, b"\x03www\x07example\0", 1, None));
    let action = |hook| {
        let Trial { action, frame: after, .. } = plane.trial(hook, &frame).expect("a run");
        assert!(action == Action::Reply || after == frame, "what is passed is untouched");
        action
    };
    for hook in [HookPoint::Xdp, HookPoint::Tc] {
        assert_eq!(action(hook), Action::Reply, "{hook:?}: a store has no end at first");
        store.set_lease(1);
        assert_eq!(action(hook), Action::Pass, "{hook:?}: the machine has run for a nanosecond");
        lease::renew(&store, Duration::from_secs(60));
        assert_eq!(action(hook), Action::Reply, "{hook:?}: renewed");
        lease::renew(&store, Duration::ZERO);
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(action(hook), Action::Pass, "{hook:?}: ended");
        store.set_lease(u64::MAX);
    }
    let counters = plane.counters();
    assert_eq!((counters.xdp["pass-lease"], counters.tc["pass-lease"]), (2, 2));
}

#[test]
fn a_zone_expires_in_the_kernel_by_itself() {
    let (plane, store) = load();
    sample_zones(&store);
    let (apex, mut host, mut reply) = (b"\x03lac\0", Answerer::new(Arc::clone(&store)), Vec::new());
    let ask = query(1, apex, 6, None);
    let mut rcode = || {
        assert_eq!(compare(&plane, &mut host, &ask, &mut reply), Action::Reply);
        reply[3] & 15
    };
    assert_eq!(rcode(), 0, "a zone lasts for ever at first");
    assert!(store.expire_after(apex, Some(Duration::from_secs(3600))));
    assert_eq!(rcode(), 0, "not yet");
    let soon = Duration::from_millis(100);
    assert!(store.expire_after(apex, Some(soon)));
    std::thread::sleep(soon + Duration::from_millis(50));
    assert_eq!(rcode(), 2, "nobody but the clock has touched it");
    store.expire_after(apex, Some(Duration::from_secs(3600)));
    assert_eq!(rcode(), 0, "confirmed");
}

#[test]
fn rfc7314_a_secondary_is_told_for_how_long_a_zone_is_good() {
    const EXPIRE: u16 = 9;
    let (plane, store) = load();
    sample_zones(&store);
    let (apex, mut host, mut reply) = (b"\x03lac\0", Answerer::new(Arc::clone(&store)), Vec::new());
    let mut ask = query(1, apex, 6, Some((1232, true)));
    let end = ask.len();
    ask[end - 2..].copy_from_slice(&[0, 4]);
    ask.extend([EXPIRE.to_be_bytes(), [0; 2]].concat());
    let headers = Headers::v4();
    let mut told = |hook| {
        // A second may begin between the two, but not each time.
        let same = (0..20).any(|_| {
            host.verdict(&ask, Transport::Udp, &mut reply);
            let frame = plane.trial(hook, &headers.frame(&ask)).expect("a run").frame;
            let packet = Packet::read(&frame).expect("a sound frame");
            packet.check_reply_to(&headers).expect("sound headers");
            packet.message == reply
        });
        assert!(same, "{hook:?}: kernel and host differ: {reply:02x?}");
        let decoded = strict::Message::parse(&reply).expect("a message");
        let options = decoded.edns.expect("an OPT").options;
        let (_, seconds) = options.into_iter().find(|(code, _)| *code == EXPIRE).expect("told");
        let soa = &decoded.answer[0].rdata;
        let number = |octets: &[u8]| u32::from_be_bytes(octets.try_into().expect("four octets"));
        (number(&seconds), number(&soa[soa.len() - 8..][..4]))
    };
    for hook in [HookPoint::Xdp, HookPoint::Tc] {
        store.expire_after(apex, None);
        let (seconds, of_soa) = told(hook);
        assert_eq!(seconds, of_soa, "{hook:?}: a primary's does not grow old");
        store.expire_after(apex, Some(Duration::from_secs(3600)));
        let (seconds, _) = told(hook);
        assert!((3000..=3600).contains(&seconds), "{hook:?}: {seconds}");
    }
}

#[test]
fn what_is_switched_off_is_passed_and_counted() {
    let (plane, store) = load();
    let apex = b"\x03lac\0".to_vec();
    let frame = |name: &[u8]| Headers::v4().frame(&query(1, name, 6, None));
    let action = |hook, name: &[u8]| plane.trial(hook, &frame(name)).expect("a run").action;
    // Before the zone is there, and it holds when it comes.
    store.switch_off([apex.clone()].into());
    sample_zones(&store);
    for hook in [HookPoint::Xdp, HookPoint::Tc] {
        assert_eq!(action(hook, &apex), Action::Pass, "{hook:?}");
        assert_eq!(action(hook, b"\x07nowhere\0"), Action::Reply, "{hook:?}: not of the zone");
    }
    let mut host = Answerer::new(Arc::clone(&store));
    let verdict = host.verdict(&query(1, &apex, 6, None), Transport::Udp, &mut Vec::new());
    assert_eq!(verdict.action(), Action::Reply, "the sockets answer");
    store.switch_off([].into());
    for hook in [HookPoint::Xdp, HookPoint::Tc] {
        assert_eq!(action(hook, &apex), Action::Reply, "{hook:?}: on again");
        store.set_lease(0);
        assert_eq!(action(hook, b"\x07nowhere\0"), Action::Pass, "{hook:?}: all is off");
        store.set_lease(u64::MAX);
    }
    let counters = plane.counters();
    let count = |hook: &std::collections::BTreeMap<String, u64>| hook["pass-switched-off"];
    assert_eq!((count(&counters.xdp), count(&counters.tc)), (2, 2));
}

#[test]
fn kernel_and_host_agree_byte_for_byte() {
    let (plane, store) = load();
    let names = sample_zones(&store);
    let mut host = Answerer::new(Arc::clone(&store));
    let mut reply = Vec::new();
    let mut id = 0_u16;
    let mut replies = 0_u32;
    for name in &names {
        let below = [b"\x03wWw".as_slice(), name].concat();
        let deeper = [b"\x01a\x02bc\x10sixteen-octets-x".as_slice(), name].concat();
        let upper = name.to_ascii_uppercase();
        for name in [name, &below, &deeper, &upper] {
            if name.len() > 255 {
                continue;
            }
            for qtype in TYPES {
                for edns in [None, Some((512, true)), Some((1232, false)), Some((4096, true))] {
                    id = id.wrapping_add(1);
                    let message = query(id, name, qtype, edns);
                    if compare(&plane, &mut host, &message, &mut reply) == Action::Reply {
                        replies += 1;
                        strict::Message::parse(&reply)
                            .unwrap_or_else(|error| panic!("{error}: {reply:02x?}"));
                        let limit = edns.map_or(512, |(size, _)| size.min(1232));
                        assert!(reply.len() <= usize::from(limit), "larger than {limit}");
                    }
                }
            }
        }
    }
    println!("{replies} replies");
    assert!(replies > 30_000, "only {replies} replies");
}

#[test]
fn rfc4892_class_chaos_tells_who_answers() {
    let (plane, store) = load();
    let mut host = Answerer::new(store);
    let mut reply = Vec::new();
    for (name, text) in [
        ("id.server", "kernel-test"),
        ("HostName.bind", "kernel-test"),
        ("version.server", "responder"),
        ("version.bind", "responder"),
    ] {
        let mut message = query(7, &zone::name::from_text(name).expect("a name"), 16, None);
        *message.last_mut().expect("a class") = 3;
        assert_eq!(compare(&plane, &mut host, &message, &mut reply), Action::Reply);
        let decoded = strict::Message::parse(&reply).expect("a message");
        assert_eq!((decoded.rcode(), decoded.answer.len()), (0, 1), "{name}");
        assert!(reply.ends_with(text.as_bytes()), "{name}: {reply:02x?}");
        message[0] = 8;
        let last = message.len() - 1;
        message[last] = 4;
        compare(&plane, &mut host, &message, &mut reply);
        assert_eq!(strict::Message::parse(&reply).expect("a message").rcode(), 5, "class HS");
    }
}

#[test]
fn damaged_queries_are_treated_alike() {
    let (plane, store) = load();
    let names = sample_zones(&store);
    let mut host = Answerer::new(store);
    let mut reply = Vec::new();
    // A generator of its own, so that a failure repeats.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % below
    };
    for round in 0..20_000 {
        let name = &names[random(names.len())];
        let edns = [None, Some((1232, true))][random(2)];
        let mut message = query(round as u16, name, TYPES[random(TYPES.len())], edns);
        match random(4) {
            0 => message.truncate(random(message.len() + 1)),
            1 => message.extend((0..random(40)).map(|octet| octet as u8)),
            _ => {}
        }
        for _ in 0..random(4) {
            let length = message.len().max(1);
            let at = random(length);
            if let Some(octet) = message.get_mut(at) {
                *octet = random(256) as u8;
            }
        }
        if compare(&plane, &mut host, &message, &mut reply) == Action::Reply {
            strict::Message::parse(&reply)
                .unwrap_or_else(|error| panic!("{error}: {reply:02x?} to {message:02x?}"));
        }
    }
}
