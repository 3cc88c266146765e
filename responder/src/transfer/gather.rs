//! What a transfer brings, gathered until it is complete: the whole zone, or the differences that lead
//! to it.

use responder_common::wire::rtype;

use super::{Cause, Failure, connection::Bounds};
use crate::zone::{
    Arrivals,
    difference::{Difference, Part},
};

/// What came.
pub enum Content {
    /// All records of the zone.
    Whole(Box<Arrivals>),
    /// What changed, in its order.
    Changes(Vec<Difference>),
}

/// What has come so far.
pub struct Gather<'a> {
    apex: &'a [u8],
    whole: Arrivals,
    changes: Vec<Difference>,
    /// Octets of the changes.
    octets: u64,
    records: u64,
    bounds: Bounds,
}

/// Octets of memory that a difference takes beside its records.
const DIFFERENCE: u64 = 256;

impl<'a> Gather<'a> {
    /// Nothing yet of the zone at `apex` (lower-case wire form).
    pub fn new(apex: &'a [u8], bounds: Bounds) -> Self {
        let (whole, changes) = (Arrivals::new(apex), Vec::new());
        Self { apex, whole, changes, octets: 0, records: 0, bounds }
    }

    /// Takes a record.
    ///
    /// # Errors
    /// It is one too many.
    pub fn take(&mut self, part: Part<'_>) -> Result<(), Failure> {
        let (Part::Present(record) | Part::Gone(record)) = part;
        self.records += 1;
        if self.records > self.bounds.records {
            let limit = self.bounds.records;
            let message = format!("the transfer is larger than limits.transfer-records = {limit}");
            return Err(Failure::new(Cause::Limit, message));
        }
        if self.octets + self.whole.memory() > self.bounds.octets {
            let limit = self.bounds.octets;
            let message = format!("the transfer is larger than limits.transfer-octets = {limit}");
            return Err(Failure::new(Cause::Limit, message));
        }
        let begins = matches!(part, Part::Gone(_))
            && record.rtype == rtype::SOA
            && record.owner.eq_ignore_ascii_case(self.apex);
        if begins {
            self.changes.push(Difference::default());
            self.octets += DIFFERENCE;
        }
        match (self.changes.last_mut(), part) {
            (Some(difference), part) => {
                let before = difference.octets();
                difference.push(part);
                self.octets += difference.octets() - before;
            }
            (None, Part::Present(record)) => {
                self.whole.add(record).map_err(|error| Failure::new(Cause::Zone, error))?;
            }
            (None, Part::Gone(_)) => {
                return Err(Failure::malformed("a record goes before the SOA of its version"));
            }
        }
        Ok(())
    }

    /// All that came.
    pub fn finish(self) -> Content {
        if self.changes.is_empty() {
            Content::Whole(Box::new(self.whole))
        } else {
            Content::Changes(self.changes)
        }
    }
}
