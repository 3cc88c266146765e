//! Entries on their way into a database, gathered so that they go in in order.

use heed::{PutFlags, RwTxn};

use super::generation::Map;

/// Keys and values in memory, a few mebibytes of them.
#[derive(Default)]
pub(super) struct Run {
    octets: Vec<u8>,
    entries: Vec<Entry>,
}

/// Where a key stands, and its value behind it.
struct Entry {
    start: u32,
    key: u16,
    value: u32,
}

impl Run {
    /// Takes an entry: a key in two parts, and a value that `fill` appends.
    pub fn add<T, E>(
        &mut self,
        key: [&[u8]; 2],
        fill: impl FnOnce(&mut Vec<u8>) -> Result<T, E>,
    ) -> Result<T, E> {
        let start = self.octets.len();
        self.octets.extend_from_slice(key[0]);
        self.octets.extend_from_slice(key[1]);
        let value = self.octets.len();
        let filled = fill(&mut self.octets)?;
        self.entries.push(Entry {
            start: start as u32,
            key: (value - start) as u16,
            value: (self.octets.len() - value) as u32,
        });
        Ok(filled)
    }

    /// How many octets of memory it holds.
    pub fn octets(&self) -> usize {
        self.octets.len() + self.entries.len() * size_of::<Entry>()
    }

    /// Puts the entries into a database, in the order of their keys and values, and forgets them.
    pub fn flush(&mut self, txn: &mut RwTxn<'_>, map: Map) -> heed::Result<()> {
        let octets = &self.octets;
        let split = |entry: &Entry| {
            let start = entry.start as usize;
            let middle = start + usize::from(entry.key);
            (&octets[start..middle], &octets[middle..middle + entry.value as usize])
        };
        if !self.entries.is_sorted_by_key(split) {
            self.entries.sort_unstable_by(|one, other| split(one).cmp(&split(other)));
        }
        let mut last = map.last(txn)?.map(|(key, _)| key.to_vec()).unwrap_or_default();
        for entry in &self.entries {
            let (key, value) = split(entry);
            // A key behind all others goes onto the last page without a search, and fills it.
            if *key > *last {
                map.put_with_flags(txn, PutFlags::APPEND, key, value)?;
                last.clear();
                last.extend_from_slice(key);
            } else {
                map.put(txn, key, value)?;
            }
        }
        self.octets.clear();
        self.entries.clear();
        Ok(())
    }
}
