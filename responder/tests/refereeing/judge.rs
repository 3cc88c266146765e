//! The rules by which a reply of ours is held against a peer's.
//!
//! Where both may be right, our answer profile decides; each such rule is a function here, as
//! narrow as it can be, with the section of the RFC that leaves the choice.

use super::{
    data::ZoneData,
    peers::Kind,
    queries::Query,
    rules::{self, Rule},
    tally::Tally,
};
use crate::strict::{Message, Name, Record, missing, multiset, rtype, type_text};

/// What the judge must know besides the replies.
pub struct Judge<'a> {
    /// Whose replies ours are held against.
    pub peer: Kind,
    /// The apexes of the zones that both serve.
    pub apexes: &'a [Name],
    /// The records of each of these zones, in the same order.
    pub data: &'a [ZoneData],
    /// The apexes of zones that the peer could not load, of the above.
    pub unread: &'a [Name],
    /// Our `limits.udp-size`, in octets.
    pub udp_size: u16,
}

/// How a reply of ours compares with a peer's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Rcode, AA and the records of every section are the same.
    Identical,
    /// What differs is as these rules have it.
    Ruled(Vec<Rule>),
    /// A difference of this class that no rule covers.
    Different(String),
}

/// The aliases in a reply of ours at most: eight are followed, a ninth is shown.
pub(super) const MOST_ALIASES: usize = 9;

impl Judge<'_> {
    /// Holds our reply over UDP against the rules that need no peer: decodes, echoes, size.
    /// Gives back the message if it decodes.
    pub fn alone(&self, query: &Query, reply: &[u8], tally: &mut Tally) -> Option<Message> {
        let message = match Message::parse(reply) {
            Ok(message) => message,
            Err(fault) => {
                tally.differ(format!("strict: {}", fault.rule.text()), || {
                    format!("{}\n{fault}\n{}", describe(query), hexadecimal(reply))
                });
                return None;
            }
        };
        let header = message.header;
        let edns = message.edns.as_ref();
        let asks_recursion = query.octets[2] & 1 == 1;
        let faults = [
            (reply[..2] != query.octets[..2], "ID not echoed"),
            (!header.qr || header.opcode != 0, "QR or opcode wrong"),
            (header.rd != asks_recursion, "RD not echoed"),
            (header.ra || header.ad || header.cd, "RA, AD or CD set"),
            (!reply[12..].starts_with(query.question()), "question not echoed octet for octet"),
            (reply.len() > query.limit(self.udp_size), "larger than the bound"),
            (edns.is_some() != query.size.is_some(), "OPT in only one of query and reply"),
            (edns.is_some_and(|edns| edns.version != 0), "EDNS version not 0"),
            (edns.is_some_and(|edns| edns.dnssec_ok != query.dnssec_ok), "DO not echoed"),
            (
                header.tc && !(message.answer.is_empty() && message.authority.is_empty()),
                "truncated reply with records",
            ),
            (has_duplicates(&message), "the same record twice (RFC 2181, section 5)"),
        ];
        for (_, class) in faults.iter().filter(|(broken, _)| *broken) {
            tally.differ(*class, || format!("{}\n{message}", describe(query)));
        }
        (!faults.iter().any(|(broken, _)| *broken)).then_some(message)
    }

    /// Holds our truncated reply against what it left out: the whole reply, as it came over TCP,
    /// must exceed the bound even without what may be left out.
    pub fn truncated(&self, query: &Query, whole: &Message, tally: &mut Tally) {
        let cut = self.cut_of(whole);
        let optional = whole.additional.iter().filter(|record| !is_required(record, cut));
        let least = whole.octets - optional.map(|record| record.octets).sum::<usize>();
        if least <= query.limit(self.udp_size) {
            tally.differ("truncated though it fits", || {
                let bound = query.limit(self.udp_size);
                format!("{}\n{least} octets needed, {bound} allowed\n{whole}", describe(query))
            });
        } else {
            tally.note("truncated by the size rule");
        }
    }

    /// Whether what the peer says to this query counts: not where it could not load the zone. By RFC
    /// 5155, section 7.2.8, hashed owners are no names for a question; NSD 4.6 takes them for the closest
    /// names that there are.
    pub fn is_heard(&self, query: &Query) -> bool {
        let unread = || self.zone_of(&query.name).is_some_and(|zone| self.unread.contains(zone));
        let misled =
            || self.peer == Kind::Nsd && self.records_at(&query.name).is_hashed_owner(&query.name);
        !unread() && !misled()
    }

    /// Holds a whole reply of ours against a whole one of the peer's.
    pub fn compare(&self, query: &Query, ours: &Message, theirs: &Message) -> Verdict {
        if is_same_reply(ours, theirs) && same(&ours.additional, &theirs.additional) {
            return Verdict::Identical;
        }
        if let Some(rule) = self.allowed(query, ours, theirs)
            && (!query.dnssec_ok || self.is_signed_throughout(ours))
        {
            return Verdict::Ruled(vec![rule]);
        }
        let mut used = Vec::new();
        match self.find_difference(query, ours, theirs, &mut used) {
            Err(class) => Verdict::Different(class),
            Ok(()) if used.is_empty() => Verdict::Different("a difference without a rule".into()),
            Ok(()) => Verdict::Ruled(used),
        }
    }

    /// The peer's answer as we give it, where we stop following aliases earlier: at the edge of the
    /// zone, since clients' data do not mix, and after eight links followed (RFC 1034, section 3.6.2, only
    /// asks that loops and long chains do no harm). None where both go equally far.
    pub(super) fn shortened(&self, query: &Query, theirs: &Message) -> Option<Vec<Record>> {
        if query.qtype == rtype::CNAME {
            return None;
        }
        let zone = self.zone_of(&query.name);
        let mut name = query.name.clone();
        let mut kept = Vec::new();
        let mut links = 0;
        loop {
            let lower = name.lower();
            let alias = theirs
                .answer
                .iter()
                .find(|record| record.rtype == rtype::CNAME && record.owner.lower() == lower)?;
            if kept.iter().any(|earlier: &Record| earlier.key() == alias.key()) {
                return None; // A circle: all was gathered.
            }
            // The DNAME that the alias was made from comes with it (RFC 6672, section 3.1).
            let maker = theirs.answer.iter().find(|record| {
                record.rtype == rtype::DNAME
                    && name.is_at_or_below(&record.owner)
                    && record.owner.lower() != lower
            });
            let signature = |of: &Record| {
                let owner = of.owner.lower();
                let covered = of.rtype.to_be_bytes();
                theirs.answer.iter().filter(move |record| {
                    record.rtype == rtype::RRSIG
                        && record.owner.lower() == owner
                        && record.rdata.starts_with(&covered)
                })
            };
            for record in [maker, Some(alias)].into_iter().flatten() {
                if missing([record], &kept).len() == 1 {
                    kept.push(record.clone());
                    kept.extend(signature(record).cloned());
                }
            }
            links += 1;
            name = target_of(alias);
            if links == MOST_ALIASES || self.zone_of(&name) != zone {
                return (kept.len() < theirs.answer.len()
                    || theirs.rcode() != 0
                    || !theirs.authority.is_empty())
                .then_some(kept);
            }
        }
    }

    /// Whether our reply has in-domain glue that the peer's lacks: NSD 4.6 leaves out what does not
    /// fit without setting TC, against RFC 9471, section 3; then its reply over TCP counts.
    pub fn lacks_glue(&self, ours: &Message, theirs: &Message) -> bool {
        let cut = self.cut_of(ours);
        missing(&ours.additional, &theirs.additional)
            .into_iter()
            .any(|record| is_required(record, cut))
    }

    /// The delegated name of a reply that is (or ends in) a referral.
    pub(super) fn cut_of<'m>(&self, message: &'m Message) -> Option<&'m Name> {
        if has_soa(message) {
            return None;
        }
        let cut = &message.authority.iter().find(|record| record.rtype == rtype::NS)?.owner;
        // Some peers put the zone's own NS set beside a positive answer, be it an alias that was asked
        // for. A referral's answer section holds at most the aliases that led to it.
        let zone = message.question.first().and_then(|question| self.zone_of(&question.name));
        if message.header.aa && zone.is_some_and(|apex| apex.lower() == cut.lower()) {
            return None;
        }
        let aliases = [rtype::CNAME, rtype::DNAME, rtype::RRSIG];
        let only_aliases = message.answer.iter().all(|record| aliases.contains(&record.rtype));
        let is_referral = if message.answer.is_empty() { !message.header.aa } else { only_aliases };
        is_referral.then_some(cut)
    }

    /// The loaded zone that a name is in.
    pub(super) fn zone_of(&self, name: &Name) -> Option<&Name> {
        let above = self.apexes.iter().filter(|apex| name.is_at_or_below(apex));
        above.max_by_key(|apex| apex.labels().count())
    }

    /// An apex's NS set in the answer: its addresses come along (RFC 9609, section 4.2).
    pub(super) fn is_priming(&self, ours: &Message) -> bool {
        ours.answer.iter().any(|record| {
            record.rtype == rtype::NS
                && self.apexes.iter().any(|apex| apex.lower() == record.owner.lower())
        })
    }

    /// Differences that no RFC decides, as rules; what they allow is said in the note.
    fn allowed(&self, query: &Query, ours: &Message, theirs: &Message) -> Option<Rule> {
        if self.is_orphan_ds(query) && is_denial(ours) && is_denial(theirs) {
            return Some(rules::ORPHAN_DS);
        }
        let links = |message: &Message| {
            message.answer.iter().filter(|record| record.rtype == rtype::CNAME).count()
        };
        let unsigned = |message: &Message| {
            message.answer.iter().filter(|record| record.rtype != rtype::RRSIG).count()
        };
        let (more, fewer) =
            (extra(&ours.answer, &theirs.answer), extra(&theirs.answer, &ours.answer));
        // Knot 3.2 follows five links and gives those; our rcode and authority are the last name's.
        if self.peer == Kind::Knot
            && fewer.is_empty()
            && (links(theirs) == 5 && unsigned(theirs) == 5 && links(ours) > 5)
            && (theirs.rcode() == 0 && theirs.authority.is_empty())
        {
            return Some(rules::CHAIN_FIVE);
        }
        // RFC 1034, section 4.3.2, follows an alias for every QTYPE but CNAME. NSD 4.6 does not for NSEC3.
        if self.peer == Kind::Nsd
            && query.qtype == rtype::NSEC3
            && (links(ours) > 0 && fewer.is_empty() && links(theirs) < links(ours))
            && (matches!(theirs.rcode(), 0 | 3) && has_soa(theirs))
        {
            return Some(rules::NSEC3_ALIAS);
        }
        if ours.rcode() != 0 || !ours.authority.is_empty() || links(ours) > MOST_ALIASES {
            return None;
        }
        if goes_round(theirs) && goes_round(ours) && (more.is_empty() || fewer.is_empty()) {
            return Some(rules::CIRCLE);
        }
        None
    }

    /// DS at an apex whose parent zone is served too, but delegates nothing there. RFC 4035,
    /// section 3.1.4.1, sends the question to the parent side without a word on what is not there:
    /// by the parent's data the name may not exist (NXDOMAIN), by the child's it does (NODATA).
    fn is_orphan_ds(&self, query: &Query) -> bool {
        let is_apex = self.apexes.iter().any(|apex| apex.lower() == query.name.lower());
        let above = query.name.parent();
        query.qtype == rtype::DS && is_apex && above.is_some_and(|up| self.zone_of(&up).is_some())
    }
}

/// An answer that nothing is there.
pub(super) fn is_denial(message: &Message) -> bool {
    matches!(message.rcode(), 0 | 3) && message.answer.is_empty() && has_soa(message)
}

/// A chain whose last target falls under a DNAME that the chain has used already: RFC 6672, section
/// 3.2, has no limit for that, and servers differ in when they stop.
fn goes_round(message: &Message) -> bool {
    let of_type = |rtype| message.answer.iter().filter(move |record| record.rtype == rtype);
    let Some(last) = of_type(rtype::CNAME).next_back().map(target_of) else { return false };
    of_type(rtype::DNAME)
        .any(|used| last.is_at_or_below(&used.owner) && last.lower() != used.owner.lower())
}

/// The records of `from` that `other` has not at all.
fn extra<'a>(from: &'a [Record], other: &[Record]) -> Vec<&'a Record> {
    let others = multiset(other);
    from.iter().filter(|record| !others.contains_key(&record.key())).collect()
}

/// The query in words.
pub fn describe(query: &Query) -> String {
    let edns = query.size.map_or("no EDNS".into(), |size| format!("EDNS {size}"));
    let dnssec_ok = if query.dnssec_ok { ", DO" } else { "" };
    format!("{} {} ({edns}{dnssec_ok})", query.name, type_text(query.qtype))
}

/// Octets as text, for a message that does not decode.
pub fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// In-domain glue: addresses at or below the cut (RFC 9471, section 2.1).
pub(super) fn is_required(record: &Record, cut: Option<&Name>) -> bool {
    cut.is_some_and(|cut| record.owner.is_at_or_below(cut))
}

pub(super) fn has_soa(message: &Message) -> bool {
    message.authority.iter().any(|record| record.rtype == rtype::SOA)
}

fn has_duplicates(message: &Message) -> bool {
    let all = [&message.answer, &message.authority, &message.additional];
    let mut keys: Vec<_> = all.into_iter().flatten().map(Record::key).collect();
    keys.sort();
    keys.windows(2).any(|pair| pair[0] == pair[1])
}

/// Whether two replies say the same, but for additional data.
pub(super) fn is_same_reply(ours: &Message, theirs: &Message) -> bool {
    ours.rcode() == theirs.rcode()
        && ours.header.aa == theirs.header.aa
        && same(&ours.answer, &theirs.answer)
        && same(&ours.authority, &theirs.authority)
}

pub(super) fn same(ours: &[Record], theirs: &[Record]) -> bool {
    ours.len() == theirs.len() && missing(ours, theirs).is_empty()
}

/// Where an alias leads.
pub(super) fn target_of(alias: &Record) -> Name {
    leading_name(&alias.rdata)
}

/// The name at the start of record data.
pub fn leading_name(mut rest: &[u8]) -> Name {
    let mut labels = Vec::new();
    while let Some((&length, after)) = rest.split_first().filter(|(length, _)| **length > 0) {
        let (label, tail) = after.split_at(usize::from(length));
        labels.push(label);
        rest = tail;
    }
    Name::from_labels(labels).expect("the strict decoder read it as a name")
}
