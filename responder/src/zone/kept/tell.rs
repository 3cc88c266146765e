//! What differs between two forms of an owner, told record by record for the journal.

use std::collections::HashSet;

use responder_common::wire::rtype;

use crate::zone::{
    archive::{Owner, RrSet},
    difference::{Difference, Part},
    read::RecordRef,
};

/// Adds to a difference what makes `new` of `old`.
pub fn tell(old: Option<&Owner<'_>>, new: Option<&Owner<'_>>, to: &mut Difference) {
    let before = old.map_or(&[][..], |owner| &owner.rrsets[..]);
    let after = new.map_or(&[][..], |owner| &owner.rrsets[..]);
    // Another case of the name is said by all its records.
    let renamed = old.zip(new).is_some_and(|(old, new)| old.wire != new.wire);
    let mut types: Vec<u16> = before.iter().chain(after).map(|set| set.rtype).collect();
    types.sort_unstable();
    types.dedup();
    // The SOA leads (RFC 1995, section 4).
    types.sort_by_key(|rtype| *rtype != rtype::SOA);
    for rtype in types {
        let find = |sets: &'_ [RrSet<'_>]| sets.iter().position(|set| set.rtype == rtype);
        let was = find(before).map(|at| &before[at]);
        let is = find(after).map(|at| &after[at]);
        let retimed = was.zip(is).is_some_and(|(was, is)| was.ttl != is.ttl);
        let whole = renamed || retimed || rtype == rtype::SOA;
        let only = |set, other| difference_of(set, if whole { None } else { other });
        for record in only(was, is) {
            let owner = old.map_or(&[][..], |owner| owner.wire);
            to.push(Part::Gone(RecordRef { owner, ..record }));
        }
        for record in only(is, was) {
            let owner = new.map_or(&[][..], |owner| owner.wire);
            to.push(Part::Present(RecordRef { owner, ..record }));
        }
    }
}

/// The records and signatures of an RRset that another does not have; without owners.
fn difference_of<'s>(
    set: Option<&'s RrSet<'_>>,
    other: Option<&'s RrSet<'_>>,
) -> Vec<RecordRef<'s>> {
    let Some(set) = set else { return Vec::new() };
    let known: HashSet<_> = other.into_iter().flat_map(records).collect();
    let new = records(set).filter(|record| !known.contains(record));
    let ttl = set.ttl;
    new.map(|(rtype, rdata)| RecordRef { owner: &[], rtype, ttl, rdata, file: 0, line: 0 })
        .collect()
}

/// Types and data of an RRset's records and of its signatures.
fn records<'s>(set: &'s RrSet<'_>) -> impl Iterator<Item = (u16, &'s [u8])> {
    let data = set.rdata.iter().map(|rdata| (set.rtype, *rdata));
    data.chain(set.signatures.iter().map(|rdata| (rtype::RRSIG, *rdata)))
}
