//! The last changes of a zone, one difference behind the other, for those who have an older version
//! (RFC 1995).
//!
//! Each commit that is a difference appends it in the transaction that changes the contents: the last
//! serial of the journal is always that of the contents. What breaks the chain (other contents under the
//! same serial, an older serial, a whole new content) empties it.
//!
//! ```text
//! key          a number that counts up, eight octets
//! checksum  4  CRC-32 of all that follows
//! from, to  4  each: the serials
//! gone      8  octets of the records that go
//! the records that go, those that come, as a `Difference` has them
//! ```

use std::ops::Bound;

use heed::{RoRange, types::Bytes};

use super::{
    Edit, Error, Lookup,
    error::At as _,
    generation::Generation,
    lookup::Inside,
    step::{Step, Which},
};
use crate::zone::{
    difference::{Difference, Parts},
    serial::is_newer,
};

/// How much a journal keeps; the oldest differences go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalLimits {
    /// Octets of records, uncompressed. A difference that is larger by itself empties the journal.
    pub octets: u64,
    /// Differences.
    pub entries: u64,
}

impl JournalLimits {
    /// No journal.
    pub const NOTHING: Self = Self { octets: 0, entries: 0 };
}

impl Default for JournalLimits {
    /// 64 MiB hold the changes of some 500,000 delegations.
    fn default() -> Self {
        Self { octets: 64 << 20, entries: 1000 }
    }
}

/// A difference in a journal; borrows from the page.
#[derive(Debug, Clone)]
pub struct JournalEntry<'a> {
    /// The serial before.
    pub from: u32,
    /// The serial after.
    pub to: u32,
    /// Octets of its records, uncompressed.
    pub octets: u64,
    halves: [&'a [u8]; 2],
}

impl<'a> JournalEntry<'a> {
    /// Its records in the order of IXFR, both SOA records included.
    pub fn parts(&self) -> Parts<'a> {
        Parts::of(self.halves)
    }
}

/// Octets in front of an entry's records.
const HEADER: usize = 20;

impl Edit<'_> {
    /// Notes what changed with this edit, within limits, when it is committed. None: that cannot be told, and
    /// whoever has an older version needs all of it.
    pub fn note_difference(&mut self, difference: Option<&Difference>, limits: JournalLimits) {
        let noted = difference.and_then(|one| Some((one, one.from()?, one.to()?)));
        let Some((difference, from, to)) = noted.filter(|(one, from, to)| {
            limits.entries > 0 && one.octets() <= limits.octets && is_newer(*to, *from)
        }) else {
            return self.step_later(Which::Journal, Step::Clear);
        };
        let [gone, come] = difference.halves();
        let numbers = [&from.to_be_bytes()[..], &to.to_be_bytes()].concat();
        let body = [&numbers, &(gone.len() as u64).to_be_bytes()[..], gone, come].concat();
        let entry = [&crc32fast::hash(&body).to_be_bytes()[..], &body].concat();
        let limits = [limits.octets, limits.entries].map(u64::to_be_bytes).concat();
        // LMDB looks for pages in a row to put it in, which takes long in a large file.
        self.step_later(Which::Journal, Step::Note(&limits, &entry));
    }

    /// Appends an entry, and keeps the journal within limits.
    pub(super) fn append(&mut self, limits: &[u8], entry: &[u8]) -> Result<(), Error> {
        let number = |at: usize| Some(u64::from_be_bytes(*limits.get(at..)?.first_chunk()?));
        let limits = number(0).zip(number(8));
        let limits = limits.map(|(octets, entries)| JournalLimits { octets, entries });
        let Some((limits, (from, _))) = limits.zip(serials(entry)) else {
            return Err(broken(self.generation()));
        };
        // One that cannot be read leads nowhere: what stands there goes, and the zone does not suffer.
        let last = newest(self).or_else(|error| match error {
            Error::Broken { .. } => {
                tracing::warn!("{error}: it is begun anew");
                Ok(None)
            }
            error => Err(error),
        })?;
        let number = match last.map(|(number, entry)| (number, entry.to)) {
            Some((number, serial)) if serial == from => number + 1,
            _ => {
                self.redo(Which::Journal, Step::Clear)?;
                1
            }
        };
        self.redo(Which::Journal, Step::Put(&u64::to_be_bytes(number), entry))?;
        self.trim_journal(limits)
    }

    /// Drops the oldest entries until the journal is within its limits.
    fn trim_journal(&mut self, limits: JournalLimits) -> Result<(), Error> {
        let mut kept = 0;
        let mut octets = 0;
        let mut gone = Vec::new();
        let (txn, generation) = self.inside();
        for entry in generation.journal.rev_iter(txn).at(&generation.folder)? {
            let (key, value) = entry.at(&generation.folder)?;
            kept += 1;
            octets += value.len().saturating_sub(HEADER) as u64;
            if kept > limits.entries || octets > limits.octets {
                gone.push(key.to_vec());
            }
        }
        let mut gone = gone.iter();
        gone.try_for_each(|key| self.redo(Which::Journal, Step::Delete(key)).map(drop))
    }
}

/// The differences that lead from a serial to the contents, in their order; empty where that is the
/// serial of the contents. None where the journal does not reach back to it.
///
/// # Errors
/// [`Error::Broken`] where the journal is not what was written; what LMDB says.
pub fn changes_since(contents: &impl Lookup, serial: u32) -> Result<Option<Changes<'_>>, Error> {
    let (txn, generation) = contents.inside();
    let folder = &generation.folder;
    let now = contents.serial()?;
    let mut start = (now == Some(serial)).then_some(Bound::Excluded(vec![u8::MAX; 9]));
    let mut wanted = now;
    for entry in generation.journal.rev_iter(txn).at(folder)? {
        if start.is_some() {
            break;
        }
        let (key, value) = entry.at(folder)?;
        let (from, to) = serials(value).ok_or_else(|| broken(generation))?;
        // Only what leads to the contents is of use.
        if wanted != Some(to) {
            break;
        }
        wanted = Some(from);
        start = (from == serial).then(|| Bound::Included(key.to_vec()));
    }
    let Some(start) = start else { return Ok(None) };
    let bound = start.as_ref().map(Vec::as_slice);
    let range =
        generation.journal.range::<(Bound<&[u8]>, Bound<&[u8]>)>(txn, &(bound, Bound::Unbounded));
    Ok(Some(Changes { generation, range: range.at(folder)? }))
}

/// Differences in their order.
pub struct Changes<'a> {
    generation: &'a Generation,
    range: RoRange<'a, Bytes, Bytes>,
}

impl<'a> Iterator for Changes<'a> {
    type Item = Result<JournalEntry<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.range.next()?.at(&self.generation.folder);
        Some(entry.and_then(|(_, value)| decode(value).ok_or_else(|| broken(self.generation))))
    }
}

/// The last entry and its number.
fn newest<'a>(contents: &'a impl Lookup) -> Result<Option<(u64, JournalEntry<'a>)>, Error> {
    let (txn, generation) = contents.inside();
    let Some((key, value)) = generation.journal.last(txn).at(&generation.folder)? else {
        return Ok(None);
    };
    let number = key.try_into().ok().map(u64::from_be_bytes);
    number.zip(decode(value)).map(Some).ok_or_else(|| broken(generation))
}

/// The serials of an entry.
fn serials(value: &[u8]) -> Option<(u32, u32)> {
    let number = |at: usize| Some(u32::from_be_bytes(*value.get(at..)?.first_chunk()?));
    Some((number(4)?, number(8)?))
}

/// An entry, known to be what was written.
fn decode(value: &[u8]) -> Option<JournalEntry<'_>> {
    let (sum, body) = value.split_first_chunk::<4>()?;
    if u32::from_be_bytes(*sum) != crc32fast::hash(body) {
        return None;
    }
    let (from, to) = serials(value)?;
    let gone = u64::from_be_bytes(*body.get(8..)?.first_chunk()?);
    let records = value.get(HEADER..)?;
    let (gone, come) = records.split_at_checked(usize::try_from(gone).ok()?)?;
    Some(JournalEntry { from, to, octets: records.len() as u64, halves: [gone, come] })
}

fn broken(generation: &Generation) -> Error {
    let folder = generation.folder.clone();
    Error::Broken { folder, what: "the journal is not what was written" }
}
