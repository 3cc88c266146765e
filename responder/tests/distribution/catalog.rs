//! Catalog zones (RFC 9432): produced by one node, followed by another.

use std::fmt::Write as _;

use crate::{
    ask::dig,
    harness::{Daemon, Node, free_port, small_zone},
    servers::{Kind, Server},
};

const ALL: &str = "transfer-to = [{ address = \"127.0.0.0/8\" }]\n";

/// A node that serves these zones and lists them in `catalog.test.`, each with its group if it has one.
fn list(node: &Node, zones: &[(&str, Option<&str>)], follower: u16) {
    let mut text = format!(
        "[[zone]]\nname = \"catalog.test.\"\nproduce-catalog = true\n{ALL}notify-to = [{{ address = \
         \"127.0.0.1\", port = {follower} }}]\n"
    );
    for (zone, group) in zones {
        write!(
            text,
            "[[zone]]\nname = \"{zone}\"\nfile = \"zone\"\ncatalog = \"catalog.test.\"\n{ALL}"
        )
        .unwrap();
        if let Some(group) = group {
            writeln!(text, "group = \"{group}\"").unwrap();
        }
    }
    node.configure(&text);
    node.write("zone", &small_zone(3));
}

/// A configuration that follows `catalog.test.` on a port.
fn following(port: u16) -> String {
    let primary = format!("primaries = [{{ address = \"127.0.0.1\", port = {port} }}]\n");
    format!(
        "[limits]\ntransfers-per-primary = 8\n[transfer]\nretry-min = \"1s\"\nretry-max = \"1s\"\n\
         [[template]]\nname = \"plain\"\n{primary}[[template]]\nname = \"given\"\n{primary}{ALL}\
         [[zone]]\nname = \"catalog.test.\"\n{primary}members = \"plain\"\ngroups = [{{ name = \
         \"further\", template = \"given\" }}]\n"
    )
}

/// The zones that are served, a catalog left out.
pub fn served(daemon: &Daemon<'_>, catalog: &str) -> Vec<String> {
    let status = daemon.status();
    let zones = status["zones"].as_array().unwrap().iter();
    zones
        .filter(|zone| zone["state"] == "serving" && zone["name"] != catalog)
        .map(|zone| zone["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn rfc9432_members_come_and_go_and_survive_a_restart() {
    let port = free_port();
    let mut follower = Node::new("");
    follower.port = port;
    let producer = Node::new("");
    list(&producer, &[("a.test.", None), ("b.test.", Some("further"))], port);
    let above = producer.serve();
    follower.configure(&following(producer.port));
    {
        let daemon = follower.serve();
        daemon.until("both", || served(&daemon, "catalog.test.") == ["a.test.", "b.test."]);
        // The group has chosen the template that gives the zone to others.
        let size = |zone: &str| {
            let said = dig(port, &[zone, "AXFR"], None);
            said.lines().filter(|line| line.contains("XFR size: 5 records")).count()
        };
        assert_eq!((size("a.test."), size("b.test.")), (0, 1));
        list(&producer, &[("b.test.", Some("further")), ("c.test.", None)], port);
        above.signal(libc::SIGHUP);
        daemon.until("the change", || served(&daemon, "catalog.test.") == ["b.test.", "c.test."]);
        let gone = dig(port, &["www.a.test.", "A", "+norec"], None);
        assert!(gone.contains("status: REFUSED"), "{gone}");
    }
    // The members are on disk, as the catalog is.
    drop(above);
    let daemon = follower.serve();
    assert_eq!(served(&daemon, "catalog.test."), ["b.test.", "c.test."]);
    let answer = dig(port, &["www.c.test.", "A", "+norec", "+short"], None);
    assert_eq!(answer, "192.0.2.80\n", "{}", daemon.log());
}

/// A catalog by hand.
fn by_hand(serial: u32, records: &str) -> String {
    format!(
        "$ORIGIN catalog.test.\n$TTL 0\n@ SOA invalid. invalid. {serial} 60 60 86400 0\n@ NS \
         invalid.\n{records}"
    )
}

#[test]
fn rfc9432_a_broken_catalog_changes_nothing_and_a_new_label_begins_anew() {
    let producer = Node::new("");
    producer.configure(&format!("[[zone]]\nname = \"a.test.\"\nfile = \"zone\"\n{ALL}"));
    producer.write("zone", &small_zone(3));
    let _above = producer.serve();
    let follower = Node::new("");
    let config = following(producer.port);
    let (before, _) = config.split_once("[[zone]]").unwrap();
    follower.configure(&format!(
        "{before}[[zone]]\nname = \"catalog.test.\"\nfile = \"catalog\"\nmembers = \
         \"plain\"\nmax-removal = 100\n"
    ));
    let version = "version TXT \"2\"\n";
    follower.write("catalog", &by_hand(1, &format!("{version}u1.zones PTR A.test.\n")));
    let daemon = follower.serve();
    daemon.until("the member", || served(&daemon, "catalog.test.") == ["a.test."]);
    let broken = [
        ("u2.zones PTR b.test.\n".to_owned(), "no version"),
        ("version TXT \"3\"\n".to_owned(), "its version is \"3\""),
        (format!("{version}u1.zones PTR a.test.\nu1.zones PTR b.test.\n"), "2 PTR records"),
        (format!("{version}u1.zones PTR a.test.\nu2.zones PTR A.test.\n"), "lists a.test. twice"),
    ];
    let reload = |serial: u32, records: &str| {
        follower.write("catalog", &by_hand(serial, records));
        let ran = follower.run(&["zone", "reload", "catalog.test.", "--config", "r.toml"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
    };
    for (serial, (records, fault)) in (2..).zip(&broken) {
        reload(serial, records);
        daemon.until(fault, || daemon.log().contains(fault));
        assert_eq!(served(&daemon, "catalog.test."), ["a.test."], "{}", daemon.log());
    }
    let transfers = || daemon.status()["transfers"]["axfr"].as_u64().unwrap();
    assert_eq!(transfers(), 1);
    // Properties and labels that we do not know are no fault.
    reload(
        9,
        &format!("{version}new.zones PTR a.test.\nx.new.zones TXT \"?\"\nother.ext TXT \"?\"\n"),
    );
    daemon.until("the zone anew", || {
        transfers() == 2 && served(&daemon, "catalog.test.") == ["a.test."]
    });
    reload(10, version);
    daemon.until("the end", || served(&daemon, "catalog.test.").is_empty());
}

/// A server that follows our catalog serves what it lists, and what it lists later.
fn follows_ours(kind: Kind, config: impl Fn(&str, u16, u16) -> String) {
    let producer = Node::new("");
    let port = free_port();
    list(&producer, &[("a.test.", None)], port);
    let above = producer.serve();
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder.path().display().to_string(), port, producer.port);
    let mut server = Server::start(kind, port, folder, &config);
    server.until_up("a.test.");
    list(&producer, &[("b.test.", Some("further"))], port);
    above.signal(libc::SIGHUP);
    server.until_up("b.test.");
    above.until("the end of the other", || {
        dig(port, &["a.test.", "SOA", "+norec"], None).contains("status: REFUSED")
    });
}

#[test]
fn rfc9432_knot_follows_our_catalog() {
    follows_ours(Kind::Knot, |folder, port, primary| {
        format!(
            "server:\n  listen: 127.0.0.1@{port}\n  rundir: {folder}\nlog:\n  - target: stderr\n    any: \
             info\ndatabase:\n  storage: {folder}\nremote:\n  - id: r\n    address: \
             127.0.0.1@{primary}\nacl:\n  - id: n\n    address: 127.0.0.0/8\n    action: \
             notify\ntemplate:\n  - id: member\n    storage: {folder}\n    master: r\n    acl: \
             n\nzone:\n  - domain: catalog.test.\n    storage: {folder}\n    master: r\n    acl: n\n    \
             catalog-role: interpret\n    catalog-template: member\n"
        )
    });
}

#[test]
fn rfc9432_bind_follows_our_catalog() {
    follows_ours(Kind::Bind, |folder, port, primary| {
        format!(
            "options {{ directory \"{folder}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ \
             none; }}; pid-file \"{folder}/pid\"; session-keyfile \"{folder}/session\"; recursion no; \
             notify no; dnssec-validation no; catalog-zones {{ zone \"catalog.test\" default-primaries \
             {{ 127.0.0.1 port {primary}; }} min-update-interval 1; }}; }};\ncontrols {{ }};\nzone \
             \"catalog.test\" {{ type secondary; file \"catalog\"; primaries {{ 127.0.0.1 port {primary}; \
             }}; }};\n"
        )
    });
}

#[test]
fn rfc9432_we_follow_knots_catalog() {
    let folder = tempfile::tempdir().unwrap();
    let (here, port) = (folder.path().display().to_string(), free_port());
    for zone in ["a.test", "b.test"] {
        std::fs::write(folder.path().join(format!("{zone}.zone")), small_zone(3)).unwrap();
    }
    let config = format!(
        "server:\n  listen: 127.0.0.1@{port}\n  rundir: {here}\nlog:\n  - target: stderr\n    any: \
         info\ndatabase:\n  storage: {here}/db\nacl:\n  - id: t\n    address: 127.0.0.0/8\n    action: \
         transfer\ntemplate:\n  - id: default\n    storage: {here}\n    acl: t\nzone:\n  - domain: \
         catalog.test.\n    catalog-role: generate\n  - domain: a.test.\n    catalog-role: member\n    \
         catalog-zone: catalog.test.\n  - domain: b.test.\n    catalog-role: member\n    catalog-zone: \
         catalog.test.\n    catalog-group: further\n"
    );
    let mut server = Server::start(Kind::Knot, port, folder, &config);
    server.until_up("catalog.test.");
    let node = Node::new(&following(port));
    let daemon = node.serve();
    daemon.until("both", || served(&daemon, "catalog.test.") == ["a.test.", "b.test."]);
    let given = dig(node.port, &["b.test.", "AXFR"], None);
    assert!(given.contains("XFR size: 5 records"), "{given}");
}
