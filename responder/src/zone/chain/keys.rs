//! What a name is looked up with in a chain.

use responder_common::sha1::{self, Sha1};
use zerocopy::FromZeros;

use crate::zone::collect::sort_key;

/// How a chain orders names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// In canonical order (RFC 4034, section 6.1).
    Nsec,
    /// By their hashes (RFC 5155, section 5).
    Nsec3 {
        /// Rounds beyond the first.
        iterations: u16,
        /// At most 56 octets.
        salt: Vec<u8>,
    },
}

/// Makes keys.
#[derive(Clone)]
pub struct Keys {
    kind: Kind,
    /// Octets of the apex's own sort key, which all names share.
    apex: usize,
    sha1: Box<Sha1>,
}

impl Keys {
    /// Keys for the names of a zone.
    pub fn new(kind: Kind, apex: &[u8]) -> Self {
        let mut key = Vec::new();
        sort_key(apex, &mut key);
        Self { kind, apex: key.len(), sha1: Box::new(Sha1::new_zeroed()) }
    }

    /// How the chain orders names.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Whether names are hashed.
    pub fn is_hashed(&self) -> bool {
        matches!(self.kind, Kind::Nsec3 { .. })
    }

    /// What a lower-case wire name is looked up with.
    pub fn of(&mut self, name: &[u8]) -> Vec<u8> {
        match &self.kind {
            Kind::Nsec => {
                let mut key = Vec::new();
                sort_key(name, &mut key);
                key.split_off(self.apex)
            }
            Kind::Nsec3 { iterations, salt } => {
                sha1::nsec3(&mut self.sha1, name, salt, *iterations).to_vec()
            }
        }
    }
}
