//! An owner and its RRsets as octets, read where they lie.
//!
//! ```text
//! checksum  4   CRC-32 of the key and of all that follows
//! name          wire form, case kept
//! RRsets, by type, to the end:
//!   type    2
//!   TTL     4
//!   records     a varint: how many, at least one
//!   signatures  a varint: how many
//!   each record's data, then each signature's: two octets of length, and the data
//! ```
//!
//! Numbers are big-endian. A varint has seven bits an octet, the low ones first, the eighth bit on all
//! octets but the last, no octet more than it needs. LMDB does not check what it reads: the checksum
//! does, so that a bad sector is found and never answered.

use super::{Owner, RrSet};

/// An owner in the archive; borrows from the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnerRef<'a> {
    /// The sort key.
    pub key: &'a [u8],
    /// Wire form, case kept.
    pub wire: &'a [u8],
    /// The RRsets, known to be well-formed.
    rrsets: &'a [u8],
}

/// An RRset in the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RrSetRef<'a> {
    /// The type.
    pub rtype: u16,
    /// The TTL in seconds.
    pub ttl: u32,
    /// The data of its records.
    pub rdata: Items<'a>,
    /// The data of the signatures.
    pub signatures: Items<'a>,
}

/// The RRsets of an owner, by type.
#[derive(Debug, Clone)]
pub struct RrSets<'a>(Cursor<'a>);

/// Record data, one item after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Items<'a> {
    count: usize,
    octets: &'a [u8],
}

/// Why octets are no owner, or an owner cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Octets end too early, or go on after the end.
    #[error("its length is wrong")]
    Length,
    /// The checksum does not match.
    #[error("its checksum does not match")]
    Checksum,
    /// A name breaks RFC 1035, section 2.3.4.
    #[error("a name in it is malformed")]
    Name,
    /// RRsets are not in order, or a type comes twice.
    #[error("its RRsets are not in order of type, each once")]
    Order,
    /// An RRset has no record.
    #[error("an RRset has no record")]
    Empty,
    /// A number is longer than it needs to be, or too large.
    #[error("a number in it is malformed")]
    Number,
    /// Data longer than a message can carry.
    #[error("record data longer than 65,535 octets")]
    Data,
}

/// Appends an owner; gives the number of its records, signatures included.
pub(super) fn encode(owner: &Owner<'_>, to: &mut Vec<u8>) -> Result<u64, Malformed> {
    let start = to.len();
    to.extend_from_slice(&[0; 4]);
    if name_length(owner.wire) != Some(owner.wire.len()) {
        return Err(Malformed::Name);
    }
    to.extend_from_slice(owner.wire);
    if !owner.rrsets.is_sorted_by(|one, other| one.rtype < other.rtype) {
        return Err(Malformed::Order);
    }
    let mut records = 0;
    for set in &owner.rrsets {
        if set.rdata.is_empty() {
            return Err(Malformed::Empty);
        }
        to.extend_from_slice(&set.rtype.to_be_bytes());
        to.extend_from_slice(&set.ttl.to_be_bytes());
        put_varint(set.rdata.len(), to);
        put_varint(set.signatures.len(), to);
        for data in set.rdata.iter().chain(&set.signatures) {
            let length = u16::try_from(data.len()).map_err(|_| Malformed::Data)?;
            to.extend_from_slice(&length.to_be_bytes());
            to.extend_from_slice(data);
        }
        records += (set.rdata.len() + set.signatures.len()) as u64;
    }
    let sum = checksum(owner.key, &to[start + 4..]);
    to[start..start + 4].copy_from_slice(&sum.to_be_bytes());
    Ok(records)
}

impl<'a> OwnerRef<'a> {
    /// Reads an owner: all of it is looked at, so that nothing later can fail.
    pub(super) fn decode(key: &'a [u8], octets: &'a [u8]) -> Result<Self, Malformed> {
        let (sum, body) = octets.split_first_chunk::<4>().ok_or(Malformed::Length)?;
        if u32::from_be_bytes(*sum) != checksum(key, body) {
            return Err(Malformed::Checksum);
        }
        let (wire, rrsets) = body.split_at(name_length(body).ok_or(Malformed::Name)?);
        let mut cursor = Cursor(rrsets);
        let mut before = None;
        while !cursor.0.is_empty() {
            let set = cursor.rrset()?;
            if before.is_some_and(|before| before >= set.rtype) {
                return Err(Malformed::Order);
            }
            before = Some(set.rtype);
        }
        Ok(Self { key, wire, rrsets })
    }

    /// The RRsets, by type.
    pub fn rrsets(&self) -> RrSets<'a> {
        RrSets(Cursor(self.rrsets))
    }

    /// The RRset of a type.
    pub fn rrset(&self, rtype: u16) -> Option<RrSetRef<'a>> {
        self.rrsets().find(|set| set.rtype == rtype)
    }

    /// The number of its records, signatures included.
    pub fn records(&self) -> u64 {
        self.rrsets().map(|set| (set.rdata.count + set.signatures.count) as u64).sum()
    }

    /// As the zone compiler takes it; the data still lie in the page.
    pub fn to_owner(&self) -> Owner<'a> {
        Owner {
            wire: self.wire,
            key: self.key,
            rrsets: self
                .rrsets()
                .map(|set| RrSet {
                    rtype: set.rtype,
                    ttl: set.ttl,
                    rdata: set.rdata.collect(),
                    signatures: set.signatures.collect(),
                })
                .collect(),
        }
    }

    /// Whether it says the same as an owner, whatever the order of records within an RRset.
    pub fn says(&self, owner: &Owner<'_>) -> bool {
        self.wire == owner.wire
            && self.rrsets().count() == owner.rrsets.len()
            && self.rrsets().zip(&owner.rrsets).all(|(one, other)| {
                one.rtype == other.rtype
                    && one.ttl == other.ttl
                    && same_set(one.rdata, &other.rdata)
                    && same_set(one.signatures, &other.signatures)
            })
    }
}

fn same_set(items: Items<'_>, others: &[&[u8]]) -> bool {
    if items.count != others.len() {
        return false;
    }
    if items.zip(others).all(|(one, other)| one == *other) {
        return true;
    }
    let mut items: Vec<&[u8]> = items.collect();
    let mut others = others.to_vec();
    items.sort_unstable();
    others.sort_unstable();
    items == others
}

impl<'a> Iterator for RrSets<'a> {
    type Item = RrSetRef<'a>;

    fn next(&mut self) -> Option<RrSetRef<'a>> {
        if self.0.0.is_empty() {
            return None;
        }
        Some(self.0.rrset().expect("looked at when it was decoded"))
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.count == 0 {
            return None;
        }
        self.count -= 1;
        let mut cursor = Cursor(self.octets);
        let item = cursor.item().expect("looked at when it was decoded");
        self.octets = cursor.0;
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count, Some(self.count))
    }
}

impl ExactSizeIterator for Items<'_> {}

/// What is left to read.
#[derive(Debug, Clone)]
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn rrset(&mut self) -> Result<RrSetRef<'a>, Malformed> {
        let rtype = u16::from_be_bytes(self.array()?);
        let ttl = u32::from_be_bytes(self.array()?);
        let records = self.varint()?;
        let signatures = self.varint()?;
        if records == 0 {
            return Err(Malformed::Empty);
        }
        let rdata = self.items(records)?;
        let signatures = self.items(signatures)?;
        Ok(RrSetRef { rtype, ttl, rdata, signatures })
    }

    fn items(&mut self, count: usize) -> Result<Items<'a>, Malformed> {
        let octets = self.0;
        for _ in 0..count {
            self.item()?;
        }
        Ok(Items { count, octets: &octets[..octets.len() - self.0.len()] })
    }

    fn item(&mut self) -> Result<&'a [u8], Malformed> {
        let length = u16::from_be_bytes(self.array()?);
        let (item, rest) = self.0.split_at_checked(length.into()).ok_or(Malformed::Length)?;
        self.0 = rest;
        Ok(item)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (array, rest) = self.0.split_first_chunk().ok_or(Malformed::Length)?;
        self.0 = rest;
        Ok(*array)
    }

    fn varint(&mut self) -> Result<usize, Malformed> {
        let mut number = 0_usize;
        for shift in (0..28).step_by(7) {
            let [octet] = self.array()?;
            number |= usize::from(octet & 0x7f) << shift;
            if octet & 0x80 == 0 {
                return if octet == 0 && shift > 0 { Err(Malformed::Number) } else { Ok(number) };
            }
        }
        Err(Malformed::Number)
    }
}

fn put_varint(mut number: usize, to: &mut Vec<u8>) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

fn checksum(key: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(body);
    hasher.finalize()
}

/// The length of the uncompressed name at the front; none if there is no such name.
pub(super) fn name_length(octets: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let label = usize::from(*octets.get(at)?);
        if label > 63 {
            return None;
        }
        at += label + 1;
        if at > 255 {
            return None;
        }
        if label == 0 {
            return Some(at);
        }
    }
}
