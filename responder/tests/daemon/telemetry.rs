//! The HTTP listener.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use hickory_proto::rr::RecordType;

use crate::harness::{Node, free_port, query, small_zone, zones};

/// The status line and the body of a request's answer.
fn fetch(port: u16, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let request = format!("{request} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

fn node(port: u16) -> Node {
    Node::new(&format!(
        "[telemetry]\nlisten = \"127.0.0.1:{port}\"\n{}",
        zones(&[("a.example.", "a.zone")])
    ))
}

#[test]
fn metrics_are_prometheus_text_with_the_nodes_label() {
    let port = free_port();
    let node = node(port);
    node.write("a.zone", &small_zone(7));
    let daemon = node.serve();
    daemon.ask(&query(1, "a.example.", RecordType::SOA));
    let (status, body) = fetch(port, "GET /metrics");
    assert_eq!(status, "HTTP/1.1 200 OK");
    for line in [
        "responder_ready{node=\"test-node\"} 1",
        "responder_zone_serial{node=\"test-node\",zone=\"a.example.\"} 7",
        "responder_store_segments{node=\"test-node\"} 1",
        "responder_zone_dead_bytes{node=\"test-node\",zone=\"a.example.\"} 0",
        "responder_zone_index_slots{node=\"test-node\",zone=\"a.example.\"} 8",
        "responder_zone_index_slots_used{node=\"test-node\",zone=\"a.example.\"} 3",
        "responder_zone_state{node=\"test-node\",zone=\"a.example.\",state=\"serving\"} 1",
        "responder_socket_events_total{node=\"test-node\",transport=\"udp\",event=\"reply\"} 1",
    ] {
        assert!(body.lines().any(|other| other == line), "{line} is not in\n{body}");
    }
    // Every series belongs to a family that is declared once.
    for line in body.lines().filter(|line| !line.starts_with('#')) {
        let family = line.split('{').next().unwrap();
        assert_eq!(body.matches(&format!("# TYPE {family} ")).count(), 1, "{family}");
    }
}

#[test]
fn health_and_readiness_are_told_apart() {
    let port = free_port();
    let node = node(port);
    node.write("a.zone", "@ A nothing\n");
    let daemon = node.serve();
    let unready = "HTTP/1.1 503 Service Unavailable";
    assert_eq!(fetch(port, "GET /healthz"), ("HTTP/1.1 200 OK".into(), "alive\n".into()));
    assert_eq!(fetch(port, "GET /readyz"), (unready.into(), "0 of 1 zones are served\n".into()));
    node.write("a.zone", &small_zone(7));
    daemon.signal(libc::SIGHUP);
    daemon.until("readiness", || fetch(port, "GET /readyz").0 == "HTTP/1.1 200 OK");
    assert_eq!(fetch(port, "GET /nothing").0, "HTTP/1.1 404 Not Found");
    assert_eq!(fetch(port, "POST /metrics").0, "HTTP/1.1 405 Method Not Allowed");
}
