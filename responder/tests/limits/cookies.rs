//! Server cookies (RFC 7873, RFC 9018).

use std::sync::Arc;

use responder::{
    answer::Answerer,
    dataplane::{DataPlane, trial::HookPoint},
    store::Store,
    strict,
};
use responder_common::{verdict::Action, wire::rtype};

use crate::{
    APEX, HOOKS, ON, flood, from, load,
    packet::{Headers, Packet, query},
    settings,
};

const OPTION_COOKIE: u16 = 10;

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
