//! A zone's contents in memory, for the tests.

use std::collections::{BTreeMap, BTreeSet};

use super::{Key, Sets, borrowed};
use crate::zone::{
    Progress,
    change::Contents,
    collect::{Collector, Owner, Rows, Sorted, sort_key},
    read::{Batch as _, RecordRef},
};

/// What a zone holds, and what its nodes depend on. What was ever held is kept, so that it can be lent.
#[derive(Default)]
pub struct Held {
    owners: BTreeMap<Key, &'static (Vec<u8>, Key, Sets)>,
    lookups: BTreeMap<Key, BTreeSet<Key>>,
}

impl Held {
    /// Holds these owners, by lower-case wire name.
    pub fn of(zone: &BTreeMap<Vec<u8>, Sets>) -> Self {
        let mut owners = BTreeMap::new();
        for (name, sets) in zone {
            let mut key = Key::new();
            sort_key(name, &mut key);
            // The tests are short; what they lend must outlive every commit.
            let owner = Box::leak(Box::new((name.clone(), key.clone(), sets.clone())));
            owners.insert(key, &*owner);
        }
        Self { owners, lookups: BTreeMap::new() }
    }

    /// Takes other contents over; the keys of the owners that differ.
    pub fn replace(&mut self, next: &Self) -> BTreeSet<Key> {
        let keys: BTreeSet<Key> = self.owners.keys().chain(next.owners.keys()).cloned().collect();
        let changed = keys
            .into_iter()
            .filter(|key| {
                self.owners.get(key).map(|owner| &owner.2)
                    != next.owners.get(key).map(|owner| &owner.2)
            })
            .collect();
        self.owners = next.owners.clone();
        changed
    }

    /// As a file's reader would have collected it.
    pub fn sorted(&self, apex: &[u8]) -> Sorted {
        let mut rows = Rows::default();
        rows.begin(apex);
        let mut add = |owner: &[u8], rtype, ttl, rdata: &[u8]| {
            rows.add(RecordRef { owner, rtype, ttl, rdata, file: 0, line: 1 });
        };
        for (wire, _, sets) in self.owners.values() {
            for (rtype, (ttl, rdata, signatures)) in sets {
                rdata.iter().for_each(|rdata| add(wire, *rtype, *ttl, rdata));
                signatures.iter().for_each(|rdata| add(wire, 46, *ttl, rdata));
            }
        }
        rows.finish();
        let mut collector = Collector::default();
        collector.add(&rows).expect("sets that a message can count");
        collector.sort(&Progress::default()).expect("rows")
    }

    /// Notes what a node depends on.
    pub fn depend(&mut self, node: &[u8], lookups: &[Key]) {
        self.forget(node);
        for lookup in lookups {
            self.lookups.entry(lookup.clone()).or_default().insert(node.to_vec());
        }
    }

    /// Forgets a node.
    pub fn forget(&mut self, node: &[u8]) {
        for nodes in self.lookups.values_mut() {
            nodes.remove(node);
        }
    }
}

fn lent(owner: &'static (Vec<u8>, Key, Sets)) -> Owner<'static> {
    Owner { wire: &owner.0, key: &owner.1, rrsets: borrowed(&owner.2) }
}

impl Contents<'static> for Held {
    fn owner(&self, key: &[u8]) -> Option<Owner<'static>> {
        self.owners.get(key).map(|owner| lent(owner))
    }

    fn next(&self, key: &[u8]) -> Option<Key> {
        let mut behind = key.to_vec();
        behind.push(0);
        self.owners.range(behind..).map(|(key, _)| key.clone()).find(|next| next != key)
    }

    fn below(&self, key: &[u8]) -> Vec<Key> {
        self.owners
            .range(key.to_vec()..)
            .map(|(below, _)| below.clone())
            .take_while(|below| below.starts_with(key))
            .filter(|below| below != key)
            .collect()
    }

    fn served_by(&self, host: &[u8]) -> Vec<Key> {
        let serves = |sets: &Sets| {
            sets.get(&2).is_some_and(|(_, rdata, _)| {
                rdata.iter().any(|target| {
                    let mut key = Key::new();
                    sort_key(&target.to_ascii_lowercase(), &mut key);
                    key == host
                })
            })
        };
        self.owners
            .iter()
            .filter(|(_, owner)| serves(&owner.2))
            .map(|(key, _)| key.clone())
            .collect()
    }

    fn dependents(&self, from: &[u8], to: Option<&[u8]>) -> Vec<Key> {
        let inside = |key: &[u8]| match to {
            None => true,
            Some(to) if from < to => key >= from && key < to,
            Some(to) => key >= from || key < to,
        };
        let nodes = self.lookups.iter().filter(|(key, _)| inside(key)).flat_map(|(_, nodes)| nodes);
        nodes.cloned().collect()
    }

    fn fault(&self) -> Option<String> {
        None
    }
}
