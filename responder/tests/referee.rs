//! The sample zones, asked of us and of the peers: the short form of what `cargo xtask prove` asks.

use responder::strict;
#[path = "referee/chains.rs"]
mod chains;
mod refereeing;

use std::path::Path;

use strict::{Record, rtype};

use refereeing::{
    ask::{self, Pace},
    contest::{Contest, Opponent},
    data::ZoneData,
    judge::Judge,
    local::{self, UDP_SIZE},
    peers::{Kind, Zone},
    queries::{self, Dress, Query},
    sign::{Denial, sign},
    tally::Tally,
};

#[test]
fn sample_zones_are_answered_as_nsd_answers_them() {
    assert_equal(Kind::Nsd, &compare(Kind::Nsd, &local::sample_zones(), false));
}

#[test]
fn sample_zones_are_answered_as_knot_answers_them() {
    assert_equal(Kind::Knot, &compare(Kind::Knot, &local::sample_zones(), false));
}

#[test]
fn rfc4035_with_do_an_unsigned_zone_is_answered_as_the_peers_answer_it() {
    // Section 3.1.4 has DS in the referrals of signed zones only.
    for peer in [Kind::Nsd, Kind::Knot] {
        assert_equal(peer, &compare(peer, &local::sample_zones(), true));
    }
}

#[test]
fn the_judge_notices_what_differs() {
    let name = strict::Name::from_text("www.example.").expect("a name");
    let dress = Dress { size: Some(1232), ..Dress::default() };
    let query = Query::new(7, name, rtype::A, dress);
    // An answer of one address, TTL 3600: the header's flags and the last octets are what we turn.
    let mut right = query.octets.clone();
    right[2..8].copy_from_slice(&[0x84, 0, 0, 1, 0, 1]);
    let opt = right.split_off(right.len() - 11);
    right.extend(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x0e\x10\x00\x04\xc0\x00\x02\x01");
    let address = right.len() - 1;
    right.extend(opt);
    let apexes = [strict::Name::from_text("example.").expect("a name")];
    let judge =
        Judge { peer: Kind::Nsd, apexes: &apexes, data: &[], unread: &[], udp_size: UDP_SIZE };
    let theirs = strict::Message::parse(&right).expect("well formed");
    let faults = |reply: &[u8]| {
        let mut tally = Tally::default();
        if let Some(ours) = judge.alone(&query, reply, &mut tally) {
            tally.count(judge.compare(&query, &ours, &theirs), String::new);
        }
        assert_eq!(tally.equal + tally.faults(), 1, "one verdict: {tally}");
        tally.differences.into_keys().next()
    };
    assert_eq!(faults(&right), None);
    let turned = |at: usize, mask: u8| {
        let mut reply = right.clone();
        reply[at] ^= mask;
        faults(&reply).unwrap_or_else(|| panic!("octet {at} turned by {mask:#x} goes unnoticed"))
    };
    assert_eq!(turned(0, 1), "ID not echoed");
    assert_eq!(turned(2, 0x80), "QR or opcode wrong");
    assert_eq!(turned(2, 0x04), "AA for A");
    assert_eq!(turned(2, 0x01), "RD not echoed");
    assert_eq!(turned(2, 0x02), "truncated reply with records");
    assert_eq!(turned(3, 0x80), "RA, AD or CD set");
    assert_eq!(turned(3, 0x03), "rcode for A");
    assert_eq!(turned(7, 0x01), "strict: octets after the last record");
    assert_eq!(turned(13, 0x20), "question not echoed octet for octet");
    assert_eq!(turned(address - 6, 0x01), "answer for A", "the TTL");
    assert_eq!(turned(address, 0x01), "answer for A", "the address");
    assert_eq!(turned(right.len() - 4, 0x80), "DO not echoed");
}

#[test]
fn zones_signed_with_nsec_are_answered_as_the_peers_answer_them() {
    compare_signed(Denial::Nsec);
}

#[test]
fn zones_signed_with_nsec3_are_answered_as_the_peers_answer_them() {
    compare_signed(Denial::Nsec3);
}

#[test]
fn zones_signed_with_opt_out_are_answered_as_the_peers_answer_them() {
    compare_signed(Denial::Nsec3OptOut);
}

/// Signs the sample zones and asks with DO.
fn compare_signed(denial: Denial) {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let signed =
        |zone: &Zone| sign(zone, denial, folder.path()).unwrap_or_else(|error| panic!("{error}"));
    let zones: Vec<Zone> =
        local::sample_zones().iter().filter(|zone| zone.is_signable()).map(signed).collect();
    let knot = compare(Kind::Knot, &zones, true);
    let readable: Vec<Zone> =
        zones.into_iter().filter(|zone| !zone.is_beyond_nsd(denial)).collect();
    let nsd = compare(Kind::Nsd, &readable, true);
    assert_equal(Kind::Knot, &knot);
    assert_equal(Kind::Nsd, &nsd);
}

/// Asks both sides everything about every zone.
fn compare(theirs: Kind, zones: &[Zone], dnssec_ok: bool) -> Tally {
    let everything =
        |apex: &strict::Name, records: &[Record]| queries::everything(apex, records, 1, dnssec_ok);
    compare_about(theirs, zones, &everything)
}

/// Asks both sides what `questions` wants to know of each zone.
fn compare_about(
    theirs: Kind,
    zones: &[Zone],
    questions: &dyn Fn(&strict::Name, &[Record]) -> Vec<Query>,
) -> Tally {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let program = Path::new(env!("CARGO_BIN_EXE_responder"));
    let start = |kind: Kind| local::start(kind, program, zones, folder.path(), None);
    let theirs = start(theirs);
    let ours = start(Kind::Responder);
    let apexes: Vec<_> = zones.iter().map(|zone| zone.apex.clone()).collect();
    let transfer = |apex| ask::transfer(theirs.address, apex).expect("a transfer from the peer");
    let records: Vec<_> = apexes.iter().map(transfer).collect();
    let data: Vec<ZoneData> =
        records.iter().map(|records| records.iter().cloned().collect()).collect();
    let judge =
        Judge { peer: theirs.kind, apexes: &apexes, data: &data, unread: &[], udp_size: UDP_SIZE };
    let side = local::side;
    let opponent = Opponent { side: side(theirs.address), judge };
    let contest = Contest { ours: side(ours.address), theirs: vec![opponent] };
    let mut all = Tally::default();
    for (apex, records) in apexes.iter().zip(&records) {
        let asked = questions(apex, records);
        let tally = contest.run(&asked, Pace::default()).expect("both sides answer");
        println!("{apex} {} queries: {tally}", asked.len());
        all.merge(tally);
    }
    all
}

fn assert_equal(peer: Kind, tally: &Tally) {
    assert!(tally.equal > 10_000, "too few replies were compared: {}", tally.equal);
    assert_eq!(tally.faults(), 0, "differences from {}:\n{tally}", peer.program());
}

#[test]
fn sample_zones_can_be_signed_in_every_way() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    for zone in local::sample_zones() {
        for (denial, flags) in [
            (Denial::Nsec, None),
            (Denial::Nsec3, Some("1 0 0")),
            (Denial::Nsec3OptOut, Some("1 1 0")),
        ] {
            let signed =
                sign(&zone, denial, folder.path()).unwrap_or_else(|error| panic!("{error}"));
            let text = std::fs::read_to_string(&signed.file).expect("a signed zone");
            assert!(text.contains("RRSIG"), "{} with {denial:?}", zone.apex);
            // An NSEC3 record's data begin with algorithm, flags and iterations.
            let chained = text.lines().any(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                match flags {
                    None => words.contains(&"NSEC"),
                    Some(flags) => words
                        .iter()
                        .position(|word| *word == "NSEC3")
                        .and_then(|at| words.get(at + 1..at + 4))
                        .is_some_and(|begin| begin.join(" ") == flags),
                }
            });
            assert!(chained, "{} with {denial:?}", zone.apex);
        }
    }
}
