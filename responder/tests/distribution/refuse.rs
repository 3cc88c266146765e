//! What those get who may not have a zone, or ask for too much.

use std::{
    io::Read as _,
    time::{Duration, Instant},
};

use hickory_proto::rr::RecordType;

use crate::{
    ask::{SECRET, axfr, dig, node, zone},
    harness::{query, receive, send},
};

const SIGNED: &str = "{ address = \"127.0.0.0/8\", key = \"k.\" }";
const ANYBODY: &str = "{ address = \"127.0.0.0/8\" }";

#[test]
fn rfc5936_who_may_not_is_refused_and_told_why() {
    let node = node(0, "{ address = \"127.0.0.2\" }, { address = \"192.0.2.0/24\" }", "");
    let daemon = node.serve();
    let ask = |arguments: &[&str]| {
        let mut all = vec!["AXFR", "+tcp"];
        all.extend_from_slice(arguments);
        // A whole answer is only shown where the transfer is not taken for one.
        dig(node.port, &all, None)
    };
    assert!(ask(&["tld.test"]).contains("Transfer failed"));
    assert!(ask(&["tld.test", "-b", "127.0.0.2"]).contains("XFR size: 13 records"));
    let refusal = |name: &str| {
        let mut stream = daemon.tcp();
        send(&mut stream, &query(1, name, RecordType::AXFR));
        let octets = receive(&mut stream).unwrap();
        let message = responder::strict::Message::parse(&octets).unwrap();
        (message.rcode(), message.edns.unwrap().options)
    };
    assert_eq!(refusal("tld.test."), (5, vec![(15, vec![0, 18])]));
    assert_eq!(refusal("elsewhere.test."), (9, vec![(15, vec![0, 20])]));
    assert_eq!(daemon.status()["transfers"]["out-refused"], 3);
}

#[test]
fn rfc8945_another_key_or_none_or_a_wrong_secret_gets_nothing() {
    let node = node(0, SIGNED, "");
    let daemon = node.serve();
    assert_eq!(axfr(node.port, "tld.test", Some(&format!("k:{SECRET}"))).1, 12);
    assert_eq!(axfr(node.port, "tld.test", None).1, 0);
    assert_eq!(axfr(node.port, "tld.test", Some("other:b3RoZXI=")).1, 0);
    for (key, fault) in [("k:b3RoZXI=", "BADSIG"), ("nobody:b3RoZXI=", "BADKEY")] {
        assert_eq!(axfr(node.port, "tld.test", Some(key)).1, 0);
        for transport in ["+tcp", "+notcp"] {
            let said = dig(node.port, &["tld.test", "SOA", transport], Some(key));
            assert!(said.contains("status: NOTAUTH") && said.contains(fault), "{said}");
        }
    }
    assert_eq!(daemon.status()["sockets"]["udp"]["signature-refused"], 2);
}

#[test]
fn a_zone_without_data_is_not_ready() {
    let node = node(0, ANYBODY, "");
    node.write("zone", "nonsense");
    let daemon = node.serve();
    let mut stream = daemon.tcp();
    send(&mut stream, &query(1, "tld.test.", RecordType::AXFR));
    let octets = receive(&mut stream).unwrap();
    let message = responder::strict::Message::parse(&octets).unwrap();
    assert_eq!((message.rcode(), message.answer.len()), (2, 0));
    node.write("zone", &zone(5, 0));
    node.run(&["zone", "reload", "tld.test.", "--config", "r.toml"]);
    assert_eq!(axfr(node.port, "tld.test", None).1, 12);
}

#[test]
fn an_address_has_a_bounded_number_of_transfers_and_who_takes_nothing_is_left() {
    let limits = "[limits]\ntransfers-out-per-peer = 2\ntransfer-idle = \"5s\"\n";
    let node = node(0, ANYBODY, limits);
    // More than the system keeps on its way.
    let text = "x".repeat(250);
    let many: String = (0..40_000).map(|number| format!("T{number} TXT \"{text}\"\n")).collect();
    node.write("zone", &(zone(5, 0) + &many));
    let daemon = node.serve();
    let started = Instant::now();
    let mut deaf = [daemon.tcp(), daemon.tcp()];
    for stream in &mut deaf {
        send(stream, &query(1, "tld.test.", RecordType::AXFR));
        // It has begun.
        stream.read_exact(&mut [0]).unwrap();
    }
    let mut third = daemon.tcp();
    send(&mut third, &query(1, "tld.test.", RecordType::AXFR));
    let octets = receive(&mut third).unwrap();
    assert_eq!(octets[3] & 0x0f, 2, "SERVFAIL");
    daemon.until("the end of both", || daemon.status()["transfers"]["out-failed"] == 2);
    assert!(started.elapsed() >= Duration::from_secs(5));
    assert!(daemon.log().contains("it takes no message"), "{}", daemon.log());
    // Their places are free again.
    assert_eq!(axfr(node.port, "tld.test", None).1, 40_012);
}
