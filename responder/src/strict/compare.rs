//! Sections compared as multisets.

use std::collections::BTreeMap;

use super::Record;

/// What makes two records the same to a client: owner (lower case), type, class, TTL and data with
/// its names in lower case.
pub type Key = (Vec<u8>, u16, u16, u32, Vec<u8>);

impl Record {
    /// The record as compared.
    pub fn key(&self) -> Key {
        (self.owner.lower(), self.rtype, self.class, self.ttl, self.canonical.clone())
    }
}

/// How often each record stands in a section.
pub fn multiset<'a>(section: impl IntoIterator<Item = &'a Record>) -> BTreeMap<Key, usize> {
    let mut counts = BTreeMap::new();
    for record in section {
        *counts.entry(record.key()).or_insert(0) += 1;
    }
    counts
}

/// The records of `from` that `other` lacks, each as often as it is lacking.
pub fn missing<'a>(
    from: impl IntoIterator<Item = &'a Record>,
    other: impl IntoIterator<Item = &'a Record>,
) -> Vec<&'a Record> {
    let mut counts = multiset(other);
    from.into_iter()
        .filter(|record| match counts.get_mut(&record.key()) {
            Some(count) if *count > 0 => {
                *count -= 1;
                false
            }
            _ => true,
        })
        .collect()
}
