//! A zone's life by its timers: refresh, expiry, serials that go backwards.

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::RecordType,
};

use crate::{
    harness::query,
    primaries::{is_served, node, secondary},
    script::{Script, Scripted},
};

#[test]
fn rfc1982_a_serial_that_goes_backwards_is_not_followed() {
    let primary = Scripted::start(Script::good(0xffff_fff0));
    let node = node(&secondary(&[primary.port], None, ""));
    let daemon = node.serve();
    let refresh = || node.run(&["zone", "refresh", "tld.test.", "--config", "r.toml"]);
    daemon.until("the zone", || is_served(&daemon, 0xffff_fff0));
    primary.set(Some(Script::good(0xffff_ffef)));
    assert_eq!(
        refresh().err,
        format!(
            "error: zone \"tld.test.\": 127.0.0.1:{}: its serial 4294967279 is older than ours, \
             4294967280\n",
            primary.port
        )
    );
    assert!(is_served(&daemon, 0xffff_fff0));
    // Over the end of the numbers: newer.
    primary.set(Some(Script::good(3)));
    assert_eq!(refresh().out, "zone \"tld.test.\" is fresh: serial 3\n");
    // What an operator asks for is done all the same.
    primary.set(Some(Script::good(1)));
    let ran = node.run(&["zone", "retransfer", "tld.test.", "--config", "r.toml"]);
    assert_eq!(ran.out, "zone \"tld.test.\" is fresh: serial 1\n");
}

#[test]
fn rfc1035_the_primary_is_asked_at_each_refresh() {
    let mut script = Script::good(1);
    script.timers = [1, 1, 1000];
    let primary = Scripted::start(script.clone());
    let bounds = "[transfer]\nrefresh-min = \"1s\"\nretry-min = \"1s\"\n";
    let node = node(&secondary(&[primary.port], None, bounds));
    let daemon = node.serve();
    daemon.until("the zone", || is_served(&daemon, 1));
    let mut newer = Script::good(2);
    newer.timers = script.timers;
    primary.set(Some(newer));
    daemon.until("the next version", || is_served(&daemon, 2));
}

#[test]
fn rfc8914_an_expired_zone_answers_servfail_until_it_is_fresh_again() {
    let mut script = Script::good(7);
    // Long enough for a refresh on a busy machine.
    script.timers = [1, 1, 8];
    let primary = Scripted::start(script.clone());
    let bounds = "[transfer]\nrefresh-min = \"1s\"\nretry-min = \"1s\"\nexpire-min = \"8s\"\n";
    let node = node(&secondary(&[primary.port], None, bounds));
    let daemon = node.serve();
    daemon.until("the zone", || is_served(&daemon, 7));
    let ask = || {
        let reply = daemon.ask(&query(3, "www.tld.test.", RecordType::A));
        let message = Message::from_vec(&reply).unwrap();
        // Extended DNS error 24, Invalid Data.
        let explained = reply.windows(6).any(|octets| octets == [0, 15, 0, 2, 0, 24]);
        (message.metadata.response_code, message.answers.len(), explained)
    };
    // Longer than it is good for: refreshes keep it alive.
    std::thread::sleep(std::time::Duration::from_secs(9));
    assert_eq!(ask(), (ResponseCode::NoError, 1, false));
    primary.set(None);
    daemon.until("the expiry", || daemon.zone("tld.test.")["state"] == "expired");
    assert_eq!(ask(), (ResponseCode::ServFail, 0, true));
    assert!(daemon.log().contains("the zone has expired"), "{}", daemon.log());
    primary.set(Some(script));
    daemon.until("freshness", || is_served(&daemon, 7));
    assert_eq!(ask(), (ResponseCode::NoError, 1, false));
}
