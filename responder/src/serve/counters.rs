//! What the daemon's own sockets have done.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::labels::labelled;

labelled! {
    /// What became of a message or of a connection.
    Event {
        /// The engine's reply was sent.
        Reply = "reply",
        /// The engine wants no reply.
        Drop = "drop",
        /// Not answered: its source has had the replies that `[rate-limit]` grants.
        Limited = "limited",
        /// Not looked at: more messages for the daemon than `limits.passed` or `limits.passed-per-source`.
        PassLimited = "pass-limit",
        /// A source that the access list denies: a message, or a connection, which was closed.
        Denied = "denied",
        /// Not a matter for the engine, and of no kind that we know: NOTIMP was sent.
        NotImplemented = "not-implemented",
        /// A NOTIFY, answered as it deserved.
        Notify = "notify",
        /// A request for a transfer, or an IXFR in a datagram: given or refused.
        Transfer = "transfer",
        /// A signature that is not to be believed: NOTAUTH was sent.
        Refused = "signature-refused",
        /// Larger than we take: FORMERR was sent.
        Oversize = "oversize",
        /// The engine failed, a fault of the program: SERVFAIL was sent, if anything.
        Fault = "fault",
        /// The system did not take the reply.
        SendFailed = "send-failed",
        /// A connection was opened.
        Connection = "connection",
        /// A connection was closed at once: `limits.tcp-connections` are open.
        Full = "connection-limit",
        /// A connection was closed at once: its source has `limits.tcp-connections-per-source` open.
        SourceFull = "connection-source-limit",
        /// A connection was closed because TLS could not be agreed upon.
        Handshake = "connection-handshake",
        /// A connection was closed after `limits.tcp-idle` without a whole message or a taken reply.
        Idle = "connection-idle",
    }
}

impl Event {
    /// Whether a message ended so that the reply buffer, unless empty, is to be sent.
    pub fn is_sent(self) -> bool {
        matches!(
            self,
            Self::Reply
                | Self::NotImplemented
                | Self::Notify
                | Self::Transfer
                | Self::Refused
                | Self::Oversize
                | Self::Fault
        )
    }
}

/// Counters of one transport.
#[derive(Debug, Default)]
pub struct Counters([AtomicU64; Event::ALL.len()]);

impl Counters {
    /// Counts events of one kind.
    pub fn add(&self, event: Event, count: u64) {
        if count > 0 {
            self.0[event as usize].fetch_add(count, Relaxed);
        }
    }

    /// How often an event happened.
    pub fn get(&self, event: Event) -> u64 {
        self.0[event as usize].load(Relaxed)
    }

    /// Messages that were answered in some way.
    pub fn answered(&self) -> u64 {
        Event::ALL.iter().filter(|event| event.is_sent()).map(|event| self.get(*event)).sum()
    }

    /// What happened at all, by label; `reply` is always there.
    pub fn to_map(&self) -> BTreeMap<String, u64> {
        Event::ALL
            .iter()
            .map(|event| (*event, self.get(*event)))
            .filter(|(event, count)| *count > 0 || *event == Event::Reply)
            .map(|(event, count)| (event.label().to_owned(), count))
            .collect()
    }
}
