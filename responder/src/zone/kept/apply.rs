//! Differences from elsewhere (IXFR), applied to an archive: nothing may go that is not there, and
//! nothing come that is (RFC 1995, section 4).

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use responder_common::wire::rtype;

use crate::zone::{
    archive::{Edit, Error, Lookup as _, Owner, RrSet, sort_key},
    change::Key,
    difference::{Difference, Part},
    name,
    read::RecordRef,
    serial::serial_of,
};

/// Why differences were not applied.
#[derive(Debug)]
pub enum Unfit {
    /// They do not fit what is there.
    Contents(String),
    /// The archive.
    Archive(Error),
}

impl From<Error> for Unfit {
    fn from(error: Error) -> Self {
        Self::Archive(error)
    }
}

/// Applies differences one after the other; gives the owners that they touch.
///
/// # Errors
/// [`Unfit`]; the edit is to be dropped then.
pub fn apply(edit: &mut Edit<'_>, differences: &[Difference]) -> Result<BTreeSet<Key>, Unfit> {
    let mut touched: BTreeMap<Key, Held> = BTreeMap::new();
    let mut key = Key::new();
    edit.expect(owners(differences).iter().map(Vec::as_slice));
    for part in differences.iter().flat_map(Difference::parts) {
        let (Part::Present(record) | Part::Gone(record)) = part;
        key.clear();
        sort_key(record.owner, &mut key);
        if !touched.contains_key(&key) {
            touched.insert(key.clone(), Held::of(edit, &key)?);
        }
        let held = touched.get_mut(&key).expect("it was put there");
        let told = |what: &str| {
            let owner = name::to_text(record.owner);
            Unfit::Contents(format!("{owner} type {}: {what}", record.rtype))
        };
        match part {
            Part::Gone(record) => held.remove(record).map_err(told)?,
            Part::Present(record) => held.add(record).map_err(told)?,
        }
    }
    for (key, held) in &touched {
        edit.put(&held.lend(key))?;
    }
    Ok(touched.into_keys().collect())
}

/// The owners that differences name.
fn owners(differences: &[Difference]) -> BTreeSet<Key> {
    let parts = differences.iter().flat_map(Difference::parts);
    parts
        .map(|(Part::Present(record) | Part::Gone(record))| {
            let mut key = Key::new();
            sort_key(record.owner, &mut key);
            key
        })
        .collect()
}

/// An owner at work.
#[derive(Default)]
struct Held {
    wire: Vec<u8>,
    sets: BTreeMap<u16, HeldSet>,
}

/// An RRset at work: the data by what makes them the same.
#[derive(Default)]
struct HeldSet {
    ttl: u32,
    rdata: BTreeMap<Vec<u8>, Vec<u8>>,
    signatures: BTreeSet<Vec<u8>>,
}

impl Held {
    fn of(edit: &Edit<'_>, key: &[u8]) -> Result<Self, Error> {
        let Some(owner) = edit.owner(key)? else { return Ok(Self::default()) };
        let set = |set: super::super::archive::RrSetRef<'_>| {
            let rdata = set.rdata.map(|rdata| (canonical(set.rtype, rdata), rdata.to_vec()));
            let signatures = set.signatures.map(<[u8]>::to_vec);
            let held =
                HeldSet { ttl: set.ttl, rdata: rdata.collect(), signatures: signatures.collect() };
            (set.rtype, held)
        };
        Ok(Self { wire: owner.wire.to_vec(), sets: owner.rrsets().map(set).collect() })
    }

    fn remove(&mut self, record: RecordRef<'_>) -> Result<(), &'static str> {
        const MISSING: &str = "a record goes that is not there";
        if record.rtype == rtype::RRSIG {
            let Some(set) = covered(record).and_then(|covered| self.sets.get_mut(&covered)) else {
                // Signatures over nothing are not kept.
                return Ok(());
            };
            let known = set.signatures.remove(record.rdata) || set.rdata.is_empty();
            return if known { Ok(()) } else { Err(MISSING) };
        }
        let set = self.sets.get_mut(&record.rtype).ok_or(MISSING)?;
        if record.rtype == rtype::SOA {
            // The serial tells versions apart; names and timers may be told in several ways.
            let ours = set.rdata.values().next().and_then(|soa| serial_of(soa));
            if ours != serial_of(record.rdata) {
                return Err("the differences do not go on from the serial that is there");
            }
            set.rdata.clear();
            return Ok(());
        }
        set.rdata.remove(&canonical(record.rtype, record.rdata)).map(drop).ok_or(MISSING)
    }

    fn add(&mut self, record: RecordRef<'_>) -> Result<(), &'static str> {
        const PRESENT: &str = "a record comes that is there already";
        if self.wire.is_empty() {
            self.wire.extend_from_slice(record.owner);
        }
        if record.rtype == rtype::RRSIG {
            let Some(covered) = covered(record) else { return Ok(()) };
            let set = self.sets.entry(covered).or_default();
            let new = set.signatures.insert(record.rdata.to_vec());
            return if new { Ok(()) } else { Err(PRESENT) };
        }
        let set = self.sets.entry(record.rtype).or_default();
        set.ttl = if set.rdata.is_empty() { record.ttl } else { set.ttl.min(record.ttl) };
        if set.rdata.len() == usize::from(u16::MAX) {
            return Err("the RRset is larger than a message can be");
        }
        match set.rdata.entry(canonical(record.rtype, record.rdata)) {
            Entry::Occupied(_) => Err(PRESENT),
            Entry::Vacant(place) => {
                place.insert(record.rdata.to_vec());
                Ok(())
            }
        }
    }

    /// What is left of it. Signatures over nothing are left out.
    fn lend<'a>(&'a self, key: &'a [u8]) -> Owner<'a> {
        let sets = self.sets.iter().filter(|(_, set)| !set.rdata.is_empty());
        let rrsets = sets.map(|(rtype, set)| RrSet {
            rtype: *rtype,
            ttl: set.ttl,
            rdata: set.rdata.values().map(Vec::as_slice).collect(),
            signatures: set.signatures.iter().map(Vec::as_slice).collect(),
        });
        Owner { wire: &self.wire, key, rrsets: rrsets.collect() }
    }
}

/// The type that a signature covers; none where it covers nothing.
fn covered(record: RecordRef<'_>) -> Option<u16> {
    let covered = u16::from_be_bytes(*record.rdata.first_chunk()?);
    (covered != 0 && record.rdata.len() >= 18).then_some(covered)
}

/// Data with the names in lower case, for the common types whose data end in names (RFC 4034, section
/// 6.2): a primary may tell a name in one case when it comes and in another when it goes.
fn canonical(rtype: u16, rdata: &[u8]) -> Vec<u8> {
    let names = match rtype {
        rtype::NS | rtype::CNAME | rtype::DNAME | 12 /* PTR */ => 0,
        15 /* MX */ => 2,
        33 /* SRV */ => 6,
        _ => rdata.len(),
    };
    let mut canonical = rdata.to_vec();
    canonical[names.min(rdata.len())..].make_ascii_lowercase();
    canonical
}
