//! ExaBGP as the announcer.

use std::{fs, process::Command};

use crate::{
    bird::{BOTH, MARKED, has_all_marks, node, v6_goes_and_comes_back_alone},
    harness::Node,
    place::{EDGE, Place, Running, WORLD, found, until},
};

/// ExaBGP, which runs `responder announce` for the node.
fn exabgp(place: &Place, node: &Node) -> Running {
    let file = place.path("exabgp.conf");
    let (program, config) = (env!("CARGO_BIN_EXE_responder"), node.path("r.toml"));
    fs::write(
        &file,
        format!(
            "process responder {{\n  run {program} announce --config {};\n  encoder text;\n}}\n\
             neighbor {WORLD} {{\n  router-id {EDGE};\n  local-address {EDGE};\n  local-as 65001;\n  \
             peer-as 65000;\n  family {{ ipv4 unicast; ipv6 unicast; }}\n  api {{ processes [ \
             responder ]; }}\n}}\n",
            config.display()
        ),
    )
    .unwrap();
    let mut command = Command::new(found("exabgp"));
    command.arg(&file).env("exabgp.daemon.user", "root").env("exabgp.daemon.daemonize", "false");
    command.env("exabgp.api.cli", "false").env("exabgp.api.ack", "true");
    place.start("exabgp", &mut command)
}

#[test]
fn its_process_announces_marks_drains_and_outlives_restarts() {
    let place = Place::new(true);
    place.ip("address add fd00::1/128 dev lo");
    let world = place.world();
    let node = node(&format!(
        "{MARKED}exabgp = {{ folder = \"exabgp\", next-hops = [\"10.0.0.1\", \"fd00::1\"] }}\ndrain = {{ \
         wait = \"1500ms\", prepend = 2 }}\n"
    ));
    let mut daemon = node.serve();
    until("told that nobody listens", || daemon.log().contains("ExaBGP does not run"));
    let mut running = exabgp(&place, &node);
    until("both prefixes", || world.prefixes() == BOTH);
    has_all_marks(&world);
    until("acknowledged", || daemon.status()["services"][0]["fault"].is_null());

    // ExaBGP is killed and comes back.
    running.end();
    until("withdrawn by the session's end", || world.prefixes().is_empty());
    running = exabgp(&place, &node);
    until("both prefixes again", || world.prefixes() == BOTH);
    until("reconciled", || daemon.status()["services"][0]["fault"].is_null());

    v6_goes_and_comes_back_alone(&place, &world);

    assert_eq!(node.run(&["drain", "--config", "r.toml"]).code, Some(0));
    until("graceful shutdown", || {
        let heard = world.heard();
        heard.get(BOTH[0]).is_some_and(|marks| {
            marks.contains("(65535,0)") && marks.contains("as_path: 65001 65001")
        })
    });
    until("drained", || world.prefixes().is_empty());
    assert_eq!(node.run(&["undrain", "--config", "r.toml"]).code, Some(0));
    until("back as before", || {
        world.heard().get(BOTH[0]).is_some_and(|marks| !marks.contains("(65535,0)"))
    });
    daemon.signal(libc::SIGTERM);
    assert_eq!(daemon.wait(), Some(0));
    until("withdrawn at the end", || world.prefixes().is_empty());
    drop(running);
}
