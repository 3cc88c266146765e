//! One switchboard for a cloud: a distributor switches its nodes through the catalog that they follow, and
//! what would harm them does not count.

use serde_json::Value;

use crate::{
    catalog::served,
    harness::{Daemon, Node, free_port, small_zone},
};

const ALL: &str = "transfer-to = [{ address = \"127.0.0.0/8\" }]\n";

/// The distributor of a cloud of three nodes, of which one runs, with these zones.
fn distribute(node: &Node, zones: &[&str], follower: u16) {
    let mut text = format!(
        "[[zone]]\nname = \"cloud.test.\"\nproduce-catalog = true\ndrain-floor = 2\nnodes = [{{ id = \
         \"Scl1\", addresses = [\"127.0.0.1\"] }}, {{ id = \"mia1\", addresses = [\"127.0.0.2\"] }}, {{ id \
         = \"mvd1\", addresses = [\"127.0.0.3\"] }}]\n{ALL}notify-to = [{{ address = \"127.0.0.1\", port = \
         {follower} }}]\n"
    );
    for zone in zones {
        text += &format!(
            "[[zone]]\nname = \"{zone}\"\nfile = \"zone\"\ncatalog = \"cloud.test.\"\n{ALL}"
        );
    }
    node.configure(&text);
    node.write("zone", &small_zone(3));
}

/// A node of it.
fn follow(node: &Node, distributor: u16, more: &str) {
    let primary = format!("primaries = [{{ address = \"127.0.0.1\", port = {distributor} }}]\n");
    node.configure(&format!(
        "[transfer]\nretry-min = \"1s\"\nretry-max = \"1s\"\n[[template]]\nname = \"plain\"\n{primary}\
         [[zone]]\nname = \"cloud.test.\"\n{primary}members = \"plain\"\n{more}"
    ));
    let text = std::fs::read_to_string(node.path("r.toml")).unwrap();
    node.write("r.toml", &text.replace("test-node", "SCL1"));
}

/// Both, with these zones; the port of the node is known to the distributor.
fn cloud(zones: &[&str], more: &str) -> (Node, Node) {
    let mut node = Node::new("");
    node.port = free_port();
    let distributor = Node::new("");
    distribute(&distributor, zones, node.port);
    follow(&node, distributor.port, more);
    (distributor, node)
}

fn json(node: &Node, arguments: &[&str]) -> Value {
    let ran = node.run(&[arguments, &["--json", "--config", "r.toml"]].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    serde_json::from_str(&ran.out).unwrap()
}

fn run(node: &Node, arguments: &[&str]) -> String {
    let ran = node.run(&[arguments, &["--config", "r.toml"]].concat());
    ran.out + &ran.err
}

/// What the node was last told to drain.
fn drains(daemon: &Daemon<'_>) -> Option<String> {
    let log = daemon.log();
    let line = log.lines().rev().find(|line| line.contains("switchboard drains this"))?;
    Some(line.split("services=\"").nth(1)?.split('"').next()?.to_owned())
}

#[test]
fn a_node_is_drained_by_the_switchboard_and_a_former_version_brings_it_back() {
    let service = "switchboard = true\n[[service]]\nname = \"dns1\"\nprefixes = [\"127.0.0.0/24\"]\n\
                   exabgp = {}\n";
    let (distributor, node) = cloud(&["a.test.", "b.test."], service);
    let above = distributor.serve();
    let daemon = node.serve();
    daemon.until("the zones", || served(&daemon, "cloud.test.") == ["a.test.", "b.test."]);
    let said = run(&distributor, &["cloud", "drain", "scl1", "--service", "dns1"]);
    assert!(said.starts_with("service \"dns1\" of node \"scl1\" is drained"), "{said}");
    daemon.until("a service drained", || drains(&daemon).as_deref() == Some("dns1"));
    let drained_by = || daemon.status()["services"][0]["drained-by"].clone();
    daemon.until("the service", || drained_by() == serde_json::json!(["cloud"]));
    run(&distributor, &["cloud", "drain", "SCL1"]);
    daemon.until("all drained", || drains(&daemon).as_deref() == Some("* dns1"));
    // Others are left alone, and two must stay.
    let said = run(&distributor, &["cloud", "drain", "mia1"]);
    assert!(said.contains("1 of 3 nodes would stay in the routing, and 2 must"), "{said}");
    let said = run(&distributor, &["cloud", "drain", "gru1"]);
    assert!(said.contains("the cloud has no node \"gru1\""), "{said}");

    // The nodes say themselves what they serve.
    let port = node.port.to_string();
    let look = json(&distributor, &["cloud", "status", "--port", &port]);
    let [mia, mvd, scl] = look["nodes"].as_array().unwrap().as_slice() else { panic!("{look}") };
    assert_eq!((&scl["id"], &scl["nsid"]), (&"scl1".into(), &"SCL1".into()), "{look}");
    assert_eq!(scl["drained"], serde_json::json!(["*", "dns1"]));
    // So does what they announce; ExaBGP does not run here.
    let service = serde_json::json!([{ "service": "dns1", "family": "v4", "route": "withdrawn",
                                       "confirmed": false }]);
    assert_eq!(scl["services"], service, "{look}");
    assert_eq!(mia["services"], Value::Null, "{look}");
    let said = run(&distributor, &["cloud", "status", "--port", &port]);
    assert!(said.contains("dns1 v4 withdrawn, unconfirmed"), "{said}");
    let zones: Vec<&Value> = scl["zones"].as_array().unwrap().iter().collect();
    assert_eq!((&zones[1]["serial"], &zones[1]["lag"]), (&3.into(), &0.into()), "{look}");
    assert_eq!(zones[0]["lag"], 0, "{look}");
    for silent in [mia, mvd] {
        assert!(silent["zones"][0]["fault"].as_str().unwrap().starts_with("no answer"), "{look}");
    }

    // The switches of every version are known, and the first one comes back.
    let versions = json(&distributor, &["cloud", "history"]);
    let versions = versions.as_array().unwrap();
    assert_eq!(versions.len(), 3, "{versions:?}");
    let first = versions[2]["serial"].to_string();
    run(&distributor, &["cloud", "rollback", &first]);
    daemon.until("nothing drained again", || drains(&daemon).as_deref() == Some(""));
    daemon.until("the service again", || drained_by() == serde_json::json!([]));
    // What the configuration says meanwhile waits until the operator lets it.
    distribute(&distributor, &["a.test.", "b.test.", "c.test."], node.port);
    above.signal(libc::SIGHUP);
    above.until("the third zone", || above.zone("c.test.")["state"] == "serving");
    let said = run(&distributor, &["cloud", "zones"]);
    assert!(said.starts_with(&format!("as published under serial {first}")), "{said}");
    assert!(!said.contains("c.test."), "{said}");
    run(&distributor, &["cloud", "rollback", "--release"]);
    daemon.until("the third", || served(&daemon, "cloud.test.").len() == 3);
}

#[test]
fn a_catalog_that_may_not_switch_does_not() {
    let (distributor, node) = cloud(&["a.test."], "");
    let _above = distributor.serve();
    let daemon = node.serve();
    daemon.until("the zone", || served(&daemon, "cloud.test.") == ["a.test."]);
    run(&distributor, &["cloud", "drain", "scl1"]);
    let serial = json(&distributor, &["cloud", "history"])[0]["serial"].clone();
    daemon.until("the version", || daemon.zone("cloud.test.")["serial"] == serial);
    daemon.until("that it counts", || json(&node, &["catalog", "status"])[0]["serial"] == serial);
    assert_eq!(drains(&daemon), None, "{}", daemon.log());
    // And a node has no switchboard.
    let said = run(&node, &["cloud", "drain", "mia1"]);
    assert!(said.contains("the switchboard is on the distributor"), "{said}");
}

#[test]
fn an_empty_catalog_and_mass_removal_wait_for_an_operators_word() {
    let zones = ["a.test.", "b.test.", "c.test.", "d.test.", "e.test.", "f.test."];
    let (distributor, node) = cloud(&zones, "");
    let above = distributor.serve();
    let republish = |zones: &[&str]| {
        distribute(&distributor, zones, node.port);
        above.signal(libc::SIGHUP);
    };
    let held = || json(&node, &["catalog", "status"])[0]["held"].clone();
    {
        let daemon = node.serve();
        daemon.until("all", || served(&daemon, "cloud.test.") == zones);
        // Four of six at once are too many.
        republish(&zones[..2]);
        daemon.until("what is held", || held() != Value::Null);
        let fault = held().as_str().unwrap().to_owned();
        assert_eq!(fault, "4 of its 6 zones would go: max-removal = 25 (per cent) forbids that");
        assert_eq!(served(&daemon, "cloud.test."), zones);
        let log = daemon.log();
        let line = log.lines().find(|line| line.contains("held back")).expect(&log);
        assert!(line.contains("responder catalog accept cloud.test."), "{line}");
        // Three are not.
        republish(&zones[..3]);
        daemon.until("three", || served(&daemon, "cloud.test.") == zones[..3]);
        assert_eq!(held(), Value::Null);
        republish(&[]);
        daemon.until("what is held", || held() != Value::Null);
        assert_eq!(served(&daemon, "cloud.test."), zones[..3]);
    }
    // A restart does not take what was held back for good.
    let daemon = node.serve();
    daemon.until("them again", || served(&daemon, "cloud.test.") == zones[..3]);
    assert!(held().as_str().is_some_and(|fault| fault.contains("no zone any more")), "{}", held());
    let said = run(&node, &["catalog", "accept", "cloud.test."]);
    assert_eq!(said, "catalog \"cloud.test.\" is followed as it is\n");
    assert_eq!(served(&daemon, "cloud.test."), Vec::<String>::new());
    assert_eq!(held(), Value::Null);
    let said = run(&node, &["catalog", "accept", "cloud.test."]);
    assert!(said.contains("nothing is held back"), "{said}");
}

#[test]
fn an_expired_catalog_removes_nothing() {
    let bounds = "[transfer]\nrefresh-min = \"1s\"\nexpire-min = \"3s\"\nexpire-max = \"3s\"\n\
                  retry-min = \"1s\"\nretry-max = \"1s\"\n";
    let (distributor, node) = cloud(&["a.test."], "");
    let text = std::fs::read_to_string(node.path("r.toml")).unwrap();
    let (before, after) = text.split_once("[transfer]").unwrap();
    let (_, after) = after.split_once("[[template]]").unwrap();
    node.write("r.toml", &format!("{before}{bounds}[[template]]{after}"));
    {
        let above = distributor.serve();
        let daemon = node.serve();
        daemon.until("the zone", || served(&daemon, "cloud.test.") == ["a.test."]);
        drop(above);
        daemon.until("the expiry", || daemon.zone("cloud.test.")["state"] == "expired");
        let names = json(&node, &["catalog", "status"]);
        assert_eq!(names[0]["members"], 1, "{names}");
        assert_ne!(daemon.zone("a.test."), Value::Null);
    }
    let daemon = node.serve();
    assert_ne!(daemon.zone("a.test."), Value::Null, "{}", daemon.log());
}

#[test]
fn options_of_a_member_change_its_template() {
    let (distributor, node) = cloud(&[], "");
    let text = std::fs::read_to_string(distributor.path("r.toml")).unwrap();
    distributor.write(
        "r.toml",
        &format!(
            "{text}[[zone]]\nname = \"a.test.\"\nfile = \"zone\"\ncatalog = \"cloud.test.\"\n\
             catalog-options = [\"max-shrink=20\"]\n{ALL}"
        ),
    );
    let above = distributor.serve();
    let daemon = node.serve();
    daemon.until("the zone", || served(&daemon, "cloud.test.") == ["a.test."]);
    // Half of it is more than the catalog lets go.
    let half = small_zone(4).lines().take(3).map(|line| format!("{line}\n")).collect::<String>();
    distributor.write("zone", &half);
    above.signal(libc::SIGHUP);
    above.until("the distributor's", || above.zone("a.test.")["serial"] == 4);
    let said = run(&node, &["zone", "refresh", "a.test."]);
    assert!(said.contains("max-shrink = 20"), "{said}");
    assert_eq!(daemon.zone("a.test.")["serial"], 3);
}

#[test]
fn a_client_has_its_own_zones_and_no_others() {
    let mut text = String::new();
    for client in ["one", "two"] {
        text += &format!(
            "[[key]]\nname = \"{client}.\"\nsecret-file = \"{client}\"\n[[zone]]\nname = \
             \"{client}.test.\"\nfile = \"zone\"\ntransfer-to = [{{ address = \"127.0.0.0/8\", key = \
             \"{client}.\" }}]\n"
        );
    }
    let node = Node::new(&text);
    node.write("zone", &small_zone(3));
    let secret =
        |client: &str| if client == "one" { "b25lIG9uZSBvbmU=" } else { "dHdvIHR3byB0d28=" };
    for client in ["one", "two"] {
        node.write(client, secret(client));
    }
    let _daemon = node.serve();
    for client in ["one", "two"] {
        for zone in ["one", "two"] {
            let key = format!("{client}:{}", secret(client));
            let name = format!("{zone}.test.");
            for kind in ["AXFR", "IXFR=1"] {
                let said = crate::ask::dig(node.port, &[&name, kind], Some(&key));
                let given = said.contains("XFR size: 5 records");
                assert_eq!(given, client == zone, "{client} asks for {zone}: {said}");
            }
        }
    }
}
