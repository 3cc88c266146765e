//! The records of an owner in a row: its name in wire form, its RRsets by type, two zeros.
//!
//! An RRset is its type, its TTL, how many records and how many signatures it has (16 bits each, the
//! TTL 32), then the data of each, behind its length (16 bits). All numbers are in network order.

use std::{collections::HashSet, ops::Range};

use responder_common::wire::rtype;

use super::order::Entry;
use crate::zone::{
    name,
    read::{Batch, RecordRef},
};

/// The rows of one piece of a file.
#[derive(Default)]
pub struct Rows {
    apex: usize,
    octets: Vec<u8>,
    entries: Vec<Entry>,
    /// Rows that are not yet written. Several, since the addresses of a delegation's servers often stand
    /// between its NS records.
    open: Vec<Open>,
    /// Which of them was opened first, once there are [`MOST_OPEN`].
    oldest: usize,
    fault: Option<String>,
}

/// How many rows are open at a time: a delegation and three servers.
const MOST_OPEN: usize = 4;

/// A row that is not yet written: its owner, its records and their data.
#[derive(Default)]
struct Open {
    owner: Vec<u8>,
    records: Vec<Record>,
    data: Vec<u8>,
}

struct Record {
    /// Its type; of a signature, the type that it covers.
    rtype: u16,
    signature: bool,
    ttl: u32,
    data: Range<usize>,
}

/// How many records of an RRset are compared each with each, to leave duplicates out.
const FEW: usize = 16;

impl Rows {
    /// # Errors
    /// The first RRset that has more records than a message can count.
    pub fn check(&self) -> Result<(), String> {
        self.fault.clone().map_or(Ok(()), Err)
    }

    /// Octets of memory in use.
    pub fn memory(&self) -> usize {
        let open = |row: &Open| row.records.len() * size_of::<Record>() + row.data.len();
        self.octets.len()
            + self.entries.len() * size_of::<Entry>()
            + self.open.iter().map(open).sum::<usize>()
    }

    /// All rows.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Each row; positions count from the beginning of these octets.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        self.entries.iter().copied()
    }

    /// Writes a row, which is then empty.
    fn close(&mut self, place: usize) {
        let mut row = std::mem::take(&mut self.open[place]);
        self.write(&mut row);
        row.records.clear();
        row.data.clear();
        self.open[place] = row;
    }

    fn write(&mut self, row: &mut Open) {
        if row.records.is_empty() {
            return;
        }
        let position = self.octets.len() as u64;
        let denies = row.records.iter().any(|record| denies(record.rtype));
        self.entries.push(Entry::new(&row.owner, self.apex, position, denies));
        self.octets.extend_from_slice(&row.owner);
        // Not moved among equals: records stay in the order of the file.
        row.records.sort_by_key(|record| (record.rtype, record.signature));
        for set in row.records.chunk_by(|one, other| one.rtype == other.rtype) {
            let records = set.partition_point(|record| !record.signature);
            let (records, signatures) = set.split_at(records);
            let ttl = records.iter().map(|record| record.ttl).min().unwrap_or(0);
            let rtype = set[0].rtype;
            self.octets.extend(rtype.to_be_bytes());
            self.octets.extend(ttl.to_be_bytes());
            let counts = self.octets.len();
            self.octets.extend([0; 4]);
            for (at, list) in [(counts, records), (counts + 2, signatures)] {
                let count = write_distinct(list, &row.data, &mut self.octets);
                let count = u16::try_from(count).unwrap_or_else(|_| {
                    let owner = name::to_text(&row.owner);
                    self.fault.get_or_insert_with(|| {
                        format!("the RRset {owner} type {rtype} is larger than a message can be")
                    });
                    0
                });
                self.octets[at..at + 2].copy_from_slice(&count.to_be_bytes());
            }
        }
        self.octets.extend([0; 2]);
    }
}

impl Open {
    fn push(&mut self, rtype: u16, signature: bool, ttl: u32, data: &[u8]) {
        let start = self.data.len();
        self.data.extend_from_slice(data);
        self.records.push(Record { rtype, signature, ttl, data: start..self.data.len() });
    }
}

impl Batch for Rows {
    fn begin(&mut self, apex: &[u8]) {
        self.apex = apex.len();
        self.octets.clear();
        self.entries.clear();
        self.open.clear();
        self.oldest = 0;
        self.fault = None;
    }

    fn add(&mut self, record: RecordRef<'_>) {
        let known = self.open.iter().rposition(|row| row.owner == record.owner);
        let place = known.unwrap_or_else(|| {
            let place = if self.open.len() < MOST_OPEN {
                self.open.push(Open::default());
                self.open.len() - 1
            } else {
                let oldest = self.oldest;
                self.oldest = (oldest + 1) % MOST_OPEN;
                self.close(oldest);
                oldest
            };
            let owner = &mut self.open[place].owner;
            owner.clear();
            owner.extend_from_slice(record.owner);
            place
        });
        let row = &mut self.open[place];
        match (record.rtype, record.rdata) {
            // Signatures over nothing.
            (rtype::RRSIG, [0, 0, ..]) => {}
            (rtype::RRSIG, &[high, low, ..]) if record.rdata.len() >= 18 => {
                row.push(u16::from_be_bytes([high, low]), true, record.ttl, record.rdata);
            }
            _ => row.push(record.rtype, false, record.ttl, record.rdata),
        }
    }

    fn finish(&mut self) {
        (self.oldest..self.open.len()).chain(0..self.oldest).for_each(|place| self.close(place));
        self.open.clear();
        self.oldest = 0;
    }
}

/// Whether a type is NSEC or NSEC3.
fn denies(rtype: u16) -> bool {
    matches!(rtype, rtype::NSEC | rtype::NSEC3)
}

/// Writes the data of records, without duplicates; how many were written.
fn write_distinct(records: &[Record], data: &[u8], to: &mut Vec<u8>) -> usize {
    let mut seen = HashSet::new();
    let mut count = 0;
    for (place, record) in records.iter().enumerate() {
        let octets = &data[record.data.clone()];
        let new = if records.len() <= FEW {
            records[..place].iter().all(|before| data[before.data.clone()] != *octets)
        } else {
            seen.insert(octets)
        };
        if new {
            // The reader gives no longer ones.
            to.extend((octets.len() as u16).to_be_bytes());
            to.extend_from_slice(octets);
            count += 1;
        }
    }
    count
}

/// One row out of several of the same name.
///
/// # Errors
/// An RRset has more records than a message can count.
pub fn join<'a>(rows: impl Iterator<Item = &'a [u8]>) -> Result<Vec<u8>, String> {
    let (mut joined, mut all) = (Rows::default(), Open::default());
    for row in rows {
        if all.owner.is_empty() {
            all.owner.extend_from_slice(wire(row));
        }
        for set in RowSets::of(row) {
            set.rdata.iter().for_each(|rdata| all.push(set.rtype, false, set.ttl, rdata));
            set.signatures.iter().for_each(|rdata| all.push(set.rtype, true, 0, rdata));
        }
    }
    joined.write(&mut all);
    joined.check()?;
    Ok(joined.octets)
}

/// The name at the beginning of a row.
#[inline]
pub fn wire(row: &[u8]) -> &[u8] {
    let mut at = 0;
    while row[at] != 0 {
        at += usize::from(row[at]) + 1;
    }
    &row[..=at]
}

/// The RRsets of a row, by type.
pub struct RowSets<'a> {
    rest: &'a [u8],
}

/// An RRset of a row.
#[derive(Clone, Copy)]
pub struct RowSet<'a> {
    pub rtype: u16,
    /// The lowest TTL of its records (RFC 2181, section 5.2).
    pub ttl: u32,
    /// No record where the row holds signatures alone.
    pub rdata: List<'a>,
    pub signatures: List<'a>,
}

/// The data of several records.
#[derive(Clone, Copy)]
pub struct List<'a> {
    count: u16,
    octets: &'a [u8],
}

impl<'a> RowSets<'a> {
    /// Those of a row, behind which anything may stand.
    pub fn of(row: &'a [u8]) -> Self {
        Self { rest: &row[wire(row).len()..] }
    }

    fn number(&mut self) -> u16 {
        let (octets, rest) = self.rest.split_first_chunk().expect("rows are whole");
        self.rest = rest;
        u16::from_be_bytes(*octets)
    }

    fn list(&mut self, count: u16) -> List<'a> {
        let octets = self.rest;
        for _ in 0..count {
            let length = self.number();
            self.rest = &self.rest[usize::from(length)..];
        }
        List { count, octets: &octets[..octets.len() - self.rest.len()] }
    }
}

impl<'a> Iterator for RowSets<'a> {
    type Item = RowSet<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let rtype = self.number();
        if rtype == 0 {
            return None;
        }
        let ttl = u32::from(self.number()) << 16 | u32::from(self.number());
        let (count, signatures) = (self.number(), self.number());
        let (rdata, signatures) = (self.list(count), self.list(signatures));
        Some(RowSet { rtype, ttl, rdata, signatures })
    }
}

impl<'a> List<'a> {
    /// How many there are.
    pub fn count(self) -> usize {
        usize::from(self.count)
    }

    /// The data of each.
    pub fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self.octets;
        (0..self.count).map(move |_| {
            let (length, behind) = rest.split_first_chunk().expect("rows are whole");
            let (data, behind) = behind.split_at(usize::from(u16::from_be_bytes(*length)));
            rest = behind;
            data
        })
    }
}
