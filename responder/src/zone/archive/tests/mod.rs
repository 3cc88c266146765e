//! The archive against a model that keeps everything in memory.

mod crash;
mod cut;
mod differences;
mod files;
mod generations;
mod journal;
mod log;
mod model;
mod owners;

use std::collections::BTreeMap;

use super::{Archive, Edit, Limits, Lookup, Owner, OwnerRef, RrSet, sort_key};
use responder_common::wire::rtype;

/// Wide enough for every test, and small.
const LIMITS: Limits = Limits { octets: 64 << 20, reserve: 8 << 20, views: 16 };

/// `example.`
const APEX: &[u8] = b"\x07example\0";

/// An owner that owns its octets.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    wire: Vec<u8>,
    sets: Vec<HeldSet>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct HeldSet {
    rtype: u16,
    ttl: u32,
    rdata: Vec<Vec<u8>>,
    signatures: Vec<Vec<u8>>,
}

/// A zone as sort keys and owners.
type Zone = BTreeMap<Vec<u8>, Held>;

impl Held {
    fn key(&self) -> Vec<u8> {
        key(&self.wire)
    }

    fn lend<'a>(&'a self, key: &'a [u8]) -> Owner<'a> {
        let slices = |items: &'a [Vec<u8>]| items.iter().map(Vec::as_slice).collect();
        let rrsets = self.sets.iter().map(|set| RrSet {
            rtype: set.rtype,
            ttl: set.ttl,
            rdata: slices(&set.rdata),
            signatures: slices(&set.signatures),
        });
        Owner { wire: &self.wire, key, rrsets: rrsets.collect() }
    }

    fn of(owner: &Owner<'_>) -> Self {
        let owned = |items: &[&[u8]]| items.iter().map(|item| item.to_vec()).collect();
        let sets = owner.rrsets.iter().map(|set| HeldSet {
            rtype: set.rtype,
            ttl: set.ttl,
            rdata: owned(&set.rdata),
            signatures: owned(&set.signatures),
        });
        Self { wire: owner.wire.to_vec(), sets: sets.collect() }
    }

    fn records(&self) -> u64 {
        self.sets.iter().map(|set| (set.rdata.len() + set.signatures.len()) as u64).sum()
    }

    fn servers(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.sets.iter().filter(|set| set.rtype == rtype::NS).flat_map(|set| &set.rdata)
    }
}

fn key(wire: &[u8]) -> Vec<u8> {
    let mut key = Vec::new();
    sort_key(wire, &mut key);
    key
}

fn held(found: OwnerRef<'_>) -> Held {
    assert_eq!(found.key, key(found.wire));
    Held::of(&found.to_owner())
}

fn lend(zone: &Zone) -> impl Iterator<Item = Owner<'_>> {
    zone.iter().map(|(key, held)| held.lend(key))
}

/// All that an archive holds.
fn contents(archive: &impl Lookup) -> Zone {
    archive
        .all()
        .unwrap()
        .map(|owner| held(owner.unwrap()))
        .map(|held| (held.key(), held))
        .collect()
}

fn change(archive: &Archive, change: impl FnOnce(&mut Edit<'_>)) {
    let mut writer = archive.writer().unwrap();
    let mut edit = writer.begin().unwrap();
    change(&mut edit);
    edit.commit(false).unwrap();
}

/// Random numbers that come again with their seed (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// A name at or below the apex. Few labels to choose from, so that names meet; sometimes any octets.
    fn name(&mut self) -> Vec<u8> {
        let mut wire = Vec::new();
        for _ in 0..self.below(4) {
            if self.below(8) == 0 {
                let length = 1 + self.below(63);
                let label: Vec<u8> = (0..length).map(|_| self.next() as u8).collect();
                wire.push(length as u8);
                wire.extend(label);
            } else {
                let labels: [&[u8]; 6] = [b"a", b"B", b"ab", b"ns1", b"*", b"\x00\x01"];
                let label = labels[self.below(6)];
                wire.push(label.len() as u8);
                wire.extend(label);
            }
        }
        wire.extend(APEX);
        wire
    }

    fn owner(&mut self) -> Held {
        let mut sets = Vec::new();
        for rtype in [1, rtype::NS, 16, 48] {
            if self.below(2) == 0 {
                continue;
            }
            let items = |most: usize, random: &mut Self| {
                let count = random.below(most + 1);
                (0..count).map(|_| random.data(rtype)).collect::<Vec<_>>()
            };
            let (rdata, signatures) = (items(3, self), items(2, self));
            if !rdata.is_empty() {
                sets.push(HeldSet { rtype, ttl: self.next() as u32, rdata, signatures });
            }
        }
        Held { wire: self.name(), sets }
    }

    fn data(&mut self, rtype: u16) -> Vec<u8> {
        if rtype != rtype::NS {
            let length = self.below(40);
            return (0..length).map(|_| self.next() as u8).collect();
        }
        if self.below(4) == 0 { b"\x02ns\x03net\0".to_vec() } else { self.name() }
    }

    fn zone(&mut self, names: usize) -> Zone {
        let owners = (0..names).map(|_| self.owner()).filter(|owner| !owner.sets.is_empty());
        owners.map(|owner| (owner.key(), owner)).collect()
    }
}
