//! Signatures (RFC 8945) that are wrong, missing or late in the middle of a transfer.

use std::{path::PathBuf, sync::Arc};

use responder::{config, transfer::tsig::Key};

use crate::{
    harness::Node,
    primaries::{is_served, node, secondary},
    script::{Flaw, Script, Scripted},
};

const ALGORITHM: &str = "hmac-sha256";

/// The key that the node has, as the primary has it.
fn key(node: &Node) -> Arc<Key> {
    let secret_file: PathBuf = node.path("secret");
    let name = "k.".to_owned();
    let key = config::Key { name, algorithm: ALGORITHM.to_owned(), secret_file };
    Arc::new(Key::load(&key).unwrap())
}

/// A transfer of serial 2 whose signatures have a flaw: serial 1 stays, and one line tells why.
fn refused(flaw: Flaw, wanted: &str) {
    let primary = Scripted::start(Script::good(1));
    let node = node(&secondary(&[primary.port], Some(ALGORITHM), ""));
    let key = key(&node);
    let script =
        |serial, flaw| Script { signed: Some((Arc::clone(&key), flaw)), ..Script::good(serial) };
    primary.set(Some(script(1, Flaw::None)));
    let daemon = node.serve();
    daemon.until("the zone", || is_served(&daemon, 1));
    primary.set(Some(script(2, flaw)));
    let ran = node.run(&["zone", "refresh", "tld.test.", "--config", "r.toml"]);
    let told = format!("127.0.0.1:{}: TSIG: {wanted}", primary.port);
    assert!(
        ran.err.starts_with(&format!("error: zone \"tld.test.\": {told}")),
        "{flaw:?}: {ran:?}"
    );
    assert!(is_served(&daemon, 1));
    let log = daemon.log();
    let line = log.lines().find(|line| line.contains("no transfer")).expect(&log);
    for part in ["tld.test.", &primary.port.to_string(), "tsig", wanted] {
        assert!(line.contains(part), "{line}");
    }
    primary.set(Some(script(2, Flaw::None)));
    let ran = node.run(&["zone", "refresh", "tld.test.", "--config", "r.toml"]);
    assert_eq!(ran.out, "zone \"tld.test.\" is fresh: serial 2\n", "{ran:?}");
}

const WRONG: &str = "the signature is wrong";

#[test]
fn rfc8945_a_wrong_signature_anywhere_in_a_transfer_ends_it() {
    for number in 0..3 {
        refused(Flaw::Wrong(number), WRONG);
    }
}

#[test]
fn rfc8945_a_message_changed_on_its_way_ends_a_transfer() {
    for number in 0..3 {
        refused(Flaw::Changed(number), WRONG);
    }
}

#[test]
fn rfc8945_a_signature_taken_away_ends_a_transfer() {
    refused(Flaw::Stripped(0), "the message is not signed");
    // The next one covers another one than we have seen.
    refused(Flaw::Stripped(1), WRONG);
    refused(Flaw::Stripped(2), "too many messages in a row are not signed");
}

#[test]
fn rfc8945_a_primary_whose_clock_is_far_ahead_is_not_believed() {
    refused(Flaw::Ahead(400), "the clocks are");
}
