//! A zone's records, found by owner: what the judge looks up for each reply.

use std::collections::BTreeMap;

use crate::strict::{Name, Record, rtype};

/// The records of one zone.
#[derive(Debug, Default)]
pub struct ZoneData {
    /// In canonical order (RFC 4034, section 6.1), so that what is below a name follows it.
    owners: BTreeMap<Vec<Vec<u8>>, Vec<Record>>,
    signed: bool,
    hashed: bool,
    opts_out: bool,
}

impl ZoneData {
    /// No records.
    pub const fn none() -> Self {
        Self { owners: BTreeMap::new(), signed: false, hashed: false, opts_out: false }
    }

    /// The records with this owner.
    pub fn at(&self, owner: &Name) -> &[Record] {
        self.owners.get(&order(owner)).map_or(&[], Vec::as_slice)
    }

    /// The records at and below this name.
    pub fn below(&self, name: &Name) -> impl Iterator<Item = &Record> {
        let from = order(name);
        let range = self.owners.range(from.clone()..);
        range.take_while(move |(owner, _)| owner.starts_with(&from)).flat_map(|(_, all)| all)
    }

    /// Whether this very record is one of the zone's.
    pub fn has(&self, record: &Record) -> bool {
        self.at(&record.owner).iter().any(|known| known.key() == record.key())
    }

    /// The records that answer for a name: its own, or those of the wildcard that stands in for it.
    pub fn source_of(&self, name: &Name) -> &[Record] {
        let mut above = Some(name.clone());
        while let Some(encloser) = above {
            if self.below(&encloser).next().is_some() {
                if encloser == *name {
                    return self.at(name);
                }
                let labels = std::iter::once(&b"*"[..]).chain(encloser.labels());
                return Name::from_labels(labels).map_or(&[], |star| self.at(&star));
            }
            above = encloser.parent();
        }
        &[]
    }

    /// Whether there is a signature in the zone.
    pub fn is_signed(&self) -> bool {
        self.signed
    }

    /// Whether the zone denies by NSEC3 (RFC 5155).
    pub fn is_hashed(&self) -> bool {
        self.hashed
    }

    /// Whether an NSEC3 of it opts out (RFC 5155, section 6).
    pub fn opts_out(&self) -> bool {
        self.opts_out
    }

    /// Whether all that there is at and below the name is unsigned: an opt-out chain leaves it out.
    pub fn is_opted_out(&self, name: &Name) -> bool {
        let mut below = self.below(name).peekable();
        self.opts_out && below.peek().is_some() && below.all(|one| one.rtype != rtype::RRSIG)
    }

    /// Whether the name is, or is below, the hashed owner of an NSEC3.
    pub fn is_hashed_owner(&self, name: &Name) -> bool {
        let mut above = self.hashed.then(|| name.clone());
        while let Some(owner) = above {
            if self.at(&owner).iter().any(|record| record.rtype == rtype::NSEC3) {
                return true;
            }
            above = owner.parent();
        }
        false
    }
}

impl FromIterator<Record> for ZoneData {
    fn from_iter<T: IntoIterator<Item = Record>>(records: T) -> Self {
        let mut data = Self::none();
        for record in records {
            data.signed |= record.rtype == rtype::RRSIG;
            if record.rtype == rtype::NSEC3 {
                data.hashed = true;
                data.opts_out |= record.rdata[1] & 1 == 1;
            }
            data.owners.entry(order(&record.owner)).or_default().push(record);
        }
        data
    }
}

/// A name's labels in lower case from the right: the canonical order of names.
pub fn order(name: &Name) -> Vec<Vec<u8>> {
    let mut labels: Vec<_> = name.labels().map(<[u8]>::to_ascii_lowercase).collect();
    labels.reverse();
    labels
}
