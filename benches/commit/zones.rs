//! A zone shaped like a TLD's that changes by 1,000 delegations at a time.

use std::collections::BTreeMap;

use responder::zone::{
    difference::{Difference, Part},
    read::RecordRef,
};
use responder_common::sha1::{self, Sha1};
use zerocopy::FromZeros as _;

/// Delegations that a version changes.
const CHANGED: u32 = 1_000;

/// What changes of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changes {
    /// Name servers and glue, in a zone that is not signed.
    Unsigned,
    /// The same under NSEC3 with opt-out: one delegation in ten is secure.
    Servers,
    /// Whether they are secure, under NSEC3 with opt-out.
    Security,
}

/// Owner, type, data; in wire form.
type Record = (Vec<u8>, u16, Vec<u8>);

/// The zone as it is.
pub struct Zone {
    names: u32,
    changes: Changes,
    round: u32,
    /// In which round a delegation changed last.
    turns: BTreeMap<u32, u32>,
    /// The chain: hashes, and the types at their names.
    chain: BTreeMap<[u8; 20], Vec<u16>>,
    sha1: Box<Sha1>,
}

impl Zone {
    /// The first version.
    pub fn new(names: u32, changes: Changes) -> Self {
        let (turns, chain) = (BTreeMap::new(), BTreeMap::new());
        let mut zone =
            Self { names, changes, round: 0, turns, chain, sha1: Box::new(Sha1::new_zeroed()) };
        if changes != Changes::Unsigned {
            zone.chain.insert(zone_hash(&mut zone.sha1, &wire("lac.")), vec![2, 6, 51]);
            for number in 0..names {
                zone.enchain(number);
            }
        }
        zone
    }

    /// The serial of this version.
    pub fn serial(&self) -> u32 {
        0x4c41_4300 + self.round
    }

    /// Gives every record of this version.
    pub fn each_record(
        &self,
        give: &mut dyn FnMut(RecordRef<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut each =
            |records: Vec<Record>| records.iter().try_for_each(|record| give(lent(record)));
        each(vec![self.soa()])?;
        let mut apex = vec![(wire("lac."), 2, wire("ns1.nic.lac."))];
        apex.push((wire("ns1.nic.lac."), 1, vec![192, 0, 2, 1]));
        if self.changes != Changes::Unsigned {
            apex.push((wire("lac."), 51, vec![1, 0, 0, 0, 0]));
        }
        each(apex)?;
        (0..self.names).try_for_each(|number| each(self.delegation(number)))?;
        self.links().into_iter().try_for_each(|link| each(vec![link]))
    }

    /// Goes on to the next version; what differs.
    pub fn next(&mut self) -> Difference {
        let every = (self.names / CHANGED).max(1);
        let numbers: Vec<u32> =
            (0..CHANGED).map(|place| place * every + (self.round * 7 + 3) % every).collect();
        let before = self.links();
        let mut gone = vec![self.soa()];
        gone.extend(numbers.iter().flat_map(|number| self.delegation(*number)));
        self.round += 1;
        for number in &numbers {
            self.turns.insert(*number, self.round);
            if self.changes == Changes::Security {
                self.enchain(*number);
            }
        }
        let mut come = vec![self.soa()];
        come.extend(numbers.iter().flat_map(|number| self.delegation(*number)));
        if self.changes == Changes::Security {
            let after = self.links();
            let differs = |one: &[Record], other: &[Record]| -> Vec<Record> {
                let here = |link: &&Record| other.binary_search(link).is_err();
                one.iter().filter(here).cloned().collect()
            };
            gone.extend(differs(&before, &after));
            come.extend(differs(&after, &before));
        }
        let mut difference = Difference::default();
        for record in &gone {
            difference.push(Part::Gone(lent(record)));
        }
        for record in &come {
            difference.push(Part::Present(lent(record)));
        }
        difference
    }

    fn soa(&self) -> Record {
        let numbers = [self.serial(), 7200, 3600, 1_209_600, 900].map(u32::to_be_bytes).concat();
        (wire("lac."), 6, [wire("ns1.nic.lac."), wire("hostmaster.nic.lac."), numbers].concat())
    }

    fn delegation(&self, number: u32) -> Vec<Record> {
        let turn = self.turns.get(&number).copied().unwrap_or(0);
        let servers = if self.changes == Changes::Security { 0 } else { turn };
        let owner = name(number);
        let mut records = Vec::with_capacity(5);
        for host in ["ns1", "ns2"] {
            if number % 5 < 2 {
                let server = [&[3], host.as_bytes(), &owner].concat();
                records.push((owner.clone(), 2, server.clone()));
                records.push((server, 1, vec![198, 51, servers as u8, number as u8]));
            } else {
                let server = format!("{host}.host{}.net.", (number + servers * 7_919) % 3_000);
                records.push((owner.clone(), 2, wire(&server)));
            }
        }
        if self.is_secure(number) {
            records.push((owner, 43, [&[0, number as u8, 13, 2], &[7; 32][..]].concat()));
        }
        records
    }

    fn is_secure(&self, number: u32) -> bool {
        let turned = self.changes == Changes::Security && self.turns.contains_key(&number);
        self.changes != Changes::Unsigned && (number.is_multiple_of(10) != turned)
    }

    /// Puts a delegation into the chain, or takes it out.
    fn enchain(&mut self, number: u32) {
        let secure = self.is_secure(number);
        if secure || self.turns.contains_key(&number) {
            let hash = zone_hash(&mut self.sha1, &name(number));
            if secure {
                self.chain.insert(hash, vec![2, 43]);
            } else {
                self.chain.remove(&hash);
            }
        }
    }

    /// The records of the chain, in the order of their hashes.
    fn links(&self) -> Vec<Record> {
        let next = self.chain.keys().skip(1).chain(self.chain.keys().take(1));
        let link = |((hash, types), next): ((&[u8; 20], &Vec<u16>), &[u8; 20])| {
            let mut data = [&[1, 1, 0, 0, 0, 20], &next[..], &[0, 8]].concat();
            let mut bits = [0_u8; 8];
            types.iter().for_each(|rtype| bits[usize::from(rtype / 8)] |= 0x80 >> (rtype % 8));
            data.extend(bits);
            (hashed_name(hash), 50, data)
        };
        self.chain.iter().zip(next).map(link).collect()
    }
}

fn lent((owner, rtype, rdata): &Record) -> RecordRef<'_> {
    RecordRef { owner, rtype: *rtype, ttl: 86_400, rdata, file: 0, line: 0 }
}

/// A delegation's name: no order in it.
fn name(number: u32) -> Vec<u8> {
    let label = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    wire(&format!("d{label:x}.lac."))
}

/// A name in wire form.
pub fn wire(name: &str) -> Vec<u8> {
    let mut octets = Vec::with_capacity(name.len() + 1);
    for label in name.split('.').filter(|label| !label.is_empty()) {
        octets.push(label.len() as u8);
        octets.extend(label.as_bytes());
    }
    octets.push(0);
    octets
}

fn zone_hash(sha1: &mut Sha1, name: &[u8]) -> [u8; 20] {
    sha1::nsec3(sha1, name, &[], 0)
}

/// The owner of an NSEC3 record: base32hex (RFC 4648, section 7).
fn hashed_name(hash: &[u8; 20]) -> Vec<u8> {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
    let digit = |place: usize| {
        let bits = (0..5).fold(0, |bits, bit| {
            let at = place * 5 + bit;
            bits << 1 | usize::from(hash[at / 8] >> (7 - at % 8) & 1)
        });
        DIGITS[bits]
    };
    let label: Vec<u8> = (0..32).map(digit).collect();
    [&[32], &label[..], &wire("lac.")].concat()
}
