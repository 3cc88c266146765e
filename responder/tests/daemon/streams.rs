//! What clients may do to the sockets, and what comes back.

use std::{
    io::{Read, Write},
    time::{Duration, Instant},
};

use hickory_proto::{op::Message, rr::RecordType};

use crate::harness::{Node, query, receive, send, small_zone, zones};

fn node(more: &str) -> Node {
    let node = Node::new(&format!("{more}{}", zones(&[("a.example.", "a.zone")])));
    node.write("a.zone", &small_zone(7));
    node
}

#[test]
fn rfc7766_pipelined_queries_are_answered_in_order() {
    let node = node("");
    let daemon = node.serve();
    let mut stream = daemon.tcp();
    let mut octets = Vec::new();
    for id in 0..1000 {
        let question = query(id, "www.a.example.", RecordType::A);
        octets.extend_from_slice(&u16::try_from(question.len()).unwrap().to_be_bytes());
        octets.extend_from_slice(&question);
    }
    stream.write_all(&octets).unwrap();
    for id in 0..1000 {
        let reply = Message::from_vec(&receive(&mut stream).unwrap()).unwrap();
        assert_eq!(reply.metadata.id, id);
        assert_eq!(reply.answers.len(), 1);
    }
}

#[test]
fn rfc7766_a_query_may_come_in_pieces() {
    let node = node("");
    let daemon = node.serve();
    let mut stream = daemon.tcp();
    stream.set_nodelay(true).unwrap();
    let question = query(9, "www.a.example.", RecordType::A);
    let length = u16::try_from(question.len()).unwrap().to_be_bytes();
    for octet in [&length[..], &question].concat() {
        stream.write_all(&[octet]).unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(receive(&mut stream), Some(daemon.ask(&question)));
}

#[test]
fn who_completes_no_message_in_time_is_left_even_if_octets_trickle() {
    let node = node("[limits]\ntcp-idle = \"1s\"\n");
    let daemon = node.serve();
    let started = Instant::now();
    let mut silent = daemon.tcp();
    let mut trickling = daemon.tcp();
    let mut closed = false;
    while started.elapsed() < Duration::from_secs(60) && !closed {
        closed = trickling.write_all(&[0xff]).is_err();
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(closed, "the trickling connection was kept");
    assert!(started.elapsed() >= Duration::from_millis(900), "{:?}", started.elapsed());
    assert_eq!(receive(&mut silent), None);
    assert_eq!(daemon.status()["sockets"]["tcp"]["connection-idle"], 2);
}

#[test]
fn a_source_has_a_bounded_number_of_connections() {
    let node = node("[limits]\ntcp-connections-per-source = 2\n");
    let daemon = node.serve();
    let question = query(1, "a.example.", RecordType::SOA);
    let mut kept = [daemon.tcp(), daemon.tcp()];
    for stream in &mut kept {
        send(stream, &question);
        assert!(receive(stream).is_some());
    }
    assert_eq!(receive(&mut daemon.tcp()), None);
    assert_eq!(daemon.status()["sockets"]["tcp"]["connection-source-limit"], 1);

    // Who leaves makes room.
    drop(kept);
    daemon.until("room again", || {
        let mut stream = daemon.tcp();
        // The daemon may close before this is written.
        let length = u16::try_from(question.len()).unwrap().to_be_bytes();
        let _ = stream.write_all(&[&length, &question[..]].concat());
        receive(&mut stream).is_some()
    });
}

#[test]
fn a_client_that_reads_nothing_is_left_and_harms_nobody() {
    let node = node("[limits]\ntcp-idle = \"1s\"\n");
    let daemon = node.serve();
    let mut deaf = daemon.tcp();
    deaf.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
    let question = query(1, "www.a.example.", RecordType::A);
    let length = u16::try_from(question.len()).unwrap().to_be_bytes();
    let many = [&length[..], &question].concat().repeat(10_000);
    // Until the daemon closes: its replies find no room, and then it reads no more.
    let left = (0..200).any(|_| deaf.write_all(&many).is_err());
    assert!(left, "the deaf connection was kept");
    assert_eq!(daemon.ask(&question)[3] & 0x0f, 0);
    daemon.until("the count", || daemon.status()["sockets"]["tcp"]["connection-idle"] == 1);
}

#[test]
fn what_the_engine_does_not_take_gets_a_header_that_says_why() {
    const FORMERR: u8 = 1;
    let node = node("");
    let daemon = node.serve();
    // It does not say which serial the client has (RFC 1995, section 3).
    let ixfr = query(0x1234, "a.example.", RecordType::IXFR);
    assert_eq!(daemon.ask(&ixfr), [0x12, 0x34, 0x80, FORMERR, 0, 0, 0, 0, 0, 0, 0, 0]);

    let mut oversize = query(0x1234, "a.example.", RecordType::SOA);
    oversize.resize(3000, 0);
    let refused = [0x12, 0x34, 0x80, FORMERR, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(daemon.ask(&oversize), refused);
    let mut stream = daemon.tcp();
    oversize.resize(65_535, 0);
    send(&mut stream, &oversize);
    assert_eq!(receive(&mut stream).as_deref(), Some(&refused[..]));

    let udp = &daemon.status()["sockets"]["udp"];
    assert_eq!(udp["transfer"], 1);
    assert_eq!(udp["oversize"], 1);
}

#[test]
fn responses_and_runts_are_dropped_and_counted() {
    let node = node("");
    let daemon = node.serve();
    let mut response = query(1, "a.example.", RecordType::SOA);
    response[2] |= 0x80;
    let socket = daemon.udp();
    socket.send(&response).unwrap();
    socket.send(&response[..11]).unwrap();
    socket.send(&[]).unwrap();
    daemon.until("three drops", || daemon.status()["sockets"]["udp"]["drop"] == 3);
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut [0; 16]).is_err());

    // Over TCP the connection lives on.
    let mut stream = daemon.tcp();
    send(&mut stream, &response);
    let question = query(2, "a.example.", RecordType::SOA);
    send(&mut stream, &question);
    assert_eq!(receive(&mut stream), Some(daemon.ask(&question)));
}

#[test]
fn a_client_that_closes_its_half_still_gets_its_answers() {
    let node = node("");
    let daemon = node.serve();
    let mut stream = daemon.tcp();
    let question = query(2, "a.example.", RecordType::SOA);
    send(&mut stream, &question);
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(receive(&mut stream), Some(daemon.ask(&question)));
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}
