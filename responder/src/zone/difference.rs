//! What changed from one version of a zone to the next: the records that go and those that come.

use std::fmt;

use responder_common::wire::rtype;

use super::{read::RecordRef, serial::serial_of};

/// What a record means for the zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// It is there; in a difference, from now on.
    Present(RecordRef<'a>),
    /// It is there no longer. Only in a difference.
    Gone(RecordRef<'a>),
}

/// All that changed between two serials, in the form in which journals keep it and IXFR says it
/// (RFC 1995, section 4): first the records that go, led by the old SOA, then those that come, led by
/// the new SOA.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    gone: Records,
    come: Records,
}

/// Records one behind the other: owner in wire form, type, TTL, length of the data, data.
#[derive(Clone, Default, PartialEq, Eq)]
struct Records {
    octets: Vec<u8>,
    count: u64,
}

impl Difference {
    /// Takes a record; those that go and those that come each in their order, the SOA first.
    pub fn push(&mut self, part: Part<'_>) {
        match part {
            Part::Gone(record) => self.gone.push(record),
            Part::Present(record) => self.come.push(record),
        }
    }

    /// The serial before, once it is known.
    pub fn from(&self) -> Option<u32> {
        self.gone.serial()
    }

    /// The serial after, once it is known.
    pub fn to(&self) -> Option<u32> {
        self.come.serial()
    }

    /// Records that go and come, SOA records included.
    pub fn records(&self) -> u64 {
        self.gone.count + self.come.count
    }

    /// Octets of them, uncompressed.
    pub fn octets(&self) -> u64 {
        (self.gone.octets.len() + self.come.octets.len()) as u64
    }

    /// The records in the order of IXFR.
    pub fn parts(&self) -> Parts<'_> {
        Parts { gone: &self.gone.octets, come: &self.come.octets }
    }

    /// As octets: those that go, and those that come.
    pub(super) fn halves(&self) -> [&[u8]; 2] {
        [&self.gone.octets, &self.come.octets]
    }
}

impl Records {
    fn push(&mut self, record: RecordRef<'_>) {
        // Record data has at most 65,535 octets.
        let length = record.rdata.len() as u16;
        self.octets.extend_from_slice(record.owner);
        self.octets.extend(record.rtype.to_be_bytes());
        self.octets.extend(record.ttl.to_be_bytes());
        self.octets.extend(length.to_be_bytes());
        self.octets.extend_from_slice(record.rdata);
        self.count += 1;
    }

    /// The serial of the SOA in front.
    fn serial(&self) -> Option<u32> {
        let mut octets = &self.octets[..];
        let soa = next(&mut octets).filter(|first| first.rtype == rtype::SOA)?;
        serial_of(soa.rdata)
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut octets = &self.octets[..];
        f.debug_list().entries(std::iter::from_fn(|| next(&mut octets))).finish()
    }
}

/// The records of a difference in the order of IXFR.
#[derive(Debug, Clone)]
pub struct Parts<'a> {
    gone: &'a [u8],
    come: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Those of a difference that was written as [`Difference::halves`] gave it.
    pub(super) fn of([gone, come]: [&'a [u8]; 2]) -> Self {
        Self { gone, come }
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        next(&mut self.gone).map(Part::Gone).or_else(|| next(&mut self.come).map(Part::Present))
    }
}

/// Takes the record in front. What ends too early has no more records.
fn next<'a>(octets: &mut &'a [u8]) -> Option<RecordRef<'a>> {
    let mut end = 0;
    while *octets.get(end)? != 0 {
        end += 1 + usize::from(octets[end]);
    }
    let (owner, rest) = octets.split_at(end + 1);
    let (rtype, rest) = rest.split_first_chunk()?;
    let (ttl, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (rdata, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    *octets = rest;
    let (rtype, ttl) = (u16::from_be_bytes(*rtype), u32::from_be_bytes(*ttl));
    Some(RecordRef { owner, rtype, ttl, rdata, file: 0, line: 0 })
}
