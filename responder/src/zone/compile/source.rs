//! What is compiled to a node: a name and what it owns.

use std::io;

use responder_common::{layout::Address, wire::rtype};

use crate::zone::{
    collect::{RrSet, Sets},
    name::to_text,
};

/// A name that exists (RFC 4592, section 2.2.2).
pub struct Source<'n, 'a> {
    /// Lower-case wire form.
    pub name: &'n [u8],
    /// What it owns; nothing at an empty non-terminal.
    pub rrsets: &'n [RrSet<'a>],
    /// NS below the apex: the zone is cut here.
    pub cut: bool,
    /// The node of the wildcard child, if there is one.
    pub wildcard: Address,
}

impl Source<'_, '_> {
    /// Whether it owns an RRset of this type.
    pub(super) fn owns(&self, kind: u16) -> bool {
        self.rrsets.iter().any(|set| set.rtype == kind)
    }

    /// Whether the node's data answer for names that do not exist (RFC 4592). An asterisk that is a
    /// cut or a DNAME answers under its own name, also for the names below it.
    pub(super) fn stands_in(&self) -> bool {
        self.name.starts_with(b"\x01*") && !self.cut && !self.owns(rtype::DNAME)
    }

    /// Why an RRset of it cannot be compiled.
    pub(super) fn too_large(&self, kind: u16) -> CompileError {
        CompileError::Zone(format!(
            "the RRset {} type {kind} is larger than a message can be",
            to_text(self.name)
        ))
    }

    /// Whether a referral shows the cut's DS set: in a signed zone (RFC 4035, section 3.1.4). In any other it
    /// proves nothing, and is only there for whoever asks for it.
    pub(super) fn vouches(&self, signed: bool) -> bool {
        let mut sets = self.rrsets.iter().filter(|set| set.rtype == rtype::DS);
        signed || sets.any(|set| !set.signatures.is_empty())
    }
}

/// Where the addresses of name servers are found.
pub trait Hosts<'a> {
    /// The A and AAAA RRsets of a host, by its lower-case wire name, into `to`, in place of what is there.
    /// None where it has none; else whether they are glue, which has no signatures (RFC 4035, section 2.2).
    fn addresses(&self, host: &[u8], to: &mut Sets<'a>) -> Option<bool>;
}

impl<'a, T: Hosts<'a>> Hosts<'a> for &T {
    fn addresses(&self, host: &[u8], to: &mut Sets<'a>) -> Option<bool> {
        (**self).addresses(host, to)
    }
}

impl<'a, T: Hosts<'a>> Hosts<'a> for &mut T {
    fn addresses(&self, host: &[u8], to: &mut Sets<'a>) -> Option<bool> {
        (**self).addresses(host, to)
    }
}

/// Why a zone cannot be compiled.
#[derive(Debug)]
pub enum CompileError {
    /// The zone itself.
    Zone(String),
    /// The store.
    Store(io::Error),
}

impl From<io::Error> for CompileError {
    fn from(error: io::Error) -> Self {
        Self::Store(error)
    }
}
