//! RRsets in memory that is used again for those of the next owner.

use std::ops::Deref;

use super::{RrSet, sorted::Row};

/// The RRsets of one owner after the other.
#[derive(Default)]
pub struct Sets<'a> {
    sets: Vec<RrSet<'a>>,
    /// How many of them are of the owner at hand; the others only keep memory.
    used: usize,
}

impl<'a> Sets<'a> {
    /// Forgets the owner at hand.
    pub fn clear(&mut self) {
        self.used = 0;
    }

    /// Takes the RRsets of a row that are wanted by their types, behind those that are there already.
    pub fn read(&mut self, row: Row<'a>, wanted: impl Fn(u16) -> bool) {
        for found in row.sets().filter(|set| set.rdata.count() > 0 && wanted(set.rtype)) {
            let set = self.next();
            (set.rtype, set.ttl) = (found.rtype, found.ttl);
            set.rdata.extend(found.rdata.iter());
            set.signatures.extend(found.signatures.iter());
        }
    }

    /// Takes an RRset.
    pub fn push(&mut self, set: RrSet<'a>) {
        *self.next() = set;
    }

    /// Forgets the signatures.
    pub fn strip(&mut self) {
        self.sets[..self.used].iter_mut().for_each(|set| set.signatures.clear());
    }

    /// One more, empty.
    fn next(&mut self) -> &mut RrSet<'a> {
        if self.used == self.sets.len() {
            let (rdata, signatures) = (Vec::new(), Vec::new());
            self.sets.push(RrSet { rtype: 0, ttl: 0, rdata, signatures });
        }
        let set = &mut self.sets[self.used];
        self.used += 1;
        set.rdata.clear();
        set.signatures.clear();
        set
    }
}

impl<'a> Deref for Sets<'a> {
    type Target = [RrSet<'a>];

    fn deref(&self) -> &[RrSet<'a>] {
        &self.sets[..self.used]
    }
}
