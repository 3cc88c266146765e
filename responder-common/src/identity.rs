//! Who answers: the names of class CHAOS by which operators tell nodes apart (RFC 4892).

use crate::{
    bounds,
    name::keep,
    platform::Platform,
    scratch::{Item, Scratch, item, section},
    verdict::{Next, Verdict},
    wire::{self, class, flag, rcode, rtype},
};

/// A lower-case name of at most sixteen octets as two words.
const fn words(name: &[u8]) -> [u64; 2] {
    let mut words = [0_u64; 2];
    let mut at = 0;
    while at < name.len() {
        words[at / 8] |= (name[at] as u64) << (at % 8 * 8);
        at += 1;
    }
    words
}

const ID_SERVER: [u64; 2] = words(b"\x02id\x06server\0");
const HOSTNAME_BIND: [u64; 2] = words(b"\x08hostname\x04bind\0");
const VERSION_SERVER: [u64; 2] = words(b"\x07version\x06server\0");
const VERSION_BIND: [u64; 2] = words(b"\x07version\x04bind\0");
/// What `version.server` says: the program, not its version, which only attackers ask for.
const PROGRAM: [u64; 2] = words(b"responder");
const PROGRAM_LENGTH: u32 = 9;

/// Octets in front of the text: owner, fixed part, the text's length.
const TEXT: u32 = 2 + wire::RR_FIXED as u32 + 1;

/// Answers a question of class CHAOS; whatever is no identity is refused.
#[inline(always)]
pub fn answer<P: Platform>(platform: &P, s: &mut Scratch) -> Next {
    let length = s.name_length.get();
    let name = [
        keep(bounds::word(&s.name, 0), length),
        keep(bounds::word(&s.name, 8), length.saturating_sub(8)),
    ];
    let is = |other: [u64; 2]| name[0] == other[0] && name[1] == other[1] && length <= 16;
    let host = is(ID_SERVER) || is(HOSTNAME_BIND);
    let known = host || is(VERSION_SERVER) || is(VERSION_BIND);
    let qtype = s.qtype.get() as u16;
    if !known || (qtype != rtype::TXT && qtype != rtype::ANY) {
        s.rcode.set(u32::from(rcode::REFUSED));
        s.verdict.set(Verdict::Refused as u32);
        return Next::Reply;
    }
    let root = platform.root();
    let text = if host { root.nsid_length } else { PROGRAM_LENGTH };
    let pointer = wire::POINTER | wire::HEADER;
    let start = u64::from(pointer.to_be())
        | u64::from(rtype::TXT.to_be()) << 16
        | u64::from(class::CH.to_be()) << 32;
    bounds::put(&mut s.made, 0, start);
    let rest = u64::from((text as u16 + 1).to_be()) << 16 | u64::from(text) << 32;
    bounds::put(&mut s.made, 8, rest);
    if host {
        let mut done = 0;
        while done < root.nsid.len() as u32 {
            bounds::put(&mut s.made, TEXT + done, bounds::word(&root.nsid, done));
            done += 8;
        }
    } else {
        bounds::put(&mut s.made, TEXT, PROGRAM[0]);
        bounds::put(&mut s.made, TEXT + 8, PROGRAM[1]);
    }
    let octets = TEXT + text;
    s.answers[0] = Item { fragment: 0, bits: item::MADE, owner: 0, node: 0, apex: octets as u16 };
    s.answers_length.set(1);
    s.size.set(s.size.get() + octets);
    s.records[section::ANSWER].set(1);
    s.flags.set(u32::from(flag::AA));
    s.verdict.set(Verdict::Identity as u32);
    Next::Reply
}
