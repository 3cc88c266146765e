//! From a message that a socket received to the message that it sends.

use std::{
    net::IpAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
};

use responder_common::verdict::{Action, Verdict};

use super::{counters::Event, signed};
use crate::{
    answer::{Answerer, Transport},
    locks::lock,
    store::Store,
    transfer::{Client, Transfers, notify::Heard},
};

/// Octets of a DNS header (RFC 1035, section 4.1.1).
const HEADER: usize = 12;
/// Response codes (RFC 1035, section 4.1.1).
pub(super) const FORMERR: u8 = 1;
pub(super) const SERVFAIL: u8 = 2;
pub(super) const NOTIMP: u8 = 4;

/// Answers one message. The event tells whether `reply` is to be sent: see [`Event::is_sent`].
pub fn respond(
    answerer: &mut Answerer,
    transfers: &Transfers,
    query: &[u8],
    peer: Option<IpAddr>,
    transport: Transport,
    reply: &mut Vec<u8>,
) -> Event {
    answerer.set_client(peer);
    let verdict = answerer.verdict(query, transport, reply);
    match (verdict.action(), verdict) {
        (Action::Reply, _) => Event::Reply,
        (Action::Drop, Verdict::Torn) => Event::Fault,
        (Action::Drop, Verdict::Limited) => Event::Limited,
        (Action::Drop, Verdict::PassLimited) => Event::PassLimited,
        (Action::Drop, Verdict::Denied) => Event::Denied,
        (Action::Drop, _) => Event::Drop,
        // Beyond the largest query there is nothing that a question could need.
        (Action::Pass, Verdict::Oversize) => header_only(query, FORMERR, Event::Oversize, reply),
        (Action::Pass, Verdict::Notify) => {
            match peer.map(|peer| transfers.secondaries.hear(query, peer, reply)) {
                Some(Heard::Accepted | Heard::Refused) => Event::Notify,
                _ => header_only(query, FORMERR, Event::Notify, reply),
            }
        }
        (Action::Pass, Verdict::Transfer) => {
            // Over a stream it is more than one message: the stream's own business.
            if let (Some(address), Transport::Udp) = (peer, transport) {
                transfers.distributor.answer_datagram(query, Client { address, tls: false }, reply);
            }
            Event::Transfer
        }
        (Action::Pass, Verdict::Tsig) => {
            signed::respond(answerer, &transfers.distributor.keys(), query, transport, reply)
        }
        (Action::Pass, _) => header_only(query, SERVFAIL, Event::Fault, reply),
    }
}

/// A reply of a header alone, with the query's ID, opcode and RD (RFC 1035, section 4.1.1); to what
/// is no query there is none.
pub(super) fn header_only(query: &[u8], rcode: u8, event: Event, reply: &mut Vec<u8>) -> Event {
    const RESPONSE: u8 = 0x80;
    const OPCODE_AND_RD: u8 = 0x79;
    reply.clear();
    if query.len() < HEADER || query[2] & RESPONSE != 0 {
        return Event::Drop;
    }
    reply.extend_from_slice(&query[..2]);
    reply.extend_from_slice(&[RESPONSE | query[2] & OPCODE_AND_RD, rcode]);
    reply.resize(HEADER, 0);
    event
}

/// Answerers for tasks that have no thread of their own; each is borrowed for one message or a few.
pub struct AnswererPool {
    store: Arc<Store>,
    transfers: Arc<Transfers>,
    idle: Mutex<Vec<Answerer>>,
}

impl AnswererPool {
    /// An empty pool; it grows to as many answerers as are used at a time.
    pub fn new(store: Arc<Store>, transfers: Arc<Transfers>) -> Self {
        Self { store, transfers, idle: Mutex::default() }
    }

    /// Whether the access list denies an address.
    pub fn is_denied(&self, address: IpAddr) -> bool {
        self.store.is_denied(address)
    }

    /// Answers one message; see [`respond`]. A fault of the engine costs this answer only.
    pub fn respond(
        &self,
        query: &[u8],
        peer: IpAddr,
        transport: Transport,
        reply: &mut Vec<u8>,
    ) -> Event {
        let idle = lock(&self.idle).pop();
        let mut answerer = idle.unwrap_or_else(|| Answerer::new(Arc::clone(&self.store)));
        let (transfers, peer) = (&self.transfers, Some(peer));
        let answer =
            AssertUnwindSafe(|| respond(&mut answerer, transfers, query, peer, transport, reply));
        match catch_unwind(answer) {
            Ok(event) => {
                lock(&self.idle).push(answerer);
                event
            }
            Err(_) => header_only(query, SERVFAIL, Event::Fault, reply),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Event, NOTIMP, header_only};

    #[test]
    fn rfc1035_a_bare_header_keeps_id_opcode_and_rd() {
        let notify = [0xab, 0xcd, 0x25, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
        let mut reply = vec![1, 2, 3];
        let event = header_only(&notify, NOTIMP, Event::NotImplemented, &mut reply);
        assert_eq!(event, Event::NotImplemented);
        assert_eq!(reply, [0xab, 0xcd, 0xa1, 0x04, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn responses_and_runts_get_nothing() {
        for message in [&[0; 11][..], &[0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0]] {
            let mut reply = vec![1];
            assert_eq!(header_only(message, NOTIMP, Event::Oversize, &mut reply), Event::Drop);
            assert!(reply.is_empty());
        }
    }
}
