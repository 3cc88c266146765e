//! Free stretches of the segments: the blocks that no zone holds, and the gaps in those that one holds.
//! Neighbours that are free become one, so that what was given back in small pieces serves large ones.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use responder_common::layout::{Address, SEGMENT_BYTES, UNIT, UNIT_BITS};

/// Octets of a cache line.
pub const LINE: u64 = 64;
/// Order of a block that fills a segment.
pub const SEGMENT: u32 = SEGMENT_BYTES.trailing_zeros();

/// Free blocks by order: of `1 << order` octets, each at a multiple of its size.
#[derive(Default)]
pub struct FreeBlocks {
    by_order: BTreeMap<u32, BTreeSet<Address>>,
}

impl FreeBlocks {
    /// Takes a block; where none is free, out of so many new segments, of which `grow` tells the first.
    ///
    /// # Errors
    /// Those of `grow`.
    pub fn take_or_grow(
        &mut self,
        order: u32,
        grow: impl FnOnce(u32) -> io::Result<u32>,
    ) -> io::Result<Address> {
        let segments = 1 << order.saturating_sub(SEGMENT);
        let free = if order > SEGMENT { self.take_segments(segments) } else { self.take(order) };
        if let Some(start) = free {
            return Ok(start);
        }
        let start = grow(segments)? << UNIT_BITS;
        self.give_rest(start, order, order.max(SEGMENT));
        Ok(start)
    }

    /// Takes pages for at least so many octets, in a row; where there are not as many, out of new segments,
    /// as [`FreeBlocks::take_or_grow`]. The blocks that they are.
    ///
    /// # Errors
    /// Those of `grow`.
    pub fn take_run(
        &mut self,
        octets: u64,
        grow: impl FnOnce(u32) -> io::Result<u32>,
    ) -> io::Result<Vec<(Address, u32)>> {
        let order = octets.next_power_of_two().trailing_zeros().max(PAGE);
        let (start, whole) = if order <= SEGMENT {
            (self.take_or_grow(order, grow)?, units_of(order))
        } else {
            let segments = octets.div_ceil(SEGMENT_BYTES) as u32;
            let start = match self.take_segments(segments) {
                Some(start) => start,
                None => grow(segments)? << UNIT_BITS,
            };
            (start, segments << UNIT_BITS)
        };
        let units = octets.next_multiple_of(1 << PAGE) / UNIT;
        let end = start + units as Address;
        pieces(end, start + whole).for_each(|(at, order)| self.give(at, order));
        Ok(pieces(start, end).collect())
    }

    /// Takes a block of an order up to a segment's, out of a larger one if need be.
    fn take(&mut self, order: u32) -> Option<Address> {
        let mut larger = self.by_order.range_mut(order..=SEGMENT);
        let (&have, blocks) = larger.find(|(_, blocks)| !blocks.is_empty())?;
        let start = blocks.pop_first()?;
        self.give_rest(start, order, have);
        Some(start)
    }

    /// Takes so many whole segments in a row.
    fn take_segments(&mut self, count: u32) -> Option<Address> {
        let segments = self.by_order.get_mut(&SEGMENT)?;
        let in_a_row = |first: &&Address| {
            (1..count).all(|step| segments.contains(&(**first + (step << UNIT_BITS))))
        };
        let first = *segments.iter().find(in_a_row)?;
        for step in 0..count {
            segments.remove(&(first + (step << UNIT_BITS)));
        }
        Some(first)
    }

    /// Gives back what of a block of order `have` is behind its first `1 << order` octets.
    fn give_rest(&mut self, start: Address, order: u32, have: u32) {
        (order..have).for_each(|half| self.give(start + units_of(half), half));
    }

    /// Gives a block back.
    pub fn give(&mut self, mut start: Address, mut order: u32) {
        if order > SEGMENT {
            let segments = 1 << (order - SEGMENT);
            return (0..segments).for_each(|step| self.give(start + (step << UNIT_BITS), SEGMENT));
        }
        while order < SEGMENT {
            let buddy = start ^ units_of(order);
            if !self.by_order.get_mut(&order).is_some_and(|blocks| blocks.remove(&buddy)) {
                break;
            }
            start = start.min(buddy);
            order += 1;
        }
        self.by_order.entry(order).or_default().insert(start);
    }
}

/// Order of the smallest block: a page.
const PAGE: u32 = 12;

/// The blocks, each as large as it can be, that a stretch of pages is.
fn pieces(mut start: Address, end: Address) -> impl Iterator<Item = (Address, u32)> {
    std::iter::from_fn(move || {
        let fits =
            |order: &u32| start.is_multiple_of(units_of(*order)) && end - start >= units_of(*order);
        let order = (PAGE..=SEGMENT).rev().find(fits)?;
        let at = start;
        start += units_of(order);
        Some((at, order))
    })
}

/// Units of a block of an order.
pub const fn units_of(order: u32) -> Address {
    (1_u64 << order >> UNIT.trailing_zeros()) as Address
}

/// Gaps of any size, none longer than a segment.
#[derive(Default)]
pub struct Gaps {
    by_start: BTreeMap<Address, Address>,
    /// Units and start.
    by_size: BTreeSet<(Address, Address)>,
}

impl Gaps {
    /// Gives a stretch of so many units back.
    pub fn give(&mut self, mut start: Address, mut units: Address) {
        let same_segment = |one: Address, other: Address| one >> UNIT_BITS == other >> UNIT_BITS;
        let before = self.by_start.range(..start).next_back().map(|(&at, &size)| (at, size));
        if let Some((at, size)) = before
            && at + size == start
            && same_segment(at, start)
        {
            self.remove(at, size);
            (start, units) = (at, size + units);
        }
        if let Some(&size) = self.by_start.get(&(start + units))
            && same_segment(start, start + units)
        {
            self.remove(start + units, size);
            units += size;
        }
        self.insert(start, units);
    }

    /// Takes so many units whose first `hot` octets stand in as few cache lines as they can, if there is
    /// such a place; else just so many units.
    pub fn take(&mut self, units: Address, hot: u64) -> Option<Address> {
        let enough = || self.by_size.range((units, 0)..);
        let well = |&(size, start): &(Address, Address)| {
            let place = in_few_lines(start, hot);
            (place + units <= start + size).then_some((size, start, place))
        };
        // A few tries: of equal sizes most stand alike.
        let found = enough().take(8).find_map(well);
        let (size, start, place) =
            found.or_else(|| enough().next().map(|&(size, start)| (size, start, start)))?;
        self.remove(start, size);
        if place > start {
            self.insert(start, place - start);
        }
        let behind = start + size - (place + units);
        if behind > 0 {
            self.insert(place + units, behind);
        }
        Some(place)
    }

    fn insert(&mut self, start: Address, units: Address) {
        self.by_start.insert(start, units);
        self.by_size.insert((units, start));
    }

    fn remove(&mut self, start: Address, units: Address) {
        self.by_start.remove(&start);
        self.by_size.remove(&(units, start));
    }
}

/// The first place from `start` on whose next `hot` octets stand in as few cache lines as they can.
pub fn in_few_lines(start: Address, hot: u64) -> Address {
    let in_line = u64::from(start) * UNIT % LINE;
    let lines = |start: u64| (start + hot.min(LINE)).div_ceil(LINE);
    if lines(in_line) > lines(0) { start + ((LINE - in_line) / UNIT) as Address } else { start }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_that_were_one_become_one_again() {
        let mut free = FreeBlocks::default();
        free.give(3 << UNIT_BITS, SEGMENT);
        let mut taken = Vec::new();
        while let Some(start) = free.take(20) {
            taken.push(start);
        }
        assert_eq!(taken.len(), 64);
        assert_eq!(free.take(12), None);
        for start in taken.iter().step_by(2).chain(taken.iter().skip(1).step_by(2)) {
            free.give(*start, 20);
        }
        assert_eq!(free.take(SEGMENT), Some(3 << UNIT_BITS));
    }

    #[test]
    fn a_run_takes_no_page_more_than_it_needs() {
        let mut free = FreeBlocks::default();
        let mut grown = 0;
        let mut grow = |count: u32| {
            grown += count;
            Ok(1 + grown - count)
        };
        let octets = (130 << 20) + 5000;
        let run = free.take_run(octets, &mut grow).expect("room");
        let units: u64 = run.iter().map(|&(_, order)| u64::from(units_of(order))).sum();
        assert_eq!(units * UNIT, (130 << 20) + 8192);
        let in_a_row = |pair: &[(Address, u32)]| pair[0].0 + units_of(pair[0].1) == pair[1].0;
        assert!(run.windows(2).all(in_a_row));
        // The rest serves others, and all of it is one again in the end.
        let other = free.take_run(20 << 20, &mut grow).expect("room");
        let small = free.take_run(100, &mut grow).expect("room");
        assert_eq!(small.len(), 1);
        run.into_iter().chain(other).chain(small).for_each(|(at, order)| free.give(at, order));
        assert_eq!(free.take_segments(3), Some(1 << UNIT_BITS));
        assert_eq!(grown, 3);
    }

    #[test]
    fn segments_in_a_row_serve_what_is_longer_than_one() {
        let mut free = FreeBlocks::default();
        for number in [1_u32, 3, 4, 6, 7, 8] {
            free.give(number << UNIT_BITS, SEGMENT);
        }
        assert_eq!(free.take_segments(4), None);
        assert_eq!(free.take_segments(2), Some(3 << UNIT_BITS));
        free.give(3 << UNIT_BITS, SEGMENT + 1);
        assert_eq!(free.take_segments(2), Some(3 << UNIT_BITS));
        assert_eq!(free.take_segments(2), Some(6 << UNIT_BITS));
        assert_eq!(free.take(SEGMENT), Some(1 << UNIT_BITS));
    }

    #[test]
    fn pieces_side_by_side_become_one_gap() {
        let mut gaps = Gaps::default();
        for start in [16, 24, 0, 8] {
            gaps.give(start, 8);
        }
        assert_eq!(gaps.take(33, 8), None);
        assert_eq!(gaps.take(32, 8), Some(0));
        assert_eq!(gaps.take(1, 8), None);
        // Not over the end of a segment.
        let end = 1 << UNIT_BITS;
        gaps.give(end - 8, 8);
        gaps.give(end, 8);
        assert_eq!(gaps.take(9, 8), None);
    }

    #[test]
    fn what_is_read_together_stands_in_one_line() {
        let mut gaps = Gaps::default();
        gaps.give(6, 30);
        assert_eq!(gaps.take(4, 32), Some(8));
        assert_eq!(gaps.take(2, 16), Some(6), "what was left in front");
    }
}
