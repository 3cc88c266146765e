//! What a source gets: replies by their class, octets beyond those of its queries.

use std::{collections::HashMap, time::Instant};

use responder::{
    answer::Transport,
    dataplane::{DataPlane, trial::HookPoint},
    limits::Rates,
    store::limiter::Settings,
};
use responder_common::{
    limit::switch,
    verdict::{Action, Verdict},
    wire::rtype,
};

use crate::{APEX, HOOKS, ON, Tally, flood, from, host, load, packet::query, settings};

#[test]
fn over_its_rate_a_source_gets_every_second_reply_cut_short_and_no_other() {
    let (plane, store) = load();
    store.set_limits(&settings(ON));
    let message = query(1, APEX, rtype::SOA, Some((1232, true)));
    let expected = Tally { whole: 61, cut: 169, dropped: 170, passed: 0 };
    let near = |tally: &Tally| {
        tally.whole.abs_diff(expected.whole) <= 3
            && tally.cut.abs_diff(tally.dropped) <= 1
            && tally.whole + tally.cut + tally.dropped == 400
    };
    for (hook, four, six) in
        [(HOOKS[0], "198.51.100", "2001:db8:1:100"), (HOOKS[1], "203.0.113", "2001:db8:1:200")]
    {
        let tally = flood(&plane, hook, &format!("{four}.1"), &message, 400);
        assert!(near(&tally), "{hook:?}: {tally:?}, not {expected:?}");
        // The prefix is the source, whichever address of it asks.
        let neighbour = flood(&plane, hook, &format!("{four}.200"), &message, 10);
        assert_eq!((neighbour.whole, neighbour.cut), (0, 5), "{hook:?}");
        let tally = flood(&plane, hook, &format!("{six}::1"), &message, 400);
        assert!(near(&tally), "{hook:?}: {tally:?}, not {expected:?}");
        let neighbour = flood(&plane, hook, &format!("{six}:1::"), &message, 10);
        assert_eq!(neighbour.whole, 0, "{hook:?}: one /56");
        // Other classes of answers have their own rate.
        let refused = query(1, b"\x03foo\0", rtype::A, Some((1232, true)));
        let tally = flood(&plane, hook, &format!("{four}.1"), &refused, 50);
        assert_eq!(tally.whole, 50, "{hook:?}: {tally:?}");
    }
    let elsewhere = flood(&plane, HookPoint::Xdp, "192.0.2.1", &message, 30);
    assert_eq!(elsewhere.whole, 30, "nobody else is limited");
    let counters = plane.counters();
    assert!(counters.xdp["drop-limited"] > 300 && counters.xdp["limited-slip"] > 300);
    assert!(counters.over["positive"] > 1300, "{:?}", counters.over);
}

/// What a run of queries from these sources is answered with, in octets beyond their own, whole or cut.
fn beyond(plane: &DataPlane, addresses: &[String], message: &[u8], times: u32) -> u32 {
    let mut beyond = 0;
    for _ in 0..times {
        for address in addresses {
            let frame = from(address).frame(message);
            let trial = plane.trial(HookPoint::Xdp, &frame).expect("a run");
            assert_eq!(trial.action, Action::Reply, "each gets a reply");
            let more = trial.frame.len().checked_sub(frame.len()).expect("no shorter");
            beyond += more as u32;
        }
    }
    beyond
}

#[test]
fn octets_beyond_those_of_the_queries_are_bounded_by_source_and_by_what_lies_around() {
    let (plane, store) = load();
    let none = Rates { positive: 0, referral: 0, nxdomain: 0, error: 0 };
    // A burst of a minute: 60,000 octets for a source, four times as many for all around it.
    let bound = Settings { rates: none, octets: 1000, octets_wide: 4000, slip: 1, ..settings(ON) };
    store.set_limits(&bound);
    let message = query(1, APEX, rtype::SOA, Some((1232, true)));
    for around in ["198.51", "2001:db8"] {
        // What is earned meanwhile comes on top: other tests run beside.
        let start = Instant::now();
        let most = |bound: u32| bound + bound / 60 * (start.elapsed().as_secs() as u32 + 3);
        let at = |n: u32| match around {
            "198.51" => format!("{around}.{n}.1"),
            _ => format!("{around}:0:{n:x}00::1"),
        };
        let one = beyond(&plane, &[at(1)], &message, 2000);
        assert!((59_000..=most(60_000)).contains(&one), "{around}: one source: {one}");
        // Other kinds of answers are from the same account.
        let absent = query(1, b"\x03foo\x08wildcard\x07example\0", rtype::TXT, Some((1232, true)));
        assert!(beyond(&plane, &[at(1)], &absent, 50) < 500, "{around}: another kind");
        let others: Vec<String> = (2..12).map(at).collect();
        let all = one + beyond(&plane, &others, &message, 500);
        // Each of the twelve keeps up to 4096 octets back before the account around it is asked.
        let most = most(240_000) + 12 * 4096;
        assert!((236_000..=most).contains(&all), "{around}: all around: {all}");
    }
    let elsewhere = beyond(&plane, &["192.0.2.1".to_owned()], &message, 10);
    assert!(elsewhere > 500, "whole: {elsewhere}");
}

#[test]
fn errors_over_the_rate_are_no_longer_than_the_query() {
    let (plane, store) = load();
    store.set_limits(&settings(ON));
    let mut host = host(&store, "198.51.100.1");
    // With an OPT the reply has an extended error, which a cut reply has not.
    let message = query(1, b"\x03foo\0", rtype::A, Some((1232, true)));
    let mut reply = Vec::new();
    let mut lengths = HashMap::new();
    for _ in 0..400 {
        let verdict = host.verdict(&message, Transport::Udp, &mut reply);
        *lengths.entry((verdict.label(), reply.len())).or_insert(0) += 1;
    }
    let long = lengths[&("refused", message.len() + 6)];
    assert!((59..=63).contains(&long), "{lengths:?}");
    let cut = lengths[&("limited-slip", message.len())];
    assert!((165..=171).contains(&cut), "{lengths:?}");
    assert_eq!(lengths.len(), 3, "{lengths:?}");
    // The kernel charges the same bucket.
    for hook in HOOKS {
        for _ in 0..2 {
            let frame = from("198.51.100.9").frame(&message);
            let trial = plane.trial(hook, &frame).expect("a run");
            assert!(trial.action == Action::Drop || trial.frame.len() <= frame.len(), "{hook:?}");
        }
    }
    assert_eq!(host.verdict(&message, Transport::Tcp, &mut reply), Verdict::Refused, "no limit");
}

#[test]
fn log_mode_counts_and_sends() {
    let (plane, store) = load();
    store.set_limits(&settings(switch::REPLIES));
    let message = query(1, APEX, rtype::SOA, None);
    let tally = flood(&plane, HookPoint::Xdp, "198.51.100.1", &message, 200);
    assert_eq!(tally.whole, 200);
    let over = plane.counters().over["positive"];
    assert!((137..=140).contains(&over), "{over}");
    store.set_limits(&settings(0));
    flood(&plane, HookPoint::Xdp, "198.51.100.1", &message, 50);
    assert_eq!(plane.counters().over["positive"], over, "switched off");
}
