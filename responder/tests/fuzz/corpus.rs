//! Well-formed queries about the sample zones: what every mutation starts from.

use super::{octets::Octets, random::Random};

/// The types asked for: those of the zones, denial, meta types and one that nobody knows.
const TYPES: [u16; 26] = [
    1, 2, 5, 6, 12, 15, 16, 28, 33, 35, 39, 41, 43, 46, 47, 48, 50, 51, 64, 249, 250, 251, 252,
    255, 257, 65280,
];

/// Option codes (IANA): NSID, client subnet, cookie, keepalive, padding, extended error, unknown.
const OPTIONS: [u16; 7] = [3, 8, 10, 11, 12, 15, 65001];

/// Payload sizes around every bound.
const SIZES: [u16; 10] = [0, 511, 512, 513, 1231, 1232, 1233, 1400, 4096, 65535];

/// The names of the identity of a server (RFC 4892), and one that is none.
const CHAOS: [&[u8]; 5] = [
    b"\x02id\x06server\0",
    b"\x08hostname\x04bind\0",
    b"\x07version\x04bind\0",
    b"\x07version\x06server\0",
    b"\x07authors\x04bind\0",
];

/// What there is to ask about: names in wire form, each with a type that it has records of.
#[derive(Default)]
pub struct Known {
    /// The records of each zone.
    pub zones: Vec<Vec<(Vec<u8>, u16)>>,
    /// Those of all zones at which a walk turns: aliases, cuts, wildcards.
    pub turns: Vec<(Vec<u8>, u16)>,
}

impl Known {
    /// Takes another zone in.
    pub fn add(&mut self, records: Vec<(Vec<u8>, u16)>) {
        let turns = |(owner, rtype): &&(Vec<u8>, u16)| {
            [2, 5, 39, 43].contains(rtype) || owner.starts_with(b"\x01*")
        };
        self.turns.extend(records.iter().filter(turns).cloned());
        self.zones.push(records);
    }
}

/// Puts a well-formed query in `message`, about what there is and about what there is not.
pub fn query(message: &mut Octets, known: &Known, random: &mut Random) {
    message.clear();
    message.push_number(random.next() as u16);
    let flags = match random.below(8) {
        0 => random.next() as u16 & 0x0170, // RD, Z, AD, CD
        1 => 0x0020,
        _ => 0x0100,
    };
    message.push_number(flags);
    let edns = random.percent(75);
    for count in [1, 0, 0, u16::from(edns)] {
        message.push_number(count);
    }
    let chaos = random.percent(3);
    let among = if random.percent(40) { &known.turns } else { random.choose(&known.zones) };
    let (owner, its_type) = random.choose(among);
    if chaos {
        let identity: &&[u8] = random.choose(&CHAOS);
        message.push(identity);
    } else {
        name(message, owner, random);
    }
    turn_case(&mut message.get_mut()[12..], random);
    message.push_number(match random.below(10) {
        _ if chaos && random.percent(90) => 16,
        0..=3 => *its_type,
        4..=6 => *random.choose(&[1, 1, 28, 2, 16, 43]),
        _ => *random.choose(&TYPES),
    });
    message.push_number(match random.below(40) {
        0 => *random.choose(&[0, 2, 4, 254, 255]),
        _ if chaos => 3,
        _ => 1,
    });
    if edns {
        opt(message, random);
    }
}

/// A name of a zone, or one below, beside or above it.
fn name(message: &mut Octets, known: &[u8], random: &mut Random) {
    let first = usize::from(known[0]) + 1;
    let parent = if known.len() > first { &known[first..] } else { known };
    let (labels, rest) = match random.below(20) {
        0..=8 => (0, known),
        9..=12 => (1, known),
        13 => (1 + random.below(4), known),
        14..=16 => (1, parent),
        17 | 18 => (random.below(2), parent),
        _ => return longest(message, known, random),
    };
    let start = message.len();
    for _ in 0..labels {
        label(message, random);
    }
    if message.len() - start + rest.len() > 255 {
        message.truncate(start);
    }
    message.push(rest);
}

/// A name below this one that is as long as names may be.
fn longest(message: &mut Octets, known: &[u8], random: &mut Random) {
    let mut room = 255 - known.len();
    while room > 1 {
        let length = (1 + random.below(63)).min(room - 1);
        message.push(&[length as u8]);
        message.push(&[b'l'; 63][..length]);
        room -= length + 1;
    }
    message.push(known);
}

/// A label that no zone has, or one that many have; of any length now and then.
fn label(message: &mut Octets, random: &mut Random) {
    const LABELS: [&[u8]; 6] = [b"\x01*", b"\x03www", b"\x02ns", b"\x01a", b"\x01\0", b"\x02ns"];
    if random.percent(40) {
        let known: &&[u8] = random.choose(&LABELS);
        message.push(known);
        return;
    }
    let length = if random.percent(20) { 1 + random.below(63) } else { 1 + random.below(12) };
    message.push(&[length as u8]);
    for _ in 0..length {
        message.push(&[*random.choose(b"abcxyz019-_\0\xff.")]);
    }
}

/// An OPT with its options.
fn opt(message: &mut Octets, random: &mut Random) {
    message.push(&[0, 0, 41]);
    message.push_number(*random.choose(&SIZES));
    let version = u8::from(random.percent(2));
    message.push(&[0, version, if random.percent(60) { 0x80 } else { 0 }, 0, 0, 0]);
    let start = message.len();
    let count = if random.percent(60) { 0 } else { 1 + random.below(3) };
    for _ in 0..count {
        option(message, random);
    }
    message.put_number(start - 2, (message.len() - start) as u16);
}

/// One option.
pub fn option(message: &mut Octets, random: &mut Random) {
    let code = if random.percent(50) { 3 } else { *random.choose(&OPTIONS) };
    let length = if code == 3 && random.percent(80) { 0 } else { random.below(24) };
    message.push_number(code);
    message.push_number(length as u16);
    for _ in 0..length {
        message.push(&[random.next() as u8]);
    }
}

/// Letters in either case, as resolvers send them (0x20).
fn turn_case(octets: &mut [u8], random: &mut Random) {
    if random.percent(60) {
        return;
    }
    let mut bits = 0;
    for (at, octet) in octets.iter_mut().enumerate() {
        if at % 64 == 0 {
            bits = random.next();
        }
        // Length octets are below 64 and so never letters.
        if octet.is_ascii_alphabetic() && bits >> (at % 64) & 1 == 1 {
            *octet ^= 0x20;
        }
    }
}
