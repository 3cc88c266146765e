//! Zones change while queries are answered.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use hickory_proto::rr::RecordType;

use crate::harness::{Daemon, Node, query, serial, small_zone, zones};

fn served(daemon: &Daemon<'_>, zone: &str) -> u32 {
    serial(&daemon.ask(&query(1, zone, RecordType::SOA)))
}

/// The response code of the answer to a SOA query.
fn rcode(daemon: &Daemon<'_>, zone: &str) -> u8 {
    daemon.ask(&query(1, zone, RecordType::SOA))[3] & 0x0f
}

const REFUSED: u8 = 5;

#[test]
fn sighup_reads_changed_files_and_no_others() {
    let node = Node::new(&zones(&[("a.example.", "a.zone"), ("b.example.", "b.zone")]));
    node.write("a.zone", &small_zone(1));
    node.write("b.zone", &small_zone(1));
    let daemon = node.serve();
    node.write("a.zone", &small_zone(2));
    daemon.signal(libc::SIGHUP);
    daemon.until("serial 2", || served(&daemon, "a.example.") == 2);
    assert_eq!(served(&daemon, "b.example."), 1);
    let loads = |zone: &str| {
        let log = daemon.log();
        let of_zone = |line: &&str| line.contains("zone loaded") && line.contains(zone);
        log.lines().filter(of_zone).count()
    };
    // The log follows the answers.
    daemon.until("the second load", || loads("a.example.") == 2);
    assert_eq!(loads("b.example."), 1, "{}", daemon.log());
}

#[test]
fn sighup_reads_a_zone_again_whose_included_file_changed() {
    let node = Node::new(&zones(&[("a.example.", "a.zone")]));
    node.write("a.zone", "$INCLUDE b.zone\n");
    node.write("b.zone", &small_zone(1));
    let daemon = node.serve();
    node.write("b.zone", &small_zone(2));
    daemon.signal(libc::SIGHUP);
    daemon.until("serial 2", || served(&daemon, "a.example.") == 2);
}

#[test]
fn a_broken_zone_refuses_itself_and_nothing_else() {
    let node = Node::new(&zones(&[("a.example.", "a.zone"), ("b.example.", "b.zone")]));
    node.write("a.zone", &small_zone(1));
    node.write("b.zone", "@ A not-an-address\n");
    let daemon = node.serve();
    assert_eq!(served(&daemon, "a.example."), 1);
    assert_eq!(rcode(&daemon, "b.example."), REFUSED);
    let zone = daemon.zone("b.example.");
    assert_eq!(zone["state"], "failed");
    assert!(zone["last-error"].as_str().unwrap().starts_with("b.zone:1: "), "{zone}");
    assert!(daemon.log().contains("zone refused: b.zone:1: "), "{}", daemon.log());

    // Mended, it is served at the next chance.
    node.write("b.zone", &small_zone(3));
    daemon.signal(libc::SIGHUP);
    daemon.until("serial 3", || daemon.zone("b.example.")["serial"] == 3);
    assert_eq!(served(&daemon, "b.example."), 3);
}

#[test]
fn a_zone_that_breaks_goes_on_being_served_as_it_was() {
    let node = Node::new(&zones(&[("a.example.", "a.zone")]));
    node.write("a.zone", &small_zone(1));
    let daemon = node.serve();
    node.write("a.zone", &format!("{}www A 192.0.2.300\n", small_zone(2)));
    let ran = node.run(&["zone", "reload", "a.example.", "--config", "r.toml"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.starts_with("error: zone \"a.example.\" refused: a.zone:6: "), "{ran:?}");
    assert_eq!(served(&daemon, "a.example."), 1);
    let zone = daemon.zone("a.example.");
    assert_eq!(zone["state"], "serving");
    assert_eq!(zone["serial"], 1);
    assert!(zone["last-error"].is_string());
}

#[test]
fn zone_reload_takes_a_name_or_all() {
    let node = Node::new(&format!(
        "{}[[zone]]\nname = \"sv.\"\nprimaries = [{{ address = \"192.0.2.1\" }}]\n",
        zones(&[("a.example.", "a.zone"), ("b.example.", "b.zone")])
    ));
    node.write("a.zone", &small_zone(1));
    node.write("b.zone", &small_zone(1));
    let daemon = node.serve();
    let reload = |arguments: &[&str]| {
        node.run(&[&["zone", "reload", "--config", "r.toml"], arguments].concat())
    };
    node.write("a.zone", &small_zone(2));
    node.write("b.zone", &small_zone(2));
    let ran = reload(&["A.example"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "zone \"a.example.\" loaded: serial 2\n"));
    assert_eq!((served(&daemon, "a.example."), served(&daemon, "b.example.")), (2, 1));
    let ran = reload(&[]);
    assert_eq!(
        ran.out,
        "zone \"a.example.\" loaded: serial 2\nzone \"b.example.\" loaded: serial 2\n"
    );
    assert_eq!(served(&daemon, "b.example."), 2);
    assert_eq!(
        reload(&["c.example."]).err,
        "error: no zone \"c.example.\" is configured: `responder status` lists the zones\n"
    );
    assert_eq!(
        reload(&["sv."]).err,
        "error: zone \"sv.\" comes from primaries: `responder zone refresh sv.` asks them\n"
    );
}

#[test]
fn sighup_follows_the_configurations_zones() {
    let node = Node::new(&zones(&[("a.example.", "a.zone")]));
    node.write("a.zone", &small_zone(1));
    node.write("b.zone", &small_zone(5));
    let daemon = node.serve();
    assert_eq!(rcode(&daemon, "b.example."), REFUSED);

    node.configure(&zones(&[("b.example.", "b.zone")]));
    daemon.signal(libc::SIGHUP);
    daemon.until("b.example. served", || daemon.zone("b.example.")["state"] == "serving");
    assert_eq!(served(&daemon, "b.example."), 5);
    assert_eq!(rcode(&daemon, "a.example."), REFUSED);
    assert!(daemon.zone("a.example.").is_null());

    node.configure("[limits]\nudp-size = 1\n");
    daemon.signal(libc::SIGHUP);
    daemon.until("the fault", || daemon.log().contains("r.toml:10:12: udp-size in [limits] is 1"));
    daemon.until("the old zones", || daemon.zone("b.example.")["state"] == "serving");
    assert_eq!(served(&daemon, "b.example."), 5);
}

#[test]
fn no_query_is_lost_while_zones_are_reloaded() {
    const RELOADS: u32 = 50;
    let node = Node::new(&zones(&[("a.example.", "a.zone")]));
    node.write("a.zone", &small_zone(1));
    let daemon = node.serve();
    let stop = AtomicBool::new(false);
    let question = query(1, "a.example.", RecordType::SOA);
    let (asked, answered) = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let socket = daemon.udp();
            let (mut asked, mut last, mut buffer) = (0u64, 0, [0; 1500]);
            while !stop.load(Relaxed) {
                socket.send(&question).unwrap();
                asked += 1;
                let length = socket.recv(&mut buffer).expect("no answer");
                let serial = serial(&buffer[..length]);
                assert!(serial >= last, "serial {serial} after {last}");
                last = serial;
            }
            (asked, last)
        });
        for serial in 2..=RELOADS {
            node.write("new", &small_zone(serial));
            std::fs::rename(node.path("new"), node.path("a.zone")).unwrap();
            let ran = node.run(&["zone", "reload", "--config", "r.toml"]);
            assert_eq!(ran.code, Some(0), "{ran:?}");
        }
        stop.store(true, Relaxed);
        asking.join().unwrap()
    });
    assert!(asked > u64::from(RELOADS), "only {asked} queries");
    assert!(answered >= RELOADS - 1);
}

/// A zone of so many names, which is worth keeping.
fn large_zone(serial: u32, names: u32) -> String {
    let names = (0..names).map(|number| format!("n{number} A 192.0.2.{}\n", number % 250));
    small_zone(serial) + &names.collect::<String>()
}

#[test]
fn of_a_large_zone_only_what_has_changed_is_compiled() {
    let node = Node::new(&zones(&[("a.example.", "a.zone")]));
    node.write("a.zone", &large_zone(1, 6_000));
    let daemon = node.serve();
    assert!(daemon.zone("a.example.")["last-commit"].is_null());

    // The SOA and one new name.
    node.write("a.zone", &large_zone(2, 6_001));
    assert_eq!(node.run(&["zone", "reload", "--config", "r.toml"]).code, Some(0));
    let zone = daemon.zone("a.example.");
    assert_eq!(zone["last-commit"]["owners"], 2, "{zone}");
    assert_eq!(zone["last-commit"]["written"], 2, "{zone}");
    assert_eq!(zone["serial"], 2);
    assert_eq!(served(&daemon, "a.example."), 2);
    let asked = query(1, "n6000.a.example.", RecordType::A);
    assert_eq!(daemon.ask(&asked)[7], 1, "one answer");

    // A zone that is refused leaves what is served, and what the next change is compared with.
    let broken = format!("{}x CNAME n1\nx A 192.0.2.1\n", large_zone(3, 6_001));
    node.write("a.zone", &broken);
    assert_eq!(node.run(&["zone", "reload", "--config", "r.toml"]).code, Some(1));
    assert_eq!(served(&daemon, "a.example."), 2);

    // Most of the zone goes: it is compiled as a whole.
    node.write("a.zone", &large_zone(4, 10));
    assert_eq!(node.run(&["zone", "reload", "--config", "r.toml"]).code, Some(0));
    assert!(daemon.zone("a.example.")["last-commit"].is_null());
    assert_eq!(served(&daemon, "a.example."), 4);
    assert_eq!(daemon.ask(&asked)[3] & 0x0f, 3, "NXDOMAIN");
}
