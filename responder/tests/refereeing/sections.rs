//! The judge goes through two replies section by section.

use std::collections::BTreeSet;

use super::{
    judge::{Judge, has_soa, is_required, is_same_reply, same},
    queries::Query,
    rules::{self, Rule},
};
use crate::strict::{Message, Name, Record, missing, rtype, type_text};

impl Judge<'_> {
    /// Goes through the sections; the rules that explain a difference are added to `used`.
    pub(super) fn find_difference(
        &self,
        query: &Query,
        ours: &Message,
        theirs: &Message,
        used: &mut Vec<Rule>,
    ) -> Result<(), String> {
        let shorter = self.shortened(query, theirs).filter(|_| !is_same_reply(ours, theirs));
        let (theirs_answer, stops) = match &shorter {
            Some(answer) => (answer, true),
            None => (&theirs.answer, false),
        };
        if stops {
            // After a chain that we leave off, the peer's rcode and authority are another name's.
            if ours.rcode() != 0 || !ours.header.aa || !self.ends_as_it_may(query, ours, theirs) {
                return Err("a chain left off: rcode, AA or authority".into());
            }
            used.push(rules::CHAIN_EDGE);
        } else {
            if ours.rcode() != theirs.rcode() {
                return Err(format!("rcode for {}", type_text(query.qtype)));
            }
            if ours.header.aa != theirs.header.aa {
                return Err(format!("AA for {}", type_text(query.qtype)));
            }
        }
        if self.is_choice_of_signatures(query, ours, theirs) {
            used.push(rules::RRSIG);
        } else if is_choice_of_set(query, ours, theirs) {
            used.push(rules::ANY);
        } else if self.is_other_choice_of_set(query, ours) {
            used.push(rules::ANY_OTHER);
        } else if !same(&ours.answer, theirs_answer) {
            return Err(format!("answer for {}", type_text(query.qtype)));
        }
        if stops {
            return Ok(());
        }
        self.compare_authority(query, ours, theirs, used)?;
        self.compare_additional(query, ours, theirs, used)
    }

    fn compare_authority(
        &self,
        query: &Query,
        ours: &Message,
        theirs: &Message,
        used: &mut Vec<Rule>,
    ) -> Result<(), String> {
        // A positive reply of ours has no authority section but for the proof that a wildcard stood in
        // for the name; a peer's may have the zone's NS set (RFC 1034, section 4.3.2).
        let cut = self.cut_of(ours).or(self.cut_of(theirs));
        let positive = cut.is_none() && !has_soa(ours) && !has_soa(theirs);
        if positive && !query.dnssec_ok && !ours.authority.is_empty() {
            return Err("positive reply with authority".into());
        }
        let mut their_authority = theirs.authority.clone();
        if positive {
            let signed_ns =
                |record: &Record| record.rtype == rtype::RRSIG && record.rdata.starts_with(&[0, 2]);
            their_authority.retain(|record| record.rtype != rtype::NS && !signed_ns(record));
            if their_authority.len() < theirs.authority.len() {
                used.push(rules::APEX_NS);
            }
        }
        if !same(&ours.authority, &their_authority) {
            let Some(rule) = self.differs_by_proof(query, ours, theirs) else {
                let class = if cut.is_some() { "referral" } else { "negative" };
                return Err(format!("authority of a {class} reply"));
            };
            used.push(rule);
        }
        Ok(())
    }

    fn compare_additional(
        &self,
        query: &Query,
        ours: &Message,
        theirs: &Message,
        used: &mut Vec<Rule>,
    ) -> Result<(), String> {
        let (our_cut, their_cut) = (self.cut_of(ours), self.cut_of(theirs));
        let required = |message: &Message, cut: Option<&Name>| -> Vec<Record> {
            message.additional.iter().filter(|record| is_required(record, cut)).cloned().collect()
        };
        if !same(&required(ours, our_cut), &required(theirs, their_cut)) {
            return Err("required glue".into());
        }
        let left_out = missing(&theirs.additional, &ours.additional);
        let more = missing(&ours.additional, &theirs.additional);
        if our_cut.is_none() {
            if !ours.additional.is_empty() && !self.is_priming(ours) {
                return Err("additional data where there is none to be".into());
            }
            if !more.is_empty() {
                return Err("addresses of an apex NS set that the peer does not give".into());
            }
            if !left_out.is_empty() {
                used.push(if self.is_priming(ours) { rules::PRIMING } else { rules::MORE_DATA });
            }
            return Ok(());
        }
        let room = query.limit(self.udp_size).saturating_sub(ours.octets);
        if left_out.iter().any(|record| record.octets <= room) {
            used.push(rules::SIBLING_ROOM);
        } else if !left_out.is_empty() {
            used.push(rules::SIBLING_SIZE);
        }
        if !more.is_empty() {
            used.push(rules::SIBLING_MORE);
        }
        Ok(())
    }
}

/// ANY: whether ours is one whole RRset of those that the peer gives at the last name.
fn is_choice_of_set(query: &Query, ours: &Message, theirs: &Message) -> bool {
    if query.qtype != rtype::ANY || same(&ours.answer, &theirs.answer) {
        return false;
    }
    let is_data = |record: &&Record| record.rtype != rtype::RRSIG;
    let kind = |record: &Record| (record.owner.lower(), record.rtype);
    let chosen: BTreeSet<_> = ours.answer.iter().filter(is_data).map(kind).collect();
    let whole = theirs.answer.iter().filter(|record| chosen.contains(&kind(record)));
    let mut at_one_name = chosen.iter().map(|(owner, _)| owner).collect::<Vec<_>>();
    at_one_name.dedup();
    at_one_name.len() == chosen.len()
        && !chosen.is_empty()
        && missing(&ours.answer, &theirs.answer).is_empty()
        && missing(whole, &ours.answer).is_empty()
}
