//! What a zone holds of the store.

use std::collections::BTreeMap;

use responder_common::layout::{Address, UNIT};

use super::block::Block;
use crate::store::{
    free::{Gaps, LINE},
    shared::Shared,
};

/// What a zone holds of the store: its blocks, and what in them is free.
#[derive(Default)]
pub struct Holding {
    pub(super) blocks: Vec<Block>,
    /// The stretch that is filled from the front.
    pub(super) next: Address,
    pub(super) end: Address,
    /// Stretches to fill after it.
    pub(super) spare: Vec<(Address, Address)>,
    /// Objects given back.
    gaps: Gaps,
    /// Rows given back, by units: they begin and end with a cache line.
    rows: BTreeMap<Address, Vec<Address>>,
    /// Fragments with more than one name.
    pub(super) shared: Shared,
    pub(super) live: u64,
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

    /// Nothing yet, for another thread to fill.
    pub(super) fn another(&self) -> Self {
        Self { shared: self.shared.another(), ..Self::default() }
    }

    /// Takes over what another thread filled for a first version, which frees nothing.
    pub(super) fn absorb(&mut self, mut other: Self) {
        self.blocks.append(&mut other.blocks);
        self.spare.append(&mut other.spare);
        self.spare.push((other.next, other.end));
        self.shared.absorb(other.shared);
        self.live += other.live;
        self.dead += other.dead;
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

    /// Takes so many units from what was given back, of which the first `hot` octets stand in as few cache
    /// lines as they can.
    pub(super) fn reuse(&mut self, units: Address, hot: u64) -> Option<Address> {
        self.gaps.take(units, hot).inspect(|_| self.count_taken(units))
    }

    /// Takes a row of so many units from those given back.
    pub(super) fn reuse_row(&mut self, units: Address) -> Option<Address> {
        let start = exactly(&mut self.rows, units).or_else(|| front(&mut self.rows, units));
        start.inspect(|_| self.count_taken(units))
    }

    fn count_taken(&mut self, units: Address) {
        self.dead -= u64::from(units) * UNIT;
    }
}

/// Units of a row that has at least so many: whole cache lines, and of long rows sizes that differ by an
/// eighth, so that one is likely to fit where another was.
pub(super) fn row_units(units: Address) -> Address {
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
