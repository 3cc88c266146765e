//! Blocks: stretches of a power of two octets, of which a zone holds some and the store keeps the rest.

use std::io;

use responder_common::layout::Address;

use crate::store::{
    Store,
    free::{FreeBlocks, SEGMENT, units_of},
};

/// Order of the smallest block: 4 KiB.
pub(super) const SMALLEST: u32 = 12;

/// A stretch of `1 << order` octets; of one order above a segment's it is several in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    pub(super) start: Address,
    pub(super) order: u32,
}

impl Block {
    /// The block as two numbers.
    pub(in crate::store) fn words(self) -> [u32; 2] {
        [self.start, self.order]
    }

    /// The block of two such numbers, if they are any.
    pub(in crate::store) fn of([start, order]: [u32; 2]) -> Option<Self> {
        let sound = (SMALLEST..u32::BITS).contains(&order)
            && start.is_multiple_of(units_of(order.min(SEGMENT)));
        sound.then_some(Self { start, order })
    }

    /// Its pages of `1 << SMALLEST` octets, by their numbers.
    pub(in crate::store) fn pages(self) -> std::ops::Range<usize> {
        let first = self.start as usize / units_of(SMALLEST) as usize;
        first..first + (1 << (self.order - SMALLEST))
    }

    /// A page by its number.
    pub(in crate::store) fn page(number: usize) -> Self {
        Self { start: number as Address * units_of(SMALLEST), order: SMALLEST }
    }
}

/// Pages of a segment.
pub(in crate::store) const PAGES: usize = 1 << (SEGMENT - SMALLEST);

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

    /// Takes blocks in a row with at least so many octets; the store grows where there are none.
    pub fn take_run(&mut self, store: &Store, octets: u64) -> io::Result<Vec<Block>> {
        let run = self.free.take_run(octets, |segments| store.memory.grow(segments))?;
        Ok(run.into_iter().map(|(start, order)| Block { start, order }).collect())
    }

    /// Gives blocks back.
    pub fn give(&mut self, blocks: &[Block]) {
        blocks.iter().for_each(|block| self.free.give(block.start, block.order));
    }
}
