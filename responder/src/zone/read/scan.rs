//! `domain`'s scanner, primed with what the entries before say, and its errors in plain words.

use bytes::Bytes;
use domain::{
    base::{Name, iana::Class},
    zonefile::inplace::{Entry, Zonefile},
};

/// What a record may leave to the records before it.
#[derive(Debug, Clone, Default)]
pub struct Inherited {
    /// The owner of the last record in wire form; empty before the first one.
    pub owner: Vec<u8>,
    /// The last `$TTL` (RFC 2308, section 4).
    pub default_ttl: Option<u32>,
    /// The TTL of the last record, which counts as long as there was no `$TTL`.
    pub last_ttl: Option<u32>,
}

impl Inherited {
    /// Whether records without a TTL have one to inherit.
    pub fn has_ttl(&self) -> bool {
        self.default_ttl.or(self.last_ttl).is_some()
    }

    /// Writes the lines that tell a fresh scanner of this.
    fn prime(&self, text: &mut Vec<u8>) {
        use std::io::Write;

        // Writing to a Vec cannot fail.
        if let Some(ttl) = self.default_ttl {
            drop(writeln!(text, "$TTL {ttl}"));
        }
        if self.owner.is_empty() {
            return;
        }
        let mut labels = self.owner.as_slice();
        while let Some((&length @ 1..64, rest)) = labels.split_first() {
            let (label, rest) = rest.split_at(usize::from(length));
            label.iter().for_each(|octet| drop(write!(text, "\\{octet:03}")));
            text.push(b'.');
            labels = rest;
        }
        if self.owner == [0] {
            text.push(b'.');
        }
        drop(writeln!(text, " {} A 0.0.0.0", self.last_ttl.unwrap_or(0)));
    }
}

/// A scanner over one run of entries.
pub struct Scanner {
    zonefile: Zonefile,
    /// How long the priming lines are, in octets and in lines.
    primed: (usize, usize),
}

/// A fault that the scanner found.
#[derive(Debug)]
pub struct Fault {
    /// Lines before it in the scanned text.
    pub lines_before: usize,
    /// Its place on that line, in octets from 0.
    pub column: usize,
    /// `domain`'s own words.
    pub message: String,
}

impl Scanner {
    /// A scanner over `text`, whole entries only, none of them `$TTL`.
    pub fn new(text: &[u8], origin: &Name<Bytes>, inherited: &Inherited) -> Self {
        let mut prime = Vec::new();
        inherited.prime(&mut prime);
        let mut zonefile = Zonefile::with_capacity(prime.len() + text.len());
        zonefile.set_origin(origin.clone());
        zonefile.set_default_class(Class::IN);
        zonefile.extend_from_slice(&prime);
        zonefile.extend_from_slice(text);
        let lines = memchr::memchr_iter(b'\n', &prime).count();
        let mut scanner = Self { zonefile, primed: (prime.len(), lines) };
        if !inherited.owner.is_empty() {
            let primer = scanner.next();
            debug_assert!(matches!(primer, Ok(Some(_))), "the priming record was refused");
        }
        scanner
    }

    /// The next record or `$INCLUDE`. After a fault the scanner is of no more use.
    pub fn next(&mut self) -> Result<Option<Entry>, Fault> {
        self.zonefile.next_entry().map_err(|error| self.fault(&error.to_string()))
    }

    /// A place in the scanned text, in octets, that lies inside the entry returned last.
    pub fn position(&self) -> usize {
        // One octet that `domain` puts before the text is counted too.
        (self.zonefile.current_offset().saturating_sub(1)).saturating_sub(self.primed.0)
    }

    /// The origin after what was scanned.
    pub fn origin(&self) -> Option<Name<Bytes>> {
        self.zonefile.origin().ok()
    }

    /// Takes `line:column: message` apart: `domain` tells the place in no other way.
    fn fault(&self, error: &str) -> Fault {
        let mut parts = error.splitn(3, ':');
        let mut number = || parts.next().and_then(|part| part.parse::<usize>().ok());
        let (line, column) = (number().unwrap_or(1), number().unwrap_or(1));
        Fault {
            lines_before: line.saturating_sub(1 + self.primed.1),
            column: column.saturating_sub(1),
            message: parts.next().unwrap_or(error).trim().to_owned(),
        }
    }
}
