//! Checksums at every parity: a fragment that begins at an odd offset adds its sum with the octets swapped
//! (RFC 1071, section 2), so every combination of odd and even is asked for, over IPv4 and IPv6, and with
//! a checksum that is whole or still to be finished.
//!
//! Needs root and BPF; without them it fails and says so.

use std::{collections::BTreeSet, fmt::Write as _, fs, sync::Arc};

use responder::{
    dataplane::{DataPlane, trial::HookPoint},
    store::StoreOptions,
    strict, zone,
};
use responder_common::verdict::Action;

#[path = "fuzz/judge.rs"]
mod judge;

/// Offsets whose parity matters: of two aliases, of the RRset at their end, and of OPT.
const PLACES: usize = 4;

/// An odd or even number of octets, by parity, in the query's name and in what each fragment holds.
const WORDS: [[&str; 2]; PLACES] =
    [["q", "qq"], ["one", "ones"], ["two", "twos"], ["data", "datas"]];

#[test]
fn checksums_are_right_at_every_parity_of_every_fragment() {
    let options = StoreOptions { udp_size: 1232, id: "parity".into() };
    let (plane, store) = DataPlane::load(&options)
        .unwrap_or_else(|error| panic!("this needs root and BPF: {error:#}"));
    let folder = tempfile::tempdir().expect("a scratch folder");
    let file = folder.path().join("parity.example.zone");
    fs::write(&file, zone_text()).expect("a zone file");
    zone::load(&store, "parity.example.", &file).unwrap_or_else(|error| panic!("{error}"));
    let mut host = responder::answer::Answerer::new(Arc::clone(&store));
    let mut seen = BTreeSet::new();
    let mut expected = Vec::new();
    for bits in 0..1_usize << PLACES {
        let name = zone::name::from_text(&owner(bits)).expect("a name");
        for family in [4, 6] {
            for finished in [true, false] {
                let query = frame(family, finished, &message(&name));
                for hook in [HookPoint::Xdp, HookPoint::Tc] {
                    let trial = plane.trial(hook, &query).expect("a run");
                    assert_eq!(trial.action, Action::Reply, "{}", owner(bits));
                    host.frame(hook, &query, &mut expected);
                    assert_eq!(trial.frame, expected, "{hook:?}: {}", owner(bits));
                    let at = judge::headers(hook, &query, &trial.frame).unwrap_or_else(|fault| {
                        panic!("{hook:?}, IPv{family}, {}: {fault}", owner(bits))
                    });
                    judge::message(&query[at..], &trial.frame[at..])
                        .unwrap_or_else(|fault| panic!("{hook:?}: {fault}"));
                    seen.insert((
                        parities(&trial.frame[at..]),
                        family,
                        finished,
                        hook == HookPoint::Tc,
                    ));
                }
            }
        }
    }
    // Every combination of four parities, two families, two checksums and two hooks.
    assert_eq!(seen.len(), (1 << PLACES) * 2 * 2 * 2, "not every parity was met: {seen:?}");
}

/// Whether each fragment of the reply begins at an odd offset.
fn parities(reply: &[u8]) -> [bool; PLACES] {
    let decoded = strict::Message::parse(reply).expect("a message");
    assert_eq!((decoded.answer.len(), decoded.edns.is_some()), (3, true), "{decoded}");
    let mut offset = 12 + decoded.question[0].name.wire().len() + 4;
    let mut parities = [offset % 2 == 1; PLACES];
    for (record, parity) in decoded.answer.iter().zip(&mut parities[1..]) {
        offset += record.octets;
        *parity = offset % 2 == 1;
    }
    parities
}

/// For each combination an alias to an alias to a text.
fn zone_text() -> String {
    let mut text =
        "$TTL 60\n@ SOA ns.example.net. host.example.net. 1 2 3 4 5\n@ NS ns.example.net.\n"
            .to_owned();
    for bits in 0..1_usize << PLACES {
        let word = |place: usize| WORDS[place][bits >> place & 1];
        let (one, two) = (format!("{}-{bits:02}", word(1)), format!("{}-{bits:02}", word(2)));
        writeln!(text, "{} CNAME {one}\n{one} CNAME {two}", owner(bits)).expect("memory");
        writeln!(text, "{two} TXT {}", word(3)).expect("memory");
    }
    text
}

fn owner(bits: usize) -> String {
    format!("{}-{bits:02}.parity.example.", WORDS[0][bits & 1])
}

/// A query for TXT with OPT.
fn message(name: &[u8]) -> Vec<u8> {
    let mut message = vec![0x5a, 0xa5, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    message.extend(name);
    message.extend([0, 16, 0, 1, 0, 0, 41, 16, 0, 0, 0, 0, 0, 0, 0]);
    message
}

/// The query in a frame. What is not `finished` has the sum of its pseudo header for a checksum.
fn frame(family: u8, finished: bool, message: &[u8]) -> Vec<u8> {
    let length = message.len() as u16 + 8;
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    let addresses = if family == 4 {
        frame.extend([8, 0, 0x45, 0]);
        frame.extend((length + 20).to_be_bytes());
        frame.extend([0, 1, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
        8
    } else {
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend(length.to_be_bytes());
        frame.extend([17, 64]);
        for last in [1, 2] {
            frame.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
        }
        32
    };
    let udp = frame.len();
    let pseudo = judge::sum(&frame[udp - addresses..], u64::from(length) + 17);
    frame.extend([0x80, 1, 0, 53]);
    frame.extend(length.to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(message);
    let checksum = if finished { !judge::sum(&frame[udp..], u64::from(pseudo)) } else { pseudo };
    frame[udp + 6..udp + 8].copy_from_slice(&checksum.to_be_bytes());
    frame
}
