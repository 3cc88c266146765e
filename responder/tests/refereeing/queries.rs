//! The questions: everything about a small zone, or a random draw about a large one.

use std::collections::BTreeSet;

use super::random::Random;
use crate::strict::{Name, Record, rtype};

/// A query and what it asks.
#[derive(Debug, Clone)]
pub struct Query {
    /// The message as sent.
    pub octets: Vec<u8>,
    /// QNAME.
    pub name: Name,
    /// QTYPE.
    pub qtype: u16,
    /// The UDP payload size offered, where there is an OPT.
    pub size: Option<u16>,
    /// The DO bit.
    pub dnssec_ok: bool,
}

/// The types that the comparison with other servers asks for.
pub const TYPES: [u16; 7] =
    [rtype::A, rtype::AAAA, rtype::NS, rtype::DS, rtype::SOA, rtype::TXT, rtype::DNSKEY];

/// The payload sizes that take turns: none is a query without EDNS.
const SIZES: [Option<u16>; 4] = [None, Some(512), Some(1232), Some(4096)];

/// Types that are asked for now and then: the other ones that zones have, those of DNSSEC, and numbers
/// that nobody has given a meaning.
const ODD_TYPES: [u16; 24] = [
    5, 12, 13, 15, 17, 18, 29, 33, 35, 39, 44, 46, 47, 50, 51, 52, 59, 60, 63, 64, 65, 257, 4321,
    65_280,
];

/// What varies from query to query besides the question.
#[derive(Debug, Clone, Copy, Default)]
pub struct Dress {
    /// The UDP payload size to offer; none: no OPT.
    pub size: Option<u16>,
    /// The DO bit; means nothing without a size.
    pub dnssec_ok: bool,
    /// The RD bit, which every server echoes.
    pub recursion_desired: bool,
}

impl Query {
    /// A query of class IN; its ID follows from its number, so that a list's IDs repeat only after
    /// 65,536 queries and two runs ask the same octets.
    pub fn new(number: usize, name: Name, qtype: u16, dress: Dress) -> Self {
        let id = (number as u16).wrapping_mul(40_503);
        let mut octets = id.to_be_bytes().to_vec();
        octets.extend([u8::from(dress.recursion_desired), 0, 0, 1, 0, 0, 0, 0, 0]);
        octets.push(u8::from(dress.size.is_some()));
        octets.extend_from_slice(name.wire());
        octets.extend(qtype.to_be_bytes());
        octets.extend([0, 1]);
        let dnssec_ok = dress.dnssec_ok && dress.size.is_some();
        if let Some(size) = dress.size {
            octets.extend([0, 0, 41]);
            octets.extend(size.to_be_bytes());
            octets.extend([0, 0, if dnssec_ok { 0x80 } else { 0 }, 0, 0, 0]);
        }
        Self { octets, name, qtype, size: dress.size, dnssec_ok }
    }

    /// The ID.
    pub fn id(&self) -> u16 {
        u16::from_be_bytes([self.octets[0], self.octets[1]])
    }

    /// The question section as sent.
    pub fn question(&self) -> &[u8] {
        &self.octets[12..12 + self.name.wire().len() + 4]
    }

    /// The largest reply over UDP that a server with this `limits.udp-size` may send, in octets.
    pub fn limit(&self, udp_size: u16) -> usize {
        usize::from(self.size.unwrap_or(512).max(512).min(udp_size))
    }
}

/// Every name of these records that is at or below the apex, with the names between (empty
/// non-terminals).
pub fn names(apex: &Name, records: &[Record]) -> Vec<Name> {
    let mut found = BTreeSet::new();
    for record in records {
        let mut name = Some(record.owner.clone());
        while let Some(next) = name.filter(|next| next.is_at_or_below(apex)) {
            name = next.parent();
            if !found.insert(next) {
                break;
            }
        }
    }
    found.into_iter().collect()
}

/// Everything worth asking about a small zone: each name, names below and beside it, the name under
/// each wildcard, with each type that the zone has and [`TYPES`]; the payload sizes take turns.
pub fn everything(apex: &Name, records: &[Record], seed: u64, dnssec_ok: bool) -> Vec<Query> {
    let mut random = Random::new(seed);
    let mut types: BTreeSet<u16> = records.iter().map(|record| record.rtype).collect();
    types.extend(TYPES);
    types.extend([rtype::CNAME, rtype::DNAME, rtype::ANY, 4321]);
    let owners = names(apex, records);
    let mut asked = owners.clone();
    for owner in &owners {
        asked.extend(below(owner, &[b"www"]));
        asked.extend(below(owner, &[b"a", b"*"]));
        asked.extend(below(owner, &[b"_x", b"y", b"zz"]));
        if owner.is_at_or_below(apex) && owner != apex {
            let parent = owner.parent().expect("below the apex");
            asked.extend(below(&parent, &[b"zz--beside"]));
            if owner.labels().next() == Some(b"*") {
                asked.extend(below(&parent, &[b"under", b"wild"]));
            }
        }
    }
    asked.sort();
    asked.dedup();
    let sizes = if dnssec_ok { &SIZES[1..] } else { &SIZES[..] };
    let mut queries = Vec::new();
    for (turn, name) in asked.into_iter().enumerate() {
        for (other, &qtype) in types.iter().enumerate() {
            let size = sizes[(turn + other) % sizes.len()];
            let dress = Dress { size, dnssec_ok, recursion_desired: random.percent(30) };
            let name =
                if random.percent(30) { mixed_case(&name, &mut random) } else { name.clone() };
            queries.push(Query::new(queries.len(), name, qtype, dress));
        }
    }
    queries
}

/// What a random draw asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// [`TYPES`], never with DO.
    Plain,
    /// Besides these every other type, and DO in half of all queries.
    Full,
}

/// A random draw about a zone: names of the zone, names below them and names that do not exist, in
/// thirds, with and without EDNS of 512 to 4,096 octets, half in mixed case.
pub fn draw(apex: &Name, names: &[Name], count: usize, seed: u64, scope: Scope) -> Vec<Query> {
    let mut random = Random::new(seed);
    let queries = (0..count).map(|number| {
        let known = random.choose(names).clone();
        let name = match number % 3 {
            0 => Some(known),
            1 => {
                let label = random_label(&mut random);
                let first: [&[u8]; 3] = [&label, b"www", b"*"];
                let labels: [&[u8]; 2] = [*random.choose(&first), b"_tcp"];
                below(&known, &labels[..1 + random.below(2)])
            }
            _ => {
                let label = random_label(&mut random);
                let above = if random.percent(80) { apex.clone() } else { known };
                below(&above, &[&label])
            }
        };
        let name = name.unwrap_or_else(|| apex.clone());
        let name = if random.percent(50) { mixed_case(&name, &mut random) } else { name };
        let size = match random.below(4) {
            0 => None,
            1 => Some(*random.choose(&[512, 1232, 1400, 4096])),
            _ => Some(512 + random.below(4096 - 512 + 1) as u16),
        };
        let recursion_desired = random.percent(30);
        let dnssec_ok = scope == Scope::Full && size.is_some() && random.percent(67);
        let qtype = match scope {
            Scope::Full if random.percent(3) => rtype::ANY,
            Scope::Full if random.percent(40) => *random.choose(&ODD_TYPES),
            _ => *random.choose(&TYPES),
        };
        let dress = Dress { size, dnssec_ok, recursion_desired };
        Query::new(number, name, qtype, dress)
    });
    queries.collect()
}

/// A name below this one; none where it would be too long.
fn below(name: &Name, labels: &[&[u8]]) -> Option<Name> {
    Name::from_labels(labels.iter().copied().chain(name.labels())).ok()
}

fn random_label(random: &mut Random) -> Vec<u8> {
    let alphabet = b"abcdefghijklmnopqrstuvwxyz0123456789-_";
    (0..1 + random.below(20)).map(|_| *random.choose(alphabet)).collect()
}

fn mixed_case(name: &Name, random: &mut Random) -> Name {
    let labels: Vec<Vec<u8>> = name
        .labels()
        .map(|label| {
            let turn = |octet: &u8| match random.percent(50) {
                true => octet.to_ascii_uppercase(),
                false => octet.to_ascii_lowercase(),
            };
            label.iter().map(turn).collect()
        })
        .collect();
    Name::from_labels(labels.iter().map(Vec::as_slice)).expect("as long as before")
}
