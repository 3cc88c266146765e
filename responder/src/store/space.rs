//! Space: stretches of the segments, taken by a zone's version and given back with it.
//!
//! A version takes blocks of a power of two and fills them from the front; what it no longer needs goes
//! back block by block, so that a small zone costs little and a large one few blocks.

use std::{collections::BTreeMap, io};

use responder_common::layout::{Address, SEGMENT_BYTES, UNIT, UNIT_BITS};

use super::Store;

/// Order of the smallest block: 4 KiB.
const SMALLEST: u32 = 12;
/// Order of a block that fills a segment.
const SEGMENT: u32 = SEGMENT_BYTES.trailing_zeros();
/// Order of the largest block that a version takes as it grows: 1 MiB.
const LARGEST: u32 = 20;
/// Octets of a cache line.
const LINE: u64 = 64;

/// A stretch of `1 << order` octets; of one order above a segment's it is several in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    start: Address,
    order: u32,
}

/// All free blocks, by order.
#[derive(Default)]
pub struct Spaces {
    free: BTreeMap<u32, Vec<Address>>,
}

impl Spaces {
    /// Takes a block; the store grows where none is free.
    pub fn take(&mut self, store: &Store, order: u32) -> io::Result<Block> {
        let order = order.max(SMALLEST);
        let found = self
            .free
            .range(order..)
            .find(|(free, blocks)| (order <= SEGMENT || **free == order) && !blocks.is_empty())
            .map(|(free, _)| *free);
        let (start, mut have) = match found {
            Some(have) => {
                let blocks = self.free.get_mut(&have).expect("found there");
                (blocks.pop().expect("not empty"), have)
            }
            None => {
                let segments = 1 << order.saturating_sub(SEGMENT);
                let first = store.memory.grow(segments)?;
                (first << UNIT_BITS, order.max(SEGMENT))
            }
        };
        while have > order {
            have -= 1;
            let upper = start + ((1_u64 << have) / UNIT) as Address;
            self.free.entry(have).or_default().push(upper);
        }
        Ok(Block { start, order })
    }

    /// Gives blocks back.
    pub fn give(&mut self, blocks: &[Block]) {
        for block in blocks {
            self.free.entry(block.order).or_default().push(block.start);
        }
    }
}

/// The space of one version of a zone, while it is being filled.
///
/// Dropped without having been published, it gives everything back.
pub struct Space<'a> {
    store: &'a Store,
    blocks: Vec<Block>,
    next: Address,
    end: Address,
    used: u64,
}

impl<'a> Space<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        Self { store, blocks: Vec::new(), next: 0, end: 0, used: 0 }
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
        let in_line = u64::from(self.next) * UNIT % LINE;
        let lines = |start: u64| (start + hot.min(LINE)).div_ceil(LINE);
        if lines(in_line) > lines(0) {
            self.next += ((LINE - in_line) / UNIT) as Address;
        }
        if self.end.saturating_sub(self.next) < units {
            let grown = SMALLEST + self.blocks.len() as u32;
            let needed = length.next_power_of_two().trailing_zeros();
            let block = self.block(grown.min(LARGEST).max(needed))?;
            self.next = block.start;
            self.end = block.start + ((1_u64 << block.order) / UNIT) as Address;
            if self.next == 0 {
                // Address zero is "none".
                self.next = (LINE / UNIT) as Address;
                return self.take(length, hot);
            }
        }
        let start = self.next;
        self.next += units;
        self.used += u64::from(units) * UNIT;
        Ok(start)
    }

    /// Takes a row of `lines` cache lines, a power of two, perhaps across segments.
    ///
    /// # Errors
    /// When the store is full.
    pub fn take_lines(&mut self, lines: u64) -> io::Result<Address> {
        let length = lines * LINE;
        if length <= 1 << SMALLEST {
            return self.take(length, length.min(LINE));
        }
        let mut block = self.block(length.trailing_zeros())?;
        if block.start == 0 {
            // Address zero is "none": this one stays taken and unused.
            block = self.block(length.trailing_zeros())?;
        }
        self.used += length;
        let zeros = vec![0_u8; (1 << 20).min(length as usize)];
        for done in (0..length).step_by(zeros.len()) {
            self.write(block.start + (done / UNIT) as Address, &zeros);
        }
        Ok(block.start)
    }

    /// Writes to space that was taken.
    pub fn write(&self, address: Address, octets: &[u8]) {
        self.store.memory.write(address, octets);
    }

    /// Octets taken so far, padding not counted.
    pub fn used(&self) -> u64 {
        self.used
    }

    fn block(&mut self, order: u32) -> io::Result<Block> {
        let block = self.store.writer().space.take(self.store, order)?;
        self.blocks.push(block);
        Ok(block)
    }

    /// The blocks, now somebody else's to give back.
    pub(super) fn into_blocks(mut self) -> Vec<Block> {
        std::mem::take(&mut self.blocks)
    }
}

impl Drop for Space<'_> {
    fn drop(&mut self) {
        if !self.blocks.is_empty() {
            self.store.writer().space.give(&self.blocks);
        }
    }
}
