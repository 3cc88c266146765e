//! One or more records, compiled to the octets of a reply.
//!
//! Names are compressed as far as RFC 3597, section 4, allows: owners always, names in the data of the
//! types of RFC 1035 only. A pointer's target is one of the bases of [`patch`], so that a fragment is
//! right wherever it stands and for whatever name selects it.

mod built;

use std::ops::Range;

use responder_common::{
    checksum,
    layout::{Extent, patch},
    wire::{self, class, rtype},
};

pub use self::built::Built;
use crate::zone::name::is_at_or_below;

/// Where a name can be pointed at: a base of [`patch`] and the distance from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// One of [`patch`]'s bases.
    pub base: u16,
    /// Octets behind the base.
    pub distance: u16,
}

impl Place {
    /// The current name.
    pub const OWNER: Self = Self { base: patch::OWNER, distance: 0 };
    /// The node's name.
    pub const NODE: Self = Self { base: patch::NODE, distance: 0 };
    /// The apex.
    pub const APEX: Self = Self { base: patch::APEX, distance: 0 };
    /// The root: one octet, shorter than a pointer to it.
    pub const ROOT: Self = Self { base: u16::MAX, distance: 0 };
}

/// Names that stand in the message before the fragment, in wire form.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The apex: part of every current name.
    pub apex: &'a [u8],
    /// A name at or below the apex that is part of every current name which selects the fragment.
    pub node: &'a [u8],
    /// The name of the node that owns the fragment.
    pub owner: &'a [u8],
    /// Names in the anchored fragment before this one, and where they are.
    pub anchored: &'a [(&'a [u8], Place)],
}

/// A fragment in the making.
pub struct Builder<'a> {
    around: Surroundings<'a>,
    octets: Vec<u8>,
    patches: Vec<u16>,
    records: usize,
    plain: Option<Extent>,
    written: Written,
}

/// Names written out in a fragment, and where.
#[derive(Default)]
struct Written {
    names: Vec<u8>,
    /// Each a stretch of `names`.
    places: Vec<(Range<usize>, u16)>,
}

/// Memory that one builder after the other uses.
#[derive(Default)]
pub struct Spare {
    octets: Vec<Vec<u8>>,
    patches: Vec<Vec<u16>>,
    written: Written,
}

impl Spare {
    /// Takes the memory of a fragment back.
    pub fn take_back(&mut self, built: Built) {
        self.octets.push(built.octets);
        self.patches.push(built.patches);
    }
}

impl Written {
    fn find(&self, name: &[u8]) -> Option<u16> {
        let found = self.places.iter().find(|(place, _)| self.names[place.clone()] == *name);
        found.map(|(_, at)| *at)
    }

    fn clear(&mut self) {
        self.names.clear();
        self.places.clear();
    }
}

/// A fragment is larger than a message can be.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLarge;

impl<'a> Builder<'a> {
    /// An empty fragment.
    pub fn new(around: Surroundings<'a>) -> Self {
        Self::reusing(around, &mut Spare::default())
    }

    /// An empty fragment, in memory that was used before.
    pub fn reusing(around: Surroundings<'a>, spare: &mut Spare) -> Self {
        let mut octets = spare.octets.pop().unwrap_or_default();
        let mut patches = spare.patches.pop().unwrap_or_default();
        let mut written = std::mem::take(&mut spare.written);
        octets.clear();
        patches.clear();
        written.clear();
        Self { around, octets, patches, records: 0, plain: None, written }
    }

    /// Adds a record. `rdata` is in uncompressed wire form.
    pub fn record(&mut self, owner: Place, kind: u16, ttl: u32, rdata: &[u8]) {
        if self.can_point(0) || owner == Place::ROOT {
            self.point(owner);
        } else {
            // Beyond the reach of patches; over TCP only.
            self.name(self.around.owner);
        }
        self.data(kind, ttl, rdata);
    }

    /// Adds a record whose owner is part of no current name: it is written out, as far as it must.
    pub fn named_record(&mut self, owner: &[u8], kind: u16, ttl: u32, rdata: &[u8]) {
        self.name(owner);
        self.data(kind, ttl, rdata);
    }

    fn data(&mut self, kind: u16, ttl: u32, rdata: &[u8]) {
        self.octets.extend_from_slice(&kind.to_be_bytes());
        self.octets.extend_from_slice(&class::IN.to_be_bytes());
        self.octets.extend_from_slice(&ttl.to_be_bytes());
        let length_at = self.octets.len();
        self.octets.extend_from_slice(&[0, 0]);
        match compressible_names(kind) {
            Some((before, names)) if rdata.len() >= before => {
                self.octets.extend_from_slice(&rdata[..before]);
                let mut rest = &rdata[before..];
                for _ in 0..names {
                    let (name, behind) = rest.split_at(name_length(rest));
                    self.name(name);
                    rest = behind;
                }
                self.octets.extend_from_slice(rest);
            }
            _ => self.octets.extend_from_slice(rdata),
        }
        let length = (self.octets.len() - length_at - 2) as u16;
        self.octets[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
        self.records += 1;
    }

    /// What comes after this is for clients with DO only.
    pub fn signatures_follow(&mut self) {
        self.plain = Some(self.extent());
    }

    /// Where a later fragment may point at to name `name`, if it stands in this one or before it.
    pub fn place_of(&self, name: &[u8]) -> Option<Place> {
        if let Some(place) = self.known(name) {
            return Some(place);
        }
        Some(Place { base: patch::ANCHOR, distance: self.written.find(name)? })
    }

    /// The finished fragment.
    ///
    /// # Errors
    /// When it is larger than a message can be.
    pub fn finish(self) -> Result<Built, TooLarge> {
        self.finish_into(&mut Spare::default())
    }

    /// The finished fragment; memory that it does not need is for the next one.
    ///
    /// # Errors
    /// As [`Builder::finish`].
    pub fn finish_into(mut self, spare: &mut Spare) -> Result<Built, TooLarge> {
        spare.written = std::mem::take(&mut self.written);
        // Header, longest question and OPT have their place in the same 65,535 octets.
        if self.octets.len() > usize::from(u16::MAX) - 512 {
            return Err(TooLarge);
        }
        let signed = self.extent();
        let plain = self.plain.unwrap_or(signed);
        let head = [
            plain.length,
            plain.sum,
            plain.records,
            plain.patches,
            signed.length,
            signed.sum,
            signed.records,
            signed.patches,
        ];
        Ok(Built { head, patches: self.patches, octets: self.octets })
    }

    fn extent(&self) -> Extent {
        Extent {
            length: self.octets.len() as u16,
            sum: checksum::of(&self.octets),
            records: self.records as u16,
            patches: self.patches.len() as u16,
        }
    }

    /// Writes a compression pointer.
    fn point(&mut self, to: Place) {
        if to == Place::ROOT {
            self.octets.push(0);
            return;
        }
        let at = self.octets.len() as u16;
        self.patches.push(patch::new(to.base, at));
        self.octets.extend_from_slice(&(wire::POINTER | to.distance).to_be_bytes());
    }

    /// Whether a pointer may stand here at all.
    pub fn can_point(&self, room: usize) -> bool {
        self.octets.len() + room <= usize::from(patch::OFFSET_MAX)
    }

    /// Writes a name, compressed as far as it can be.
    fn name(&mut self, name: &[u8]) {
        let mut rest = name;
        let mut kept = None;
        while rest.len() > 1 {
            let target = self.known(rest).or_else(|| {
                Some(Place { base: patch::FRAGMENT, distance: self.written.find(rest)? })
            });
            if let Some(target) = target
                && self.can_point(0)
            {
                self.point(target);
                return;
            }
            if self.can_point(0) {
                // The whole name is kept once: its ancestors are the ends of it.
                let Written { names, places } = &mut self.written;
                let end = *kept.get_or_insert_with(|| {
                    names.extend_from_slice(rest);
                    names.len()
                });
                places.push((end - rest.len()..end, self.octets.len() as u16));
            }
            let (label, behind) = rest.split_at(usize::from(rest[0]) + 1);
            self.octets.extend_from_slice(label);
            rest = behind;
        }
        self.octets.push(0);
    }

    /// Where the name stands in front of this fragment, if it does.
    fn known(&self, name: &[u8]) -> Option<Place> {
        if name.len() <= 1 {
            return None;
        }
        let around = &self.around;
        if let Some(distance) = distance(around.apex, name) {
            return Some(Place { base: patch::APEX, distance });
        }
        if let Some(distance) = distance(around.node, name) {
            return Some(Place { base: patch::NODE, distance });
        }
        around.anchored.iter().find(|(anchored, _)| *anchored == name).map(|(_, place)| *place)
    }
}

/// How far `name` begins behind the start of `whole`, if it is a suffix of it, letters' case aside.
fn distance(whole: &[u8], name: &[u8]) -> Option<u16> {
    let start = whole.len().checked_sub(name.len())?;
    is_at_or_below(whole, name).then_some(start as u16)
}

/// Octets of the wire name at the front of `octets`.
pub fn name_length(octets: &[u8]) -> usize {
    let mut at = 0;
    while let Some(&label) = octets.get(at) {
        at += usize::from(label) + 1;
        if label == 0 {
            break;
        }
    }
    at.min(octets.len())
}

/// The types of RFC 1035 whose data hold names that may be compressed: octets before the names, and how
/// many there are. A CNAME's target is written in full, because later records point into it.
pub fn compressible_names(kind: u16) -> Option<(usize, usize)> {
    const MD: u16 = 3;
    const MF: u16 = 4;
    const MB: u16 = 7;
    const MG: u16 = 8;
    const MR: u16 = 9;
    const PTR: u16 = 12;
    const MINFO: u16 = 14;
    const MX: u16 = 15;
    match kind {
        rtype::NS | MD | MF | MB | MG | MR | PTR => Some((0, 1)),
        rtype::SOA | MINFO => Some((0, 2)),
        MX => Some((2, 1)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APEX: &[u8] = b"\x03lac\0";
    const NODE: &[u8] = b"\x01d\x03lac\0";

    fn builder() -> Builder<'static> {
        Builder::new(Surroundings { apex: APEX, node: NODE, owner: NODE, anchored: &[] })
    }

    #[test]
    fn a_suffix_begins_at_a_label() {
        assert_eq!(distance(b"\x03\x01ab\0", b"\x01ab\0"), None);
        assert_eq!(distance(b"\x01D\x03LAC\0", APEX), Some(2));
    }

    #[test]
    fn names_of_rfc_1035_types_are_compressed() {
        let mut builder = builder();
        builder.record(Place::NODE, rtype::NS, 60, b"\x03ns1\x01d\x03lac\0");
        builder.record(Place::NODE, rtype::NS, 60, b"\x03ns2\x04host\x03net\0");
        builder.record(Place::NODE, rtype::NS, 60, b"\x03ns3\x04host\x03net\0");
        let built = builder.finish().expect("small");
        assert_eq!(&built.octets[12..18], b"\x03ns1\xC0\x00");
        assert_eq!(&built.octets[built.octets.len() - 6..], b"\x03ns3\xC0\x22");
        let bases: Vec<u16> = built.patches.iter().map(|patch| patch >> 13).collect();
        let [node, fragment] = [patch::NODE, patch::FRAGMENT];
        assert_eq!(bases, [node, node, node, node, fragment]);
    }

    #[test]
    fn rfc3597_names_of_other_types_are_not_compressed() {
        let mut builder = builder();
        builder.record(Place::OWNER, rtype::DNAME, 60, NODE);
        let built = builder.finish().expect("small");
        assert!(built.octets.ends_with(NODE));
        assert_eq!(built.patches.len(), 1);
    }
}
