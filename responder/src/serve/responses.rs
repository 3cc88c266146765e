//! From a message that a socket received to the message that it sends.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
};

use super::counters::Event;
use crate::{
    answer::{Answerer, Outcome, Transport},
    store::Store,
};

/// Octets of a DNS header (RFC 1035, section 4.1.1).
const HEADER: usize = 12;

/// Answers one message. The event tells whether `reply` is to be sent: [`Event::Reply`] and
/// [`Event::NotImplemented`] only.
pub fn respond(
    answerer: &mut Answerer,
    query: &[u8],
    transport: Transport,
    reply: &mut Vec<u8>,
) -> Event {
    match answerer.answer(query, transport, reply) {
        Outcome::Reply => Event::Reply,
        Outcome::Drop => Event::Drop,
        Outcome::Pass => not_implemented(query, reply),
    }
}

/// What the engine passes on (NOTIFY, transfers, signed messages) has nobody to go to yet: NOTIMP,
/// as RFC 1035, section 4.1.1 has it for a kind of query that is not supported.
fn not_implemented(query: &[u8], reply: &mut Vec<u8>) -> Event {
    const RESPONSE: u8 = 0x80;
    const OPCODE_AND_RD: u8 = 0x79;
    const NOTIMP: u8 = 4;
    if query.len() < HEADER || query[2] & RESPONSE != 0 {
        return Event::Drop;
    }
    reply.clear();
    reply.extend_from_slice(&query[..2]);
    reply.extend_from_slice(&[RESPONSE | query[2] & OPCODE_AND_RD, NOTIMP]);
    reply.resize(HEADER, 0);
    Event::NotImplemented
}

/// Answerers for tasks that have no thread of their own; each is borrowed for one message or a few.
pub struct AnswererPool {
    store: Arc<Store>,
    idle: Mutex<Vec<Answerer>>,
}

impl AnswererPool {
    /// An empty pool; it grows to as many answerers as are used at a time.
    pub fn new(store: Arc<Store>) -> Self {
        Self { store, idle: Mutex::default() }
    }

    /// Answers one message; see [`respond`]. A fault of the engine costs this answer only.
    pub fn respond(&self, query: &[u8], transport: Transport, reply: &mut Vec<u8>) -> Event {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut answerer = idle.unwrap_or_else(|| Answerer::new(Arc::clone(&self.store)));
        let answer = AssertUnwindSafe(|| respond(&mut answerer, query, transport, reply));
        match catch_unwind(answer) {
            Ok(event) => {
                self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(answerer);
                event
            }
            Err(_) => Event::Fault,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Event, not_implemented};

    #[test]
    fn rfc1035_not_implemented_keeps_id_opcode_and_rd() {
        let notify = [0xab, 0xcd, 0x25, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
        let mut reply = vec![1, 2, 3];
        assert_eq!(not_implemented(&notify, &mut reply), Event::NotImplemented);
        assert_eq!(reply, [0xab, 0xcd, 0xa1, 0x04, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn responses_and_runts_get_nothing() {
        let mut reply = Vec::new();
        assert_eq!(not_implemented(&[0; 11], &mut reply), Event::Drop);
        assert_eq!(
            not_implemented(&[0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0], &mut reply),
            Event::Drop
        );
        assert!(reply.is_empty());
    }
}
