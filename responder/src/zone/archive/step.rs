//! The steps of a change: what is put into which database and what goes, so that a log can tell a tree.

use super::generation::{Generation, Map};

/// A database of a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Owners,
    Hosts,
    Hashes,
    Meta,
    Journal,
}

const ALL: [Which; 5] = [Which::Owners, Which::Hosts, Which::Hashes, Which::Meta, Which::Journal];

/// A step in one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// A key gets a value: in place of its own, or, where a key has several, beside them.
    Put(&'a [u8], &'a [u8]),
    /// A key goes, with its value.
    Delete(&'a [u8]),
    /// One of the values of a key goes.
    Part(&'a [u8], &'a [u8]),
    /// Everything goes.
    Clear,
    /// In the journal: an entry comes behind all others, within limits.
    Note(&'a [u8], &'a [u8]),
}

impl Generation {
    /// A database.
    pub(super) fn map(&self, which: Which) -> Map {
        match which {
            Which::Owners => self.owners,
            Which::Hosts => self.hosts,
            Which::Hashes => self.hashes,
            Which::Meta => self.meta,
            Which::Journal => self.journal,
        }
    }
}

/// Octets in front of a step's key: database and kind, the lengths of key and value.
const HEADER: usize = 7;

/// Appends a step.
pub(super) fn encode(which: Which, step: Step<'_>, to: &mut Vec<u8>) {
    let (kind, key, value) = match step {
        Step::Put(key, value) => (0, key, value),
        Step::Delete(key) => (1, key, &[][..]),
        Step::Part(key, value) => (2, key, value),
        Step::Clear => (3, &[][..], &[][..]),
        Step::Note(limits, entry) => (4, limits, entry),
    };
    to.push(kind << 4 | which as u8);
    // LMDB takes no longer ones.
    to.extend((key.len() as u16).to_le_bytes());
    to.extend((value.len() as u32).to_le_bytes());
    to.extend_from_slice(key);
    to.extend_from_slice(value);
}

/// Takes the step in front; none where there is no such step.
pub(super) fn decode<'a>(octets: &mut &'a [u8]) -> Option<(Which, Step<'a>)> {
    let (header, rest) = octets.split_first_chunk::<HEADER>()?;
    let [kind, key @ .., v0, v1, v2, v3] = *header;
    let (key, rest) = rest.split_at_checked(u16::from_le_bytes(key).into())?;
    let (value, rest) = rest.split_at_checked(u32::from_le_bytes([v0, v1, v2, v3]) as usize)?;
    *octets = rest;
    let step = match kind >> 4 {
        0 => Step::Put(key, value),
        1 => Step::Delete(key),
        2 => Step::Part(key, value),
        3 => Step::Clear,
        4 => Step::Note(key, value),
        _ => return None,
    };
    Some((*ALL.get(usize::from(kind & 15))?, step))
}
