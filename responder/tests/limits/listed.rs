//! What prefixes and zones have of their own: the access list, exemptions, rates; what peers may pass.

use std::{collections::HashMap, path::Path};

use responder::{
    answer::Transport, dataplane::trial::HookPoint, limits::Rates, store::limiter::Settings, zone,
};
use responder_common::{limit::listed, verdict::Verdict, wire::rtype};

use crate::{APEX, HOOKS, ON, flood, host, load, packet::query, settings};

#[test]
fn exempt_prefixes_and_rates_of_a_zone() {
    let (plane, store) = load();
    store.set_limits(&settings(ON));
    let exempt = ("198.51.100.0/28".parse().unwrap(), listed::EXEMPT, listed::EXEMPT);
    store.set_listing(&[exempt]).expect("listed");
    let message = query(1, APEX, rtype::SOA, None);
    for hook in HOOKS {
        assert_eq!(flood(&plane, hook, "198.51.100.15", &message, 300).whole, 300, "{hook:?}");
    }
    assert!(flood(&plane, HookPoint::Xdp, "198.51.100.16", &message, 300).dropped > 100);
    // No limit for one zone alone, also in versions to come.
    let free = Rates { positive: 0, referral: 0, nxdomain: 0, error: 0 };
    store.set_zone_rates(&HashMap::from([(APEX.to_vec(), free)])).expect("set");
    assert_eq!(flood(&plane, HookPoint::Xdp, "203.0.113.1", &message, 300).whole, 300);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../zones/wildcard.example.zone");
    zone::load(&store, "wildcard.example", &file).expect("loaded again");
    assert_eq!(flood(&plane, HookPoint::Xdp, "203.0.113.1", &message, 300).whole, 300);
    let other = query(1, b"\x03lac\0", rtype::SOA, None);
    assert!(flood(&plane, HookPoint::Xdp, "203.0.113.1", &other, 300).dropped > 100);
    store.set_zone_rates(&HashMap::new()).expect("set");
    assert!(flood(&plane, HookPoint::Xdp, "203.0.113.1", &message, 300).dropped > 100);
}

#[test]
fn the_access_list_is_live() {
    let (plane, store) = load();
    let message = query(1, APEX, rtype::SOA, None);
    let deny = |prefix: &str| (prefix.parse().unwrap(), listed::DENIED, listed::DENIED);
    let entries =
        [deny("198.51.100.0/24"), ("198.51.100.8/32".parse().unwrap(), listed::DENIED, 0)];
    let (mut denied, mut allowed) = (host(&store, "198.51.100.7"), host(&store, "198.51.100.8"));
    let mut reply = Vec::new();
    let mut ask = |listed: bool| {
        for hook in HOOKS {
            let tally = flood(&plane, hook, "198.51.100.7", &message, 1);
            assert_eq!(tally.dropped, u32::from(listed), "{hook:?}");
            assert_eq!(flood(&plane, hook, "198.51.100.8", &message, 1).whole, 1, "{hook:?}");
            assert_eq!(flood(&plane, hook, "2001:db8::1", &message, 1).whole, 1, "{hook:?}");
        }
        for transport in [Transport::Udp, Transport::Tcp] {
            let verdict = denied.verdict(&message, transport, &mut reply);
            assert_eq!(verdict == Verdict::Denied, listed, "{transport:?}");
            let verdict = allowed.verdict(&message, transport, &mut reply);
            assert_eq!(verdict, Verdict::Positive, "{transport:?}");
        }
    };
    ask(false);
    store.set_listing(&entries).expect("listed");
    ask(true);
    store.set_listing(&[]).expect("listed");
    ask(false);
    store.set_listing(&[deny("::/0"), deny("0.0.0.0/0")]).expect("listed");
    assert_eq!(flood(&plane, HookPoint::Xdp, "192.0.2.1", &message, 1).dropped, 1);
    assert_eq!(flood(&plane, HookPoint::Tc, "2001:db8::1", &message, 1).dropped, 1);
}

#[test]
fn what_is_passed_to_the_daemon_is_bounded_by_source_and_in_all() {
    let (plane, store) = load();
    store.set_limits(&Settings { passed_per_source: 1, passed: 2, ..settings(0) });
    store
        .set_listing(&[("203.0.113.0/24".parse().unwrap(), listed::PEER, listed::PEER)])
        .expect("listed");
    let mut notify = query(1, APEX, rtype::SOA, None);
    notify[2] = 4 << 3;
    let ixfr = query(1, APEX, rtype::IXFR, None);
    let near = |count: u32, expected: u32| count.abs_diff(expected) <= 2;
    for hook in HOOKS {
        let first = flood(&plane, hook, "198.51.100.1", &notify, 100);
        assert!(near(first.passed, 60), "{hook:?}: {first:?}");
        let second = flood(&plane, hook, "198.51.101.1", &ixfr, 100);
        assert!(near(second.passed, 60), "{hook:?}: {second:?}");
        let third = flood(&plane, hook, "198.51.102.1", &notify, 100);
        assert!(third.passed <= 2, "{hook:?}: all together have had 120: {third:?}");
        let peer = flood(&plane, hook, "203.0.113.1", &notify, 100);
        assert!(near(peer.passed, 60), "{hook:?}: a primary's does not starve: {peer:?}");
        let question = query(1, APEX, rtype::SOA, None);
        let asked = flood(&plane, hook, "198.51.100.1", &question, 100);
        assert_eq!(asked.whole, 100, "{hook:?}: queries are answered all the same");
    }
    let (mut socket, mut reply) = (host(&store, "198.51.100.1"), Vec::new());
    let mut passed = 0;
    for _ in 0..100 {
        let verdict = socket.verdict(&notify, Transport::Udp, &mut reply);
        assert!(matches!(verdict, Verdict::Notify | Verdict::PassLimited));
        passed += u32::from(verdict == Verdict::Notify);
    }
    assert!(near(passed, 60), "sockets have the same bound: {passed}");
    assert_eq!(socket.verdict(&notify, Transport::Tcp, &mut reply), Verdict::Notify);
}
