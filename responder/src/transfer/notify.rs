//! NOTIFY (RFC 1996): a primary says that a zone has something new.
//!
//! It is heard from the zone's primaries and from `notify-from`, signed with `notify-key` where that is
//! set, and answered at once; the news itself is looked for by the zone's own task. However many come,
//! they amount to one look.

use std::{net::IpAddr, sync::Arc};

use domain::{
    base::{
        Message, MessageBuilder, ParsedName, Rtype, ToName,
        iana::{Class, Opcode, Rcode},
    },
    rdata::Soa,
};

use super::{
    Secondaries,
    exchange::seconds,
    tsig::{self, Fault, Key, Session},
};

/// What became of a NOTIFY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Answered; the zone is looked after, unless that is no news.
    Accepted,
    /// Answered with an error.
    Refused,
    /// No NOTIFY that can be read.
    Malformed,
}

impl Secondaries {
    /// Answers a NOTIFY that came from `peer`.
    pub fn hear(&self, notify: &[u8], peer: IpAddr, reply: &mut Vec<u8>) -> Heard {
        reply.clear();
        let heard = self.judge(notify, peer, reply);
        self.count(match heard {
            Heard::Accepted => "notify",
            Heard::Refused => "notify-refused",
            Heard::Malformed => "notify-malformed",
        });
        heard
    }

    fn judge(&self, notify: &[u8], peer: IpAddr, reply: &mut Vec<u8>) -> Heard {
        let mut message = notify.to_vec();
        let Some(apex) = zone_of(&message) else { return Heard::Malformed };
        let answer = |message: &[u8], rcode| build(message, rcode).unwrap_or_default();
        let Some((secondary, rule)) = self.notify_rule(&apex) else {
            *reply = answer(&message, Rcode::NOTAUTH);
            return Heard::Refused;
        };
        let refuse = |reason: &str| {
            tracing::debug!(zone = secondary.name, %peer, "NOTIFY refused: {reason}");
            Heard::Refused
        };
        if !rule.prefixes.iter().any(|prefix| prefix.contains(&peer)) {
            *reply = answer(&message, Rcode::REFUSED);
            return refuse("its sender is no primary and not in notify-from");
        }
        // Those that the primaries share with us, and the one that is wanted.
        let keys: Vec<Arc<Key>> = secondary
            .primaries
            .iter()
            .filter_map(|primary| primary.key.as_ref())
            .chain(rule.key.as_ref())
            .filter_map(|key| key.as_ref().ok().cloned())
            .collect();
        let now = seconds();
        let mut session = match Session::requested(&keys, &mut message, now) {
            Ok(session) => session,
            Err(Fault::Malformed) => return Heard::Malformed,
            Err(fault) => {
                *reply = answer(&message, Rcode::NOTAUTH);
                tsig::refuse(notify, &fault, &keys, reply, now);
                return refuse(&fault.to_string());
            }
        };
        if let Some(wanted) = &rule.key {
            let by_it = match (wanted, &session) {
                (Ok(key), Some(session)) => session.key().name() == key.name(),
                _ => false,
            };
            if !by_it {
                *reply = answer(&message, Rcode::REFUSED);
                if let Some(session) = &mut session {
                    session.sign(reply, now);
                }
                return refuse("it is not signed with notify-key");
            }
        }
        let news = secondary.notified(peer, serial_in(&message, &apex));
        tracing::debug!(zone = secondary.name, %peer, news, "NOTIFY");
        *reply = answer(&message, Rcode::NOERROR);
        if let Some(session) = &mut session {
            session.sign(reply, now);
        }
        Heard::Accepted
    }
}

/// The zone that a NOTIFY is about, in lower-case wire form.
fn zone_of(message: &[u8]) -> Option<Vec<u8>> {
    let message = Message::from_slice(message).ok()?;
    let header = message.header();
    if header.qr() || header.opcode() != Opcode::NOTIFY {
        return None;
    }
    let question = message.sole_question().ok()?;
    if question.qtype() != Rtype::SOA || question.qclass() != Class::IN {
        return None;
    }
    let mut apex = question.qname().to_name::<Vec<u8>>().into_octets();
    apex.make_ascii_lowercase();
    Some(apex)
}

/// The serial that a NOTIFY hints at (RFC 1996, section 3.7).
fn serial_in(message: &[u8], apex: &[u8]) -> Option<u32> {
    let message = Message::from_slice(message).ok()?;
    let soa = message.answer().ok()?.limit_to_in::<Soa<ParsedName<&[u8]>>>().next()?.ok()?;
    super::exchange::is_apex(soa.owner(), apex).then(|| soa.data().serial().into_int())
}

/// The answer: the question and the response code (RFC 1996, section 3.12).
fn build(message: &[u8], rcode: Rcode) -> Option<Vec<u8>> {
    let message = Message::from_slice(message).ok()?;
    let mut answer = MessageBuilder::new_vec().start_answer(message, rcode).ok()?;
    answer.header_mut().set_aa(rcode == Rcode::NOERROR);
    Some(answer.finish())
}
