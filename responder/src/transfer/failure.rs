//! Why a refresh or a transfer failed: a kind to count, and a line to read.

use std::fmt;

use crate::{labels::labelled, zone::Refusal};

labelled! {
    /// The kind of a failure.
    Cause {
        /// No connection to the primary.
        Unreachable = "unreachable",
        /// The primary says nothing for too long, or takes too long in all.
        Timeout = "timeout",
        /// The primary closed the connection before the end.
        Closed = "closed",
        /// The primary answers with an error code.
        Refused = "refused",
        /// The primary is not authoritative for the zone, or has no SOA of it.
        Lame = "lame",
        /// A signature is missing or wrong.
        Tsig = "tsig",
        /// TLS is not to be had, or the primary is not the one that it should be.
        Tls = "tls",
        /// What came is not what the protocol says.
        Malformed = "malformed",
        /// The primary's serial is older than ours.
        Older = "older",
        /// More than our limits allow.
        Limit = "limit",
        /// The transfer is whole, and what it holds cannot be served.
        Zone = "zone",
        /// The zone is not what the operator's guards let pass.
        Guard = "guard",
        /// Our own doing: keys, memory, the store.
        Local = "local",
    }
}

/// A failure: its kind, and a line for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its kind.
    pub cause: Cause,
    /// What happened, without the names of zone and primary.
    pub message: String,
}

impl Failure {
    /// A failure.
    pub fn new(cause: Cause, message: impl Into<String>) -> Self {
        Self { cause, message: message.into() }
    }

    /// Something that the protocol does not say.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new(Cause::Malformed, message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let cause = match refusal {
            Refusal::Zone(_) => Cause::Zone,
            Refusal::Guard(_) => Cause::Guard,
        };
        Self::new(cause, refusal.to_string())
    }
}

impl From<super::tsig::Fault> for Failure {
    fn from(fault: super::tsig::Fault) -> Self {
        Self::new(Cause::Tsig, format!("TSIG: {fault}"))
    }
}
