//! BIRD as the announcer.

use std::fs;

use crate::{
    harness::{Node, small_zone, zones},
    place::{Bird, EDGE, Place, WORLD, until, watch_logs},
};

/// How the node is told to judge quickly.
pub const QUICK: &str = "health = { interval = \"100ms\", timeout = \"5s\", rise = 2, fall = 2, hold-down = \"300ms\", \
                         hold-down-max = \"300ms\", stop-wait = \"0s\" }\n";

/// A node at the service's addresses, with one zone and `service` in its configuration.
pub fn node(service: &str) -> Node {
    node_with("[xdp]\nmode = \"off\"\n", service)
}

/// The same, with an `[xdp]` section.
pub fn node_with(xdp: &str, service: &str) -> Node {
    let node = Node::new("");
    watch_logs(&node.path(""));
    node.write("lac.zone", &small_zone(1));
    node.write(
        "r.toml",
        &format!(
            "[node]\nid = \"test-node\"\nstate = \"state\"\n[listen]\naddresses = [\"192.0.2.53\", \
             \"2001:db8::53\"]\nport = 53\n{xdp}{}[[service]]\nname = \
             \"any-cast\"\nprefixes = [\"192.0.2.0/24\", \"2001:db8::/48\"]\n{QUICK}{service}",
            zones(&[("lac.", "lac.zone")]),
        ),
    );
    node
}

/// What goes with the routes of a service.
pub const MARKED: &str = "as = 65001\nmed = 77\ncommunities = [\"65001:100\", \"65001:1:2\"]\n";

pub const BOTH: [&str; 2] = ["192.0.2.0/24", "2001:db8::/48"];

pub fn edge(place: &Place, more: &str, exported: &str) -> Bird {
    let channels = format!(
        "ipv4 {{ import none; export {exported}; next hop self; }}; ipv6 {{ import none; export \
         {exported}; next hop self; }};"
    );
    place.bird(
        "edge",
        &format!(
            "log stderr all;\nrouter id {EDGE};\nprotocol device {{}}\n{more}\nprotocol bgp world \
             {{\n  local {EDGE} as 65001;\n  neighbor {WORLD} as 65000;\n  strict bind yes;\n  \
             multihop;\n  connect retry time 1;\n  connect delay time 1;\n  error wait time 1, 2;\n  \
             {channels}\n}}\n"
        ),
    )
}

/// What [`MARKED`] has been made of.
pub fn has_all_marks(world: &Bird) {
    let heard = world.heard();
    for prefix in BOTH {
        let marks = &heard[prefix];
        assert!(marks.contains("BGP.community: (65001,100)"), "{marks}");
        assert!(marks.contains("BGP.large_community: (65001, 1, 2)"), "{marks}");
        assert!(marks.contains("BGP.med: 77"), "{marks}");
        assert!(marks.contains("BGP.as_path: 65001\n"), "{marks}");
    }
}

/// Each family has a course of its own.
pub fn v6_goes_and_comes_back_alone(place: &Place, world: &Bird) {
    place.ip("address del 2001:db8::53/128 dev lo");
    until("only IPv4", || world.prefixes() == [BOTH[0]]);
    place.ip("address add 2001:db8::53/128 dev lo");
    until("both families", || world.prefixes() == BOTH);
}

#[test]
fn an_included_file_announces_marks_drains_and_outlives_a_restart_of_bird() {
    let place = Place::new(true);
    let world = place.world();
    let include = place.path("routes/any-cast.conf");
    let included = format!("include \"{}\";", place.path("routes/*.conf").display());
    // A pattern may match nothing, but its folder must be there.
    fs::create_dir(place.path("routes")).unwrap();
    // BIRD sends a MED to other systems only if its export filter has set it.
    let exported = "filter { if defined(bgp_med) then bgp_med = bgp_med; accept; }";
    let start = || edge(&place, &included, exported);
    let mut bird = start();
    let node = node(&format!(
        "{MARKED}bird = {{ socket = \
         \"{}\", include = \"{}\" }}\ndrain = {{ wait = \"1500ms\", prepend = 2 }}\n",
        place.path("edge.ctl").display(),
        include.display(),
    ));
    let mut daemon = node.serve();
    until("both prefixes", || world.prefixes() == BOTH);
    has_all_marks(&world);

    // BIRD is killed and comes back: it finds the file as it should be.
    bird.running.end();
    until("told of", || daemon.log().contains("BIRD does not run"));
    until("withdrawn by the session's end", || world.prefixes().is_empty());
    bird = start();
    until("both prefixes again", || world.prefixes() == BOTH);
    until("reconciled", || daemon.status()["services"][0]["fault"].is_null());
    // The file is lost: it is made again.
    fs::remove_file(&include).unwrap();
    bird.ask("configure soft");
    until("both prefixes without the file", || include.exists() && world.prefixes() == BOTH);

    v6_goes_and_comes_back_alone(&place, &world);
    assert!(!daemon.log().contains("family=v4 WITHDRAWN"), "{}", daemon.log());

    // A graceful drain: less preferred first, then gone; and it stays so over a restart.
    let ran = node.run(&["drain", "--config", "r.toml"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    until("graceful shutdown", || {
        let heard = world.heard();
        BOTH.iter().all(|prefix| {
            heard.get(*prefix).is_some_and(|marks| {
                marks.contains("(65535,0)") && marks.contains("as_path: 65001 65001 65001")
            })
        })
    });
    until("drained", || world.prefixes().is_empty());
    daemon.signal(libc::SIGTERM);
    assert_eq!(daemon.wait(), Some(0));
    drop(daemon);
    let mut daemon = node.serve();
    until("drained still", || daemon.status()["services"][0]["families"][0]["cause"] == "drained");
    assert_eq!(world.prefixes(), [""; 0]);
    assert_eq!(node.run(&["undrain", "--config", "r.toml"]).code, Some(0));
    until("back, less preferred", || {
        world.heard().get(BOTH[0]).is_some_and(|marks| marks.contains("(65535,0)"))
    });
    until("back as before", || {
        world.heard().get(BOTH[0]).is_some_and(|marks| !marks.contains("(65535,0)"))
    });

    // The end withdraws.
    daemon.signal(libc::SIGTERM);
    assert_eq!(daemon.wait(), Some(0));
    until("withdrawn at the end", || world.prefixes().is_empty());
}

#[test]
fn protocols_are_switched_on_and_off() {
    let place = Place::new(true);
    let world = place.world();
    let own = "protocol static any4 { disabled; ipv4; route 192.0.2.0/24 blackhole; }\nprotocol \
               static any6 { disabled; ipv6; route 2001:db8::/48 blackhole; }";
    let start = || edge(&place, own, "where source = RTS_STATIC");
    let mut bird = start();
    let node = node(&format!(
        "bird = {{ socket = \"{}\", protocol-v4 = \"any4\", protocol-v6 = \"any6\" }}\n",
        place.path("edge.ctl").display(),
    ));
    let daemon = node.serve();
    until("both prefixes", || world.prefixes() == BOTH);
    bird.running.end();
    until("withdrawn by the session's end", || world.prefixes().is_empty());
    bird = start();
    until("switched on again", || world.prefixes() == BOTH);
    assert_eq!(node.run(&["drain", "--config", "r.toml", "--service", "any-cast"]).code, Some(0));
    until("drained", || world.prefixes().is_empty());
    assert_eq!(node.run(&["undrain", "--config", "r.toml"]).code, Some(0));
    until("back", || world.prefixes() == BOTH);

    // The daemon is killed, and nothing in the kernel answers: `withdraw` is what its unit runs then.
    let refused = node.run(&["withdraw", "--config", "r.toml"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("responder drain"), "{refused:?}");
    drop(daemon);
    assert_eq!(world.prefixes(), BOTH);
    assert_eq!(node.run(&["withdraw", "--config", "r.toml"]).code, Some(0));
    until("withdrawn", || world.prefixes().is_empty());
    drop(bird);
}

#[test]
fn the_watchdog_withdraws_when_the_daemon_is_frozen_or_dead() {
    let place = Place::new(true);
    let world = place.world();
    let own = "protocol static any4 { disabled; ipv4; route 192.0.2.0/24 blackhole; }\nprotocol \
               static any6 { disabled; ipv6; route 2001:db8::/48 blackhole; }";
    let _bird = edge(&place, own, "where source = RTS_STATIC");
    let node = node(&format!(
        "bird = {{ socket = \"{}\", protocol-v4 = \"any4\", protocol-v6 = \"any6\" }}\n[watchdog]\n\
         interval = \"100ms\"\nfall = 3\nrise = 3\n",
        place.path("edge.ctl").display(),
    ));
    let daemon = node.serve();
    until("both prefixes", || world.prefixes() == BOTH);
    let _watchdog =
        place.start("watchdog", node.command().args(["watchdog", "--config", "r.toml"]));

    daemon.halt();
    until("withdrawn while frozen", || world.prefixes().is_empty());
    daemon.signal(libc::SIGCONT);
    until("announced again", || world.prefixes() == BOTH);

    // Killed, and nothing in the kernel answers for it.
    drop(daemon);
    until("withdrawn when dead", || world.prefixes().is_empty());
    let _daemon = node.serve();
    until("announced by the next", || world.prefixes() == BOTH);
}
