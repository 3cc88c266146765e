//! RRsets as fragments, and the addresses that go with a set of name servers.

use responder_common::wire::rtype;

use crate::zone::{
    collect::RrSet,
    fragment::{Builder, Built, Place, Spare, Surroundings, TooLarge},
};

/// A name in the data of a fragment, and where it stands there.
pub type Placed<'a> = (&'a [u8], Place);

/// An RRset with its signatures, and where the names in its data stand.
pub fn rrset<'a>(
    around: Surroundings<'_>,
    owner: Place,
    set: &RrSet<'a>,
    spare: &mut Spare,
) -> Result<(Built, Vec<Placed<'a>>), TooLarge> {
    let mut builder = Builder::reusing(around, spare);
    for rdata in &set.rdata {
        builder.record(owner, set.rtype, set.ttl, rdata);
    }
    builder.signatures_follow();
    for rdata in &set.signatures {
        builder.record(owner, rtype::RRSIG, set.ttl, rdata);
    }
    let places = if set.rtype == rtype::NS {
        let place = |target: &&'a [u8]| Some((*target, builder.place_of(target)?));
        set.rdata.iter().filter_map(place).collect()
    } else {
        Vec::new()
    };
    Ok((builder.finish_into(spare)?, places))
}

/// The signatures of an RRset alone: the answer to a question for RRSIG (RFC 8482, section 7).
pub fn signatures(
    around: Surroundings<'_>,
    owner: Place,
    set: &RrSet<'_>,
) -> Result<Built, TooLarge> {
    let mut builder = Builder::new(around);
    for rdata in &set.signatures {
        builder.record(owner, rtype::RRSIG, set.ttl, rdata);
    }
    builder.finish()
}

/// The SOA as denial carries it (RFC 2308, section 3): the lesser of its TTL and MINIMUM.
pub fn negative(apex: &[u8], soa: &RrSet<'_>) -> Result<Built, TooLarge> {
    let rdata = soa.rdata[0];
    let minimum = u32::from_be_bytes(rdata[rdata.len() - 4..].try_into().expect("four octets"));
    let ttl = soa.ttl.min(if minimum >> 31 == 1 { 0 } else { minimum });
    let owner = if apex == [0] { Place::ROOT } else { Place::APEX };
    let mut builder = Builder::new(Surroundings { apex, node: apex, owner: apex, anchored: &[] });
    builder.record(owner, rtype::SOA, ttl, rdata);
    builder.signatures_follow();
    for signature in &soa.signatures {
        builder.record(owner, rtype::RRSIG, ttl, signature);
    }
    builder.finish()
}

/// Addresses that go with a set of name servers: records first, signatures behind.
pub struct Extra<'a, 's> {
    around: Surroundings<'s>,
    /// None while there is no address.
    builder: Option<Builder<'s>>,
    signatures: Vec<(Owner<'a>, u32, &'a [u8])>,
}

/// A host's name, and where it stands in front of its addresses, if a pointer can lead there.
#[derive(Clone, Copy)]
pub struct Owner<'a> {
    /// In wire form.
    pub name: &'a [u8],
    /// Its place in the set of name servers.
    pub place: Option<Place>,
}

impl<'a, 's> Extra<'a, 's> {
    /// No addresses yet.
    pub fn new(around: Surroundings<'s>) -> Self {
        Self { around, builder: None, signatures: Vec::new() }
    }

    /// Adds those of a host.
    pub fn add(&mut self, owner: Owner<'a>, addresses: &[RrSet<'a>], spare: &mut Spare) {
        let around = self.around;
        let builder = self.builder.get_or_insert_with(|| Builder::reusing(around, spare));
        for RrSet { rtype, ttl, rdata, signatures } in addresses {
            for rdata in rdata {
                record(builder, owner, *rtype, *ttl, rdata);
            }
            let signatures = signatures.iter().map(|signature| (owner, *ttl, *signature));
            self.signatures.extend(signatures);
        }
    }

    /// The fragment; none where there was no address.
    ///
    /// # Errors
    /// When it is larger than a message can be.
    pub fn finish(self, spare: &mut Spare) -> Result<Option<Built>, TooLarge> {
        let Some(mut builder) = self.builder else { return Ok(None) };
        builder.signatures_follow();
        for (owner, ttl, signature) in self.signatures {
            record(&mut builder, owner, rtype::RRSIG, ttl, signature);
        }
        builder.finish_into(spare).map(Some)
    }
}

fn record(builder: &mut Builder<'_>, owner: Owner<'_>, kind: u16, ttl: u32, rdata: &[u8]) {
    match owner.place {
        Some(place) if builder.can_point(0) => builder.record(place, kind, ttl, rdata),
        _ => builder.named_record(owner.name, kind, ttl, rdata),
    }
}
