//! The records of a zone, sorted: names in canonical order (RFC 4034, section 6.1), each with its RRsets.

use std::ops::Range;

use responder_common::{name::escape, wire::rtype};

use super::read::RecordRef;

/// Records as they come, in memory of their own.
#[derive(Default)]
pub struct Collector {
    octets: Vec<u8>,
    names: Vec<Named>,
    records: Vec<Record>,
}

/// An owner as it was met.
struct Named {
    wire: Range<usize>,
    key: Range<usize>,
    /// The records that stand in a row under it.
    records: Range<usize>,
}

/// A record's place in the collector.
#[derive(Clone)]
struct Record {
    rtype: u16,
    ttl: u32,
    rdata: Range<usize>,
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
    /// Takes a record in.
    pub fn add(&mut self, record: RecordRef<'_>) {
        let same =
            self.names.last().is_some_and(|last| self.octets[last.wire.clone()] == *record.owner);
        if !same {
            let wire = self.append(record.owner);
            let start = self.octets.len();
            sort_key(record.owner, &mut self.octets);
            let key = start..self.octets.len();
            let at = self.records.len();
            self.names.push(Named { wire, key, records: at..at });
        }
        let rdata = self.append(record.rdata);
        self.records.push(Record { rtype: record.rtype, ttl: record.ttl, rdata });
        self.names.last_mut().expect("just ensured").records.end += 1;
    }

    fn append(&mut self, octets: &[u8]) -> Range<usize> {
        let start = self.octets.len();
        self.octets.extend_from_slice(octets);
        start..self.octets.len()
    }

    /// Sorts what was collected.
    pub fn sort(&mut self) {
        let octets = &self.octets;
        self.names.sort_by(|one, other| octets[one.key.clone()].cmp(&octets[other.key.clone()]));
    }

    /// The owners in canonical order, after [`Collector::sort`].
    pub fn owners(&self) -> impl Iterator<Item = Owner<'_>> {
        let key = |name: &Named| &self.octets[name.key.clone()];
        self.names.chunk_by(move |one, other| key(one) == key(other)).map(move |same| Owner {
            wire: &self.octets[same[0].wire.clone()],
            key: key(&same[0]),
            rrsets: self.rrsets(same),
        })
    }

    fn rrsets(&self, names: &[Named]) -> Vec<RrSet<'_>> {
        let mut sets: Vec<RrSet<'_>> = Vec::new();
        let mut signatures: Vec<(u16, &[u8])> = Vec::new();
        for record in names.iter().flat_map(|name| &self.records[name.records.clone()]) {
            let rdata = &self.octets[record.rdata.clone()];
            if record.rtype == rtype::RRSIG && rdata.len() >= 18 {
                signatures.push((u16::from_be_bytes([rdata[0], rdata[1]]), rdata));
                continue;
            }
            match sets.iter_mut().find(|set| set.rtype == record.rtype) {
                Some(set) => {
                    set.ttl = set.ttl.min(record.ttl);
                    if !set.rdata.contains(&rdata) {
                        set.rdata.push(rdata);
                    }
                }
                None => sets.push(RrSet {
                    rtype: record.rtype,
                    ttl: record.ttl,
                    rdata: vec![rdata],
                    signatures: Vec::new(),
                }),
            }
        }
        for (covered, rdata) in signatures {
            if let Some(set) = sets.iter_mut().find(|set| set.rtype == covered)
                && !set.signatures.contains(&rdata)
            {
                set.signatures.push(rdata);
            }
        }
        sets.sort_by_key(|set| set.rtype);
        sets
    }
}

impl<'a> Owner<'a> {
    /// The RRset of a type.
    pub fn rrset(&self, rtype: u16) -> Option<&RrSet<'a>> {
        self.rrsets.iter().find(|set| set.rtype == rtype)
    }
}

/// Appends a key that sorts as the name does: labels from the root, lower-case, each ended by a zero.
///
/// Octets 0 and 1 become two, so that the end of a label sorts before every octet.
pub fn sort_key(wire: &[u8], to: &mut Vec<u8>) {
    let mut starts = Vec::with_capacity(8);
    let mut at = 0;
    while wire[at] != 0 {
        starts.push(at);
        at += usize::from(wire[at]) + 1;
    }
    for &start in starts.iter().rev() {
        for &octet in &wire[start + 1..start + 1 + usize::from(wire[start])] {
            let (first, second) = escape(octet.to_ascii_lowercase());
            to.push(first);
            if second != 0 {
                to.push(second);
            }
        }
        to.push(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc4034_names_sort_by_labels_from_the_root() {
        // The list of RFC 4034, section 6.1.
        let names: [&[u8]; 9] = [
            b"\x07example\0",
            b"\x01a\x07example\0",
            b"\x08yljkjljk\x01a\x07example\0",
            b"\x01Z\x01a\x07example\0",
            b"\x04zABC\x01a\x07EXAMPLE\0",
            b"\x01z\x07example\0",
            b"\x01\x01\x01z\x07example\0",
            b"\x01*\x01z\x07example\0",
            b"\x01\xc8\x01z\x07example\0",
        ];
        let keys: Vec<Vec<u8>> = names
            .iter()
            .map(|name| {
                let mut key = Vec::new();
                sort_key(name, &mut key);
                key
            })
            .collect();
        assert!(keys.is_sorted());
    }
}
