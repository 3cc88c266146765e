//! A validating resolver's word on our replies: Unbound, with the zones' own keys as trust anchors.

use std::{fs, io};

use super::{
    ask::{self, Pace},
    contest::Side,
    data::ZoneData,
    judge::{describe, has_soa},
    peers::Zone,
    proofs::is_from_wildcard,
    queries::{Dress, Query},
    signed::last_name,
    tally::Tally,
};
use crate::strict::{Message, Name, rtype};

/// What a validating resolver says of an answer (RFC 4035, section 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Proved down from the trust anchor: AD.
    Secure,
    /// Proved that it cannot be proved.
    Insecure,
    /// Refused: SERVFAIL.
    Bogus,
}

/// A reply of the resolver: what it says of the answer, and the response code.
///
/// # Errors
/// When there is no reply, or only half a header.
pub fn verdict(reply: Option<&[u8]>) -> Result<(State, u8), &'static str> {
    let reply = reply.ok_or("no reply")?;
    let [_, _, _, flags, ..] = reply else { return Err("less than a header") };
    let state = match (flags & 15, flags & 0x20) {
        (2, _) => State::Bogus,
        (_, 0) => State::Insecure,
        _ => State::Secure,
    };
    Ok((state, flags & 15))
}

/// The key-signing keys of a zone file as one line each: what a resolver trusts.
///
/// # Errors
/// When the file cannot be read or holds none.
pub fn anchors(zone: &Zone) -> io::Result<Vec<String>> {
    let text = fs::read_to_string(&zone.file)?;
    let apex = zone.apex.to_string();
    let key = |line: &str| -> Option<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "DNSKEY")?;
        let is_key = words.first() == Some(&apex.as_str()) && words.get(at + 1) == Some(&"257");
        is_key.then(|| format!("{apex} {}", words[at..].join(" ")))
    };
    let keys: Vec<String> = text.lines().filter_map(key).collect();
    match keys.is_empty() {
        true => Err(io::Error::other(format!("{} holds no key", zone.file.display()))),
        false => Ok(keys),
    }
}

/// A question to the resolver: with DO and RD.
pub fn question(number: usize, name: Name, qtype: u16) -> Query {
    let dress = Dress { size: Some(1232), dnssec_ok: true, recursion_desired: true };
    Query::new(number, name, qtype, dress)
}

/// Us, and a resolver that asks nobody else.
pub struct Validation<'a> {
    /// Us.
    pub ours: Side<'a>,
    /// The resolver.
    pub resolver: Side<'a>,
    /// The apexes of our zones.
    pub apexes: &'a [Name],
    /// Their records, in the same order.
    pub data: &'a [ZoneData],
}

impl Validation<'_> {
    /// Asks us, and, where our reply ends in one of our zones and not in a referral, the resolver.
    /// What it says must be what the zone's data promise.
    ///
    /// # Errors
    /// When a side cannot be reached.
    pub fn run(&self, asked: &[(Name, u16)], pace: Pace) -> io::Result<Tally> {
        let questions = |asked: &mut dyn Iterator<Item = &(Name, u16)>| -> Vec<Query> {
            let query = |(number, (name, qtype)): (usize, &(Name, u16))| {
                question(number, name.clone(), *qtype)
            };
            asked.enumerate().map(query).collect()
        };
        let mut tally = Tally::default();
        let queries = questions(&mut asked.iter());
        let replies = self.ours.reach(|ours| ask::datagrams(ours, &queries, pace))?.replies;
        let cut_short = |reply: &Option<Vec<u8>>| {
            reply.as_ref().is_some_and(|reply| reply.get(2).is_some_and(|flags| flags & 2 != 0))
        };
        let cut: Vec<&Query> = queries
            .iter()
            .zip(&replies)
            .filter(|(_, reply)| cut_short(reply))
            .map(|(query, _)| query)
            .collect();
        let mut whole = self.ours.reach(|ours| ask::stream(ours, &cut))?.into_iter();
        let mut expected = Vec::new();
        let mut kept = Vec::new();
        for (place, reply) in replies.into_iter().enumerate() {
            let reply = if cut_short(&reply) { whole.next().flatten() } else { reply };
            let message = reply.as_deref().map(Message::parse);
            let Some(Ok(message)) = message else {
                tally.differ("no sound reply from us", || describe(&queries[place]));
                continue;
            };
            match self.promise(&queries[place], &message) {
                Ok(promise) => {
                    kept.push(asked[place].clone());
                    expected.push((promise, message));
                }
                Err(reason) => tally.note(format!("not asked: {reason}")),
            }
        }
        let queries = questions(&mut kept.iter());
        let said = self.resolver.reach(|resolver| ask::datagrams(resolver, &queries, pace))?;
        for ((query, reply), ((class, state), ours)) in
            queries.iter().zip(said.replies).zip(expected)
        {
            let right = Ok((state, ours.header.rcode));
            let said = verdict(reply.as_deref());
            if said == right {
                tally.equal += 1;
                tally.note(format!("{class}: {state:?}"));
            } else {
                tally.differ(format!("{class}: {said:?} instead of {right:?}"), || {
                    format!("{}\n--- ours\n{ours}", describe(query))
                });
            }
        }
        Ok(tally)
    }

    /// The class of a reply of ours and what a resolver must say of it, or why it cannot be asked.
    fn promise(&self, query: &Query, ours: &Message) -> Result<(String, State), &'static str> {
        const ELSEWHERE: &str = "refers to others, or leads to them";
        let last = last_name(&query.name, ours);
        let zone = self.data_of(&query.name).ok_or(ELSEWHERE)?;
        let is_asked = |rtype: u16| rtype == query.qtype;
        let answered = ours.answer.iter().any(|record| is_asked(record.rtype));
        if !ours.header.aa
            || !matches!(ours.rcode(), 0 | 3)
            || !self.data_of(&last).is_some_and(|end| std::ptr::eq(zone, end))
            || !(answered || has_soa(ours))
        {
            return Err(ELSEWHERE);
        }
        // Hashed owners are no names (RFC 5155, section 7.2.8).
        let is_there = zone.below(&last).next().is_some() && !zone.is_hashed_owner(&last);
        let has = |rtype: u16| ours.answer.iter().any(|record| record.rtype == rtype);
        let empty_wildcard = || !zone.is_hashed() && zone.source_of(&last).is_empty();
        if [rtype::RRSIG, rtype::ANY].contains(&query.qtype) {
            return Err("RRSIG and ANY are not validated");
        }
        if is_asked(rtype::DS) && self.apexes.iter().any(|apex| apex.lower() == last.lower()) {
            return Err("DS at an apex is the parent zone's");
        }
        if (is_asked(rtype::DNAME) || is_asked(rtype::CNAME))
            && has(rtype::DNAME)
            && has(rtype::CNAME)
        {
            return Err("DNAME or CNAME below a DNAME: Unbound 1.17 wants the made CNAME signed");
        }
        if is_asked(rtype::NSEC) && zone.at(&query.name).iter().any(|one| one.rtype == rtype::CNAME)
        {
            return Err("NSEC at an alias: Unbound follows the alias that it remembers");
        }
        if ours.rcode() == 0 && has_soa(ours) && !is_there && empty_wildcard() {
            return Err("no data at an empty wildcard: Unbound 1.17 knows no proof of it by NSEC");
        }
        let mut made = ours.answer.iter().filter(|record| is_from_wildcard(record)).peekable();
        let from_wildcard = made.peek().is_some();
        if made.any(|record| record.owner.labels().next() == Some(b"*")) {
            return Err(
                "made from a wildcard and called *: Unbound 1.17 takes it for the wildcard",
            );
        }
        let alias = match (has(rtype::DNAME) && !is_asked(rtype::DNAME), has(rtype::CNAME)) {
            (true, _) => "DNAME to ",
            (false, true) if !is_asked(rtype::CNAME) => "CNAME to ",
            _ => "",
        };
        let end = match (ours.rcode(), has_soa(ours)) {
            (3, _) => "no such name",
            (_, true) if is_asked(rtype::DS) && is_there => "no DS",
            (_, true) if !is_there => "no data at a wildcard",
            (_, true) if zone.at(&last).is_empty() => "empty non-terminal",
            (_, true) => "no data",
            _ if is_asked(rtype::DS) => "DS",
            _ if from_wildcard => "wildcard",
            _ => "positive",
        };
        // Under opt-out what rests on a name's not being there is not secure (RFC 5155, section 9.2).
        let proved_away = has_soa(ours) && (!is_there || zone.is_opted_out(&last));
        let state = match zone.opts_out() && (from_wildcard || proved_away) {
            true => State::Insecure,
            false => State::Secure,
        };
        Ok((format!("{alias}{end}"), state))
    }

    fn data_of(&self, name: &Name) -> Option<&ZoneData> {
        let zones = self.apexes.iter().zip(self.data);
        let above = zones.filter(|(apex, _)| name.is_at_or_below(apex));
        above.max_by_key(|(apex, _)| apex.labels().count()).map(|(_, data)| data)
    }
}
