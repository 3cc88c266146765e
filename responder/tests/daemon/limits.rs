//! Rates, cookies and the access list, as an operator meets them.

use std::{
    fs::{self, Permissions},
    io::Read as _,
    os::unix::fs::PermissionsExt,
    process::Command,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use hickory_proto::rr::RecordType;
use serde_json::Value;

use super::harness::{Daemon, Node, query, receive, run, send, small_zone, zones};

const SECRETS: [&str; 2] = ["e5e973e5a6b2a43f48e7dc849e37bfcf", "445536bcd2513298075a5d379663c962"];

fn node(more: &str) -> Node {
    let node = Node::new(&format!("{more}{}", zones(&[("example.", "example.zone")])));
    node.write("example.zone", &small_zone(1));
    node
}

fn write_secrets(node: &Node, secrets: &[&str]) {
    node.write("cookies", &(secrets.join("\n") + "\n"));
    fs::set_permissions(node.path("cookies"), Permissions::from_mode(0o600)).unwrap();
}

/// Asks a question that is answered.
fn is_answered(daemon: &Daemon<'_>) {
    let reply = daemon.ask(&query(1, "www.example.", RecordType::A));
    assert_eq!(reply[7], 1, "one answer");
}

/// Asks a question that is dropped, since the client is denied.
fn is_denied(daemon: &Daemon<'_>) {
    let denied = || daemon.status()["sockets"]["udp"]["denied"].as_u64().unwrap_or(0);
    let (before, socket) = (denied(), daemon.udp());
    socket.send(&query(1, "www.example.", RecordType::A)).unwrap();
    daemon.until("the query is dropped", || denied() == before + 1);
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut [0; 512]).is_err(), "and not answered");
}

fn command(node: &Node, arguments: &str) -> String {
    let mut words: Vec<&str> = arguments.split(' ').collect();
    words.extend(["--config", "r.toml"]);
    let ran = node.run(&words);
    assert_eq!(ran.code, Some(0), "{arguments}: {ran:?}");
    ran.out
}

#[test]
fn the_access_list_is_edited_live_and_kept_over_restarts() {
    let node = node("");
    let mut daemon = node.serve();
    is_answered(&daemon);
    assert_eq!(command(&node, "acl list"), "the access list is empty: every client is served\n");
    assert_eq!(command(&node, "acl add deny 127.0.0.0/8"), "deny  127.0.0.0/8\n");
    is_denied(&daemon);
    let mut stream = daemon.tcp();
    assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0, "the connection is closed");
    let status = daemon.status();
    assert!(status["sockets"]["tcp"]["denied"].as_u64() >= Some(1), "{status}");
    daemon.signal(libc::SIGTERM);
    assert_eq!(daemon.wait(), Some(0));
    drop(daemon);
    let daemon = node.serve();
    is_denied(&daemon);
    let list = command(&node, "acl add allow 127.0.0.1");
    assert_eq!(list, "deny  127.0.0.0/8\nallow 127.0.0.1/32\n");
    is_answered(&daemon);
    command(&node, "acl del 127.0.0.1/32");
    is_denied(&daemon);
    command(&node, "acl del 127.0.0.0/8");
    is_answered(&daemon);
    let ran = node.run(&["acl", "del", "127.0.0.0/8", "--config", "r.toml"]);
    assert_eq!(ran.err, "error: 127.0.0.0/8 is not on the access list\n");
    let ran = node.run(&["acl", "add", "deny", "127.0.0.1/8", "--config", "r.toml"]);
    assert!(ran.err.contains("bits are set beyond the prefix"), "{ran:?}");
}

#[test]
fn over_its_rate_a_client_is_sent_to_tcp_and_seen_at_the_top() {
    let node = node("[rate-limit]\nmode = \"on\"\npositive = 1\nburst = \"10s\"\n");
    let daemon = node.serve();
    let socket = daemon.udp();
    let question = query(1, "www.example.", RecordType::A);
    let (mut whole, mut cut) = (0, 0);
    let started = Instant::now();
    for _ in 0..60 {
        socket.send(&question).unwrap();
    }
    let mut buffer = [0; 512];
    // Each gets a reply.
    for _ in 0..60 {
        let length = socket.recv(&mut buffer).expect("a reply");
        if buffer[2] & 2 == 0 {
            whole += 1;
        } else {
            assert!(length <= question.len());
            cut += 1;
        }
    }
    // What is saved up at the start, and what is earned meanwhile.
    let most = 12 + started.elapsed().as_secs();
    assert!((10..=most).contains(&whole), "{whole} whole replies, {cut} truncated");
    let mut stream = daemon.tcp();
    send(&mut stream, &question);
    assert_eq!(receive(&mut stream).unwrap()[2] & 2, 0, "TCP is not limited");
    let status = daemon.status();
    assert!(status["data-plane"]["over-rate"]["positive"].as_u64() >= Some(cut), "{status}");
    // The busiest source, while it asks.
    let done = AtomicBool::new(false);
    let talkers: Value = thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Relaxed) {
                let _ = socket.send(&question);
                thread::sleep(Duration::from_millis(10));
            }
        });
        let said = node.run(&["limits", "top", "--json", "--config", "r.toml"]);
        done.store(true, Relaxed);
        serde_json::from_str(&said.out).unwrap()
    });
    let first = &talkers[0];
    assert_eq!((&first["source"], &first["class"]), (&"127.0.0.0/24".into(), &"positive".into()));
    assert_eq!(first["limited"], true, "{talkers}");
    assert!(first["per-second"].as_f64() > Some(10.0), "{talkers}");
}

/// The cookie that a tool prints.
fn cookie(tool: &str, daemon: &Daemon<'_>, options: &[&str]) -> String {
    let port = daemon.node.port.to_string();
    let mut command = Command::new(tool);
    command.args(["@127.0.0.1", "-p", &port, "www.example.", "A"]).args(options);
    let ran = run(&mut command);
    assert_eq!(ran.code, Some(0), "{ran:?}: {tool} comes with `cargo xtask setup`");
    assert!(ran.out.contains("NOERROR") && ran.out.contains("192.0.2.80"), "{ran:?}");
    let line = ran.out.lines().find(|line| line.contains("COOKIE: ")).unwrap_or_else(|| {
        panic!("no cookie: {ran:?}");
    });
    line.split("COOKIE: ").nth(1).unwrap().split_whitespace().next().unwrap().to_ascii_lowercase()
}

#[test]
fn cookies_are_known_to_dig_and_kdig_and_to_a_second_node_through_a_rollover() {
    let more = "[cookies]\nsecret-file = \"cookies\"\n[rate-limit]\nmode = \"on\"\npositive = 1\n";
    let (one, two) = (node(more), node(more));
    for node in [&one, &two] {
        write_secrets(node, &SECRETS[..1]);
    }
    let (first, second) = (one.serve(), two.serve());
    let given = cookie("dig", &first, &["+cookie=2464c4abcf10c957"]);
    assert_eq!((given.len(), &given[..24]), (48, "2464c4abcf10c95701000000"));
    // Fresh and good, it comes back as it is: from the node that made it, from the other, over TCP.
    let option = format!("+cookie={given}");
    for (daemon, tcp) in [(&first, false), (&second, false), (&second, true)] {
        let tcp = if tcp { "+tcp" } else { "+notcp" };
        assert_eq!(cookie("dig", daemon, &[&option, tcp]), given);
    }
    let line = cookie("kdig", &second, &["+cookie=2464c4abcf10c957"]);
    assert_eq!(line.len(), 48, "{line}");
    // With a good cookie nothing is limited, whatever else comes from the prefix.
    for _ in 0..8 {
        assert_eq!(cookie("dig", &second, &[&option, "+ignore", "+tries=1"]), given);
    }
    // RFC 9018, section 5: the new secret behind the old one; then in front; then alone.
    let [old, new] = SECRETS;
    let mut shown = given.clone();
    for (step, secrets) in [[old, new], [new, old], [new, new]].into_iter().enumerate() {
        for (daemon, node) in [(&first, &one), (&second, &two)] {
            write_secrets(node, if step == 2 { &secrets[..1] } else { &secrets });
            // Zones are looked at after the secrets.
            let serial = step as u32 + 2;
            node.write("example.zone", &small_zone(serial));
            daemon.signal(libc::SIGHUP);
            daemon
                .until("the changes are followed", || daemon.zone("example.")["serial"] == serial);
            // While one node has followed and the other has not, both believe the client.
            let expected = if secrets[0] == new { 1 } else { 0 };
            for other in [&first, &second] {
                let option = format!("+cookie={shown}");
                let renewed = cookie("dig", other, &[&option, "+ignore", "+tries=1"]);
                assert_eq!(renewed.len(), 48);
                if expected == 1 {
                    shown = renewed;
                }
            }
        }
    }
    assert_ne!(shown, given, "made with the new secret");
    daemon_refuses_broken_secrets(&first, &one, &shown);
}

fn daemon_refuses_broken_secrets(daemon: &Daemon<'_>, node: &Node, shown: &str) {
    write_secrets(node, &["abc"]);
    daemon.signal(libc::SIGHUP);
    daemon.until("the broken file is told", || {
        daemon.log().contains("cookies:1: not a secret") && daemon.log().contains("goes on")
    });
    // The secret of before goes on.
    let option = format!("+cookie={shown}");
    assert_eq!(cookie("dig", daemon, &[&option, "+ignore", "+tries=1"]), shown);
}

#[test]
fn delv_validates_what_a_node_with_cookies_and_limits_says() {
    let more = "[cookies]\nsecret-file = \"cookies\"\n[rate-limit]\nmode = \"on\"\n";
    let node = Node::new(&format!("{more}{}", zones(&[("example.", "signed.zone")])));
    node.write("example.zone", &small_zone(1));
    write_secrets(&node, &SECRETS[..1]);
    let tool = |line: &str| {
        let mut words = line.split(' ');
        let mut command = Command::new(words.next().unwrap());
        let ran = run(command.args(words).current_dir(node.path(".")));
        assert_eq!(ran.code, Some(0), "{line}: {ran:?}; remedy: `cargo xtask setup`");
        ran.out
    };
    let key = tool("dnssec-keygen -a ECDSAP256SHA256 -f KSK example.").trim().to_owned();
    tool("dnssec-signzone -S -z -o example. -f signed.zone example.zone");
    let text = fs::read_to_string(node.path(&format!("{key}.key"))).unwrap();
    let record = text.lines().find(|line| line.contains("DNSKEY")).unwrap();
    let data: Vec<_> = record.split("DNSKEY ").nth(1).unwrap().split(' ').collect();
    let (fields, octets) = (data[..3].join(" "), data[3..].concat());
    let anchor = format!("trust-anchors {{ example. static-key {fields} \"{octets}\"; }};\n");
    node.write("anchor", &anchor);
    let daemon = node.serve();
    let port = daemon.node.port;
    let ask = |name: &str, kind: &str| {
        tool(&format!("delv @127.0.0.1 -p {port} -a anchor +root=example. {name} {kind}"))
    };
    assert!(ask("www.example.", "A").contains("; fully validated"));
    let absent = ask("nothing.example.", "A");
    assert!(absent.contains("; negative response, fully validated"), "{absent}");
}
