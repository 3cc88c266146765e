//! Space: stretches of the segments, taken by a zone's version and given back with it.
//!
//! A zone takes blocks of a power of two and fills them from the front, so that a small zone costs little
//! and a large one few blocks. A commit gives back what it replaced, object by object; a zone that is
//! compiled anew gives back its blocks.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use responder_common::layout::{Address, SEGMENT_BYTES, SEGMENTS_MAX, UNIT, UNIT_BITS};

use super::{
    Store,
    free::{FreeBlocks, Gaps, LINE, SEGMENT, in_few_lines, units_of},
    memory::DoesNotFit,
    shared::Shared,
};

/// Order of the smallest block: 4 KiB.
const SMALLEST: u32 = 12;
/// Order of the largest block that a version takes as it grows: 1 MiB.
const LARGEST: u32 = 20;

/// A stretch of `1 << order` octets; of one order above a segment's it is several in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    start: Address,
    order: u32,
}

impl Block {
    /// The block as two numbers.
    pub(super) fn words(self) -> [u32; 2] {
        [self.start, self.order]
    }

    /// The block of two such numbers, if they are any.
    pub(super) fn of([start, order]: [u32; 2]) -> Option<Self> {
        let sound = (SMALLEST..u32::BITS).contains(&order)
            && start.is_multiple_of(units_of(order.min(SEGMENT)));
        sound.then_some(Self { start, order })
    }

    /// Its pages of `1 << SMALLEST` octets, by their numbers.
    pub(super) fn pages(self) -> std::ops::Range<usize> {
        let first = self.start as usize / units_of(SMALLEST) as usize;
        first..first + (1 << (self.order - SMALLEST))
    }

    /// A page by its number.
    pub(super) fn page(number: usize) -> Self {
        Self { start: number as Address * units_of(SMALLEST), order: SMALLEST }
    }
}

/// Pages of a segment.
pub(super) const PAGES: usize = 1 << (SEGMENT - SMALLEST);

/// The blocks that no zone holds.
#[derive(Default)]
pub struct Spaces {
    free: FreeBlocks,
}

impl Spaces {
    /// Takes a block; the store grows where none is free.
    pub fn take(&mut self, store: &Store, order: u32) -> io::Result<Block> {
        let order = order.max(SMALLEST);
        let start = self.free.take_or_grow(order, |segments| store.memory.grow(segments))?;
        Ok(Block { start, order })
    }

    /// Gives blocks back.
    pub fn give(&mut self, blocks: &[Block]) {
        blocks.iter().for_each(|block| self.free.give(block.start, block.order));
    }
}

/// What a zone holds of the store: its blocks, and what in them is free.
#[derive(Default)]
pub struct Holding {
    blocks: Vec<Block>,
    /// The stretch that is filled from the front.
    next: Address,
    end: Address,
    /// Stretches to fill after it.
    spare: Vec<(Address, Address)>,
    /// Objects given back.
    gaps: Gaps,
    /// Rows given back, by units: they begin and end with a cache line.
    rows: BTreeMap<Address, Vec<Address>>,
    /// Fragments with more than one name.
    shared: Shared,
    live: u64,
    dead: u64,
}

impl Holding {
    /// What another process held: these blocks, of which so many octets are in use, nobody knows which.
    pub fn sealed(blocks: Vec<Block>, live: u64) -> Self {
        Self { blocks, live, ..Self::default() }
    }

    /// Its blocks.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Octets in use.
    pub fn live(&self) -> u64 {
        self.live
    }

    /// Octets given back and not used again yet.
    pub fn dead(&self) -> u64 {
        self.dead
    }

    /// Octets of all blocks.
    pub fn bytes(&self) -> u64 {
        self.blocks.iter().map(|block| 1 << block.order).sum()
    }

    /// The blocks, for somebody else to give back.
    pub fn into_blocks(self) -> Vec<Block> {
        self.blocks
    }

    /// Takes an object of so many units back.
    pub fn give(&mut self, start: Address, units: Address) {
        self.gaps.give(start, units);
        self.count_given(units);
    }

    /// Takes a row of so many units back.
    pub fn give_row(&mut self, start: Address, units: Address) {
        self.rows.entry(row_units(units)).or_default().push(start);
        self.count_given(row_units(units));
    }

    /// Takes a reference to a shared fragment back, and with the last one the fragment, of which `image`
    /// are the octets.
    pub fn give_reference(&mut self, fragment: Address, image: &[u8]) {
        if self.shared.less(self.shared.hash(image), fragment) {
            self.give(fragment, image.len().div_ceil(UNIT as usize) as Address);
        }
    }

    fn count_given(&mut self, units: Address) {
        self.live -= u64::from(units) * UNIT;
        self.dead += u64::from(units) * UNIT;
    }

    fn count_taken(&mut self, units: Address) {
        self.dead -= u64::from(units) * UNIT;
    }
}

/// Units of a row that has at least so many: whole cache lines, and of long rows sizes that differ by an
/// eighth, so that one is likely to fit where another was.
fn row_units(units: Address) -> Address {
    const LINE_UNITS: Address = (LINE / UNIT) as Address;
    let step = (units / 8).next_power_of_two().max(LINE_UNITS);
    units.next_multiple_of(step)
}

/// Takes a stretch of exactly so many units from a list.
fn exactly(free: &mut BTreeMap<Address, Vec<Address>>, units: Address) -> Option<Address> {
    let places = free.get_mut(&units)?;
    let place = places.pop();
    if places.is_empty() {
        free.remove(&units);
    }
    place
}

/// Takes so many units from the front of the smallest stretch that has at least twice as many.
fn front(free: &mut BTreeMap<Address, Vec<Address>>, units: Address) -> Option<Address> {
    let size = *free.range(units.checked_mul(2)?..).next()?.0;
    let start = exactly(free, size)?;
    free.entry(size - units).or_default().push(start + units);
    Some(start)
}

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
    beyond: Arc<Mutex<Beyond>>,
    /// Blocks of it.
    blocks_beyond: u32,
}

/// Segments that the store may not have: nothing is written there, but what would be is counted, so that
/// an operator can be told the figure. Their numbers follow those of all segments that there can be.
#[derive(Default)]
struct Beyond {
    free: FreeBlocks,
    segments: u32,
}

/// Whether nothing stands there: the store is full.
fn is_beyond(address: Address) -> bool {
    address >> UNIT_BITS >= SEGMENTS_MAX
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
        let holding = Holding { shared: self.holding.shared.another(), ..Holding::default() };
        let beyond = Arc::clone(&self.beyond);
        Self { store: self.store, holding, taken: None, beyond, blocks_beyond: 0 }
    }

    /// Takes over what another thread filled for a first version, which frees nothing.
    pub fn absorb(&mut self, other: Self) {
        self.blocks_beyond += other.blocks_beyond;
        let mut other = other.into_holding();
        let holding = &mut self.holding;
        holding.blocks.append(&mut other.blocks);
        holding.spare.append(&mut other.spare);
        holding.spare.push((other.next, other.end));
        holding.shared.absorb(other.shared);
        holding.live += other.live;
        holding.dead += other.dead;
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
        let start = match self.holding.gaps.take(units, hot) {
            Some(start) => {
                self.holding.count_taken(units);
                start
            }
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
        let rows = &mut self.holding.rows;
        let start = match exactly(rows, units).or_else(|| front(rows, units)) {
            Some(start) => {
                self.holding.count_taken(units);
                start
            }
            None => self.take_new(u64::from(units) * UNIT, LINE)?,
        };
        self.holding.live += u64::from(units) * UNIT;
        if let Some(taken) = &mut self.taken {
            taken.stretches.push((start, units, true));
        }
        Ok(start)
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
        let Beyond { free, segments } =
            &mut *self.beyond.lock().unwrap_or_else(PoisonError::into_inner);
        let start = free.take_or_grow(order, |count| {
            let first = SEGMENTS_MAX + *segments;
            *segments += count;
            if first + count > Address::MAX >> UNIT_BITS {
                return Err(io::Error::other("it would need more than can be counted"));
            }
            Ok(first)
        })?;
        Ok(Block { start, order })
    }

    /// Whether all that was taken stands in the store.
    ///
    /// # Errors
    /// What is needed, and what is allowed.
    pub fn fits(&self) -> Result<(), DoesNotFit> {
        let beyond = self.beyond.lock().unwrap_or_else(PoisonError::into_inner).segments;
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
