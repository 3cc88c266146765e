//! What was committed is on disk: after a restart a secondary answers at once, without its primaries.

use std::{fs, path::PathBuf, time::Duration};

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::RecordType,
};

use crate::{
    ask::ixfr,
    harness::{Daemon, Node, query, receive, send},
    primaries::{is_served, node, secondary},
    script::{Differences, End, Say, Script, Scripted},
};

fn ask(daemon: &Daemon<'_>) -> (ResponseCode, Vec<String>) {
    let reply = daemon.ask(&query(3, "www.tld.test.", RecordType::A));
    let message = Message::from_vec(&reply).unwrap();
    let addresses = message.answers.iter().map(|record| record.data.to_string()).collect();
    (message.metadata.response_code, addresses)
}

fn refresh(node: &Node) -> String {
    node.run(&["zone", "refresh", "tld.test.", "--config", "r.toml"]).out
}

/// The file that holds the zone.
fn data(node: &Node) -> PathBuf {
    let generations = fs::read_dir(node.path("state/zones/tld.test")).unwrap();
    generations.map(|entry| entry.unwrap().path().join("data.mdb")).next().unwrap()
}

#[test]
fn a_zone_is_served_from_disk_after_a_kill() {
    let primary = Scripted::start(Script::good(1));
    let node = node(&secondary(&[primary.port], None, ""));
    let daemon = node.serve();
    daemon.until("the zone", || is_served(&daemon, 1));
    drop(daemon);
    primary.set(None);
    let daemon = node.serve();
    // It answers when it is ready, and its primary has not been heard.
    assert_eq!(ask(&daemon), (ResponseCode::NoError, vec!["192.0.2.2".to_owned()]));
    assert!(is_served(&daemon, 1));
    let state = daemon.zone("tld.test.")["secondary"].clone();
    assert!((86_000..=86_400).contains(&state["expiry"].as_u64().unwrap()), "{state}");
    drop(daemon);
    // What comes after it is a difference, and is there after the next kill.
    let mut second = Script::good(2);
    let www = |last| Say::A("www.tld.test.", [192, 0, 2, last]);
    let says = [Say::Soa(2), Say::Soa(1), www(2), Say::Soa(2), www(9), Say::Soa(2)];
    second.differences = Differences::Say(vec![says.to_vec()]);
    primary.set(Some(second));
    let daemon = node.serve();
    daemon.until("the next version", || is_served(&daemon, 2));
    assert_eq!(daemon.status()["transfers"]["ixfr"], 1);
    drop(daemon);
    primary.set(None);
    let daemon = node.serve();
    assert_eq!(ask(&daemon), (ResponseCode::NoError, vec!["192.0.2.9".to_owned()]));
}

#[test]
fn the_expiry_clock_goes_on_while_no_daemon_runs() {
    let mut script = Script::good(7);
    // Long enough for a start on a busy machine.
    script.timers = [1, 1, 8];
    let primary = Scripted::start(script.clone());
    let bounds = "[transfer]\nrefresh-min = \"1s\"\nretry-min = \"1s\"\nexpire-min = \"8s\"\n";
    let node = node(&secondary(&[primary.port], None, bounds));
    let daemon = node.serve();
    daemon.until("the zone", || is_served(&daemon, 7));
    // Longer than a version is good for by itself: a refresh that finds nothing new is remembered too.
    std::thread::sleep(Duration::from_secs(9));
    primary.set(None);
    drop(daemon);
    let daemon = node.serve();
    assert_eq!(ask(&daemon).0, ResponseCode::NoError);
    drop(daemon);
    std::thread::sleep(Duration::from_millis(8500));
    let daemon = node.serve();
    assert_eq!(ask(&daemon).0, ResponseCode::ServFail);
    assert_eq!(daemon.zone("tld.test.")["state"], "expired");
    assert!(daemon.log().contains("the zone expired while no daemon ran"), "{}", daemon.log());
    primary.set(Some(script));
    daemon.until("freshness", || is_served(&daemon, 7));
    assert_eq!(ask(&daemon).0, ResponseCode::NoError);
}

#[test]
fn a_damaged_archive_is_set_aside_and_the_zone_fetched_anew() {
    let primary = Scripted::start(Script::good(1));
    let node = node(&secondary(&[primary.port], None, ""));
    let daemon = node.serve();
    daemon.until("the zone", || is_served(&daemon, 1));
    drop(daemon);
    let file = data(&node);
    let mut octets = fs::read(&file).unwrap();
    let address = (0..octets.len()).find(|at| octets[*at..].starts_with(&[192, 0, 2, 2])).unwrap();
    octets[address + 3] = 77;
    fs::write(&file, octets).unwrap();
    let daemon = node.serve();
    daemon.until("the zone, fetched anew", || is_served(&daemon, 1));
    assert_eq!(ask(&daemon).1, ["192.0.2.2"]);
    let log = daemon.log();
    let line = log.lines().find(|line| line.contains("set aside")).expect(&log);
    assert!(line.contains("not what was written") && line.contains("tld.test~damaged"), "{line}");
    assert!(node.path("state/zones/tld.test~damaged").exists());
    assert_eq!(refresh(&node), "zone \"tld.test.\" is fresh: serial 1\n");
}

#[test]
fn a_damaged_journal_is_not_given_to_others_and_the_whole_zone_is() {
    let primary = Scripted::start(Script::good(1));
    let more = "transfer-to = [{ address = \"127.0.0.1\" }]\n";
    let node = node(&secondary(&[primary.port], None, more));
    let daemon = node.serve();
    daemon.until("the zone", || is_served(&daemon, 1));
    let mut second = Script::good(2);
    let www = |last| Say::A("www.tld.test.", [192, 0, 2, last]);
    let says = [Say::Soa(2), Say::Soa(1), www(2), Say::Soa(2), www(9), Say::Soa(2)];
    second.differences = Differences::Say(vec![says.to_vec()]);
    primary.set(Some(second));
    assert_eq!(refresh(&node), "zone \"tld.test.\" is fresh: serial 2\n");
    // What goes to somebody with serial 1: the SOA, and whether the SOA of theirs follows it.
    let is_difference = |daemon: &Daemon<'_>| {
        let mut stream = daemon.tcp();
        send(&mut stream, &ixfr("tld.test.", 1));
        let reply = Message::from_vec(&receive(&mut stream).unwrap()).unwrap();
        assert_eq!(reply.answers[0].record_type(), RecordType::SOA, "{reply}");
        reply.answers[1].record_type() == RecordType::SOA
    };
    assert!(is_difference(&daemon));
    drop(daemon);
    // The address that went stands in the journal alone.
    let file = data(&node);
    let mut octets = fs::read(&file).unwrap();
    let places: Vec<usize> =
        (0..octets.len()).filter(|at| octets[*at..].starts_with(&[192, 0, 2, 2])).collect();
    assert!(!places.is_empty());
    places.iter().for_each(|at| octets[at + 3] = 77);
    fs::write(&file, octets).unwrap();
    let daemon = node.serve();
    daemon.until("the zone", || is_served(&daemon, 2));
    assert_eq!(ask(&daemon).1, ["192.0.2.9"]);
    assert!(!is_difference(&daemon), "{}", daemon.log());
}

#[test]
fn the_history_of_a_zone_tells_what_came_from_whom() {
    let primary = Scripted::start(Script::good(1));
    let node = node(&secondary(&[primary.port], None, ""));
    let daemon = node.serve();
    daemon.until("the zone", || is_served(&daemon, 1));
    let mut broken = Script::good(2);
    broken.messages.truncate(1);
    broken.end = End::Close;
    primary.set(Some(broken));
    refresh(&node);
    let arguments = ["zone", "history", "TLD.test", "--json", "--config", "r.toml"];
    let events: serde_json::Value = serde_json::from_str(&node.run(&arguments).out).unwrap();
    let told = |event: &serde_json::Value| {
        let field = |name: &str| event[name].to_string();
        ["what", "primary", "from", "serial", "records", "error"].map(field).join(" ")
    };
    let address = format!("\"127.0.0.1:{}\"", primary.port);
    let events: Vec<String> = events.as_array().unwrap().iter().map(told).collect();
    let closed = "\"it closed the connection before the end of its answer\"";
    assert_eq!(
        events,
        [
            format!("\"transfer\" {address} 1 null null {closed}"),
            format!("\"axfr\" {address} null 1 4 null"),
        ]
    );
    let ran = node.run(&["zone", "history", "tld.test.", "--config", "r.toml"]);
    assert!(ran.out.lines().next().unwrap().contains(": serial 1 stays: it closed"), "{ran:?}");
}
