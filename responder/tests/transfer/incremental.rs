//! IXFR (RFC 1995): what a primary says of its changes, in every form that the protocol has, and in some
//! that it does not.

use domain::base::iana::Rcode;
use hickory_proto::{op::Message, rr::RecordType};

use crate::{
    harness::{Daemon, query},
    primaries::{is_served, node, secondary},
    script::{Differences, Say, Script, Scripted},
};

const WWW: &str = "www.tld.test.";

/// The zone at serial 2: `www` is elsewhere, and there is `new`.
fn second() -> Script {
    let mut script = Script::good(2);
    script.messages[2] = vec![www(9), Say::A("new.tld.test.", [192, 0, 2, 5]), Say::Soa(2)];
    script
}

fn www(last: u8) -> Say {
    Say::A(WWW, [192, 0, 2, last])
}

fn addresses(daemon: &Daemon<'_>, name: &str) -> Vec<String> {
    let reply = Message::from_vec(&daemon.ask(&query(7, name, RecordType::A))).unwrap();
    let mut addresses: Vec<String> =
        reply.answers.iter().map(|record| record.data.to_string()).collect();
    addresses.sort();
    addresses
}

/// From serial 1 to what `script` gives by IXFR; the form in which it came, and the addresses of `www`.
fn follow(script: Script) -> (String, Vec<String>) {
    let primary = Scripted::start(Script::good(1));
    let node = node(&secondary(&[primary.port], None, ""));
    let daemon = node.serve();
    daemon.until("the zone", || is_served(&daemon, 1));
    let serial = script.serial;
    primary.set(Some(script));
    let ran = node.run(&["zone", "refresh", "tld.test.", "--config", "r.toml"]);
    assert_eq!(ran.out, format!("zone \"tld.test.\" is fresh: serial {serial}\n"), "{ran:?}");
    assert!(is_served(&daemon, serial));
    let counts = daemon.status()["transfers"].clone();
    let forms = ["ixfr", "axfr-for-ixfr", "axfr-after-ixfr"];
    let form = forms.into_iter().find(|form| counts[*form] == 1);
    (form.unwrap_or_else(|| panic!("{counts}")).to_owned(), addresses(&daemon, WWW))
}

fn say(messages: &[&[Say]]) -> Differences {
    Differences::Say(messages.iter().map(|says| says.to_vec()).collect())
}

#[test]
fn rfc1995_differences_are_applied_however_they_are_cut_into_messages() {
    let new = || Say::A("new.tld.test.", [192, 0, 2, 5]);
    let says = [Say::Soa(2), Say::Soa(1), www(2), Say::Soa(2), www(9), new(), Say::Soa(2)];
    for size in [1, 2, 3, 7] {
        let messages = says.chunks(size).map(<[Say]>::to_vec).collect();
        let script = Script { differences: Differences::Say(messages), ..second() };
        assert_eq!(follow(script), ("ixfr".to_owned(), vec!["192.0.2.9".to_owned()]), "{size}");
    }
}

#[test]
fn rfc1995_a_chain_of_differences_is_followed_to_its_end() {
    let script = Script {
        serial: 5,
        differences: say(&[
            &[Say::Soa(5), Say::Soa(1), www(2), Say::Soa(3), www(9), www(8)],
            &[Say::Soa(3), www(8), Say::Soa(4), www(2), Say::Soa(4)],
            &[Say::Soa(5), Say::Soa(5)],
        ]),
        ..second()
    };
    let wanted = vec!["192.0.2.2".to_owned(), "192.0.2.9".to_owned()];
    assert_eq!(follow(script), ("ixfr".to_owned(), wanted));
}

#[test]
fn rfc1995_the_whole_zone_is_an_answer_to_ixfr() {
    let wanted = ("axfr-for-ixfr".to_owned(), vec!["192.0.2.9".to_owned()]);
    assert_eq!(follow(second()), wanted);
}

#[test]
fn rfc1995_the_whole_zone_is_asked_for_where_differences_are_refused_or_do_not_fit() {
    let mut cases: Vec<Differences> = [Rcode::NOTIMP, Rcode::REFUSED, Rcode::FORMERR]
        .into_iter()
        .map(Differences::Refuse)
        .collect();
    cases.extend([
        // Deletes what is not there.
        say(&[&[Say::Soa(2), Say::Soa(1), www(7), Say::Soa(2), www(9), Say::Soa(2)]]),
        // Adds what is there.
        say(&[&[Say::Soa(2), Say::Soa(1), Say::Soa(2), www(2), Say::Soa(2)]]),
        // Begins with a serial that is not ours.
        say(&[&[Say::Soa(2), Say::Soa(0), www(2), Say::Soa(2), www(9), Say::Soa(2)]]),
        // Goes back.
        say(&[&[Say::Soa(2), Say::Soa(1), www(2), Say::Soa(0), www(9), Say::Soa(2)]]),
        // A chain with a gap.
        say(&[&[Say::Soa(4), Say::Soa(1), Say::Soa(2), Say::Soa(3), Say::Soa(4), Say::Soa(4)]]),
        // Leaves a zone that cannot be served.
        say(&[&[
            Say::Soa(2),
            Say::Soa(1),
            Say::Ns("tld.test.", "ns.tld.test."),
            Say::Soa(2),
            Say::Soa(2),
        ]]),
        // Outside of the zone.
        say(&[&[Say::Soa(2), Say::Soa(1), Say::A("www.other.test.", [1, 2, 3, 4]), Say::Soa(2)]]),
        // Nothing but a newer SOA twice would be a whole zone; an older one is none.
        say(&[&[Say::Soa(1)]]),
    ]);
    for differences in cases {
        println!("{differences:?}");
        let wanted = ("axfr-after-ixfr".to_owned(), vec!["192.0.2.9".to_owned()]);
        assert_eq!(follow(Script { differences, ..second() }), wanted);
    }
}

#[test]
fn rfc1995_an_older_serial_by_ixfr_is_not_followed() {
    let primary = Scripted::start(Script::good(5));
    let node = node(&secondary(&[primary.port], None, ""));
    let daemon = node.serve();
    daemon.until("the zone", || is_served(&daemon, 5));
    // It announces 6, and both its answers lead to 3.
    let mut script = Script::good(3);
    script.serial = 6;
    script.differences =
        say(&[&[Say::Soa(3), Say::Soa(5), www(2), Say::Soa(3), www(9), Say::Soa(3)]]);
    primary.set(Some(script));
    let ran = node.run(&["zone", "refresh", "tld.test.", "--config", "r.toml"]);
    let wanted = "it announced serial 6 and then transferred 3\n";
    assert!(ran.err.ends_with(wanted), "{ran:?}");
    assert!(is_served(&daemon, 5));
    assert_eq!(addresses(&daemon, WWW), ["192.0.2.2"]);
}
