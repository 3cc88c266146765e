//! The answer profile, row by row: where name servers differ, this is what we answer.
//!
//! Every query is asked of the host's engine and of both kernel programs, over IPv4 and IPv6, which must
//! give the same octets; every reply goes through the strict decoder. Root and BPF are needed.

use responder::strict;

mod aliases;
mod answers;
mod edns;
#[path = "../everywhere/mod.rs"]
mod everywhere;
mod messages;
mod packets;
#[path = "../refereeing/probe.rs"]
#[allow(dead_code, reason = "more than this test needs")]
mod probe;
mod signed;

use std::{
    path::Path,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use everywhere::Everywhere;
use probe::Probe;
use responder::{store::StoreOptions, zone};
use responder_common::verdict::{Action, Verdict};
use strict::Message;

/// The identity of the node: the longest that there may be.
const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// The zones of these tests, by apex.
const ZONES: [(&str, &str); 5] = [
    ("profile.test", include_str!("profile.test.zone")),
    ("child.profile.test", include_str!("child.profile.test.zone")),
    ("orphan.test", include_str!("orphan.test.zone")),
    ("nsec.test", include_str!("nsec.test.zone")),
    ("neighbour.test", include_str!("neighbour.test.zone")),
];

/// Programs and zones, loaded once for all tests.
fn loaded() -> MutexGuard<'static, Everywhere> {
    static LOADED: OnceLock<Mutex<Everywhere>> = OnceLock::new();
    let load = || {
        let options = StoreOptions { udp_size: 1232, id: ID.into() };
        let everywhere = Everywhere::load(&options)
            .unwrap_or_else(|error| panic!("these tests need root and BPF: {error:#}"));
        let folder = tempfile::tempdir().expect("a scratch folder");
        for (apex, text) in ZONES {
            serve(&everywhere, apex, text, folder.path());
        }
        Mutex::new(everywhere)
    };
    LOADED.get_or_init(load).lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(everywhere: &Everywhere, apex: &str, text: &str, folder: &Path) {
    let file = folder.join("zone");
    std::fs::write(&file, text).expect("a scratch file");
    zone::load(&everywhere.store, apex, &file).unwrap_or_else(|error| panic!("{error}"));
}

/// Asks everywhere, over UDP; what the engine calls the reply, and the reply.
fn ask(probe: &Probe) -> (Verdict, Message) {
    let (verdict, reply) = octets(&probe.octets());
    assert_eq!(verdict.action(), Action::Reply, "{verdict:?}");
    (verdict, reply)
}

/// The same with the query as octets, which has a reply.
fn octets(query: &[u8]) -> (Verdict, Message) {
    let answered = loaded().ask(query).unwrap_or_else(|fault| panic!("{fault}"));
    let reply = answered.reply.unwrap_or_else(|| panic!("{:?}", answered.verdict));
    let message = Message::parse(&reply).unwrap_or_else(|fault| panic!("{fault}: {reply:02x?}"));
    (answered.verdict, message)
}

/// Asks what has no reply.
fn silence(query: &[u8]) -> Verdict {
    let answered = loaded().ask(query).unwrap_or_else(|fault| panic!("{fault}"));
    assert_eq!(answered.reply, None);
    answered.verdict
}

/// Asks over TCP.
fn stream(probe: &Probe) -> Message {
    let answered = loaded().ask_stream(&probe.octets());
    let reply = answered.reply.unwrap_or_else(|| panic!("{:?}", answered.verdict));
    Message::parse(&reply).unwrap_or_else(|fault| panic!("{fault}: {reply:02x?}"))
}

/// A section as text, sorted, a record a line; signatures are cut short to what they cover, an SOA to its TTL.
fn lines(section: &[strict::Record]) -> Vec<String> {
    let line = |record: &strict::Record| {
        let text = record.to_string();
        match record.rtype {
            strict::rtype::RRSIG => {
                let covered = u16::from_be_bytes([record.rdata[0], record.rdata[1]]);
                let (owner, ttl) = (&record.owner, record.ttl);
                format!("{owner} {ttl} RRSIG {}", strict::type_text(covered))
            }
            strict::rtype::SOA => format!("{} {} SOA", record.owner, record.ttl),
            _ => text,
        }
    };
    let mut lines: Vec<String> = section.iter().map(line).collect();
    lines.sort();
    lines
}

/// Holds a message's three sections against these lines.
#[track_caller]
fn sections(message: &Message, answer: &[&str], authority: &[&str], additional: &[&str]) {
    for (name, section, expected) in [
        ("answer", &message.answer, answer),
        ("authority", &message.authority, authority),
        ("additional", &message.additional, additional),
    ] {
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(lines(section), expected, "{name} of\n{message}");
    }
}
