//! What those get who may have a zone.

use hickory_proto::{op::Message, rr::RecordType};
use responder::strict;

use crate::{
    ask::{SECRET, axfr, dig, ixfr, node, zone},
    harness::{query, receive, send, serial},
};

const ANYBODY: &str = "{ address = \"127.0.0.0/8\" }";
const SIGNED: &str = "{ address = \"127.0.0.0/8\", key = \"k.\" }";

#[test]
fn rfc5936_a_zone_is_given_whole_and_the_case_of_names_is_kept() {
    let node = node(20_000, ANYBODY, "");
    let daemon = node.serve();
    let (records, count) = axfr(node.port, "tld.test", None);
    assert_eq!((records.len(), count), (40_012, 40_012), "{}", daemon.log());
    for record in [
        "Tld.test. 3600 IN SOA ns1.Tld.test. Hostmaster.Example. 5 7200 3600 1209600 300",
        "Tld.test. 3600 IN NS Ns1.Tld.test.",
        "Tld.test. 3600 IN MX 10 Mail.Tld.test.",
        "MiXed.Tld.test. 3600 IN CNAME tArget.Elsewhere.example.",
        "odd.Tld.test. 3600 IN TYPE65400 \\# 4 01020304",
        "srv.Tld.test. 60 IN SRV 0 0 53 NS1.Tld.test.",
        "*.wild.Tld.test. 3600 IN TXT \"5\"",
        "D19999.Tld.test. 3600 IN NS ns1.D19999.Tld.test.",
        "ns1.D777.Tld.test. 3600 IN A 198.51.3.27",
    ] {
        assert!(records.contains(record), "{record} is missing");
    }
    let log = daemon.log();
    assert!(log.contains("zone given"), "{log}");
    assert_eq!(daemon.status()["transfers"]["out-axfr"], 1);
}

#[test]
fn a_small_zone_is_given_as_well_and_follows_its_file() {
    let node = node(0, ANYBODY, "");
    let daemon = node.serve();
    assert_eq!(axfr(node.port, "tld.test", None).1, 12);
    node.write("zone", &zone(6, 1));
    let ran = node.run(&["zone", "reload", "tld.test.", "--config", "r.toml"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let (records, count) = axfr(node.port, "tld.test", None);
    assert_eq!(count, 14, "{}", daemon.log());
    assert!(records.contains("*.wild.Tld.test. 3600 IN TXT \"6\""));
}

#[test]
fn rfc5936_every_message_is_without_fault_and_nearly_full() {
    let node = node(5_000, ANYBODY, "");
    let daemon = node.serve();
    let mut stream = daemon.tcp();
    // A question behind the transfer is answered behind it (RFC 7766, section 6.2.1.1).
    let mut question = query(7, "tld.test.", RecordType::AXFR);
    question[14] = b'L';
    send(&mut stream, &question);
    send(&mut stream, &query(8, "mail.tld.test.", RecordType::A));
    let (mut records, mut messages) = (0, 0);
    let mut soas = 0;
    loop {
        let octets = receive(&mut stream).unwrap();
        let message = strict::Message::parse(&octets).unwrap();
        if message.header.id == 8 {
            assert_eq!(message.answer.len(), 1);
            break;
        }
        assert_eq!((message.header.id, message.header.aa, message.rcode()), (7, true, 0));
        assert_eq!(message.question.len(), usize::from(messages == 0));
        assert_eq!(message.edns.is_some(), messages == 0);
        if let Some(question) = message.question.first() {
            assert_eq!(question.name.wire(), b"\x03tLd\x04test\0");
        }
        records += message.answer.len();
        messages += 1;
        soas += message.answer.iter().filter(|r| r.rtype == strict::rtype::SOA).count();
        if soas < 2 {
            assert!((16_000..=16_384).contains(&octets.len()), "{}", octets.len());
        }
    }
    assert_eq!((records, soas), (10_013, 2));
    assert!(messages > 10, "{messages}");
}

#[test]
fn rfc8945_a_signed_transfer_is_signed_in_every_message() {
    let node = node(20_000, SIGNED, "");
    let daemon = node.serve();
    let key = format!("k:{SECRET}");
    // dig gives nothing of a message whose signature does not hold.
    assert_eq!(axfr(node.port, "tld.test", Some(&key)).1, 40_012, "{}", daemon.log());
    // Secondaries ask for the SOA with their key first, over either transport.
    for transport in ["+tcp", "+notcp"] {
        let said = dig(node.port, &["tld.test", "SOA", "+norec", transport], Some(&key));
        assert!(said.contains("status: NOERROR") && said.contains("TSIG"), "{said}");
        assert!(!said.contains("WARNING") && !said.contains("could not"), "{said}");
    }
}

#[test]
fn rfc1995_who_is_up_to_date_gets_the_soa_alone() {
    let node = node(10, ANYBODY, "");
    let daemon = node.serve();
    for serial in [5, 6] {
        let mut stream = daemon.tcp();
        send(&mut stream, &ixfr("tld.test.", serial));
        let message = Message::from_vec(&receive(&mut stream).unwrap()).unwrap();
        assert_eq!(message.answers.len(), 1, "{message}");
        // The connection is for more questions.
        send(&mut stream, &query(3, "tld.test.", RecordType::SOA));
        assert!(receive(&mut stream).is_some());
    }
}

#[test]
fn rfc1995_a_datagram_gets_the_soa_alone_and_a_stream_the_zone() {
    let node = node(10, ANYBODY, "");
    let daemon = node.serve();
    let reply = daemon.ask(&ixfr("tld.test.", 4));
    assert_eq!(Message::from_vec(&reply).unwrap().answers.len(), 1);
    assert_eq!(serial(&reply), 5);
    let mut stream = daemon.tcp();
    send(&mut stream, &ixfr("tld.test.", 4));
    let message = Message::from_vec(&receive(&mut stream).unwrap()).unwrap();
    assert_eq!(message.answers.len(), 33, "no version before this one is known");
}
