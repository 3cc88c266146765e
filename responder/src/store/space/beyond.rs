//! Where a version goes on when the store is full.

use std::{
    io,
    sync::{Mutex, MutexGuard},
};

use responder_common::layout::{Address, SEGMENTS_MAX, UNIT_BITS};

use crate::{locks::lock, store::free::FreeBlocks};

/// Segments that the store may not have: nothing is written there, but what would be is counted, so that
/// an operator can be told the figure. Their numbers follow those of all segments that there can be.
#[derive(Default)]
pub struct Beyond(Mutex<Counted>);

#[derive(Default)]
struct Counted {
    free: FreeBlocks,
    segments: u32,
}

impl Beyond {
    /// Takes a block of an order: where it would start.
    pub fn take(&self, order: u32) -> io::Result<Address> {
        let Counted { free, segments } = &mut *self.counted();
        free.take_or_grow(order, |count| grow(segments, count))
    }

    /// Takes pages for so many octets, in a row: where they would start.
    pub fn take_run(&self, octets: u64) -> io::Result<Address> {
        let Counted { free, segments } = &mut *self.counted();
        let run = free.take_run(octets, |count| grow(segments, count))?;
        Ok(run.first().map_or(0, |&(start, _)| start))
    }

    /// How many segments it has come to.
    pub fn segments(&self) -> u32 {
        self.counted().segments
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        lock(&self.0)
    }
}

/// Counts more segments; the first.
fn grow(segments: &mut u32, count: u32) -> io::Result<u32> {
    let first = SEGMENTS_MAX + *segments;
    *segments += count;
    if first + count > Address::MAX >> UNIT_BITS {
        return Err(io::Error::other("it would need more than can be counted"));
    }
    Ok(first)
}

/// Whether nothing stands there: the store is full.
pub fn is_beyond(address: Address) -> bool {
    address >> UNIT_BITS >= SEGMENTS_MAX
}
