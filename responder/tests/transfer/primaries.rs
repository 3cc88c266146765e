//! What Knot, BIND and NSD transfer is what we then answer.

use hickory_proto::{op::Message, rr::RecordType};

use crate::{
    ask::axfr,
    harness::{Daemon, Node, query},
    peers::{Kind, Plan, Primary, SECRET},
};

/// A zone of a few thousand records, so that a transfer takes several messages.
pub fn zone(serial: u32) -> String {
    let mut text = format!(
        "$ORIGIN tld.test.\n$TTL 3600\n@ SOA ns1 Hostmaster.Example. {serial} 7200 3600 1209600 300\n\
         @ NS Ns1\n@ NS ns.elsewhere.example.\n@ MX 10 Mail\nNs1 A 192.0.2.1\nNs1 AAAA 2001:db8::1\n\
         MiXed CNAME tArget.Elsewhere.example.\nmail A 192.0.2.25\n*.wild TXT \"{serial}\"\n\
         odd TYPE65400 \\# 4 01020304\n"
    );
    for number in 0..3000 {
        text += &format!(
            "D{number} NS ns1.D{number}\nns1.D{number} A 198.51.{}.{}\n",
            number / 250,
            number % 250
        );
    }
    text
}

/// The same without MX for NSD: NSD 4.6.1 says in its differences that an MX at the apex comes, though it
/// was there before. Then we ask for the whole zone.
fn zone_for(kind: Kind, serial: u32) -> String {
    let text = zone(serial);
    if kind == Kind::Nsd { text.replace("@ MX 10 Mail\n", "") } else { text }
}

/// For primaries that hang up on us, or forget us, while they start or reload.
pub const PATIENT: &str =
    "[limits]\ntransfer-idle = \"3s\"\n[transfer]\nretry-min = \"1s\"\nretry-max = \"1s\"\n";

/// The configuration of a zone with primaries on these ports of 127.0.0.1.
pub fn secondary(ports: &[u16], algorithm: Option<&str>, more: &str) -> String {
    let key = algorithm.map_or("", |_| ", key = \"k.\"");
    let primaries: Vec<String> = ports
        .iter()
        .map(|port| format!("{{ address = \"127.0.0.1\", port = {port}{key} }}"))
        .collect();
    let mut text = String::new();
    if let Some(algorithm) = algorithm {
        text += &format!(
            "[[key]]\nname = \"k.\"\nalgorithm = \"{algorithm}\"\nsecret-file = \"secret\"\n"
        );
    }
    text + &format!(
        "[[zone]]\nname = \"tld.test.\"\nprimaries = [{}]\n{more}",
        primaries.join(", ")
    )
}

/// A node with the secret in its file.
pub fn node(config: &str) -> Node {
    let node = Node::new(config);
    node.write("secret", SECRET);
    node
}

pub fn is_served(daemon: &Daemon<'_>, serial: u32) -> bool {
    let zone = daemon.zone("tld.test.");
    zone["state"] == "serving" && zone["serial"] == serial
}

fn answer(daemon: &Daemon<'_>, name: &str, kind: RecordType) -> Message {
    Message::from_vec(&daemon.ask(&query(7, name, kind))).unwrap()
}

/// BIND and PowerDNS keep the case of names in data; Knot and NSD give them in lower case.
fn check_contents(daemon: &Daemon<'_>, kind: Kind, serial: u32) {
    let keeps = matches!(kind, Kind::Bind | Kind::PowerDns);
    let name = |text: &str| if keeps { text.to_owned() } else { text.to_lowercase() };
    let zone = daemon.zone("tld.test.");
    let records = if kind == Kind::Nsd { 6009 } else { 6010 };
    assert_eq!(zone["records"], records, "{zone}");
    assert_eq!(zone["serial"], serial);
    let soa = answer(daemon, "tld.test.", RecordType::SOA);
    let text = soa.answers[0].data.to_string();
    assert!(text.contains(&name("Hostmaster.Example.")), "{text}");
    let mixed = answer(daemon, "mixed.tld.test.", RecordType::CNAME);
    assert_eq!(mixed.answers[0].data.to_string(), name("tArget.Elsewhere.example."));
    let wild = answer(daemon, "a.b.wild.tld.test.", RecordType::TXT);
    assert!(wild.answers[0].data.to_string().contains(&serial.to_string()));
    let odd = answer(daemon, "odd.tld.test.", RecordType::Unknown(65400));
    assert_eq!(odd.answers.len(), 1);
    let referral = answer(daemon, "www.d2999.tld.test.", RecordType::A);
    // The end of this one is a pointer to the question.
    assert_eq!(referral.authorities[0].data.to_string(), "ns1.d2999.tld.test.");
    assert_eq!(referral.additionals[0].data.to_string(), "198.51.11.249");
}

fn transfer_from(kind: Kind, algorithm: Option<&str>) {
    let text = zone_for(kind, 5);
    let plan = Plan { kind, zone: "tld.test.", text: &text, algorithm, notify: None };
    let primary = Primary::start(&plan);
    let more = format!("transfer-to = [{{ address = \"127.0.0.1\" }}]\n{PATIENT}");
    let node = node(&secondary(&[primary.port], algorithm, &more));
    let daemon = node.serve();
    daemon.until("the zone", || is_served(&daemon, 5));
    check_contents(&daemon, kind, 5);
    let is_equal = || {
        if matches!(algorithm, None | Some("hmac-sha256")) {
            let key = format!("k:{SECRET}");
            let key = algorithm.map(|_| &key[..]);
            let theirs = axfr(primary.port, "tld.test", key);
            assert!(theirs.1 > 6000, "{kind:?}: {theirs:?}");
            assert_eq!(axfr(node.port, "tld.test", None), theirs, "{kind:?}");
        }
    };
    is_equal();
    let state = daemon.zone("tld.test.");
    assert_eq!(state["secondary"]["primary"], format!("127.0.0.1:{}", primary.port));
    assert!(state["secondary"]["expiry"].as_u64().unwrap() > 1_209_000, "{state}");
    assert!((6_000..=7_200).contains(&state["secondary"]["next-refresh"].as_u64().unwrap()));

    primary.update("tld.test.", &zone_for(kind, 6));
    // The primary takes its time to read the file.
    daemon.until("the next version", || {
        let ran = node.run(&["zone", "refresh", "TLD.test", "--config", "r.toml"]);
        ran.out == "zone \"tld.test.\" is fresh: serial 6\n"
    });
    check_contents(&daemon, kind, 6);
    is_equal();
    let ran = node.run(&["zone", "retransfer", "tld.test.", "--config", "r.toml"]);
    assert_eq!(ran.out, "zone \"tld.test.\" is fresh: serial 6\n", "{ran:?}");
    let counts = daemon.status()["transfers"].clone();
    // PowerDNS keeps no differences: it answers IXFR with the zone.
    let form = if kind == Kind::PowerDns { "axfr-for-ixfr" } else { "ixfr" };
    assert_eq!(
        (&counts["axfr"], &counts[form]),
        (&2.into(), &1.into()),
        "{kind:?} {}",
        daemon.log()
    );
    assert_eq!(daemon.log().matches("zone transferred").count(), 3, "{}", daemon.log());
}

#[test]
fn rfc5936_knot_bind_nsd_and_powerdns_give_their_zones() {
    for kind in Kind::ALL {
        transfer_from(kind, None);
    }
}

#[test]
fn rfc8945_knot_bind_nsd_and_powerdns_sign_with_every_algorithm() {
    for algorithm in ["hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"] {
        for kind in Kind::ALL {
            transfer_from(kind, Some(algorithm));
        }
    }
}

#[test]
fn rfc8945_a_wrong_secret_gives_nothing_and_is_told() {
    for kind in Kind::OF_FILES {
        let text = zone(5);
        let algorithm = Some("hmac-sha256");
        let plan = Plan { kind, zone: "tld.test.", text: &text, algorithm, notify: None };
        let primary = Primary::start(&plan);
        let node = node(&secondary(&[primary.port], algorithm, PATIENT));
        node.write("secret", "YW5vdGhlciBzZWNyZXQ=");
        let daemon = node.serve();
        daemon.until("the refusal", || daemon.zone("tld.test.")["state"] == "failed");
        let zone = daemon.zone("tld.test.");
        let error = zone["last-error"].as_str().unwrap();
        let port = primary.port;
        let told = format!("127.0.0.1:{port}: TSIG: the peer finds our signature wrong (BADSIG)");
        // NSD just hangs up.
        let hung_up = kind == Kind::Nsd && error.contains("connection");
        assert!(error.starts_with(&told) || hung_up, "{kind:?}: {error}");
    }
}

#[test]
fn rfc8945_another_algorithm_than_the_primarys_gives_nothing() {
    for kind in Kind::OF_FILES {
        let text = zone(5);
        let algorithm = Some("hmac-sha256");
        let plan = Plan { kind, zone: "tld.test.", text: &text, algorithm, notify: None };
        let primary = Primary::start(&plan);
        let node = node(&secondary(&[primary.port], Some("hmac-sha512"), PATIENT));
        let daemon = node.serve();
        daemon.until("the refusal", || daemon.zone("tld.test.")["state"] == "failed");
        let zone = daemon.zone("tld.test.");
        let error = zone["last-error"].as_str().unwrap();
        // NSD takes any algorithm with the secret, and refuses the transfer afterwards.
        let wanted = if kind == Kind::Nsd { "REFUSED to AXFR" } else { "(BADKEY)" };
        assert!(error.contains(wanted), "{kind:?}: {error}");
    }
}

#[test]
fn a_dead_and_a_lame_primary_are_passed_over() {
    let text = zone_for(Kind::Nsd, 5);
    let other = "@ SOA ns hostmaster 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n";
    let plan = |zone, text| Plan { kind: Kind::Nsd, zone, text, algorithm: None, notify: None };
    let lame = Primary::start(&plan("other.test.", other));
    let good = Primary::start(&plan("tld.test.", &text));
    let dead = crate::harness::free_port();
    let node = node(&secondary(&[dead, lame.port, good.port], None, PATIENT));
    let daemon = node.serve();
    daemon.until("the zone", || is_served(&daemon, 5));
    check_contents(&daemon, Kind::Nsd, 5);
    let log = daemon.log();
    assert!(log.contains("no connection: Connection refused"), "{log}");
    // NSD that has just started may hang up instead of answering REFUSED.
    let told = format!("primary=127.0.0.1:{}", lame.port);
    assert!(log.lines().any(|line| line.contains("no transfer") && line.contains(&told)), "{log}");
    assert_eq!(daemon.zone("tld.test.")["last-error"], serde_json::Value::Null);
}
