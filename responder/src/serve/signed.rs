//! Questions that are signed (RFC 8945): secondaries ask for the SOA so before they transfer.

use std::sync::Arc;

use domain::base::Message;
use responder_common::{
    verdict::Action,
    wire::{self, flag, rcode},
};

use super::{
    counters::Event,
    responses::{FORMERR, NOTIMP, header_only},
};
use crate::{
    answer::{Answerer, Transport},
    transfer::{
        exchange::seconds,
        tsig::{self, Fault, Key, Session},
    },
};

/// Answers a question that carries a signature; the answer is signed too.
pub fn respond(
    answerer: &mut Answerer,
    keys: &[Arc<Key>],
    query: &[u8],
    transport: Transport,
    reply: &mut Vec<u8>,
) -> Event {
    let mut message = query.to_vec();
    let now = seconds();
    let mut session = match Session::requested(keys, &mut message, now) {
        Ok(Some(session)) => session,
        // Some other record, such as SIG(0) (RFC 2931), of which we know nothing.
        Ok(None) => return header_only(query, NOTIMP, Event::NotImplemented, reply),
        Err(Fault::Malformed) => return header_only(query, FORMERR, Event::Refused, reply),
        Err(fault) => {
            let event = header_only(query, rcode::NOTAUTH as u8, Event::Refused, reply);
            tsig::refuse(query, &fault, keys, reply, now);
            return event;
        }
    };
    // Whoever signs is known: nothing of it is limited.
    answerer.set_client(None);
    if answerer.verdict(&message, transport, reply).action() != Action::Reply {
        return header_only(query, NOTIMP, Event::NotImplemented, reply);
    }
    let limit = limit(&message, transport, answerer.udp_size());
    if reply.len() + session.room() > limit {
        truncate(reply);
    }
    session.sign(reply, now);
    Event::Reply
}

/// The longest answer, in octets.
fn limit(query: &[u8], transport: Transport, ceiling: u16) -> usize {
    match transport {
        Transport::Tcp => usize::from(u16::MAX),
        Transport::Udp => {
            let opt = Message::from_slice(query).ok().and_then(Message::opt);
            let offered = opt.map_or(0, |opt| opt.udp_payload_size());
            usize::from(offered.max(wire::UDP_MIN).min(ceiling))
        }
    }
}

/// Leaves the question alone, and says that there is more (RFC 8945, section 5.3).
fn truncate(reply: &mut Vec<u8>) {
    let Ok(message) = Message::from_slice(reply) else { return };
    let mut question = message.question();
    let end = match question.next() {
        Some(Ok(_)) => question.pos(),
        _ => usize::from(wire::HEADER),
    };
    reply.truncate(end);
    reply[2] |= flag::TC;
    reply[6..usize::from(wire::HEADER)].fill(0);
}
