//! The rows of a zone in canonical order.

use std::{ops::Range, sync::OnceLock};

use super::{
    Blocks, Owner, RrSet,
    order::{self, Entry, key_length, sort_key},
    rows::{self, RowSet, RowSets},
};

/// The rows of a zone in canonical order (RFC 4034, section 6.1), one for each owner.
pub struct Sorted {
    blocks: Blocks,
    entries: Vec<Entry>,
    /// The keys of the entries, one behind the other; made when they are asked for.
    keys: OnceLock<Vec<u8>>,
}

/// The records of an owner.
#[derive(Clone, Copy)]
pub struct Row<'a>(&'a [u8]);

impl Sorted {
    pub(super) fn new(blocks: Blocks, entries: Vec<Entry>) -> Self {
        Self { blocks, entries, keys: OnceLock::new() }
    }

    /// How many owners there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The row of an owner.
    #[inline]
    pub fn row(&self, number: usize) -> Row<'_> {
        Row(self.blocks.row(self.entries[number].position()))
    }

    /// Has the processor fetch the row of an owner, if there is one, that will soon be asked for: in the order
    /// of names rows stand anywhere.
    #[inline]
    pub fn prefetch(&self, number: usize) {
        let Some(entry) = self.entries.get(number) else { return };
        let row = self.blocks.row(entry.position()).as_ptr();
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a hint; no memory is touched that the program could notice, wherever it points.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(row.cast());
            _mm_prefetch::<_MM_HINT_T0>(row.wrapping_add(64).cast());
        }
    }

    /// Whether an owner has NSEC or NSEC3 records.
    pub fn denies(&self, number: usize) -> bool {
        self.entries[number].denies()
    }

    /// The owner of a name in wire form at or below an apex of so many octets, among some.
    pub fn find(&self, name: &[u8], apex: usize, among: Range<usize>) -> Option<usize> {
        let wanted = Entry::new(name, apex, 0, false);
        let found = self.entries[among.clone()].binary_search_by(|entry| {
            entry.compare_prefix(&wanted).unwrap_or_else(|| {
                order::compare_names(rows::wire(self.blocks.row(entry.position())), name)
            })
        });
        found.ok().map(|place| among.start + place)
    }

    /// The owners in canonical order, with their keys.
    pub fn owners(&self) -> impl Iterator<Item = Owner<'_>> {
        let mut at = 0;
        (0..self.len()).map(move |number| {
            let row = self.row(number);
            let keys = &self.keys()[at..];
            let key = &keys[..key_length(row.wire(), keys)];
            at += key.len();
            // Exactly as large as it must be: there may be many at a time.
            let mut rrsets = Vec::with_capacity(row.sets().count());
            rrsets.extend(row.sets().filter_map(RrSet::of));
            Owner { wire: row.wire(), key, rrsets }
        })
    }

    fn keys(&self) -> &[u8] {
        self.keys.get_or_init(|| {
            let mut keys = Vec::new();
            (0..self.len()).for_each(|number| sort_key(self.row(number).wire(), &mut keys));
            keys
        })
    }
}

impl<'a> Row<'a> {
    /// The owner's name in wire form, case kept.
    #[inline]
    pub fn wire(self) -> &'a [u8] {
        rows::wire(self.0)
    }

    /// Its RRsets by type, those too of which there are only signatures.
    pub fn sets(self) -> impl Iterator<Item = RowSet<'a>> {
        RowSets::of(self.0)
    }

    /// Whether it has records of a type.
    pub fn owns(self, rtype: u16) -> bool {
        self.sets().any(|set| set.rtype == rtype && set.rdata.count() > 0)
    }
}
