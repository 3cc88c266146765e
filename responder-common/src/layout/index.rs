//! The index of a zone's names: buckets in pages, and in most of them the nodes to which they lead.

use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::{Address, UNIT};

/// A cache line of the name index: tag in the high half of a slot, address of the node in the low.
///
/// A name goes to the bucket that its hash selects, or to the next one with room ([`Shape::probe`]); a slot
/// that is zero ends the search.
#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Bucket {
    /// Read them by [`Bucket::slot`]: the daemon fills them while readers run.
    slots: [u64; BUCKET_SLOTS],
}

/// Slots of a bucket.
pub const BUCKET_SLOTS: usize = 8;

impl Bucket {
    /// A slot as it stands now.
    #[inline(always)]
    pub fn slot(&self, place: usize) -> u64 {
        // SAFETY: the reference is valid for reads; volatile, because the daemon may store to it.
        unsafe { core::ptr::read_volatile(&raw const self.slots[place]) }
    }

    /// The slot for a name's hash and node.
    pub fn entry(hash: u64, node: Address) -> u64 {
        (hash & 0xffff_ffff_0000_0000) | u64::from(node)
    }
}

/// A bucket and the lines behind it, which a walk asks for all at once.
#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Lines {
    words: [[u64; LINE_UNITS as usize]; LINES_MAX as usize],
}

impl Lines {
    /// Looks at the first `count` lines but the first, so that all of them are on their way from memory.
    #[inline(always)]
    pub fn touch(&self, count: u32) {
        let mut line = 1;
        while line < LINES_MAX {
            if line >= count {
                break;
            }
            // SAFETY: the reference is valid for reads; volatile, so that the look is not left out.
            let _ = unsafe { core::ptr::read_volatile(&raw const self.words[line as usize][0]) };
            line += 1;
        }
    }
}

/// Units of a cache line.
pub const LINE_UNITS: Address = 8;
/// Most lines of a bucket, its own included.
pub const LINES_MAX: u32 = 8;
/// Units of a page of memory: what one entry of the processor's table of pages leads to.
pub const PAGE_UNITS: Address = (4096 / UNIT) as Address;
/// Lines of a page.
pub const PAGE_LINES: u32 = PAGE_UNITS / LINE_UNITS;

/// How an index lies in memory.
///
/// A page holds some buckets; a bucket is a line of slots and the lines behind it, in which as many nodes
/// of its names stand as fit. So of a name that is in no cache one page is looked up, and its lines come
/// together, where slots and nodes at places of their own would be waited for one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Pages.
    pub pages: u32,
    /// Buckets of a page.
    pub page_buckets: u32,
    /// Lines of a bucket; one: no nodes stand in the index.
    pub lines: u32,
}

const PAGES_BITS: u32 = 21;
const BUCKETS_BITS: u32 = 6;

impl Shape {
    /// The shape of the number that a [`super::Snapshot`] keeps of it.
    #[inline(always)]
    pub fn of(number: u32) -> Self {
        Self {
            pages: number & ((1 << PAGES_BITS) - 1),
            page_buckets: (number >> PAGES_BITS & ((1 << BUCKETS_BITS) - 1)) + 1,
            lines: number >> (PAGES_BITS + BUCKETS_BITS),
        }
    }

    /// That number.
    pub fn number(self) -> u32 {
        self.pages
            | (self.page_buckets - 1) << PAGES_BITS
            | self.lines << (PAGES_BITS + BUCKETS_BITS)
    }

    /// Where the bucket stands that a hash selects: units from the first.
    #[inline(always)]
    pub fn home(self, hash: u64) -> Address {
        let (page, bucket) = self.select(hash);
        self.place(page, bucket)
    }

    /// Where the bucket stands that is looked at after so many others: those of the same page come before
    /// those of the next.
    #[inline(always)]
    pub fn probe(self, hash: u64, step: u32) -> Address {
        let (page, bucket) = self.select(hash);
        let buckets = self.page_buckets.max(1);
        let page = (page + step / buckets) % self.pages.max(1);
        self.place(page, (bucket + step % buckets) % buckets)
    }

    /// The bucket's number among all of them, by where it stands.
    pub fn number_of(self, place: Address) -> u32 {
        let page = place / PAGE_UNITS;
        page * self.page_buckets + place % PAGE_UNITS / (self.lines * LINE_UNITS)
    }

    /// All buckets: where each stands.
    pub fn places(self) -> impl Iterator<Item = Address> {
        (0..self.pages)
            .flat_map(move |page| (0..self.page_buckets).map(move |b| self.place(page, b)))
    }

    /// How many buckets there are.
    pub fn buckets(self) -> u32 {
        self.pages * self.page_buckets
    }

    /// Units of the whole index. The last page ends with its last bucket.
    pub fn units(self) -> Address {
        (self.pages - 1) * PAGE_UNITS + self.page_buckets * self.lines * LINE_UNITS
    }

    #[inline(always)]
    fn select(self, hash: u64) -> (u32, u32) {
        let product = (hash & 0xffff_ffff) * u64::from(self.pages);
        let within = (product & 0xffff_ffff) * u64::from(self.page_buckets);
        ((product >> 32) as u32, (within >> 32) as u32)
    }

    #[inline(always)]
    fn place(self, page: u32, bucket: u32) -> Address {
        page * PAGE_UNITS + bucket * self.lines * LINE_UNITS
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    #[test]
    fn every_bucket_is_looked_at_once() {
        for (pages, page_buckets, lines) in [(1, 1, 1), (1, 5, 1), (3, 64, 1), (7, 8, 8), (2, 9, 7)]
        {
            let shape = Shape { pages, page_buckets, lines };
            assert_eq!(Shape::of(shape.number()), shape);
            let all: Vec<Address> = shape.places().collect();
            assert!(all.iter().all(|place| place + lines * LINE_UNITS <= shape.units()));
            assert!(all.iter().enumerate().all(|(n, &at)| shape.number_of(at) == n as u32));
            for hash in [0, 0x7fff_ffff, 0xffff_ffff, 0x1234_5678] {
                assert_eq!(shape.home(hash), shape.probe(hash, 0));
                let mut seen: Vec<Address> =
                    (0..shape.buckets()).map(|step| shape.probe(hash, step)).collect();
                seen.sort_unstable();
                assert_eq!(seen, all);
            }
        }
    }

    #[test]
    fn hashes_spread_over_all_buckets() {
        let shape = Shape { pages: 3, page_buckets: 9, lines: 7 };
        let mut counts = [0; 27];
        for step in 0..27_000_u64 {
            let hash = step.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16;
            counts[shape.number_of(shape.home(hash)) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (900..1100).contains(count)), "{counts:?}");
    }
}
