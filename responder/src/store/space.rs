//! Space: stretches of the segments, taken by a zone's version and given back with it.
//!
//! A zone takes blocks of a power of two and fills them from the front, so that a small zone costs little
//! and a large one few blocks. A commit gives back what it replaced, object by object; a zone that is
//! compiled anew gives back its blocks.

mod beyond;
mod block;
mod holding;

use std::{io, sync::Arc};

use responder_common::layout::{Address, SEGMENT_BYTES, UNIT, UNIT_BITS};

pub(super) use self::block::PAGES;
use self::{
    beyond::{Beyond, is_beyond},
    block::SMALLEST,
    holding::row_units,
};
pub use self::{
    block::{Block, Spaces},
    holding::Holding,
};
use super::{
    Store,
    free::{LINE, in_few_lines},
    memory::DoesNotFit,
};

/// Order of the largest block that a version takes as it grows: 1 MiB.
const LARGEST: u32 = 20;

/// The space of one version of a zone, while it is being filled.
///
/// Dropped without having been published, it gives everything back.
pub struct Space<'a> {
    store: &'a Store,
    holding: Holding,
    /// What a commit took so far, to be given back if it fails. None for a first version, which fails as
    /// a whole.
    taken: Option<Taken>,
    /// Where it goes on where the store is full.
    beyond: Arc<Beyond>,
    /// Blocks of it.
    blocks_beyond: u32,
}

/// What a commit took.
#[derive(Default)]
struct Taken {
    /// Start, units, whether a row.
    stretches: Vec<(Address, Address, bool)>,
    /// References to shared fragments: hash and address.
    references: Vec<(u64, Address)>,
}

impl<'a> Space<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        Self {
            store,
            holding: Holding::default(),
            taken: None,
            beyond: Arc::default(),
            blocks_beyond: 0,
        }
    }

    /// Goes on in the space that a zone holds already.
    pub(super) fn within(store: &'a Store, holding: Holding) -> Self {
        let mut space = Self::new(store);
        space.holding = holding;
        space.taken = Some(Taken::default());
        space
    }

    /// More space for the same version, for another thread: [`Space::absorb`] joins both.
    #[must_use]
    pub fn another(&self) -> Self {
        let holding = self.holding.another();
        let beyond = Arc::clone(&self.beyond);
        Self { store: self.store, holding, taken: None, beyond, blocks_beyond: 0 }
    }

    /// Space that is not there, to find out what a part of a version would take.
    #[must_use]
    pub fn trial(&self) -> Self {
        let holding = self.holding.another();
        Self { store: self.store, holding, taken: None, beyond: Arc::default(), blocks_beyond: 1 }
    }

    /// Takes over what another thread filled for a first version, which frees nothing.
    pub fn absorb(&mut self, other: Self) {
        self.blocks_beyond += other.blocks_beyond;
        self.holding.absorb(other.into_holding());
    }

    /// The store that it is a part of.
    pub fn store(&self) -> &'a Store {
        self.store
    }

    /// Takes space for an object of `length` octets whose first `hot` octets are read together: they
    /// stand in as few cache lines as they can.
    ///
    /// # Errors
    /// When the store is full.
    pub fn take(&mut self, length: u64, hot: u64) -> io::Result<Address> {
        let units = length.div_ceil(UNIT) as Address;
        let start = match self.holding.reuse(units, hot) {
            Some(start) => start,
            None => self.take_new(length, hot)?,
        };
        self.holding.live += u64::from(units) * UNIT;
        if let Some(taken) = &mut self.taken {
            taken.stretches.push((start, units, false));
        }
        Ok(start)
    }

    /// Takes a row of at least `length` octets that begins with a cache line, perhaps across segments.
    ///
    /// # Errors
    /// When the store is full.
    pub fn take_row(&mut self, length: u64) -> io::Result<Address> {
        let units = row_units(length.div_ceil(UNIT).max(1) as Address);
        let start = match self.holding.reuse_row(units) {
            Some(start) => start,
            None => self.take_new(u64::from(units) * UNIT, LINE)?,
        };
        self.holding.live += u64::from(units) * UNIT;
        if let Some(taken) = &mut self.taken {
            taken.stretches.push((start, units, true));
        }
        Ok(start)
    }

    /// Takes pages for at least `length` octets, perhaps across segments, for a first version.
    ///
    /// # Errors
    /// When the store is full.
    pub fn take_pages(&mut self, length: u64) -> io::Result<Address> {
        let taken = match self.blocks_beyond {
            0 => self.store.writer().space.take_run(self.store, length),
            _ => Err(io::ErrorKind::StorageFull.into()),
        };
        self.holding.live += length;
        match taken {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                self.blocks_beyond += 1;
                self.beyond.take_run(length)
            }
            taken => {
                let mut run = taken?;
                // Address zero is "none", and no bucket of an index stands there: see `Spaces::take_run`.
                let start = run.first().map_or(0, |block| block.start);
                self.holding.blocks.append(&mut run);
                Ok(start)
            }
        }
    }

    /// Stores a fragment that many names refer to once; each call is one reference.
    ///
    /// # Errors
    /// When the store is full.
    pub fn share(&mut self, image: &[u8]) -> io::Result<Address> {
        let hash = self.holding.shared.hash(image);
        let store = self.store;
        let same = |address| is_beyond(address) || store.holds(address, image);
        let again = self.holding.shared.again(hash, same);
        let fragment = match again {
            Some(fragment) => fragment,
            None => {
                let fragment = self.take(image.len() as u64, LINE)?;
                self.write(fragment, image);
                self.holding.shared.first(hash, fragment);
                fragment
            }
        };
        if let Some(taken) = &mut self.taken {
            taken.references.push((hash, fragment));
        }
        Ok(fragment)
    }

    /// Takes from space that was never used.
    fn take_new(&mut self, length: u64, hot: u64) -> io::Result<Address> {
        let units = length.div_ceil(UNIT) as Address;
        loop {
            let holding = &mut self.holding;
            let mut start = in_few_lines(holding.next, hot);
            // Only what is longer than a segment goes over the end of one.
            if length <= SEGMENT_BYTES && start >> UNIT_BITS != (start + units - 1) >> UNIT_BITS {
                start = ((start >> UNIT_BITS) + 1) << UNIT_BITS;
            }
            if start <= holding.end && holding.end - start >= units {
                holding.next = start + units;
                return Ok(start);
            }
            if holding.end - holding.next >= (1 << SMALLEST) / UNIT as Address {
                // Enough is left for smaller things.
                let rest = (holding.next, holding.end);
                holding.spare.insert(0, rest);
                holding.next = holding.end;
            }
            let fits = |&(next, end): &(Address, Address)| end - next >= units + 7;
            if let Some(place) = holding.spare.iter().rposition(fits) {
                (holding.next, holding.end) = holding.spare.remove(place);
                continue;
            }
            self.grow(length)?;
        }
    }

    /// Takes another block, in which `length` octets fit.
    fn grow(&mut self, length: u64) -> io::Result<()> {
        let grown = SMALLEST + self.holding.blocks.len() as u32 + self.blocks_beyond;
        let needed = length.next_power_of_two().trailing_zeros();
        let order = grown.min(LARGEST).max(needed);
        let block = if self.blocks_beyond > 0 {
            self.take_beyond(order)?
        } else {
            let taken = self.store.writer().space.take(self.store, order);
            match taken {
                Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                    self.take_beyond(order)?
                }
                taken => {
                    let block = taken?;
                    self.holding.blocks.push(block);
                    block
                }
            }
        };
        (self.holding.next, self.holding.end) =
            (block.start, block.start + ((1_u64 << block.order) / UNIT) as Address);
        if self.holding.next == 0 {
            // Address zero is "none".
            self.holding.next = (LINE / UNIT) as Address;
        }
        Ok(())
    }

    /// Takes a block where nothing stands.
    fn take_beyond(&mut self, order: u32) -> io::Result<Block> {
        self.blocks_beyond += 1;
        let start = self.beyond.take(order)?;
        Ok(Block { start, order })
    }

    /// Whether all that was taken stands in the store.
    ///
    /// # Errors
    /// What is needed, and what is allowed.
    pub fn fits(&self) -> Result<(), DoesNotFit> {
        let beyond = self.beyond.segments();
        if beyond == 0 {
            return Ok(());
        }
        Err(self.store.memory.does_not_fit(self.used(), beyond))
    }

    /// Writes to space that was taken.
    pub fn write(&self, address: Address, octets: &[u8]) {
        if !is_beyond(address) {
            self.store.memory.write(address, octets);
        }
    }

    /// Writes to a row, which may go over the end of a segment.
    pub fn write_row(&self, start: Address, octets: &[u8]) {
        let mut at = start;
        let mut rest = octets;
        while !rest.is_empty() {
            let room = SEGMENT_BYTES - u64::from(at) % (1 << UNIT_BITS) * UNIT;
            let (chunk, behind) = rest.split_at(rest.len().min(room as usize));
            self.write(at, chunk);
            at += (chunk.len() as u64 / UNIT) as Address;
            rest = behind;
        }
    }

    /// Octets in use, padding not counted.
    pub fn used(&self) -> u64 {
        self.holding.live
    }

    /// The blocks so far.
    pub(super) fn blocks(&self) -> &[Block] {
        self.holding.blocks()
    }

    /// What is held, now somebody else's to give back.
    pub(super) fn into_holding(mut self) -> Holding {
        self.taken = None;
        std::mem::take(&mut self.holding)
    }

    /// What was held before, and nothing of what was taken since.
    pub(super) fn take_back(mut self) -> Holding {
        let Taken { stretches, references } = self.taken.take().unwrap_or_default();
        for (hash, fragment) in references {
            // The last reference to one that the commit wrote: its stretch is among those taken.
            let _ = self.holding.shared.less(hash, fragment);
        }
        if is_beyond(self.holding.next) {
            (self.holding.next, self.holding.end) = (0, 0);
        }
        self.holding.spare.retain(|(start, _)| !is_beyond(*start));
        for (start, units, row) in stretches {
            if is_beyond(start) {
                self.holding.live -= u64::from(units) * UNIT;
            } else if row {
                self.holding.give_row(start, units);
            } else {
                self.holding.give(start, units);
            }
        }
        std::mem::take(&mut self.holding)
    }
}

impl Drop for Space<'_> {
    fn drop(&mut self) {
        if !self.holding.blocks.is_empty() {
            self.store.writer().space.give(&self.holding.blocks);
        }
    }
}

#[cfg(test)]
mod tests;
