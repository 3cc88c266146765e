//! The digest of a zone (RFC 8976): SIMPLE, with SHA-384 or SHA-512. That the record itself is signed by
//! whom it should be is not verified: there are no trust anchors here.

use domain::{
    base::{
        ParsedName, Rtype,
        rdata::{ComposeRecordData, ParseRecordData},
    },
    dep::octseq::Parser,
    rdata::ZoneRecordData,
};
use responder_common::wire::rtype;
use sha2::{Digest, Sha384, Sha512};

use super::{Subject, records};
use crate::zone::{archive::Owner, serial::serial_of};

/// The type ZONEMD.
const ZONEMD: u16 = 63;
/// The scheme SIMPLE, and its hash algorithms (RFC 8976, section 5).
const SIMPLE: u8 = 1;
const SHA384: u8 = 1;
const SHA512: u8 = 2;
/// Octets in front of a ZONEMD record's digest: serial, scheme, algorithm.
const HEADER: usize = 6;

/// Verifies a zone's digest; one that is not there, or that we cannot work out, is no fault unless it is
/// required.
pub fn verify(subject: &Subject<'_>, required: bool) -> Result<(), String> {
    let Some(apex) = (subject.owners)().next().transpose()? else { return Ok(()) };
    let digests: Vec<&[u8]> = apex.rrset(ZONEMD).map_or(Vec::new(), |set| set.rdata.clone());
    if digests.is_empty() {
        return if required { Err("it has no ZONEMD record".into()) } else { Ok(()) };
    }
    let soa = apex.rrset(rtype::SOA).and_then(|set| set.rdata.first());
    let serial = soa.and_then(|soa| serial_of(soa)).ok_or("there is no SOA at the apex")?;
    let usable: Vec<&[u8]> = digests
        .iter()
        .copied()
        .filter(|one| matches!(one.get(4..HEADER), Some(&[SIMPLE, SHA384 | SHA512])))
        // Two of a kind say nothing (RFC 8976, section 4).
        .filter(|one| {
            digests.iter().filter(|other| other[4..].get(..2) == one.get(4..6)).count() == 1
        })
        .collect();
    if usable.is_empty() {
        let message = "its ZONEMD records have no scheme and algorithm that are known here";
        return if required { Err(message.into()) } else { Ok(()) };
    }
    let current: Vec<&[u8]> =
        usable.iter().copied().filter(|one| one[..4] == serial.to_be_bytes()).collect();
    if current.is_empty() {
        return Err(format!("its ZONEMD record is not of its serial {serial}"));
    }
    let wants = |algorithm: u8| current.iter().any(|one| one[5] == algorithm);
    let mut hashes =
        Hashes { sha384: wants(SHA384).then(Sha384::new), sha512: wants(SHA512).then(Sha512::new) };
    let mut buffer = Buffer::default();
    for owner in (subject.owners)() {
        let owner = owner?;
        let is_apex = owner.wire.eq_ignore_ascii_case(subject.apex);
        buffer.write(&owner, is_apex);
        hashes.update(&buffer.octets);
    }
    let (sha384, sha512) = hashes.finish();
    let is_right = |one: &&[u8]| {
        let wanted = if one[5] == SHA384 { &sha384 } else { &sha512 };
        wanted.as_deref() == Some(&one[HEADER..])
    };
    if current.iter().any(is_right) {
        Ok(())
    } else {
        Err("its ZONEMD digest is not that of its records (RFC 8976)".into())
    }
}

struct Hashes {
    sha384: Option<Sha384>,
    sha512: Option<Sha512>,
}

impl Hashes {
    fn update(&mut self, octets: &[u8]) {
        if let Some(hash) = &mut self.sha384 {
            hash.update(octets);
        }
        if let Some(hash) = &mut self.sha512 {
            hash.update(octets);
        }
    }

    fn finish(self) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
        let sha384 = self.sha384.map(|hash| hash.finalize().to_vec());
        (sha384, self.sha512.map(|hash| hash.finalize().to_vec()))
    }
}

/// An owner's records in canonical form and order (RFC 4034, section 6).
#[derive(Default)]
struct Buffer {
    octets: Vec<u8>,
    records: Vec<(u16, u32, Vec<u8>)>,
}

impl Buffer {
    fn write(&mut self, owner: &Owner<'_>, is_apex: bool) {
        self.records.clear();
        for set in &owner.rrsets {
            // The record itself and what signs it (RFC 8976, section 3.3.1).
            if is_apex && set.rtype == ZONEMD {
                continue;
            }
            let all = records(set).map(|(rtype, data)| (rtype, set.ttl, canonical(rtype, data)));
            self.records.extend(all);
        }
        self.records.sort_unstable_by(|one, other| (one.0, &one.2).cmp(&(other.0, &other.2)));
        self.octets.clear();
        let name = owner.wire.to_ascii_lowercase();
        for (rtype, ttl, data) in &self.records {
            self.octets.extend_from_slice(&name);
            self.octets.extend(rtype.to_be_bytes());
            self.octets.extend([0, 1]);
            self.octets.extend(ttl.to_be_bytes());
            // Data in their canonical form are no longer than before.
            self.octets.extend((data.len() as u16).to_be_bytes());
            self.octets.extend_from_slice(data);
        }
    }
}

/// Data in canonical form: names in lower case for the types that RFC 4034, section 6.2, lists.
fn canonical(rtype: u16, data: &[u8]) -> Vec<u8> {
    let mut parser = Parser::from_ref(data);
    let rtype = Rtype::from_int(rtype);
    let mut canonical = Vec::with_capacity(data.len());
    match ZoneRecordData::<&[u8], ParsedName<&[u8]>>::parse_rdata(rtype, &mut parser) {
        Ok(Some(parsed)) => {
            let Ok(()) = parsed.compose_canonical_rdata(&mut canonical);
            canonical
        }
        _ => data.to_vec(),
    }
}
