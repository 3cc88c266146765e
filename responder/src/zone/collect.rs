//! The records of a zone in canonical order of names (RFC 4034, section 6.1), each with its RRsets.
//!
//! The threads that read a zone gather the records of each owner into a *row* ([`rows`]): the name,
//! then its RRsets, one behind the other, without a pointer. The collector puts rows into large blocks
//! of memory, where they stay, and sorts 24 octets for each: the place of the row, and the first 16
//! octets of its key, which nearly always decide.

mod order;
mod rows;

pub use self::{order::sort_key, rows::Rows};
use self::{
    order::{Entry, compare_names, key_length},
    rows::RowSets,
};
use super::{Progress, progress::Phase, read::Rejection};

/// What a block holds, in octets. Blocks this large are given back to the system when they are freed.
const BLOCK: usize = 64 << 20;

/// The first block of a zone: most zones are small.
const FIRST_BLOCK: usize = 256 << 10;

/// The bits of a row's position that are its place in its block; the others are the block's number.
const PLACE_BITS: u32 = 40;

/// All rows of a zone.
#[derive(Default)]
pub struct Collector {
    blocks: Vec<Vec<u8>>,
    entries: Vec<Entry>,
    /// The keys of the entries, one behind the other, after sorting.
    keys: Vec<u8>,
}

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
        let start = self.append(rows.octets());
        self.entries.extend(rows.entries().map(|entry| entry.moved(start)));
        Ok(())
    }

    /// Octets of memory in use.
    pub fn memory(&self) -> usize {
        let blocks: usize = self.blocks.iter().map(Vec::len).sum();
        blocks + self.entries.capacity() * size_of::<Entry>() + self.keys.len()
    }

    /// Stores octets in a row; their position.
    fn append(&mut self, octets: &[u8]) -> u64 {
        let room = |block: &Vec<u8>| block.capacity() - block.len() >= octets.len();
        if !self.blocks.last().is_some_and(room) {
            let usual = if self.blocks.is_empty() { FIRST_BLOCK } else { BLOCK };
            self.blocks.push(Vec::with_capacity(octets.len().max(usual)));
        }
        let number = self.blocks.len() - 1;
        let block = &mut self.blocks[number];
        let place = block.len();
        block.extend_from_slice(octets);
        (number as u64) << PLACE_BITS | place as u64
    }

    /// The row at a position, and what follows it in its block.
    fn row(&self, position: u64) -> &[u8] {
        let place = position & ((1 << PLACE_BITS) - 1);
        &self.blocks[(position >> PLACE_BITS) as usize][place as usize..]
    }

    fn wire(&self, entry: &Entry) -> &[u8] {
        rows::wire(self.row(entry.position))
    }

    /// Sorts what was collected; owners that were met more than once become one.
    ///
    /// # Errors
    /// As [`Collector::add`].
    pub fn sort(&mut self, progress: &Progress) -> Result<(), String> {
        progress.enter(Phase::Sorting, 0);
        let mut entries = std::mem::take(&mut self.entries);
        order::sort(&mut entries, &|one, other| {
            one.compare_prefix(other)
                .unwrap_or_else(|| compare_names(self.wire(one), self.wire(other)))
                .then(one.position.cmp(&other.position))
        });
        let same = |collector: &Self, one: &Entry, other: &Entry| {
            one.compare_prefix(other)
                .unwrap_or_else(|| compare_names(collector.wire(one), collector.wire(other)))
                .is_eq()
        };
        let mut kept = 0;
        let mut at = 0;
        while at < entries.len() {
            let mut end = at + 1;
            while end < entries.len() && same(self, &entries[at], &entries[end]) {
                end += 1;
            }
            let mut entry = entries[at];
            if end - at > 1 {
                let rows = entries[at..end].iter().map(|entry| self.row(entry.position));
                let joined = rows::join(rows)?;
                entry.position = self.append(&joined);
            }
            entries[kept] = entry;
            kept += 1;
            at = end;
        }
        entries.truncate(kept);
        let mut keys = Vec::new();
        entries.iter().for_each(|entry| sort_key(self.wire(entry), &mut keys));
        (self.entries, self.keys) = (entries, keys);
        progress.enter(Phase::Arranging, kept as u64);
        Ok(())
    }

    /// The owners in canonical order, after [`Collector::sort`].
    pub fn owners(&self) -> impl Iterator<Item = Owner<'_>> {
        let mut keys = self.keys.as_slice();
        self.entries.iter().map(move |entry| {
            let row = self.row(entry.position);
            let wire = rows::wire(row);
            let (key, rest) = keys.split_at(key_length(wire, keys));
            keys = rest;
            // Exactly as large as it must be: there are millions.
            let mut rrsets = Vec::with_capacity(RowSets::of(row).count());
            rrsets.extend(RowSets::of(row).filter_map(RrSet::of));
            Owner { wire, key, rrsets }
        })
    }
}

impl<'a> RrSet<'a> {
    /// None where there are only signatures: what they cover is not there.
    fn of(set: rows::RowSet<'a>) -> Option<Self> {
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
        collector.sort(&Progress::default())?;
        let told = |owner: Owner<'_>| {
            let mut text = owner.wire.escape_ascii().to_string();
            for RrSet { rtype, ttl, rdata, signatures } in owner.rrsets {
                text += &format!(" {rtype}/{ttl}:");
                text.extend(rdata.iter().map(|rdata| char::from(rdata[rdata.len() - 1])));
                text += &format!("+{}", signatures.len());
            }
            text
        };
        Ok(collector.owners().map(told).collect())
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
