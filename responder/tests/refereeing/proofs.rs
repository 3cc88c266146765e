//! Where the peers' proofs of denial and ours may differ in a signed zone (RFC 4035, section 3.1.3;
//! RFC 5155, section 7.2). Each rule names exactly the records that only one side has.

use super::data::{ZoneData, order};
use crate::strict::{Message, Name, Record, missing, rtype};

/// The one NSEC or NSEC3 that, with its RRSIG, this authority section has more than the other: both
/// the zone's own, and nothing else differs.
pub fn one_more<'a>(
    section: &'a [Record],
    other: &'a [Record],
    zone: &ZoneData,
) -> Option<&'a Record> {
    if !missing(other, section).is_empty() {
        return None;
    }
    let more = missing(section, other);
    let (signatures, denials): (Vec<&Record>, Vec<&Record>) =
        more.iter().partition(|record| record.rtype == rtype::RRSIG);
    let ([denial], [signature]) = (&denials[..], &signatures[..]) else { return None };
    let is_proof = is_of_denial(denial) && signs(signature, denial);
    (is_proof && zone.has(denial) && zone.has(signature)).then_some(denial)
}

/// QTYPE NSEC, answered from a wildcard whose own NSEC is also the proof that no closer name exists,
/// which RFC 4035, section 3.1.3.3, wants in the authority section. The answer holds that NSEC under
/// the name asked for, which denies nothing there.
pub fn expands_itself(name: &Name, ours: &Message, nsec: &Record) -> bool {
    let mut answers = ours.answer.iter().filter(|record| record.rtype == rtype::NSEC);
    let expanded = answers.next().is_some_and(|answer| answer.canonical == nsec.canonical);
    let above = nsec.owner.parent();
    expanded
        && nsec.owner.labels().next() == Some(b"*")
        && above.is_some_and(|above| name.is_at_or_below(&above))
        && covers(nsec, name)
}

/// NODATA from a wildcard that is an empty non-terminal: RFC 4035, section 3.1.3.4, wants the NSEC
/// that denies the type at the wildcard besides the one that denies closer names. This one covers the
/// wildcard and leads to a name below it.
pub fn is_empty_wildcard(name: &Name, ours: &Message, nsec: &Record) -> bool {
    let is_nodata = ours.rcode() == 0 && ours.answer.iter().all(|record| record.owner != *name);
    let next = next_of(nsec);
    let mut above = name.parent();
    while let Some(encloser) = above {
        let wildcard = Name::from_labels(std::iter::once(&b"*"[..]).chain(encloser.labels()));
        if wildcard.is_ok_and(|star| covers(nsec, &star) && next.is_at_or_below(&star)) {
            return is_nodata;
        }
        above = encloser.parent();
    }
    false
}

/// NXDOMAIN for the name to which a DNAME led: RFC 4035, section 3.1.3.2, wants an NSEC that says that
/// the name does not exist besides one that says so of the wildcard. NSD 4.6 gives only the latter.
pub fn denies_end_of_dname(name: &Name, ours: &Message, nsec: &Record) -> bool {
    ours.rcode() == 3
        && ours.answer.iter().any(|record| record.rtype == rtype::DNAME)
        && covers(nsec, name)
        && !next_of(nsec).is_at_or_below(name)
}

/// A wildcard's answer at the end of a DNAME: RFC 4035, section 3.1.3.3, wants the NSEC that covers the name
/// to which the DNAME led. Ours holds it; in its place, or besides, NSD 4.6 gives one that does not.
pub fn proves_end_of_dname(name: &Name, ours: &Message, theirs: &Message, zone: &ZoneData) -> bool {
    let more = missing(&ours.authority, &theirs.authority);
    let other = missing(&theirs.authority, &ours.authority);
    let are_proofs = |records: &[&Record]| {
        let is_proof = |record: &Record| {
            let signs_proof = covered_type(record) == Some(rtype::NSEC);
            record.rtype == rtype::NSEC || (record.rtype == rtype::RRSIG && signs_proof)
        };
        records.iter().all(|record| is_proof(record) && zone.has(record))
    };
    let holds = |record: &Record| record.rtype == rtype::NSEC && covers(record, name);
    ours.answer.iter().any(|record| record.rtype == rtype::DNAME)
        && are_proofs(&more)
        && are_proofs(&other)
        && ours.authority.iter().any(holds)
        && !other.is_empty()
        && !other.iter().any(|record| holds(record))
}

/// NXDOMAIN below a name, or no DS at it, that is there only for the sake of delegations left out of
/// an opt-out chain: it has no NSEC3, so that RFC 5155, sections 7.2.2 and 7.2.4, want the proof of the
/// closest name that has one (section 7.2.1). NSD 4.6 leaves that proof out or gives half of it.
pub fn lacks_provable_encloser(
    (name, qtype): (&Name, u16),
    ours: &Message,
    theirs: &Message,
    zone: &ZoneData,
) -> bool {
    let more = missing(&ours.authority, &theirs.authority);
    let opted_out = |owner: &Name| zone.is_opted_out(owner);
    let mut above = match (ours.rcode(), qtype) {
        (0, rtype::DS) => Some(name.clone()).filter(opted_out),
        (3, _) => name.parent(),
        _ => None,
    };
    while let Some(encloser) = above.take_if(|encloser| !opted_out(encloser)) {
        above = encloser.parent();
    }
    above.is_some()
        && zone.opts_out()
        && missing(&theirs.authority, &ours.authority).is_empty()
        && more.iter().all(|record| is_of_denial(record) && zone.has(record))
}

/// A name that begins with an asterisk, is not in the zone, and is made from a wildcard like any other.
/// Knot 3.2 takes it for the wildcard's own name and leaves the NSEC3 records out that RFC 5155, sections
/// 7.2.5 and 7.2.6, want: that no closer name exists, and for no data the closest encloser.
pub fn is_named_like_wildcard(
    name: &Name,
    ours: &Message,
    theirs: &Message,
    zone: &ZoneData,
) -> bool {
    let more = missing(&ours.authority, &theirs.authority);
    let wanted = if super::judge::has_soa(ours) { 2..=4 } else { 2..=2 };
    ours.rcode() == 0
        && name.labels().next() == Some(b"*")
        && zone.below(name).next().is_none()
        && missing(&theirs.authority, &ours.authority).is_empty()
        && wanted.contains(&more.len())
        && more.iter().all(|record| {
            let signs = |other: &&Record| signs(other, record);
            zone.has(record)
                && match record.rtype {
                    rtype::NSEC3 => more.iter().any(signs),
                    _ => covered_type(record) == Some(rtype::NSEC3),
                }
        })
}

/// Whether these records are, beside the NS set of a cut, what RFC 4035, section 3.1.4, wants there:
/// the cut's DS RRset if the zone has one, else its NSEC, else (RFC 5155, section 7.2.7) the NSEC3
/// that matches it, or the two that prove it opted out. All signed; in an unsigned zone there is
/// nothing.
pub fn is_state_of_cut(cut: &Name, records: &[&Record], zone: &ZoneData) -> bool {
    let at_cut = |rtype: u16| -> Vec<&Record> {
        let set = zone.at(cut).iter();
        set.filter(|record| {
            record.rtype == rtype
                || (record.rtype == rtype::RRSIG && covered_type(record) == Some(rtype))
        })
        .collect()
    };
    let is_exactly = |set: &[&Record]| {
        set.len() == records.len()
            && missing(set.iter().copied(), records.iter().copied()).is_empty()
    };
    if !zone.is_signed() {
        return records.is_empty();
    }
    for set in [at_cut(rtype::DS), at_cut(rtype::NSEC)] {
        if !set.is_empty() {
            return is_exactly(&set);
        }
    }
    let hashed: Vec<&&Record> =
        records.iter().filter(|record| record.rtype == rtype::NSEC3).collect();
    (if zone.is_hashed() { (1..=2).contains(&hashed.len()) } else { records.is_empty() })
        && records.len() == 2 * hashed.len()
        && hashed.iter().all(|nsec3| records.iter().any(|record| signs(record, nsec3)))
        && records.iter().all(|record| zone.has(record))
}

/// Whether these are the signatures of one RRset of the zone, complete: at the name itself, or at the
/// wildcard that it was made from.
pub fn is_one_set_of_signatures(records: &[Record], zone: &ZoneData) -> bool {
    let Some(covered) = records.first().and_then(covered_type) else { return false };
    let whole = sources(&records[0], zone).filter(|record| covered_type(record) == Some(covered));
    whole.count() == records.len()
        && records.iter().all(|record| covered_type(record) == Some(covered))
        && are_signatures(records, zone)
}

/// Whether each of these records is a signature of the zone's.
pub fn are_signatures(records: &[Record], zone: &ZoneData) -> bool {
    !records.is_empty()
        && records.iter().all(|record| {
            record.rtype == rtype::RRSIG
                && sources(record, zone)
                    .any(|known| known.canonical == record.canonical && known.ttl == record.ttl)
        })
}

/// The zone's signatures from which this one in an answer may come: the owner is the same, or the
/// wildcard that the labels field tells of (RFC 4034, section 3.1.3).
fn sources<'a>(record: &Record, zone: &'a ZoneData) -> impl Iterator<Item = &'a Record> {
    let labels = record.owner.labels().count();
    let signed = usize::from(record.rdata.get(3).copied().unwrap_or_default());
    let rest = record.owner.labels().skip(labels.saturating_sub(signed));
    let wildcard = Name::from_labels(std::iter::once(&b"*"[..]).chain(rest));
    let wildcard = wildcard.ok().filter(|star| signed < labels && *star != record.owner);
    let at_wildcard = wildcard.map_or(&[][..], |star| zone.at(&star));
    let known = zone.at(&record.owner).iter().chain(at_wildcard);
    known.filter(|known| known.rtype == rtype::RRSIG)
}

/// Whether an NSEC says that this name does not exist, or is an empty non-terminal.
pub fn covers(nsec: &Record, name: &Name) -> bool {
    let next = next_of(nsec);
    let ends = order(&next) <= order(&nsec.owner); // The chain's last one.
    order(&nsec.owner) < order(name) && (ends || order(name) < order(&next))
}

/// Whether this is a signature over the other record's RRset.
pub fn signs(signature: &Record, record: &Record) -> bool {
    signature.rtype == rtype::RRSIG
        && signature.owner.lower() == record.owner.lower()
        && covered_type(signature) == Some(record.rtype)
}

/// An NSEC, an NSEC3 or a signature over one.
pub fn is_of_denial(record: &Record) -> bool {
    let rtype = match record.rtype {
        rtype::RRSIG => covered_type(record),
        rtype => Some(rtype),
    };
    matches!(rtype, Some(rtype::NSEC | rtype::NSEC3))
}

/// A signature whose labels field (RFC 4034, section 3.1.3) tells that a wildcard stood in for the
/// owner.
pub fn is_from_wildcard(record: &Record) -> bool {
    let is_star = record.owner.labels().next() == Some(b"*");
    let labels = record.owner.labels().count() - usize::from(is_star);
    record.rtype == rtype::RRSIG && usize::from(record.rdata[3]) < labels
}

/// The type that a signature covers (RFC 4034, section 3.1.1).
pub fn covered_type(signature: &Record) -> Option<u16> {
    signature.rdata.first_chunk().map(|&octets| u16::from_be_bytes(octets))
}

/// The next owner name of an NSEC (RFC 4034, section 4.1.1).
fn next_of(nsec: &Record) -> Name {
    super::judge::leading_name(&nsec.rdata)
}
