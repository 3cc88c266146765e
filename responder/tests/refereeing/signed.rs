//! The judge's rules for replies with DO about signed zones: where our proofs and a peer's may differ.

use std::collections::BTreeSet;

use super::{
    data::ZoneData,
    judge::{Judge, MOST_ALIASES, has_soa, is_denial, same, target_of},
    peers::Kind,
    proofs,
    queries::Query,
    rules::{self, Rule},
};
use crate::strict::{Message, Name, Record, missing, rtype};

impl Judge<'_> {
    /// The authority section of a reply of ours that leaves a chain at the zone's edge. Where the next
    /// zone is below ours, our cut to it may stand there. With DO there are besides it the cut's DS
    /// RRset or the proof that it has none (RFC 4035, section 3.1.4), and for each link that came from
    /// a wildcard the proof that no closer name exists (section 3.1.3.3 of it; RFC 5155, section 7.2.6),
    /// which the peer's reply must hold too.
    pub(super) fn ends_as_it_may(&self, query: &Query, ours: &Message, theirs: &Message) -> bool {
        let cut = self.cut_of(ours);
        let (at_cut, proofs): (Vec<&Record>, Vec<&Record>) =
            ours.authority.iter().partition(|record| record.rtype == rtype::NS);
        if !query.dnssec_ok {
            return proofs.is_empty();
        }
        if at_cut.iter().any(|record| cut.is_none_or(|cut| cut.lower() != record.owner.lower())) {
            return false;
        }
        let zone = self.zone_of(&query.name);
        let of_links = theirs
            .authority
            .iter()
            .filter(|record| proofs::is_of_denial(record) && self.zone_of(&record.owner) == zone);
        let from_wildcard = ours.answer.iter().any(proofs::is_from_wildcard);
        let links: Vec<&Record> = of_links.filter(|_| from_wildcard).collect();
        let rest = missing(proofs.iter().copied(), links.iter().copied());
        missing(links, proofs).is_empty()
            && match cut {
                None => rest.is_empty(),
                Some(cut) => proofs::is_state_of_cut(cut, &rest, self.records_at(&query.name)),
            }
    }

    /// QTYPE RRSIG: one RRset's signatures answer it, and which RRset's is each server's choice (RFC
    /// 8482, sections 4.1 and 7). After the same aliases, ours must be all that the zone has for one
    /// type at the last name; the peer's may be of several types.
    pub(super) fn is_choice_of_signatures(
        &self,
        query: &Query,
        ours: &Message,
        theirs: &Message,
    ) -> bool {
        if query.qtype != rtype::RRSIG || same(&ours.answer, &theirs.answer) {
            return false;
        }
        let last = last_name(&query.name, ours).lower();
        let split = |message: &Message| -> (Vec<Record>, Vec<Record>) {
            let all = message.answer.iter().cloned();
            all.partition(|record| record.rtype == rtype::RRSIG && record.owner.lower() == last)
        };
        let ((our_choice, our_links), (their_choice, their_links)) = (split(ours), split(theirs));
        let zone = self.records_at(&last_name(&query.name, ours));
        same(&our_links, &their_links)
            && proofs::is_one_set_of_signatures(&our_choice, zone)
            && proofs::are_signatures(&their_choice, zone)
    }

    /// ANY: whether ours, after the aliases, is one whole RRset of those that the zone has for the name.
    pub(super) fn is_other_choice_of_set(&self, query: &Query, ours: &Message) -> bool {
        let last = last_name(&query.name, ours);
        let at_end =
            |record: &&Record| record.rtype != rtype::RRSIG && record.owner.lower() == last.lower();
        let chosen: Vec<&Record> = ours.answer.iter().filter(at_end).collect();
        let Some(first) = chosen.first() else { return false };
        let data = |record: &Record| (record.rtype, record.ttl, record.canonical.clone());
        let zone = self.records_at(&last).source_of(&last).iter();
        let whole: BTreeSet<_> =
            zone.filter(|known| known.rtype == first.rtype).map(data).collect();
        query.qtype == rtype::ANY
            && whole == chosen.into_iter().map(data).collect()
            && (!query.dnssec_ok || self.is_signed_throughout(ours))
    }

    /// A proof that only one side gives, where RFC 4035, section 3.1.3, or RFC 5155 is on our side.
    pub(super) fn differs_by_proof(
        &self,
        query: &Query,
        ours: &Message,
        theirs: &Message,
    ) -> Option<Rule> {
        let last = last_name(&query.name, ours);
        let zone = self.records_at(&last);
        if !query.dnssec_ok {
            return None;
        }
        if self.peer == Kind::Nsd && proofs::proves_end_of_dname(&last, ours, theirs, zone) {
            return Some(rules::WILDCARD_OF_DNAME);
        }
        if let Some(more) = proofs::one_more(&theirs.authority, &ours.authority, zone) {
            let at_wildcard = more.rtype == rtype::NSEC3 && last.labels().next() == Some(b"*");
            return (self.peer == Kind::Nsd
                && at_wildcard
                && is_denial(ours)
                && ours.authority.iter().any(is_proof))
            .then_some(rules::WILDCARD_NAME);
        }
        if self.peer == Kind::Nsd
            && proofs::lacks_provable_encloser((&last, query.qtype), ours, theirs, zone)
        {
            return Some(rules::OPT_OUT_GAP);
        }
        if self.peer == Kind::Knot && proofs::is_named_like_wildcard(&last, ours, theirs, zone) {
            return Some(rules::NAMED_LIKE_WILDCARD);
        }
        let more = proofs::one_more(&ours.authority, &theirs.authority, zone)?;
        if more.rtype != rtype::NSEC {
            return None;
        }
        let asks_nsec = query.qtype == rtype::NSEC;
        match self.peer {
            Kind::Knot if asks_nsec && proofs::expands_itself(&last, ours, more) => {
                Some(rules::NSEC_EXPANDED)
            }
            Kind::Knot if proofs::is_empty_wildcard(&last, ours, more) => {
                Some(rules::EMPTY_WILDCARD)
            }
            Kind::Nsd if proofs::denies_end_of_dname(&last, ours, more) => {
                Some(rules::END_OF_DNAME)
            }
            _ => None,
        }
    }

    /// Whether each record of ours that its zone has signed comes with those signatures, whole, and a
    /// denial with a proof: what must hold where a rule spares the comparison with the peer's records.
    pub(super) fn is_signed_throughout(&self, ours: &Message) -> bool {
        // Not by TTL: a denial's SOA and its signature have the shorter one (RFC 2308, section 3).
        let is_in = |section: &[Record], known: &Record| {
            let key = |record: &Record| (record.owner.lower(), record.canonical.clone());
            section.iter().any(|record| key(record) == key(known))
        };
        let whole = |section: &[Record]| {
            // A cut's NS set is not signed, the child's at the same name is.
            let passed = [rtype::RRSIG, rtype::NS];
            section.iter().filter(|record| !passed.contains(&record.rtype)).all(|record| {
                let known = self.records_at(&record.owner).at(&record.owner);
                known.iter().all(|known| !proofs::signs(known, record) || is_in(section, known))
            })
        };
        let sound = |record: &Record| {
            let alone = std::slice::from_ref(record);
            record.rtype != rtype::RRSIG
                || proofs::covered_type(record) == Some(rtype::SOA)
                || self.data.iter().any(|zone| proofs::are_signatures(alone, zone))
        };
        !self.data.iter().any(ZoneData::is_signed)
            || whole(&ours.answer)
                && whole(&ours.authority)
                && ours.answer.iter().chain(&ours.authority).all(sound)
                && (!has_soa(ours) || ours.authority.iter().any(is_proof))
    }

    /// The records of the loaded zone that a name is in.
    pub(super) fn records_at(&self, name: &Name) -> &ZoneData {
        static NONE: ZoneData = ZoneData::none();
        let zone = self.zone_of(name);
        let place = self.apexes.iter().position(|apex| Some(apex) == zone);
        place.and_then(|place| self.data.get(place)).unwrap_or(&NONE)
    }
}

fn is_proof(record: &Record) -> bool {
    matches!(record.rtype, rtype::NSEC | rtype::NSEC3)
}

/// The name at the end of a reply's aliases; a circle of them ends anywhere.
pub(super) fn last_name(first: &Name, message: &Message) -> Name {
    let mut name = first.clone();
    for _ in 0..MOST_ALIASES {
        let lower = name.lower();
        let alias = message
            .answer
            .iter()
            .find(|record| record.rtype == rtype::CNAME && record.owner.lower() == lower);
        let Some(alias) = alias else { break };
        name = target_of(alias);
    }
    name
}
