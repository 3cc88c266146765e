//! The HTTP listener.

use std::os::unix::process::CommandExt as _;

use hickory_proto::rr::RecordType;

use crate::harness::{Node, fetch, free_port, query, serial, small_zone, zones};

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

#[test]
fn a_node_that_may_not_load_programs_serves_from_sockets_and_says_so() {
    /// As in linux/capability.h: what loading a program takes.
    const SYS_ADMIN_AND_BPF: [libc::c_ulong; 2] = [21, 39];
    let (http, node) = (free_port(), Node::new(""));
    let port = node.port;
    node.write("a.zone", &small_zone(7));
    node.write(
        "r.toml",
        &format!(
            "[node]\nid = \"test-node\"\nstate = \"state\"\n[listen]\naddresses = [\"127.0.0.1\"]\nport \
             = {port}\n[telemetry]\nlisten = \"127.0.0.1:{http}\"\n[xdp]\nmode = \"auto\"\ninterfaces = \
             [\"lo\"]\n{}",
            zones(&[("a.example.", "a.zone")])
        ),
    );
    // SAFETY: prctl may be called between fork and exec. Who has no such capability needs none dropped.
    let daemon = node.serve_with(|command| unsafe {
        command.pre_exec(|| {
            for capability in SYS_ADMIN_AND_BPF {
                libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0);
            }
            Ok(())
        });
    });
    assert_eq!(serial(&daemon.ask(&query(1, "a.example.", RecordType::SOA))), 7);
    let status = daemon.status();
    let reason = status["data-plane"]["degraded"].as_str().expect("the node is degraded");
    assert!(reason.starts_with("no permission to load BPF programs: "), "{reason}");
    let (_, metrics) = fetch(http, "GET /metrics");
    assert!(metrics.contains("\nresponder_degraded{node=\"test-node\"} 1\n"), "{metrics}");
    let log = daemon.log();
    let told = log.lines().filter(|line| line.contains("ERROR") && line.contains("DEGRADED"));
    assert_eq!(told.count(), 1, "{log}");
}
