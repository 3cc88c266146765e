//! The memory that the store may have.

use std::{fmt::Write as _, thread, time::Duration};

use hickory_proto::rr::RecordType;

use crate::harness::{Node, query, serial, small_zone, zones};

/// A zone that takes more than 64 MiB of the store.
fn large_zone(serial: u32) -> String {
    let mut text = small_zone(serial);
    for number in 0..260_000 {
        let _ = writeln!(text, "n{number} TXT {number:0>250}");
    }
    text
}

fn limit(octets: u64) -> String {
    let zones = zones(&[("big.example.", "big.zone"), ("small.example.", "small.zone")]);
    format!("[limits]\nstore-octets = {octets}\n{zones}")
}

#[test]
fn a_zone_that_does_not_fit_is_refused_with_its_figure_and_everything_else_goes_on() {
    let node = Node::new(&limit(100_000_000));
    node.write("small.zone", &small_zone(7));
    node.write("big.zone", &large_zone(7));
    let daemon = node.serve();
    let soa = |id, name| daemon.ask(&query(id, name, RecordType::SOA));
    // At the start.
    assert_eq!(serial(&soa(1, "small.example.")), 7);
    let zone = daemon.zone("big.example.");
    assert_eq!(zone["state"], "failed", "{zone}");
    let error = zone["last-error"].as_str().unwrap();
    assert!(error.contains("limits.store-octets allows 100000000: raise it to "), "{error}");
    let figure: u64 =
        error.rsplit_once("raise it to ").unwrap().1.split(' ').next().unwrap().parse().unwrap();
    // The others follow their files.
    node.write("small.zone", &small_zone(8));
    daemon.signal(libc::SIGHUP);
    daemon.until("the small zone's change", || serial(&soa(2, "small.example.")) == 8);
    // With what was told it is served.
    node.configure(&limit(figure));
    daemon.signal(libc::SIGHUP);
    daemon.until("the large zone", || daemon.zone("big.example.")["state"] == "serving");
    assert_eq!(serial(&soa(3, "big.example.")), 7);
    // A version that does not fit beside it leaves it as it is; a change that does is committed.
    let other = large_zone(9).replace("TXT 0", "TXT 1");
    node.write("big.zone", &other);
    daemon.signal(libc::SIGHUP);
    daemon.until("the refusal", || {
        let zone = daemon.zone("big.example.");
        zone["last-error"].as_str().is_some_and(|error| error.contains("raise it to"))
    });
    thread::sleep(Duration::from_millis(50));
    assert_eq!(daemon.zone("big.example.")["state"], "serving");
    assert_eq!(serial(&soa(4, "big.example.")), 7);
    assert_eq!(serial(&soa(5, "small.example.")), 8);
}
