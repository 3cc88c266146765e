//! Primaries that lie, stall or never end: the old data go on being served, and one line tells why.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use crate::{
    harness::Daemon,
    primaries::{is_served, node, secondary},
    script::{End, Say, Script, Scripted},
};

/// A transfer of serial 2 that must fail, and how.
fn refused(change: impl FnOnce(&mut Script), wanted: &str, limits: &str) {
    refused_by(change, wanted, limits, "");
}

/// The same, with more in the zone's configuration.
pub fn refused_by(change: impl FnOnce(&mut Script), wanted: &str, limits: &str, more: &str) {
    let primary = Scripted::start(Script::good(1));
    let node = node(&format!("{limits}{}", secondary(&[primary.port], None, more)));
    let daemon = node.serve();
    daemon.until("the zone", || is_served(&daemon, 1));
    let mut script = Script::good(2);
    change(&mut script);
    primary.set(Some(script));
    let ran = node.run(&["zone", "refresh", "tld.test.", "--config", "r.toml"]);
    assert_eq!(
        ran.err,
        format!("error: zone \"tld.test.\": 127.0.0.1:{}: {wanted}\n", primary.port)
    );
    assert!(is_served(&daemon, 1));
    let log = daemon.log();
    let line = log.lines().find(|line| line.contains("no transfer")).expect(&log);
    for part in ["tld.test.", &format!("127.0.0.1:{}", primary.port), wanted] {
        assert!(line.contains(part), "{line}");
    }
    // And it is none the worse for it.
    primary.set(Some(Script::good(2)));
    let ran = node.run(&["zone", "refresh", "tld.test.", "--config", "r.toml"]);
    assert_eq!(ran.out, "zone \"tld.test.\" is fresh: serial 2\n", "{ran:?}");
}

const CLOSED: &str = "it closed the connection before the end of its answer";

#[test]
fn rfc5936_a_transfer_cut_at_any_message_is_incomplete() {
    for kept in 0..=2 {
        let cut = |script: &mut Script| {
            script.messages.truncate(kept);
            script.end = End::Close;
        };
        refused(cut, CLOSED, "");
    }
}

#[test]
fn rfc5936_a_transfer_cut_within_a_message_is_incomplete() {
    for octets in [0, 1, 12, 200] {
        let cut = |script: &mut Script| {
            script.messages.truncate(2);
            script.end = End::CloseWithin(octets);
        };
        refused(cut, CLOSED, "");
    }
}

#[test]
fn rfc5936_a_transfer_begins_and_ends_with_the_same_soa() {
    let begin = |script: &mut Script| script.messages.remove(0).clear();
    refused(begin, "the transfer does not begin with the zone's SOA", "");
    let end = |script: &mut Script| script.messages.push(vec![Say::Soa(3)]);
    let changed = |script: &mut Script| {
        script.messages[2][1] = Say::Soa(3);
        script.end = End::Close;
    };
    refused(changed, "the SOA changed during the transfer (serial 2 at its beginning, 3 now)", "");
    let beyond = |script: &mut Script| {
        end(script);
        script.messages[2].push(Say::A("late.tld.test.", [192, 0, 2, 3]));
    };
    refused(beyond, "records follow the SOA that ends the transfer", "");
}

#[test]
fn records_that_do_not_belong_are_refused() {
    let cases: [(Say, &str); 6] = [
        (Say::A("www.other.test.", [192, 0, 2, 3]), "www.other.test. A: it is outside of the zone"),
        (Say::A("xtld.test.", [192, 0, 2, 3]), "xtld.test. A: it is outside of the zone"),
        (
            Say::Raw("www.tld.test.", 1, 3, vec![192, 0, 2, 3]),
            "www.tld.test. A: its class is CH, not IN",
        ),
        (
            Say::Raw("www.tld.test.", 1, 1, vec![192, 0, 2]),
            "www.tld.test. A: its data are malformed",
        ),
        (Say::Raw("tld.test.", 6, 1, vec![0, 0, 1, 2, 3]), "tld.test. SOA: its data are malformed"),
        (
            Say::Raw("www.tld.test.", 255, 1, vec![]),
            "www.tld.test. ANY: this type is never in a zone",
        ),
    ];
    for (say, wanted) in cases {
        refused(|script| script.messages[1].push(say), wanted, "");
    }
}

#[test]
fn a_zone_that_nobody_should_serve_is_refused() {
    let no_ns = |script: &mut Script| {
        script.messages[1].remove(0);
    };
    refused(no_ns, "there is no NS at the apex", "");
    let two_soas = |script: &mut Script| {
        let soa = [&[0, 0][..], &[0; 20]].concat();
        script.messages[1].push(Say::Raw("sub.tld.test.", 6, 1, soa));
    };
    refused(two_soas, "sub.tld.test. owns a SOA and is not the apex", "");
}

/// NSEC3PARAM and the NSEC3 of the apex, which is the only hash that a chain needs here.
fn hashed() -> [Say; 2] {
    // The hash of tld.test., by nsec3hash(1) with no salt and no further iterations.
    const HASH: &str = "81o05h3afn8lip1mcf8nkml33f1vdj6c.tld.test.";
    let data = [&[1, 0, 0, 0, 0, 20][..], &[0x40; 20], &[0, 1, 0x22]].concat();
    [Say::Raw("tld.test.", 51, 1, vec![1, 0, 0, 0, 0]), Say::Raw(HASH, 50, 1, data)]
}

#[test]
fn rfc5155_an_nsec3_whose_owner_is_no_hash_is_refused() {
    for owner in ["nohash.tld.test.", "w1o05h3afn8lip1mcf8nkml33f1vdj6c.tld.test."] {
        let data = [&[1, 0, 0, 0, 0, 20][..], &[0x40; 20], &[0, 1, 0x22]].concat();
        let wrong = |script: &mut Script| {
            script.messages[1].extend(hashed());
            script.messages[1].push(Say::Raw(owner, 50, 1, data));
        };
        let wanted =
            format!("{owner} owns an NSEC3 and is no hash of a name (RFC 5155, section 3)");
        refused(wrong, &wanted, "");
    }
}

#[test]
fn an_rrset_that_no_message_can_count_is_refused() {
    let many = |script: &mut Script| {
        // 66,000 addresses of one name.
        let address = |number: u32| Say::A("many.tld.test.", number.to_be_bytes());
        let chunk = |first: u32| (first..first + 2000).map(address).collect();
        let messages = (0..33).map(|number| chunk(number * 2000));
        script.messages.splice(1..1, messages);
    };
    refused(many, "the RRset many.tld.test. type 1 is larger than a message can be", "");
}

#[test]
fn a_primary_that_stalls_is_left() {
    let stall = |script: &mut Script| script.messages.truncate(2);
    refused(stall, "no whole message for 4 s", "[limits]\ntransfer-idle = \"4s\"\n");
}

#[test]
fn a_transfer_that_never_ends_is_cut_at_the_limit() {
    let primary = Scripted::start(Script::good(1));
    const LIMIT: u64 = 60_000_000;
    let limits = format!("[limits]\ntransfer-octets = {LIMIT}\n");
    let node = node(&format!("{limits}{}", secondary(&[primary.port], None, "")));
    let daemon = node.serve();
    daemon.until("the zone", || is_served(&daemon, 1));
    let before = peak(&daemon);
    let mut endless = Script::good(2);
    let many = |number: u8| Say::A("many.tld.test.", [10, 0, number, 1]);
    endless.messages[2] = (0..200).map(many).collect();
    endless.end = End::Repeat;
    primary.set(Some(endless));
    let ran = node.run(&["zone", "refresh", "tld.test.", "--config", "r.toml"]);
    let wanted = format!("is larger than limits.transfer-octets = {LIMIT}\n");
    assert!(ran.err.ends_with(&wanted), "{ran:?}");
    assert!(is_served(&daemon, 1));
    // What the system holds in its buffers was sent, and little more than the limit was read.
    std::thread::sleep(Duration::from_millis(100));
    assert!(primary.sent.load(Relaxed) < LIMIT + 20_000_000);
    let grown = peak(&daemon) - before;
    assert!(grown < LIMIT + LIMIT / 10, "{grown} octets of memory");
}

/// The most memory that a daemon had so far, in octets.
fn peak(daemon: &Daemon<'_>) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
fn a_transfer_of_too_many_records_is_cut_at_the_limit() {
    let wanted = "the transfer is larger than limits.transfer-records = 4";
    refused(|script| script.messages[1].push(Say::A("a.tld.test.", [1; 4])), wanted, FOUR);
}

/// As many records as a good script has, its last SOA not counted.
const FOUR: &str = "[limits]\ntransfer-records = 4\n";

#[test]
fn rfc5936_a_transfer_of_an_older_serial_than_announced_is_refused() {
    let older = |script: &mut Script| {
        let serial = script.serial;
        *script = Script::good(1);
        script.serial = serial;
    };
    refused(older, "it announced serial 2 and then transferred 1", "");
}
