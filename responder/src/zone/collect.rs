//! The records of a zone in canonical order of names (RFC 4034, section 6.1), each with its RRsets.
//!
//! The threads that read a zone gather the records of each owner into a *row* ([`rows`]): the name,
//! then its RRsets, one behind the other, without a pointer. The collector puts rows into large blocks
//! of memory, where they stay, and sorts 24 octets for each: the place of the row, and the first 21
//! octets of its key in six bits each, which nearly always decide.
//!
//! | module | what |
//! |---|---|
//! | [`rows`] | the records of an owner in a row of octets |
//! | [`order`] | the canonical order of names |
//! | [`sorted`] | the rows in that order |
//! | [`sets`] | RRsets as they are taken out of a row, in memory that is used again |

use std::cmp::Ordering;

mod order;
mod rows;
mod sets;
mod sorted;

use self::{order::Entry, rows::RowSet};
pub use self::{order::sort_key, rows::Rows, sets::Sets, sorted::Sorted};
use super::{Progress, progress::Phase, read::Rejection};

/// What a block holds, in octets. Blocks this large are given back to the system when they are freed.
const BLOCK: usize = 64 << 20;

/// The first block of a zone: most zones are small.
const FIRST_BLOCK: usize = 256 << 10;

/// The bits of a row's position that are its place in its block; the others are the block's number.
const PLACE_BITS: u32 = 40;

/// All rows of a zone, in the order in which they came.
#[derive(Default)]
pub struct Collector {
    blocks: Blocks,
    entries: Vec<Entry>,
}

/// Rows in memory, where they stay.
#[derive(Default)]
struct Blocks(Vec<Vec<u8>>);

/// A name and what it owns.
pub struct Owner<'a> {
    /// Wire form, case kept.
    pub wire: &'a [u8],
    /// Sorts as names do; a name's key is a prefix of the keys of the names below it, and of no other.
    pub key: &'a [u8],
    /// By type; signatures with what they cover.
    pub rrsets: Vec<RrSet<'a>>,
}

/// An RRset and the signatures that cover it.
pub struct RrSet<'a> {
    /// The type.
    pub rtype: u16,
    /// The lowest TTL of its records (RFC 2181, section 5.2).
    pub ttl: u32,
    /// The data of its records, without duplicates, in the order of the file.
    pub rdata: Vec<&'a [u8]>,
    /// The data of the signatures.
    pub signatures: Vec<&'a [u8]>,
}

impl Collector {
    /// Takes rows in; those of the file come in its order.
    ///
    /// # Errors
    /// An RRset has more records than a message can count.
    pub fn add(&mut self, rows: &Rows) -> Result<(), Rejection> {
        rows.check().map_err(|message| (None, message))?;
        let start = self.blocks.append(rows.octets());
        self.entries.extend(rows.entries().map(|entry| entry.moved(start)));
        Ok(())
    }

    /// Octets of memory in use.
    pub fn memory(&self) -> usize {
        let blocks: usize = self.blocks.0.iter().map(Vec::len).sum();
        blocks + self.entries.capacity() * size_of::<Entry>()
    }

    /// Sorts what was collected; owners that were met more than once become one.
    ///
    /// # Errors
    /// As [`Collector::add`].
    pub fn sort(self, progress: &Progress) -> Result<Sorted, String> {
        let Self { mut blocks, mut entries } = self;
        progress.enter(Phase::Sorting, 0);
        order::sort(&mut entries, &|one, other| {
            blocks.compare(one, other).then(one.position().cmp(&other.position()))
        });
        let mut kept = 0;
        let mut at = 0;
        while at < entries.len() {
            let mut end = at + 1;
            while end < entries.len() && blocks.compare(&entries[at], &entries[end]).is_eq() {
                end += 1;
            }
            let mut entry = entries[at];
            if end - at > 1 {
                let same = &entries[at..end];
                let joined = rows::join(same.iter().map(|entry| blocks.row(entry.position())))?;
                let denies = same.iter().any(Entry::denies);
                entry = entry.joined(blocks.append(&joined), denies);
            }
            entries[kept] = entry;
            kept += 1;
            at = end;
        }
        entries.truncate(kept);
        Ok(Sorted::new(blocks, entries))
    }
}

impl Blocks {
    /// Stores octets in a row; their position.
    fn append(&mut self, octets: &[u8]) -> u64 {
        let room = |block: &Vec<u8>| block.capacity() - block.len() >= octets.len();
        if !self.0.last().is_some_and(room) {
            let usual = if self.0.is_empty() { FIRST_BLOCK } else { BLOCK };
            self.0.push(Vec::with_capacity(octets.len().max(usual)));
        }
        let number = self.0.len() - 1;
        let block = &mut self.0[number];
        let place = block.len();
        block.extend_from_slice(octets);
        (number as u64) << PLACE_BITS | place as u64
    }

    /// The row at a position, and what follows it in its block.
    fn row(&self, position: u64) -> &[u8] {
        let place = position & ((1 << PLACE_BITS) - 1);
        &self.0[(position >> PLACE_BITS) as usize][place as usize..]
    }

    /// As the names of two rows are in canonical order.
    fn compare(&self, one: &Entry, other: &Entry) -> Ordering {
        let wire = |entry: &Entry| rows::wire(self.row(entry.position()));
        one.compare_prefix(other).unwrap_or_else(|| order::compare_names(wire(one), wire(other)))
    }
}

impl<'a> RrSet<'a> {
    /// None where there are only signatures: what they cover is not there.
    fn of(set: RowSet<'a>) -> Option<Self> {
        (set.rdata.count() > 0).then(|| Self {
            rtype: set.rtype,
            ttl: set.ttl,
            rdata: set.rdata.iter().collect(),
            signatures: set.signatures.iter().collect(),
        })
    }
}

impl<'a> Owner<'a> {
    /// The RRset of a type.
    pub fn rrset(&self, rtype: u16) -> Option<&RrSet<'a>> {
        self.rrsets.iter().find(|set| set.rtype == rtype)
    }
}

#[cfg(test)]
mod tests {
    use responder_common::wire::rtype;

    use super::*;
    use crate::zone::read::{Batch, RecordRef};

    const APEX: &[u8] = b"\x03lac\0";

    /// Owner, type, TTL, data.
    type Given<'a> = (&'static [u8], u16, u32, &'a [u8]);

    /// Collects batches of records, and tells owners and their RRsets in a few characters.
    fn collected(batches: &[&[Given<'_>]]) -> Result<Vec<String>, String> {
        let mut collector = Collector::default();
        for batch in batches {
            let mut rows = Rows::default();
            rows.begin(APEX);
            for &(owner, rtype, ttl, rdata) in *batch {
                rows.add(RecordRef { owner, rtype, ttl, rdata, file: 0, line: 1 });
            }
            rows.finish();
            collector.add(&rows).map_err(|(_, message)| message)?;
        }
        let sorted = collector.sort(&Progress::default())?;
        let told = |owner: Owner<'_>| {
            let mut text = owner.wire.escape_ascii().to_string();
            for RrSet { rtype, ttl, rdata, signatures } in owner.rrsets {
                text += &format!(" {rtype}/{ttl}:");
                text.extend(rdata.iter().map(|rdata| char::from(rdata[rdata.len() - 1])));
                text += &format!("+{}", signatures.len());
            }
            text
        };
        Ok(sorted.owners().map(told).collect())
    }

    /// A signature over a type.
    fn over(rtype: u16) -> [u8; 20] {
        let mut rdata = [7; 20];
        rdata[..2].copy_from_slice(&rtype.to_be_bytes());
        rdata
    }

    #[test]
    fn records_of_an_owner_meet_wherever_they_stand() {
        let (a, txt) = (over(rtype::A), over(rtype::TXT));
        let first: &[Given<'_>] = &[
            (b"\x01B\x03lac\0", rtype::TXT, 60, b"\x01y"),
            (b"\x01B\x03lac\0", rtype::A, 90, b"192a"),
            (b"\x01B\x03lac\0", rtype::TXT, 50, b"\x01x"),
            (b"\x01B\x03lac\0", rtype::TXT, 40, b"\x01y"),
            (b"\x03lac\0", rtype::TXT, 1, b"\x01z"),
            // The record that it covers stands in another batch.
            (b"\x01b\x03lac\0", rtype::RRSIG, 1, &a),
            (b"\x01b\x03lac\0", rtype::RRSIG, 1, &a),
        ];
        let second: &[Given<'_>] = &[
            (b"\x01a\x03lac\0", rtype::A, 1, b"192d"),
            // It covers nothing.
            (b"\x01a\x03lac\0", rtype::RRSIG, 1, &txt),
            (b"\x01a\x03lac\0", rtype::RRSIG, 1, &[0; 20]),
            (b"\x01b\x03LAC\0", rtype::A, 80, b"192c"),
            (b"\x01b\x03lac\0", rtype::A, 95, b"192a"),
        ];
        assert_eq!(
            collected(&[first, second]).expect("a zone"),
            [
                "\\x03lac\\x00 16/1:z+0",
                "\\x01a\\x03lac\\x00 1/1:d+0",
                "\\x01B\\x03lac\\x00 1/80:ac+1 16/40:yx+0",
            ]
        );
    }

    #[test]
    fn an_rrset_that_no_message_can_count_is_refused() {
        let numbers: Vec<[u8; 4]> = (0..65_536_u32).map(u32::to_be_bytes).collect();
        let records: Vec<Given<'_>> =
            numbers.iter().map(|number| (APEX, rtype::A, 1, &number[..])).collect();
        let outcome = |parts: &[&[Given<'_>]]| collected(parts).map(|owners| owners.len());
        let refused = Err("the RRset lac. type 1 is larger than a message can be".to_owned());
        assert_eq!(outcome(&[&records]), refused);
        assert_eq!(outcome(&[&records[..40_000], &records[30_000..]]), refused);
        assert_eq!(outcome(&[&records[..40_000], &records[30_000..65_535]]), Ok(1));
    }
}
