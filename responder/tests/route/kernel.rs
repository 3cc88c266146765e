//! What the kernel's programs have to do with a route: they are tried, and watched, and answer on.

use std::{fs, path::PathBuf};

use crate::{
    bird::{BOTH, edge, node_with},
    harness::Node,
    place::{Place, Running, run, until},
};

/// What is pinned; gone on drop.
struct Pins(PathBuf);

impl Drop for Pins {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn service(node: &Node) -> serde_json::Value {
    let ran = node.run(&["status", "--json", "--config", "r.toml"]);
    let status: serde_json::Value = serde_json::from_str(&ran.out).unwrap_or_default();
    status["services"][0].clone()
}

#[test]
fn routes_outlive_a_kill_until_the_lease_runs_out_and_fall_with_the_program() {
    let place = Place::new(true);
    place.ip("link add vs type veth peer name vc");
    place.ip("link set vc up");
    place.ip("link set vs up");
    let world = place.world();
    let own = "protocol static any4 { disabled; ipv4; route 192.0.2.0/24 blackhole; }\nprotocol \
               static any6 { disabled; ipv6; route 2001:db8::/48 blackhole; }";
    let _bird = edge(&place, own, "where source = RTS_STATIC");
    let pins = Pins(format!("/sys/fs/bpf/responder-route-{}", std::process::id()).into());
    let node = node_with(
        &format!(
            "[xdp]\nmode = \"native\"\ninterfaces = [\"vs\"]\nlease = \"20s\"\npins = \"{}\"\n",
            pins.0.display()
        ),
        &format!(
            "bird = {{ socket = \"{}\", protocol-v4 = \"any4\", protocol-v6 = \"any6\" }}\n[[peer]]\nid = \
             \"test-node\"\naddresses = [\"192.0.2.53\"]\ninterval = \"100ms\"\n[watchdog]\ninterval = \
             \"100ms\"\n",
            place.path("edge.ctl").display(),
        ),
    );
    let serve = || -> Running {
        let command = &mut node.command();
        place.start("daemon", command.args(["serve", "--config", "r.toml", "--on-stop", "keep"]))
    };
    let mut daemon = serve();
    until("both prefixes", || world.prefixes() == BOTH);
    let status = service(&node);
    for family in status["families"].as_array().unwrap() {
        assert_eq!(family["faults"], serde_json::json!([]), "{status}");
        assert_eq!(family["notes"], serde_json::json!([]), "the kernel was not tried: {status}");
    }
    until("the peer, which is the node itself, tells its identity", || {
        let ran = node.run(&["status", "--config", "r.toml"]);
        ran.out.contains("test-node at 192.0.2.53:53: answers")
    });
    until("the lease is noted", || node.path("state/lease").exists());
    let watchdog = place.start("watchdog", node.command().args(["watchdog", "--config", "r.toml"]));

    // Killed, and started again: the route never goes.
    daemon.end();
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(world.prefixes(), BOTH);
    daemon = serve();
    until("taken over", || service(&node)["families"][0]["route"] == "announced");
    let log = fs::read_to_string(place.path("daemon.log")).unwrap();
    assert!(log.contains("still announced"), "{log}");
    assert!(!log.contains("WITHDRAWN"), "{log}");

    // Killed, and nobody comes back.
    daemon.end();
    until("withdrawn after the lease", || world.prefixes().is_empty());
    daemon = serve();
    until("announced by the next", || world.prefixes() == BOTH);

    // The program is taken away under a living daemon, which sees it without a watchdog.
    drop(watchdog);
    let mut pinned = fs::read_dir(&pins.0).unwrap().map(|entry| entry.unwrap().path());
    let xdp = pinned.find(|path| path.display().to_string().contains("/xdp-")).unwrap();
    run("bpftool", &format!("link detach pinned {}", xdp.display()));
    until("withdrawn without its program", || world.prefixes().is_empty());
    assert!(service(&node).to_string().contains("lost our XDP program"), "{}", service(&node));
    daemon.end();
}
