//! EDNS EXPIRE (RFC 7314): who has a zone from a secondary gives up when that one does.

use std::process::Command;

use hickory_proto::rr::RecordType;
use responder::strict;

use crate::{
    ask::{ixfr, node},
    harness::{Daemon, Node, free_port, query, receive, send},
    secondaries::Plan,
    servers::{Kind, find},
};

const ANYBODY: &str = "{ address = \"127.0.0.0/8\" }";
/// EXPIRE of the zone's SOA.
const TWO_WEEKS: u32 = 1_209_600;
/// For how long the secondary in between serves what nobody confirms.
const BETWEEN: u32 = 600;
const EXPIRE: u16 = 9;

/// A message with an EXPIRE option in its OPT, which is the last of its records.
fn asking(mut message: Vec<u8>) -> Vec<u8> {
    let end = message.len();
    message[end - 2..].copy_from_slice(&[0, 4]);
    message.extend([EXPIRE.to_be_bytes(), [0; 2]].concat());
    message
}

/// What the OPT of an answer says of the zone's expiry.
fn told(answer: &[u8]) -> Option<u32> {
    let options = strict::Message::parse(answer).unwrap().edns.unwrap().options;
    let (_, seconds) = options.into_iter().find(|(code, _)| *code == EXPIRE)?;
    Some(u32::from_be_bytes(seconds.try_into().unwrap()))
}

fn over_tcp(daemon: &Daemon<'_>, message: &[u8]) -> Option<u32> {
    let mut stream = daemon.tcp();
    send(&mut stream, message);
    told(&receive(&mut stream).unwrap())
}

/// A node between a primary and others.
fn between(primary: u16) -> Node {
    Node::new(&format!(
        "[transfer]\nexpire-max = \"{BETWEEN}s\"\nretry-min = \"1s\"\nretry-max = \"1s\"\n[[zone]]\nname \
         = \"tld.test.\"\nprimaries = [{{ address = \"127.0.0.1\", port = {primary} }}]\ntransfer-to = \
         [{ANYBODY}]\n"
    ))
}

fn is_served(daemon: &Daemon<'_>) -> bool {
    daemon.zone("tld.test.")["state"] == "serving"
}

#[test]
fn rfc7314_each_answer_to_a_secondary_says_for_how_long_the_zone_is_good() {
    let first = node(10, ANYBODY, "");
    let primary = first.serve();
    let second = between(first.port);
    let daemon = second.serve();
    daemon.until("the zone", || is_served(&daemon));
    let questions = [
        query(1, "tld.test.", RecordType::SOA),
        query(1, "tld.test.", RecordType::AXFR),
        ixfr("tld.test.", 4),
        ixfr("tld.test.", 5),
    ];
    for question in questions {
        // A primary's data do not grow old: the SOA's own figure.
        assert_eq!(over_tcp(&primary, &asking(question.clone())), Some(TWO_WEEKS));
        let rest = over_tcp(&daemon, &asking(question.clone())).expect("told");
        assert!((1..=BETWEEN).contains(&rest), "{rest}");
        assert_eq!(over_tcp(&daemon, &question), None, "nobody asked");
    }
    // Over UDP too; and it is a matter of the SOA alone.
    let rest = told(&daemon.ask(&asking(query(1, "tld.test.", RecordType::SOA)))).expect("told");
    assert!((1..=BETWEEN).contains(&rest), "{rest}");
    assert!(told(&daemon.ask(&asking(ixfr("tld.test.", 5)))).is_some());
    for (name, kind) in [("tld.test.", RecordType::NS), ("mail.tld.test.", RecordType::SOA)] {
        assert_eq!(told(&daemon.ask(&asking(query(1, name, kind)))), None, "{name} {kind}");
    }
}

/// The unit of Knot's times, in seconds.
fn unit(letter: char) -> u64 {
    match letter {
        'W' => 604_800,
        'D' => 86_400,
        'h' => 3600,
        'm' => 60,
        's' => 1,
        other => panic!("{other} is no unit"),
    }
}

/// A time of Knot's, such as `+13D23h59m58s`, in seconds.
fn seconds(text: &str) -> u64 {
    let (mut sum, mut number) = (0, 0);
    for letter in text.trim_start_matches('+').chars() {
        match letter.to_digit(10) {
            Some(digit) => number = number * 10 + u64::from(digit),
            None => sum += std::mem::take(&mut number) * unit(letter),
        }
    }
    sum
}

#[test]
fn rfc7314_knot_gives_up_when_the_secondary_does_that_it_has_the_zone_from() {
    let first = node(10, ANYBODY, "");
    let _primary = first.serve();
    let second = between(first.port);
    let daemon = second.serve();
    daemon.until("the zone", || is_served(&daemon));
    let knot = Plan { kind: Kind::Knot, primary: second.port, signed: false }.start(free_port());
    let mut status = Command::new(find("knotc"));
    status.arg("-c").arg(knot.folder.path().join("config"));
    let said = status.args(["zone-status", "tld.test.", "+events"]).output().unwrap();
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let expiry = said.split("expiration: ").nth(1).unwrap_or_else(|| panic!("{said}"));
    let rest = seconds(expiry.split([' ', '|', '\n']).next().unwrap());
    assert!((1..=u64::from(BETWEEN)).contains(&rest), "{said}");
}
