//! RRsets as fragments, and the addresses that go with a set of name servers.

use responder_common::wire::rtype;

use crate::zone::{
    collect::RrSet,
    fragment::{Builder, Built, Place, Surroundings, TooLarge},
    tree::{Addresses, Hosts},
};

/// A name in the data of a fragment, and where it stands there.
pub type Placed = (Vec<u8>, Place);

/// An RRset with its signatures, and where the names in its data stand.
pub fn rrset(
    around: Surroundings<'_>,
    owner: Place,
    set: &RrSet<'_>,
) -> Result<(Built, Vec<Placed>), TooLarge> {
    let mut builder = Builder::new(around);
    for rdata in &set.rdata {
        builder.record(owner, set.rtype, set.ttl, rdata);
    }
    builder.signatures_follow();
    for rdata in &set.signatures {
        builder.record(owner, rtype::RRSIG, set.ttl, rdata);
    }
    let places = if set.rtype == rtype::NS {
        let place = |target: &&[u8]| Some((target.to_vec(), builder.place_of(target)?));
        set.rdata.iter().filter_map(place).collect()
    } else {
        Vec::new()
    };
    Ok((builder.finish()?, places))
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
    builder: Builder<'s>,
    signatures: Vec<(Owner<'a>, u32, Vec<&'a [u8]>)>,
    any: bool,
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
        Self { builder: Builder::new(around), signatures: Vec::new(), any: false }
    }

    /// Adds those of a host.
    pub fn add(&mut self, owner: Owner<'a>, addresses: &Addresses<'a>) {
        for (kind, hosts) in [(rtype::A, &addresses.four), (rtype::AAAA, &addresses.six)] {
            let Some(Hosts { ttl, rdata, signatures }) = hosts else { continue };
            for rdata in rdata {
                self.record(owner, kind, *ttl, rdata);
            }
            self.signatures.push((owner, *ttl, signatures.clone()));
            self.any = true;
        }
    }

    /// The fragment; none where there was no address.
    ///
    /// # Errors
    /// When it is larger than a message can be.
    pub fn finish(mut self) -> Result<Option<Built>, TooLarge> {
        if !self.any {
            return Ok(None);
        }
        self.builder.signatures_follow();
        for (owner, ttl, signatures) in std::mem::take(&mut self.signatures) {
            for signature in signatures {
                self.record(owner, rtype::RRSIG, ttl, signature);
            }
        }
        self.builder.finish().map(Some)
    }

    fn record(&mut self, owner: Owner<'a>, kind: u16, ttl: u32, rdata: &[u8]) {
        match owner.place {
            Some(place) if self.builder.can_point(0) => {
                self.builder.record(place, kind, ttl, rdata)
            }
            _ => self.builder.named_record(owner.name, kind, ttl, rdata),
        }
    }
}
