//! FRR, which redistributes the routes of an interface on which the service's addresses come and go.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use crate::{
    bird::node,
    place::{EDGE, Place, Running, WORLD, found, until},
};

/// A daemon of FRR's, with its sockets in the test's folder.
fn frr(place: &Place, name: &str, config: &str, more: &[&str]) -> Running {
    let file = place.path(&format!("{name}.conf"));
    fs::write(&file, config).unwrap();
    let mut command = Command::new(found(name));
    command.arg("-f").arg(&file).arg("-i").arg(place.path(&format!("{name}.pid")));
    command.arg("-z").arg(place.path("zserv.api")).arg("--vty_socket").arg(place.path(""));
    command.args(["-P", "0", "--log", "stdout"]).args(more);
    place.start(name, &mut command)
}

#[test]
fn addresses_come_and_go_and_are_redistributed() {
    const BOTH: [&str; 2] = ["192.0.2.53/32", "2001:db8::53/128"];
    let place = Place::new(false);
    // FRR's daemons become a user of their own.
    fs::set_permissions(place.path(""), fs::Permissions::from_mode(0o777)).unwrap();
    // Not every kernel has interfaces of type dummy; this one leads nowhere either.
    place.ip("link add dummy0 type veth peer name dummy1");
    place.ip("link set dummy1 up");
    place.ip("link set dummy0 up");
    let world = place.world();
    let zebra = frr(&place, "zebra", "", &[]);
    until("zebra listens", || place.path("zserv.api").exists());
    place.ip("address add fd00::1/128 dev lo");
    let config = format!(
        "router bgp 65001\n bgp router-id {EDGE}\n no bgp ebgp-requires-policy\n neighbor {WORLD} \
         remote-as 65000\n neighbor {WORLD} update-source {EDGE}\n neighbor {WORLD} ebgp-multihop 2\n \
         neighbor {WORLD} timers connect 1\n address-family ipv4 unicast\n  redistribute connected \
         route-map anycast\n exit-address-family\n address-family ipv6 unicast\n  neighbor {WORLD} \
         activate\n  neighbor {WORLD} route-map hop out\n  redistribute connected route-map \
         anycast\n exit-address-family\nroute-map anycast permit 10\n match interface \
         dummy0\nroute-map hop permit 10\n set ipv6 next-hop global fd00::1\n"
    );
    let start = || frr(&place, "bgpd", &config, &["-l", EDGE]);
    let mut bgpd = start();
    let node = node("address = { interface = \"dummy0\" }\n");
    let mut daemon = node.serve();
    until("both addresses", || world.prefixes() == BOTH);
    bgpd.end();
    until("withdrawn by the session's end", || world.prefixes().is_empty());
    bgpd = start();
    until("both addresses again", || world.prefixes() == BOTH);
    // Somebody takes one away: it is put back.
    place.ip("address del 192.0.2.53/32 dev dummy0");
    until("both addresses as they should be", || {
        world.prefixes() == BOTH && daemon.status()["services"][0]["fault"].is_null()
    });
    assert_eq!(node.run(&["drain", "--config", "r.toml"]).code, Some(0));
    until("drained", || world.prefixes().is_empty());
    assert_eq!(node.run(&["undrain", "--config", "r.toml"]).code, Some(0));
    until("back", || world.prefixes() == BOTH);
    daemon.signal(libc::SIGTERM);
    assert_eq!(daemon.wait(), Some(0));
    until("withdrawn at the end", || world.prefixes().is_empty());
    drop((bgpd, zebra));
}
