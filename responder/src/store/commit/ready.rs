//! How a version that is complete becomes the one that queries see.

use std::io;

use responder_common::layout::{Address, BUCKET_SLOTS, Node, Shape, Snapshot, UNIT, node};
use zerocopy::IntoBytes;

use super::Commit;

/// A version that is ready and that nobody sees yet. Dropped, it was never there.
pub struct Ready<'a> {
    commit: Commit<'a>,
    snapshot: Snapshot,
    address: Address,
    /// Names in a new index, if there is one.
    grown: Option<u64>,
    labels: u32,
}

impl Ready<'_> {
    /// Makes this version the one that queries see. Returns once nobody reads the version before any more;
    /// queries see the new one earlier.
    ///
    /// # Errors
    /// When the zone was removed meanwhile; nothing else can fail.
    pub fn finish(self) -> io::Result<()> {
        let Self { commit, snapshot, address, grown, labels } = self;
        commit.publish((&snapshot, address), grown, labels)
    }
}

impl<'a> Commit<'a> {
    /// Gets everything ready. `labels` is the depth of the deepest new name.
    ///
    /// # Errors
    /// When the store is full.
    pub fn ready(mut self, mut snapshot: Snapshot, labels: u32) -> io::Result<Ready<'a>> {
        snapshot.version = self.version();
        snapshot.ledger = 0;
        let before = self.before.shape();
        let slots = u64::from(before.buckets()) * BUCKET_SLOTS as u64;
        let grown = if (self.index_used + self.filled) * 16 > slots * 13 {
            let (index, shape, names) = self.grown_index()?;
            snapshot.index = index;
            snapshot.index_shape = shape.number();
            self.free_index(before);
            Some(names)
        } else {
            None
        };
        let address = self.space().take(size_of::<Snapshot>() as u64, 64)?;
        self.space().write(address, snapshot.as_bytes());
        self.space().fits()?;
        Ok(Ready { commit: self, snapshot, address, grown, labels })
    }

    /// Gives the index of the version before back, after the grace period; not the nodes that stand in it.
    fn free_index(&mut self, shape: Shape) {
        let index = self.before.index;
        if shape.lines == 1 {
            return self.free_row(index, u64::from(shape.units()) * UNIT);
        }
        // Address zero is "none".
        for bucket in shape.places().map(|place| index + place).filter(|bucket| *bucket != 0) {
            self.free(bucket, BUCKET_SLOTS as u64 * UNIT);
        }
    }

    /// Makes a version the one that queries see; see [`Ready::finish`].
    fn publish(
        mut self,
        (snapshot, address): (&Snapshot, Address),
        grown: Option<u64>,
        labels: u32,
    ) -> io::Result<()> {
        let change = self.store.change();
        // From here on nobody goes on with the version before: readers of it see words of this one.
        self.store.end_ledger(&self.apex, self.incarnation);
        if let Some(octets) = self.store.ledger_octets(self.before.ledger) {
            self.free(self.before.ledger, octets);
        }
        for (&cell, &[current, older]) in &self.cells {
            self.store.memory.store_word(cell + 1, older);
            self.store.memory.store_word(cell, current);
        }
        if grown.is_none() {
            for (&slot, &word) in &self.slots {
                self.store.memory.store_word(slot, word);
            }
        }
        let store = self.store;
        store.announce_depth(u32::from(snapshot.apex_labels), labels);
        let former = {
            let mut writer = store.writer();
            let Some(zone) = writer.lent_zone(&self.apex, self.incarnation) else {
                return Err(io::Error::other("the zone was removed during the commit"));
            };
            store.set_slot(zone.slot, &self.apex, address);
            zone.version = snapshot.version;
            std::mem::replace(&mut zone.snapshot, address)
        };
        drop(change);
        store.grace();
        self.free(former, size_of::<Snapshot>() as u64);
        self.give_back(grown);
        Ok(())
    }

    /// Gives back what only the version before needed, once nobody reads that any more, and ends the loan of
    /// the zone's space. `grown` is how many names stand in a new index.
    fn give_back(mut self, grown: Option<u64>) {
        let store = self.store;
        let mut fading = Vec::new();
        let mut emptied = 0;
        for &(slot, tombstone) in &self.removed {
            let words = node::HEADER_WORDS
                + self
                    .store
                    .object_at::<Node>(tombstone)
                    .map_or(0, |node| node::name_words(node.words[1]));
            fading.push((tombstone, words));
            if grown.is_none() {
                emptied += self.vacate(slot);
            }
        }
        let mut holding = self.space.take().expect("lent until the end").into_holding();
        for &(start, units, row) in &self.freed {
            if row {
                holding.give_row(start, units);
            } else {
                holding.give(start, units);
            }
        }
        for &fragment in &self.released {
            if let Some(octets) = store.octets_at(fragment, self.fragment_octets(fragment)) {
                holding.give_reference(fragment, octets);
            }
        }
        let mut writer = store.writer();
        match writer.lent_zone(&self.apex, self.incarnation) {
            Some(zone) => {
                for (start, units) in std::mem::replace(&mut zone.fading, fading) {
                    holding.give(start, units);
                }
                zone.holding = holding;
                zone.index_used = grown.unwrap_or(self.index_used + self.filled - emptied);
                zone.lent = false;
            }
            // Removed since; nobody has seen it since the removal's grace was over, or will.
            None => {
                drop(writer);
                store.reclaim(holding);
            }
        }
    }
}
