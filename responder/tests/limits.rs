//! Limits, cookies and the access list: in the kernel programs and on the host, over one store.
//!
//! Needs root and BPF; without them it fails and says so.

#[path = "everywhere/packet.rs"]
mod packet;

use std::{collections::HashMap, net::IpAddr, path::Path, sync::Arc, time::Instant};

use responder::{
    answer::{Answerer, Transport},
    dataplane::{
        DataPlane,
        trial::{HookPoint, Trial},
    },
    limits::Rates,
    store::{Store, StoreOptions, limiter::Settings},
    strict, zone,
};
use responder_common::{
    limit::{listed, switch},
    verdict::{Action, Verdict},
    wire::rtype,
};

use packet::{Headers, Packet, query};

const HOOKS: [HookPoint; 2] = [HookPoint::Xdp, HookPoint::Tc];
const APEX: &[u8] = b"\x08wildcard\x07example\0";
/// A minute in ticks: nothing is earned while a test runs.
const BURST: u32 = 60_000_000;
const OPTION_COOKIE: u16 = 10;

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
        assert!((236_000..=most(240_000)).contains(&all), "{around}: all around: {all}");
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

/// A query with a COOKIE option of these octets.
fn with_cookie(cookie: &[u8]) -> Vec<u8> {
    let mut message = query(7, APEX, rtype::SOA, Some((1232, true)));
    let length = message.len();
    message[length - 2..].copy_from_slice(&(cookie.len() as u16 + 4).to_be_bytes());
    message.extend(OPTION_COOKIE.to_be_bytes());
    message.extend((cookie.len() as u16).to_be_bytes());
    message.extend(cookie);
    message
}

/// The reply of a hook and that of the host, which must be the same; its rcode and cookie.
fn cookie_of(
    plane: &DataPlane,
    store: &Arc<Store>,
    hook: HookPoint,
    headers: &Headers,
    message: &[u8],
) -> (u16, Option<Vec<u8>>) {
    let frame = headers.frame(message);
    let mut reply = Vec::new();
    // The clock may tick between the two; it does not twice in a row.
    let same = (0..3).any(|_| {
        Answerer::new(Arc::clone(store)).frame(hook, &frame, &mut reply);
        let trial = plane.trial(hook, &frame).expect("a run");
        trial.action == Action::Reply && trial.frame == reply
    });
    assert!(same, "{hook:?}: kernel and host differ");
    let packet = Packet::read(&reply).expect("a sound frame");
    let decoded = strict::Message::parse(packet.message).expect("a message");
    let rcode = decoded.rcode();
    let options = decoded.edns.map_or(Vec::new(), |edns| edns.options);
    (rcode, options.into_iter().find(|(code, _)| *code == OPTION_COOKIE).map(|(_, data)| data))
}

#[test]
fn rfc7873_cookies_are_made_checked_and_rolled_over_in_both_hooks() {
    let (plane, store) = load();
    let (first, second) = ([0x11; 16], [0x22; 16]);
    let client = [1, 2, 3, 4, 5, 6, 7, 8];
    for headers in [Headers::v4(), Headers::v6()] {
        for hook in HOOKS {
            let ask =
                |cookie: &[u8]| cookie_of(&plane, &store, hook, &headers, &with_cookie(cookie));
            store.set_cookie_secrets(&[]);
            assert_eq!(ask(&client), (0, None), "no secret, no cookies");
            assert_eq!(ask(&client[..7]), (0, None), "an option that is not known");
            store.set_cookie_secrets(&[first]);
            let (rcode, cookie) = ask(&client);
            let cookie = cookie.expect("a cookie");
            assert_eq!(
                (rcode, cookie.len(), &cookie[..9]),
                (0, 24, &[1, 2, 3, 4, 5, 6, 7, 8, 1][..])
            );
            assert_eq!(ask(&cookie), (0, Some(cookie.clone())), "a good one is kept");
            // The next secret is believed before it is used, the one before afterwards.
            store.set_cookie_secrets(&[first, second]);
            assert_eq!(ask(&cookie).1.as_ref(), Some(&cookie));
            store.set_cookie_secrets(&[second, first]);
            let renewed = ask(&cookie).1.expect("a cookie");
            assert_ne!(renewed, cookie, "made with the new secret");
            store.set_cookie_secrets(&[second]);
            assert_eq!(ask(&renewed).1.as_ref(), Some(&renewed));
            for length in [0, 7, 9, 15, 41] {
                let malformed = vec![1; length];
                assert_eq!(ask(&malformed), (1, None), "{length} octets: FORMERR");
            }
            for length in [16, 23, 40] {
                let (rcode, cookie) = ask(&vec![1; length]);
                assert_eq!((rcode, cookie.expect("a cookie").len()), (0, 24), "{length} octets");
            }
        }
    }
}

#[test]
fn rfc7873_a_query_without_a_question_gets_a_cookie_and_nothing_else() {
    let (plane, store) = load();
    // A query with a cookie, its question taken out.
    let without_question = |cookie: &[u8]| {
        let whole = with_cookie(cookie);
        let end = whole.len() - (11 + 4 + cookie.len());
        let mut message = [&whole[..12], &whole[end..]].concat();
        message[5] = 0;
        message
    };
    let message = without_question(&[7; 8]);
    for headers in [Headers::v4(), Headers::v6()] {
        for hook in HOOKS {
            let ask = |message: &[u8]| cookie_of(&plane, &store, hook, &headers, message);
            store.set_cookie_secrets(&[]);
            assert_eq!(ask(&message), (1, None), "{hook:?}: who makes no cookies wants a question");
            store.set_cookie_secrets(&[[0x44; 16]]);
            let (rcode, cookie) = ask(&message);
            let cookie = cookie.expect("a cookie");
            assert_eq!((rcode, cookie.len(), &cookie[..8]), (0, 24, &[7; 8][..]), "{hook:?}");
            assert_eq!(ask(&without_question(&cookie)), (0, Some(cookie)), "{hook:?}: confirmed");
            assert_eq!(ask(&without_question(&[7; 9])), (1, None), "{hook:?}: malformed");
            let nothing = [&message[..11], &[0]].concat();
            assert_eq!(ask(&nothing), (1, None), "{hook:?}: neither question nor cookie");
        }
    }
}

#[test]
fn rfc7873_a_good_cookie_is_not_limited_and_a_client_cookie_gets_badcookie() {
    let (plane, store) = load();
    store.set_limits(&settings(ON));
    store.set_cookie_secrets(&[[0x33; 16]]);
    for (hook, address) in [(HOOKS[0], "198.51.100.1"), (HOOKS[1], "2001:db8:7::1")] {
        let headers = from(address);
        let client = with_cookie(&[9; 8]);
        let (mut cookie, mut bad, mut cut) = (Vec::new(), 0_i32, 0_i32);
        let (mut dropped, mut good) = (0, 0);
        for _ in 0..200 {
            let frame = headers.frame(&client);
            let trial = plane.trial(hook, &frame).expect("a run");
            if trial.action == Action::Drop {
                dropped += 1;
                continue;
            }
            let packet = Packet::read(&trial.frame).expect("a sound frame");
            let reply = strict::Message::parse(packet.message).expect("a message");
            if reply.rcode() == 23 {
                assert!(reply.answer.is_empty() && !reply.header.tc);
                assert_eq!(packet.message.len(), client.len() + 16, "the server cookie");
                bad += 1;
            } else if reply.header.tc {
                assert_eq!(packet.message.len(), client.len() - 12, "without a cookie");
                cut += 1;
                continue;
            } else {
                good += 1;
            }
            cookie = reply.edns.expect("an OPT").options[0].1.clone();
        }
        assert!((59..=63).contains(&good), "{hook:?}: {good}");
        assert!((bad + cut - dropped).abs() <= 1, "{hook:?}: {bad} and {cut} sent, {dropped} not");
        // What is longer than the query and what is shorter come to no more than the queries.
        assert!((2 * bad - cut).abs() <= 2, "{hook:?}: {bad} BADCOOKIE, {cut} truncated");
        let tally = flood(&plane, hook, address, &with_cookie(&cookie), 300);
        assert_eq!(tally.whole, 300, "{hook:?}: with the server cookie: {tally:?}");
        // Somebody else's cookie is none.
        let other = if hook == HOOKS[0] { "198.51.100.2" } else { "2001:db8:7::2" };
        let frame = from(other).frame(&with_cookie(&cookie));
        let runs = (0..2).map(|_| plane.trial(hook, &frame).expect("a run").action);
        assert!(runs.filter(|action| *action == Action::Drop).count() >= 1, "{hook:?}");
    }
}
