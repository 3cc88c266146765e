//! Random zones, edited at random, signed anew each time by a signer without cryptography.

use std::collections::{BTreeMap, BTreeSet};

use responder_common::sha1::{self, Sha1};
use zerocopy::FromZeros;

use super::Sets;
use crate::zone::{
    collect::sort_key,
    name::{from_text_lower, of_key},
};

/// How a zone denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Unsigned,
    Nsec,
    Nsec3,
    OptOut,
}

/// A small generator: xorshift64*.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

const A: u16 = 1;
const NS: u16 = 2;
const CNAME: u16 = 5;
const SOA: u16 = 6;
const TXT: u16 = 16;
const AAAA: u16 = 28;
const DNAME: u16 = 39;
const DS: u16 = 43;
const RRSIG: u16 = 46;
const NSEC: u16 = 47;
const NSEC3: u16 = 50;
const NSEC3PARAM: u16 = 51;

const LABELS: [&str; 12] =
    ["a", "b", "c", "ns1", "ns2", "www", "*", "!x", "mail", "zz", "d-e", "f"];

/// A zone before it is signed.
pub struct Zone {
    shape: Shape,
    serial: u32,
    owners: BTreeMap<Vec<u8>, BTreeMap<u16, Vec<Vec<u8>>>>,
    /// Every name that was ever there.
    seen: BTreeSet<Vec<u8>>,
}

impl Zone {
    pub fn new(shape: Shape, random: &mut Random) -> Self {
        let mut zone = Self { shape, serial: 1, owners: BTreeMap::new(), seen: BTreeSet::new() };
        zone.put("lac.", NS, vec![wire("ns1.a.lac."), wire("ns.example.")]);
        // Enough names that no commit touches a quarter of them.
        for number in 0..300 {
            let name = format!("n{number}.lac.");
            if number % 3 == 0 {
                zone.put(&name, TXT, vec![text(&format!("text {number}"))]);
            } else {
                zone.put(&name, NS, vec![wire("ns1.a.lac."), wire(&format!("ns1.{name}"))]);
                zone.put(&format!("ns1.{name}"), A, vec![vec![192, 0, 2, number as u8]]);
                if number % 5 == 1 {
                    zone.put(&name, DS, vec![vec![0, number as u8, 13, 2, 1, 2, 3, 4]]);
                }
            }
        }
        for _ in 0..30 {
            zone.edit(random);
        }
        zone
    }

    fn put(&mut self, name: &str, rtype: u16, rdata: Vec<Vec<u8>>) {
        let name = wire(name);
        self.seen.insert(name.clone());
        self.owners.entry(name).or_default().insert(rtype, rdata);
    }

    /// One to three random changes.
    pub fn edit(&mut self, random: &mut Random) {
        self.serial += 1;
        for _ in 0..1 + random.below(3) {
            self.edit_one(random);
        }
    }

    fn edit_one(&mut self, random: &mut Random) {
        let depth = 1 + random.below(4);
        let labels: Vec<&str> = (0..depth).map(|_| LABELS[random.below(LABELS.len())]).collect();
        let mut name = format!("{}.lac.", labels.join("."));
        if random.chance(25) {
            name = format!("n{}.lac.", random.below(310));
        }
        let key = wire(&name);
        if random.chance(30) {
            self.owners.remove(&key);
            return;
        }
        let octet = random.below(250) as u8;
        let host = format!("{}.{}.lac.", LABELS[3 + random.below(2)], LABELS[random.below(3)]);
        let owner = self.owners.entry(key.clone()).or_default();
        let has = |rtype| owner.contains_key(&rtype);
        match random.below(10) {
            0 | 1 if !has(CNAME) => drop(owner.insert(A, vec![vec![192, 0, 2, octet]])),
            2 if !has(CNAME) => drop(owner.insert(TXT, vec![text(&format!("t{octet}"))])),
            3 | 4 if !has(CNAME) && !has(DNAME) => {
                owner.insert(NS, vec![wire(&host), wire("ns.example.")]);
                if octet.is_multiple_of(2) {
                    owner.insert(DS, vec![vec![0, octet, 13, 2, 9, 9, 9, 9]]);
                }
            }
            5 if !has(CNAME) => drop(owner.insert(AAAA, vec![vec![octet; 16]])),
            6 => {
                owner.clear();
                owner.insert(CNAME, vec![wire(&host)]);
            }
            7 if !has(CNAME) && !has(NS) => {
                owner.insert(DNAME, vec![wire("f.lac.")]);
            }
            _ => owner.clear(),
        }
        if owner.is_empty() {
            self.owners.remove(&key);
        }
        self.seen.insert(key);
    }

    /// Something that no server should serve.
    pub fn add_second_cname(&mut self) {
        self.put("broken.lac.", CNAME, vec![wire("a.lac."), wire("b.lac.")]);
    }

    /// Writes the round into many names.
    pub fn set_serial_texts(&mut self, round: u32) {
        self.serial += 1;
        for number in 0..30 {
            let words = "word ".repeat((round as usize + number) % 7);
            self.put(&format!("v{number}.lac."), TXT, vec![text(&format!("{round} {words}"))]);
        }
        // Sets that several delegations share, and others every time.
        for number in 0..12 {
            let host = format!("ns{}.host{}.", number % 3, round);
            self.put(&format!("d{number}.lac."), NS, vec![wire(&host), wire("ns.example.")]);
        }
    }

    /// Names to ask for: all that were ever there, some below them, some that never were.
    pub fn asked(&self, random: &mut Random) -> BTreeSet<Vec<u8>> {
        let mut names = BTreeSet::new();
        for name in &self.seen {
            if name.len() > 9 && !random.chance(40) {
                continue;
            }
            names.insert(name.clone());
            for label in ["q", "*", "ns1", "zzz"] {
                if random.chance(30) {
                    let mut below = vec![label.len() as u8];
                    below.extend_from_slice(label.as_bytes());
                    below.extend_from_slice(name);
                    names.insert(below);
                }
            }
        }
        for _ in 0..20 {
            names.insert(wire(&format!("q{}.lac.", random.below(10_000))));
        }
        names.insert(wire("lac."));
        names
    }

    /// The zone with its chain and signatures, by lower-case wire name.
    pub fn signed(&self) -> BTreeMap<Vec<u8>, Sets> {
        let mut zone: BTreeMap<Vec<u8>, Sets> = BTreeMap::new();
        for (name, sets) in &self.owners {
            for (rtype, rdata) in sets {
                let owner = zone.entry(name.clone()).or_default();
                owner.insert(*rtype, (300, rdata.clone(), Vec::new()));
            }
        }
        let apex = zone.entry(wire("lac.")).or_default();
        let mut soa = wire("ns1.a.lac.");
        soa.extend(wire("hostmaster.lac."));
        for number in [self.serial, 7200, 3600, 1_209_600, 60] {
            soa.extend(number.to_be_bytes());
        }
        apex.insert(SOA, (300, vec![soa], Vec::new()));
        match self.shape {
            Shape::Unsigned => return zone,
            Shape::Nsec => add_nsec(&mut zone),
            Shape::Nsec3 => add_nsec3(&mut zone, false),
            Shape::OptOut => add_nsec3(&mut zone, true),
        }
        sign(&mut zone);
        zone
    }
}

/// Names in the zone, cuts included, nothing below a cut or a DNAME; empty non-terminals if asked for.
fn authoritative(zone: &BTreeMap<Vec<u8>, Sets>, empty: bool) -> Vec<(Vec<u8>, Vec<u16>)> {
    let mut sorted: Vec<(Vec<u8>, &Vec<u8>)> = zone.keys().map(|name| (key(name), name)).collect();
    sorted.sort();
    let apex = key(&wire("lac."));
    let mut cover: Option<Vec<u8>> = None;
    let mut names = BTreeMap::new();
    for (key, name) in sorted {
        if cover.as_ref().is_some_and(|cover| key.starts_with(cover)) {
            continue;
        }
        cover = None;
        let sets = &zone[name];
        let cut = key != apex && sets.contains_key(&NS);
        if cut || sets.contains_key(&DNAME) {
            cover = Some(key.clone());
        }
        if empty {
            for end in (apex.len()..key.len()).filter(|end| key[*end - 1] == 0) {
                names.entry(key[..end].to_vec()).or_default();
            }
        }
        let types = sets.keys().copied().filter(|rtype| !cut || [NS, DS].contains(rtype));
        names.insert(key, types.collect::<Vec<u16>>());
    }
    names.into_iter().map(|(key, types)| (of_key(&key), types)).collect()
}

fn add_nsec(zone: &mut BTreeMap<Vec<u8>, Sets>) {
    let names = authoritative(zone, false);
    for (place, (name, types)) in names.iter().enumerate() {
        let mut rdata = names[(place + 1) % names.len()].0.clone();
        rdata.extend(types.iter().map(|rtype| *rtype as u8));
        zone.get_mut(name).expect("an owner").insert(NSEC, (60, vec![rdata], Vec::new()));
    }
}

fn add_nsec3(zone: &mut BTreeMap<Vec<u8>, Sets>, opt_out: bool) {
    let apex = zone.get_mut(&wire("lac.")).expect("the apex");
    apex.insert(NSEC3PARAM, (0, vec![vec![1, 0, 0, 0, 0]], Vec::new()));
    let mut sha1 = Box::new(Sha1::new_zeroed());
    let insecure = |types: &[u16]| types.contains(&NS) && !types.contains(&DS);
    let mut names = authoritative(zone, true);
    if opt_out {
        names.retain(|(name, types)| *name == wire("lac.") || !insecure(types));
        // An empty non-terminal of insecure delegations alone has no record either.
        let all = names.clone();
        names.retain(|(name, types)| {
            !types.is_empty()
                || all.iter().any(|(other, types)| {
                    !types.is_empty() && other.len() > name.len() && other.ends_with(name)
                })
        });
    }
    let mut hashes: Vec<([u8; 20], Vec<u16>)> = names
        .iter()
        .map(|(name, types)| (sha1::nsec3(&mut sha1, name, &[], 0), types.clone()))
        .collect();
    hashes.sort();
    for (place, (hash, types)) in hashes.iter().enumerate() {
        let mut rdata = vec![1, u8::from(opt_out), 0, 0, 0, 20];
        rdata.extend(hashes[(place + 1) % hashes.len()].0);
        rdata.extend(types.iter().map(|rtype| *rtype as u8));
        let owner = zone.entry(hashed_name(hash)).or_default();
        owner.insert(NSEC3, (60, vec![rdata], Vec::new()));
    }
}

fn hashed_name(hash: &[u8; 20]) -> Vec<u8> {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
    let mut name = vec![32];
    let (mut bits, mut held) = (0_u32, 0);
    for octet in hash {
        bits = bits << 8 | u32::from(*octet);
        held += 8;
        while held >= 5 {
            held -= 5;
            name.push(DIGITS[(bits >> held) as usize & 31]);
        }
    }
    name.extend(wire("lac."));
    name
}

/// "Signatures" that change with what they cover.
fn sign(zone: &mut BTreeMap<Vec<u8>, Sets>) {
    let names: BTreeSet<Vec<u8>> =
        authoritative(zone, false).into_iter().map(|(name, _)| name).collect();
    let apex = wire("lac.");
    for (name, sets) in zone.iter_mut() {
        let cut = *name != apex && sets.contains_key(&NS);
        for (rtype, (_, rdata, signatures)) in sets.iter_mut() {
            let hashed = *rtype == NSEC3;
            if !hashed && (!names.contains(name) || (cut && ![DS, NSEC].contains(rtype))) {
                continue;
            }
            let sum = rdata
                .iter()
                .flatten()
                .fold(7_u32, |sum, octet| sum.wrapping_mul(31).wrapping_add(u32::from(*octet)));
            let mut signature = rtype.to_be_bytes().to_vec();
            signature.extend([13, 2, 0, 0, 1, 44, 0, 0, 0, 9, 0, 0, 0, 1, 0, 5]);
            signature.extend(&apex);
            signature.extend(sum.to_be_bytes());
            *signatures = vec![signature];
        }
    }
    let _ = RRSIG;
}

/// A query in wire form.
pub fn query(name: &[u8], rtype: u16, dnssec: bool) -> Vec<u8> {
    let mut query = vec![0, 9, 0, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(dnssec)];
    query.extend_from_slice(name);
    query.extend(rtype.to_be_bytes());
    query.extend([0, 1]);
    if dnssec {
        query.extend([0, 0, 41, 16, 0, 0, 0, 0x80, 0, 0, 0]);
    }
    query
}

fn wire(name: &str) -> Vec<u8> {
    from_text_lower(name).expect("a name")
}

fn key(name: &[u8]) -> Vec<u8> {
    let mut key = Vec::new();
    sort_key(name, &mut key);
    key
}

fn text(words: &str) -> Vec<u8> {
    let mut rdata = vec![words.len() as u8];
    rdata.extend_from_slice(words.as_bytes());
    rdata
}
