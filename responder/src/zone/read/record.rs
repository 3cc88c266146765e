//! From a scanned record to the wire, and what is refused on the way.

use std::path::PathBuf;

use domain::{
    base::{
        ParsedName, RecordData, iana::Rtype, name::ToName, rdata::ComposeRecordData,
        rdata::ParseRecordData,
    },
    dep::octseq::Parser,
    rdata::ZoneRecordData,
    zonefile::inplace::ScannedRecord,
};

use super::{
    Batch, Place, RecordRef, Refusal,
    alike::Alike,
    entries::{DEFAULT_TTL, Entries},
    fault::TOO_LONG,
    plain,
    scan::Inherited,
    type_name,
};
use crate::zone::{fragment::name_length, name};

impl<B: Batch> Entries<'_, B> {
    /// Hands one record on, and lets the next ones inherit from it.
    pub fn take(
        &mut self,
        record: &ScannedRecord,
        alike: Option<&Alike>,
        place: Place,
    ) -> Result<(), Refusal> {
        let refuse = |message: String| Err(Refusal::at(place.line, message));
        let owner = &mut self.inherited.owner;
        owner.clear();
        let Ok(()) = record.owner().compose(owner);
        let ttl = record.ttl().as_secs();
        self.inherited.last_ttl = Some(ttl);
        let owner = self.inherited.owner.as_slice();
        if !is_name(owner) {
            return refuse(EMPTY_LABEL.to_owned());
        }
        if self.is_outside(place) {
            return Ok(());
        }
        self.rdata.clear();
        let Ok(()) = record.data().compose_rdata(&mut self.rdata);
        if has_empty_label(record.data(), &self.rdata) {
            return refuse(EMPTY_LABEL.to_owned());
        }
        let mut rtype = record.rtype().to_int();
        if let Some(alike) = alike {
            rtype = alike.finish(&mut self.rdata);
        } else if let ZoneRecordData::Unknown(_) = record.data()
            && !is_well_formed(record.rtype(), &self.rdata)
        {
            return refuse(format!("these octets are no {} record", type_name(rtype)));
        }
        if lacks_its_end(rtype, &self.rdata) {
            let name = type_name(rtype);
            return refuse(format!("this {name} record has no digest, key or signature in it"));
        }
        // OPT, TKEY, TSIG, transfers, ANY and the like (RFC 6895, section 3.1) are never data.
        if matches!(rtype, 0 | 41 | 128..=255) {
            return refuse(format!("{} is never in a zone: remove the record", type_name(rtype)));
        }
        if self.rdata.len() > usize::from(u16::MAX) {
            return refuse(TOO_LONG.to_owned());
        }
        self.hand_on(rtype, ttl, place)
    }

    /// As [`Entries::take`], for a plain record, whose owner and data are in their places.
    pub fn take_plain(&mut self, line: &plain::Plain, place: Place) -> Result<(), Refusal> {
        let Inherited { default_ttl, last_ttl, .. } = *self.inherited;
        let ttl = line.ttl.or(default_ttl).or(last_ttl).unwrap_or(DEFAULT_TTL);
        self.inherited.last_ttl = Some(ttl);
        if self.is_outside(place) {
            return Ok(());
        }
        self.hand_on(line.rtype, ttl, place)
    }

    /// Whether the owner at hand is not in the zone, which is noted.
    fn is_outside(&mut self, place: Place) -> bool {
        let owner = self.inherited.owner.as_slice();
        let outside = !name::is_at_or_below(owner, self.apex);
        if outside {
            self.notes.outside.get_or_insert_with(|| (owner.to_vec(), place, 0)).2 += 1;
        }
        outside
    }

    fn hand_on(&mut self, rtype: u16, mut ttl: u32, place: Place) -> Result<(), Refusal> {
        if ttl > i32::MAX as u32 {
            self.notes.huge_ttl.get_or_insert((place, 0)).1 += 1;
            ttl = 0;
        }
        if self.before + self.notes.count >= self.most {
            let message = format!("the zone has more than {} records, its limit", self.most);
            return Err(Refusal::at(place.line, message));
        }
        self.notes.count += 1;
        let Place { file, line } = place;
        let (owner, rdata) = (self.inherited.owner.as_slice(), self.rdata.as_slice());
        self.batch.add(RecordRef { owner, rtype, ttl, rdata, file, line });
        Ok(())
    }
}

/// What is to be told of the records that were taken.
#[derive(Debug, Default)]
pub struct Notes {
    /// Records handed on.
    pub count: u64,
    /// Records without a TTL and with none to inherit.
    pub no_ttl: Vec<Place>,
    /// The first record outside of the zone, and how many there are.
    outside: Option<(Vec<u8>, Place, u64)>,
    /// The first TTL with the high bit set, and how many there are.
    huge_ttl: Option<(Place, u64)>,
}

impl Notes {
    /// Adds those of the next piece.
    pub fn append(&mut self, next: &mut Self) {
        self.count += next.count;
        self.no_ttl.append(&mut next.no_ttl);
        match (&mut self.outside, next.outside.take()) {
            (Some((_, _, count)), Some((_, _, more))) => *count += more,
            (first, more) => *first = first.take().or(more),
        }
        match (&mut self.huge_ttl, next.huge_ttl.take()) {
            (Some((_, count)), Some((_, more))) => *count += more,
            (first, more) => *first = first.take().or(more),
        }
    }

    /// What was passed over, in one line for each kind.
    pub fn warnings(&self, apex: &[u8], files: &[PathBuf]) -> Vec<String> {
        let at = |place: &Place| format!("{}:{}", files[place.file].display(), place.line);
        let no_ttl = |place| {
            format!(
                "{}: no TTL here and none to inherit: {DEFAULT_TTL} seconds are used; put a $TTL line \
                 first",
                at(place)
            )
        };
        let mut warnings: Vec<_> = self.no_ttl.iter().map(no_ttl).collect();
        let others = |count: u64| match count {
            0 | 1 => String::new(),
            2 => ", and one more like it".to_owned(),
            _ => format!(", and {} more like it", count - 1),
        };
        if let Some((owner, place, count)) = &self.outside {
            warnings.push(format!(
                "{}: {} is outside of the zone {}: the record is left out{}",
                at(place),
                name::to_text(owner),
                name::to_text(apex),
                others(*count)
            ));
        }
        if let Some((place, count)) = &self.huge_ttl {
            warnings.push(format!(
                "{}: a TTL above 2147483647 counts as 0 (RFC 2181, section 8){}",
                at(place),
                others(*count)
            ));
        }
        warnings
    }
}

/// `domain` 0.12 lets names such as `a..b` pass, which no name on the wire can say.
pub const EMPTY_LABEL: &str = "a name has an empty label (two dots in a row)";

/// Whether octets are one uncompressed name and nothing more, given that each label was scanned.
pub fn is_name(wire: &[u8]) -> bool {
    let mut at = 0;
    while let Some(&length @ 1..) = wire.get(at) {
        at += 1 + usize::from(length);
    }
    at + 1 == wire.len()
}

/// Whether a name in scanned record data has an empty label.
fn has_empty_label<N>(data: &ZoneRecordData<bytes::Bytes, N>, rdata: &[u8]) -> bool {
    use ZoneRecordData as Data;

    match data {
        Data::Ns(_) | Data::Cname(_) | Data::Dname(_) | Data::Ptr(_) => !is_name(rdata),
        // Most records of a large zone are of these types, and have no name in them.
        Data::A(_) | Data::Aaaa(_) | Data::Ds(_) | Data::Nsec3(_) | Data::Txt(_) => false,
        Data::Unknown(_) => false,
        _ => !is_well_formed(RecordData::rtype(data), rdata),
    }
}

/// Whether the digest, key or signature is empty with which the data of these types end (RFC 4034):
/// resolvers take such a record, and the message around it, for malformed.
fn lacks_its_end(rtype: u16, rdata: &[u8]) -> bool {
    match rtype {
        // DS, CDS, DNSKEY, CDNSKEY.
        43 | 59 | 48 | 60 => rdata.len() <= 4,
        // RRSIG: behind the signer's name.
        46 => rdata.get(18..).is_none_or(|rest| name_length(rest) == rest.len()),
        _ => false,
    }
}

/// Whether octets given in the form of RFC 3597 are what their type wants, when we know the type.
fn is_well_formed(rtype: Rtype, rdata: &[u8]) -> bool {
    let mut parser = Parser::from_ref(rdata);
    match ZoneRecordData::<&[u8], ParsedName<&[u8]>>::parse_rdata(rtype, &mut parser) {
        Ok(Some(data)) => {
            // The same octets again: no compressed name, nothing behind the end.
            let mut again = Vec::with_capacity(rdata.len());
            let Ok(()) = data.compose_rdata(&mut again);
            again == rdata
        }
        Ok(None) => true,
        Err(_) => false,
    }
}
