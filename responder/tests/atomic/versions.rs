//! A zone all of whose versions differ in a number only, which stands in every record that can carry it:
//! text, aliases, name servers, addresses, signatures, denial. The number has as many digits in every
//! version, so a reply has the same octets in every version, but for those digits and the serial.

use std::collections::{BTreeMap, BTreeSet};

/// Names of each kind.
const EACH: u32 = 6;
/// Names that never change, so that a version is a small change.
const FILLER: u32 = 1_500;

/// Types.
pub const A: u16 = 1;
/// Name servers.
pub const NS: u16 = 2;
const CNAME: u16 = 5;
const SOA: u16 = 6;
const MX: u16 = 15;
/// Text.
pub const TXT: u16 = 16;
const AAAA: u16 = 28;
const DS: u16 = 43;
const RRSIG: u16 = 46;
const NSEC: u16 = 47;

/// A record: owner, type, data; all in wire form.
pub type Record = (Vec<u8>, u16, Vec<u8>);

/// The number as it stands in a version's records: nine octets.
pub fn mark(version: u32) -> String {
    format!("v{version:08}")
}

/// The records of a version.
pub fn records(version: u32) -> Vec<Record> {
    let v = mark(version);
    let mut zone = Zone { version, sets: BTreeMap::new(), glue: Vec::new() };
    let soa = [
        wire("ns1.lac."),
        wire(&format!("{v}.lac.")),
        [version, 1, 1, 1_000_000, 60].map(u32::to_be_bytes).concat(),
    ];
    zone.add("lac.", SOA, vec![soa.concat()]);
    zone.add("lac.", NS, vec![wire("ns1.lac."), wire("ns2.lac.")]);
    zone.add("lac.", TXT, vec![text(&v)]);
    for host in ["ns1.lac.", "ns2.lac."] {
        zone.add(host, A, vec![vec![192, 0, 2, 1]]);
        zone.add(host, AAAA, vec![address(&v)]);
    }
    zone.add("*.w.lac.", TXT, vec![text(&v), text(&format!("wild {v}"))]);
    for i in 0..EACH {
        let texts = ["a", "b", "c"].map(|word| text(&format!("{word} {v}")));
        zone.add(&format!("t{i}.lac."), TXT, texts.to_vec());
        // An alias to a name that only this version has, which is an alias to a name that all have.
        zone.add(&format!("c{i}.lac."), CNAME, vec![wire(&format!("{v}.x{i}.lac."))]);
        zone.add(&format!("{v}.x{i}.lac."), CNAME, vec![wire(&format!("e{i}.lac."))]);
        zone.add(&format!("e{i}.lac."), TXT, vec![text(&v)]);
        // One to a name that no version has.
        zone.add(&format!("g{i}.lac."), CNAME, vec![wire(&format!("{v}.gone.lac."))]);
        let cut = format!("d{i}.lac.");
        let servers = [format!("{v}.{cut}"), format!("{v}.other.d0.lac."), format!("{v}.example.")];
        zone.add(&cut, NS, servers.iter().map(|host| wire(host)).collect());
        for host in &servers[..2] {
            zone.glue.push((wire(host), AAAA, address(&v)));
        }
        if i % 2 == 0 {
            zone.add(&cut, DS, vec![[&[0, 1, 13, 2], v.as_bytes()].concat()]);
        }
    }
    for i in 0..FILLER {
        zone.add(&format!("f{i:04}.lac."), A, vec![vec![192, 0, 2, i as u8]]);
    }
    zone.signed()
}

/// A version as a zone file, in the form that every type has (RFC 3597, section 5).
pub fn file(version: u32) -> String {
    let mut text = String::new();
    for (owner, rtype, data) in records(version) {
        for label in sort_key(&owner).iter().rev() {
            text += std::str::from_utf8(label).expect("letters and digits");
            text.push('.');
        }
        text += &format!(" 60 TYPE{rtype} \\# {} ", data.len());
        text.extend(data.iter().map(|octet| format!("{octet:02x}")));
        text.push('\n');
    }
    text
}

/// What to ask: name and type. What replies show of the version is in each of them.
pub fn questions() -> Vec<(String, u16)> {
    let mut all: Vec<(String, u16)> =
        [("lac.", SOA), ("lac.", TXT), ("lac.", NS), ("lac.", MX), ("q.w.lac.", TXT)]
            .map(|(name, rtype)| (name.to_owned(), rtype))
            .to_vec();
    all.push(("q.w.lac.".into(), MX));
    for i in 0..EACH {
        for (name, rtype) in [
            (format!("t{i}.lac."), TXT),
            (format!("t{i}.lac."), MX),
            (format!("c{i}.lac."), TXT),
            (format!("g{i}.lac."), A),
            (format!("d{i}.lac."), A),
            (format!("www.d{i}.lac."), AAAA),
            (format!("d{i}.lac."), DS),
            (format!("x{i}.lac."), TXT),
            (format!("absent{i}.lac."), A),
        ] {
            all.push((name, rtype));
        }
    }
    all
}

struct Zone {
    version: u32,
    sets: BTreeMap<Vec<u8>, BTreeMap<u16, Vec<Vec<u8>>>>,
    /// Addresses below a cut, which nobody signs.
    glue: Vec<Record>,
}

impl Zone {
    fn add(&mut self, name: &str, rtype: u16, data: Vec<Vec<u8>>) {
        self.sets.entry(wire(name)).or_default().insert(rtype, data);
    }

    /// Every record, with NSEC and with signatures in which the version stands; those of the filler stay
    /// the same.
    fn signed(mut self) -> Vec<Record> {
        let mut names: Vec<Vec<u8>> = self.sets.keys().cloned().collect();
        names.sort_by_key(|name| sort_key(name));
        for (place, name) in names.iter().enumerate() {
            let next = &names[(place + 1) % names.len()];
            let sets = self.sets.get_mut(name).expect("one of them");
            let types: BTreeSet<u16> = sets.keys().copied().chain([RRSIG, NSEC]).collect();
            sets.insert(NSEC, vec![[next.clone(), bitmap(&types)].concat()]);
        }
        let marked = mark(self.version);
        let mut records = Vec::new();
        for (name, sets) in self.sets {
            let filler = name.starts_with(b"\x05f");
            let cut = sets.contains_key(&NS) && name != wire("lac.");
            for (rtype, data) in sets {
                records.extend(data.into_iter().map(|data| (name.clone(), rtype, data)));
                if cut && rtype == NS {
                    continue;
                }
                let mut signature = rtype.to_be_bytes().to_vec();
                signature.extend([13, 2, 0, 0, 0, 60, 0, 0, 0, 9, 0, 0, 0, 1, 0, 5]);
                signature.extend(wire("lac."));
                // The record before a marked name changes with it; its signature is one of the filler.
                signature.extend(if filler { b"unchanged" } else { marked.as_bytes() });
                records.push((name.clone(), RRSIG, signature));
            }
        }
        records.extend(self.glue);
        records
    }
}

/// A name in wire form.
pub fn wire(name: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        octets.push(label.len() as u8);
        octets.extend(label.as_bytes());
    }
    octets.push(0);
    octets
}

fn text(words: &str) -> Vec<u8> {
    [&[words.len() as u8], words.as_bytes()].concat()
}

/// An IPv6 address with the mark in it.
fn address(mark: &str) -> Vec<u8> {
    [&[0x20, 1, 0x0d, 0xb8, 0, 0, 0], mark.as_bytes()].concat()
}

/// Types as NSEC tells them (RFC 4034, section 4.1.2).
fn bitmap(types: &BTreeSet<u16>) -> Vec<u8> {
    let mut octets = vec![0; 32];
    for rtype in types {
        octets[usize::from(rtype / 8)] |= 0x80 >> (rtype % 8);
    }
    let length = octets.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1);
    octets.truncate(length);
    [&[0, length as u8], &octets[..]].concat()
}

/// Sorts as names do (RFC 4034, section 6.1); every octet here is larger than zero.
fn sort_key(name: &[u8]) -> Vec<Vec<u8>> {
    let mut labels = Vec::new();
    let mut rest = name;
    while let Some((&length, tail)) = rest.split_first().filter(|(length, _)| **length > 0) {
        let (label, above) = tail.split_at(usize::from(length));
        labels.push(label.to_vec());
        rest = above;
    }
    labels.reverse();
    labels
}
