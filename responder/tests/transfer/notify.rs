//! NOTIFY (RFC 1996): from Knot, BIND and NSD, and from who may not.

use std::{
    net::{Ipv4Addr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name, RecordType},
};
use responder::{
    config,
    transfer::tsig::{Key, Session},
};

use crate::{
    harness::{Daemon, Node},
    peers::{Kind, Plan, Primary},
    primaries::{PATIENT, is_served, node, secondary, zone},
};

fn follows_notify(kind: Kind, algorithm: Option<&str>) {
    let text = zone(5);
    // The node's port must be known to the primary, and the other way round.
    let mut node: Node = node("");
    let plan = Plan { kind, zone: "tld.test.", text: &text, algorithm, notify: Some(node.port) };
    let primary = Primary::start(&plan);
    let key = if algorithm.is_some() { "notify-key = \"k.\"\n" } else { "" };
    node.configure(&secondary(&[primary.port], algorithm, &format!("{key}{PATIENT}")));
    let node = &mut node;
    let daemon = node.serve();
    daemon.until("the zone", || is_served(&daemon, 5));
    primary.update("tld.test.", &zone(6));
    daemon.until("what NOTIFY announced", || is_served(&daemon, 6));
    let counts = daemon.status()["transfers"].clone();
    assert!(counts["notify"].as_u64().unwrap() >= 1, "{counts}");
    assert_eq!(counts["notify-refused"], serde_json::Value::Null, "{kind:?} {counts}");
}

#[test]
fn rfc1996_knot_bind_and_nsd_tell_what_is_new() {
    for kind in Kind::OF_FILES {
        follows_notify(kind, None);
    }
}

#[test]
fn rfc1996_signed_notify_is_told_from_unsigned() {
    for kind in Kind::OF_FILES {
        follows_notify(kind, Some("hmac-sha256"));
    }
}

fn notify(zone: &str) -> Vec<u8> {
    let mut message = Message::new(77, MessageType::Query, OpCode::Notify);
    message.metadata.authoritative = true;
    message.add_query(Query::query(Name::from_ascii(zone).unwrap(), RecordType::SOA));
    message.to_vec().unwrap()
}

/// Asks from an address of the loopback.
fn answer(daemon: &Daemon<'_>, from: [u8; 4], message: &[u8]) -> Message {
    let socket = UdpSocket::bind((Ipv4Addr::from(from), 0)).unwrap();
    socket.connect((Ipv4Addr::LOCALHOST, daemon.node.port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    socket.send(message).unwrap();
    let mut buffer = [0; 512];
    let length = socket.recv(&mut buffer).unwrap();
    Message::from_vec(&buffer[..length]).unwrap()
}

#[test]
fn rfc1996_who_may_not_notify_is_refused() {
    let dead = crate::harness::free_port();
    let more = "notify-from = [\"127.0.0.16/28\"]\n[transfer]\nretry-min = \"1h\"\n";
    let node = node(&secondary(&[dead], None, more));
    let daemon = node.serve();
    let attempts = || daemon.status()["transfers"]["failed-unreachable"].as_u64().unwrap_or(0);
    daemon.until("the first attempt", || attempts() == 1);
    let refused = answer(&daemon, [127, 0, 0, 9], &notify("tld.test."));
    assert_eq!(refused.metadata.response_code, ResponseCode::Refused);
    assert_eq!(refused.metadata.op_code, OpCode::Notify);
    assert_eq!((refused.metadata.id, refused.queries.len()), (77, 1));
    let elsewhere = answer(&daemon, [127, 0, 0, 1], &notify("other.test."));
    assert_eq!(elsewhere.metadata.response_code, ResponseCode::NotAuth);
    assert_eq!(attempts(), 1);
    let accepted = answer(&daemon, [127, 0, 0, 17], &notify("TLD.test."));
    assert_eq!(accepted.metadata.response_code, ResponseCode::NoError);
    assert!(accepted.metadata.authoritative);
    daemon.until("the attempt that NOTIFY brought about", || attempts() == 2);
    let counts = daemon.status()["transfers"].clone();
    assert_eq!((&counts["notify"], &counts["notify-refused"]), (&1.into(), &2.into()));
}

/// Two clients, each with a primary and a key of its own: neither announces what is the other's, not by its own
/// key, and not by its address.
#[test]
fn a_client_does_not_announce_what_is_anothers() {
    const SECRETS: [&str; 2] = ["b25lIG9uZSBvbmU=", "dHdvIHR3byB0d28="];
    let dead = crate::harness::free_port();
    let mut text = "[transfer]\nretry-min = \"1h\"\n".to_owned();
    for client in [1, 2] {
        text += &format!(
            "[[key]]\nname = \"client{client}.\"\nsecret-file = \"{client}\"\n[[zone]]\nname = \
             \"zone{client}.test.\"\nprimaries = [{{ address = \"127.0.0.{client}0\", port = {dead}, key = \
             \"client{client}.\" }}]\nnotify-key = \"client{client}.\"\n"
        );
    }
    let node = Node::new(&text);
    let mut keys = Vec::new();
    for (client, secret) in [1, 2].into_iter().zip(SECRETS) {
        node.write(&client.to_string(), secret);
        let key = config::Key {
            name: format!("client{client}."),
            algorithm: "hmac-sha256".to_owned(),
            secret_file: node.path(&client.to_string()),
        };
        keys.push(Arc::new(Key::load(&key).unwrap()));
    }
    let daemon = node.serve();
    let attempts = || daemon.status()["transfers"]["failed-unreachable"].as_u64().unwrap_or(0);
    daemon.until("the first attempts", || attempts() == 2);
    let tell = |from: u8, key: Option<usize>, zone: u8| {
        let mut message = notify(&format!("zone{zone}.test."));
        if let Some(key) = key {
            let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
            Session::request(&keys[key], &mut message, now);
        }
        answer(&daemon, [127, 0, 0, from * 10], &message).metadata.response_code
    };
    for (from, key) in [(1, Some(0)), (1, Some(1)), (1, None)] {
        assert_eq!(tell(from, key, 2), ResponseCode::Refused, "{from} {key:?}");
    }
    // With the other's address, as a forger on the way would have it.
    assert_eq!(tell(2, None, 2), ResponseCode::Refused);
    assert_eq!(tell(2, Some(0), 2), ResponseCode::NotAuth, "a key that is none there");
    assert_eq!(attempts(), 2, "nothing was looked for");
    assert_eq!(tell(2, Some(1), 2), ResponseCode::NoError);
    daemon.until("the attempt that its own brought about", || attempts() == 3);
}

#[test]
fn a_flood_of_notify_is_a_few_looks() {
    let dead = crate::harness::free_port();
    // All of them are to come as far as the transfers.
    let more = "[transfer]\nretry-min = \"1h\"\n[limits]\npassed-per-source = 100000\n";
    let node = node(&secondary(&[dead], None, more));
    let daemon = node.serve();
    let message = notify("tld.test.");
    for _ in 0..500 {
        answer(&daemon, [127, 0, 0, 1], &message);
    }
    let counts = daemon.status()["transfers"].clone();
    assert_eq!(counts["notify"], 500, "{counts}");
    assert!(counts["failed-unreachable"].as_u64().unwrap() <= 10, "{counts}");
}

#[test]
fn a_notify_that_cannot_be_read_is_malformed() {
    let node = node(&secondary(&[9], None, ""));
    let daemon = node.serve();
    let mut message = notify("tld.test.");
    message[5] = 2;
    let answer = answer(&daemon, [127, 0, 0, 1], &message);
    assert_eq!(answer.metadata.response_code, ResponseCode::FormErr);
}
