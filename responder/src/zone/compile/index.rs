//! The index of a zone's names, and the room for nodes that it has.

use std::{
    io,
    sync::atomic::{AtomicU16, Ordering::Relaxed},
};

use responder_common::layout::{
    Address, BUCKET_SLOTS, Bucket, LINE_UNITS, LINES_MAX, PAGE_LINES, Shape, UNIT,
};
use zerocopy::IntoBytes;

use crate::store::Space;

/// Names of a bucket, on average: with five names for eight slots, one bucket in twenty overflows.
const NAMES: f64 = 5.0;

/// Zones with fewer names have an index without rooms: they are in the caches anyway.
const FEW: f64 = 32.0;

/// Larger nodes, in octets, stand elsewhere: they would take the room of many.
const LARGE: u64 = 192;

/// How much more room there is than what nodes take on average: names are not shared out evenly.
const RESERVE: f64 = 1.2;

/// What a part of a zone's nodes take, and how many there are.
#[derive(Debug, Default, Clone, Copy)]
pub struct Sample {
    /// Nodes.
    pub nodes: u64,
    /// Octets of those that are small enough to stand in the index.
    pub octets: u64,
}

impl Sample {
    /// Counts a node.
    pub fn add(&mut self, octets: u64) {
        self.nodes += 1;
        self.octets += if octets <= LARGE { octets } else { 0 };
    }

    /// The shape of an index for about so many names, of which these are a sample.
    fn shape(self, names: f64) -> Shape {
        let each = (self.octets as f64 / self.nodes.max(1) as f64 * RESERVE).max(1.0);
        let line = (u64::from(LINE_UNITS) * UNIT) as f64;
        let most = f64::from(LINES_MAX - 1) * line;
        let bucket = NAMES.min(most / each);
        let lines = 1 + (bucket * each / line).ceil() as u32;
        let page_buckets = PAGE_LINES / lines;
        let pages = (names / (bucket * f64::from(page_buckets))).ceil().max(1.0);
        // Of one page no more than is needed.
        let buckets = if pages > 1.0 { page_buckets } else { (names / bucket).ceil() as u32 };
        Shape { pages: pages as u32, page_buckets: buckets.clamp(1, page_buckets), lines }
    }
}

/// The place of an index whose names are not known yet, and the room behind its buckets, for nodes of those
/// names, which threads take side by side.
pub struct Rooms {
    index: Address,
    shape: Shape,
    /// Units that are taken behind each bucket.
    taken: Vec<AtomicU16>,
}

impl Rooms {
    /// Rooms for about so many names, of which some were looked at; none for a few.
    ///
    /// # Errors
    /// When the store is full.
    pub fn new(sample: Sample, names: f64, space: &mut Space<'_>) -> io::Result<Option<Self>> {
        if names < FEW {
            return Ok(None);
        }
        let shape = sample.shape(names);
        let index = space.take_pages(u64::from(shape.units()) * UNIT)?;
        let taken = (0..shape.buckets()).map(|_| AtomicU16::new(0)).collect();
        Ok(Some(Self { index, shape, taken }))
    }

    /// Room for a node of so many octets beside the bucket that its name's hash selects, if there is any.
    pub fn take(&self, hash: u64, octets: u64) -> Option<Address> {
        if octets > LARGE {
            return None;
        }
        let units = octets.div_ceil(UNIT) as u16;
        let room = ((self.shape.lines - 1) * LINE_UNITS) as u16;
        let home = self.shape.home(hash);
        let taken = &self.taken[self.shape.number_of(home) as usize];
        let more = |taken: u16| (taken + units <= room).then_some(taken + units);
        let before = taken.fetch_update(Relaxed, Relaxed, more).ok()?;
        Some(self.index + home + LINE_UNITS + Address::from(before))
    }

    /// Writes the index of the names, by their hashes, into its place; false where it is too small for them.
    fn write(&self, names: &[(u64, Address)], space: &Space<'_>) -> bool {
        let slots = u64::from(self.shape.buckets()) * BUCKET_SLOTS as u64;
        if names.len() as u64 * 16 > slots * 13 {
            return false;
        }
        write(self.index, self.shape, names, space);
        true
    }
}

/// The index of a zone's names: its address and its shape. It is where there is room for it, else anew.
///
/// # Errors
/// When the store is full.
pub fn write_index(
    names: &[(u64, Address)],
    rooms: Option<&Rooms>,
    space: &mut Space<'_>,
) -> io::Result<(Address, Shape)> {
    if let Some(rooms) = rooms
        && rooms.write(names, space)
    {
        return Ok((rooms.index, rooms.shape));
    }
    let shape = plain(names.len());
    let index = space.take_row(u64::from(shape.units()) * UNIT)?;
    write(index, shape, names, space);
    Ok((index, shape))
}

/// The shape of an index in which no nodes stand.
fn plain(names: usize) -> Shape {
    let buckets = (names as f64 / NAMES) as u32 + 1;
    let pages = buckets.div_ceil(PAGE_LINES);
    Shape { pages, page_buckets: buckets.min(PAGE_LINES), lines: 1 }
}

fn write(index: Address, shape: Shape, names: &[(u64, Address)], space: &Space<'_>) {
    let mut slots = vec![[0_u64; BUCKET_SLOTS]; shape.buckets() as usize];
    for &(hash, address) in names {
        let mut probes = (0..).map(|step| shape.number_of(shape.probe(hash, step)) as usize);
        let free =
            |bucket: usize| Some((bucket, slots[bucket].iter().position(|slot| *slot == 0)?));
        // There are more slots than names.
        let Some((bucket, slot)) = probes.find_map(free) else { return };
        slots[bucket][slot] = Bucket::entry(hash, address);
    }
    if shape.lines == 1 {
        // The buckets stand one behind the other.
        return space.write_row(index, slots.as_bytes());
    }
    for (place, bucket) in shape.places().zip(&slots) {
        space.write(index + place, bucket.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_has_room_for_what_was_seen() {
        for (octets, names) in
            [(24, 33.0), (65, 1e4), (65, 1e7), (100, 1e6), (190, 1e5), (500, 1e5)]
        {
            let mut sample = Sample::default();
            (0..1000).for_each(|_| sample.add(octets));
            let shape = sample.shape(names);
            let slots = f64::from(shape.buckets()) * BUCKET_SLOTS as f64;
            assert!(names * 16.0 <= slots * 13.0, "{shape:?} for {names}");
            let room = f64::from(shape.buckets() * (shape.lines - 1)) * 64.0;
            assert!(octets > LARGE || room >= names * octets as f64, "{shape:?} for {octets}");
            assert!(shape.page_buckets * shape.lines <= PAGE_LINES, "{shape:?}");
        }
    }

    #[test]
    fn a_plain_index_has_five_names_a_bucket() {
        for names in [0, 1, 4, 5, 319, 320, 1_000_000] {
            let shape = plain(names);
            assert!(names < shape.buckets() as usize * 5, "{shape:?}");
            assert!((shape.buckets() as usize) <= names / 5 + 64, "{shape:?}");
        }
    }
}
