//! The zone table: a zone comes, changes and goes by one store of its snapshot's address.

use std::{
    collections::HashMap,
    io,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

use responder_common::{
    layout::{Address, Snapshot, ZONE_SLOTS},
    locate::{ZONE_PROBES, zone_slot},
    name,
    wire::LABELS_MAX,
};
use zerocopy::IntoBytes;

use super::{Space, Store, space::Block};

/// The zones being served, by their apex in lower-case wire form.
#[derive(Default)]
pub struct Directory {
    zones: HashMap<Vec<u8>, Served>,
}

/// What a served zone holds.
struct Served {
    slot: usize,
    blocks: Vec<Block>,
    version: u32,
}

impl Store {
    /// Serves what `space` holds under `apex` (lower-case wire form) in place of what was served before.
    /// Queries received before see the old version whole, later ones the new version whole.
    ///
    /// `labels` is the number of labels of the zone's deepest name.
    ///
    /// # Errors
    /// When the zone table is full.
    pub fn publish(
        &self,
        apex: &[u8],
        labels: u32,
        mut snapshot: Snapshot,
        mut space: Space<'_>,
    ) -> io::Result<()> {
        let address = space.take(size_of::<Snapshot>() as u64, 64)?;
        let version = self.writer().directory.zones.get(apex).map_or(0, |zone| zone.version);
        snapshot.version = version.wrapping_add(1);
        space.write(address, snapshot.as_bytes());
        let blocks = space.into_blocks();
        let mut writer = self.writer();
        let old = writer.directory.zones.remove(apex);
        let slot = match &old {
            Some(zone) => zone.slot,
            None => match self.free_slot(apex) {
                Some(slot) => slot,
                None => {
                    writer.space.give(&blocks);
                    return Err(io::Error::other(format!(
                        "the zone table is full: {} zones are served",
                        writer.directory.zones.len()
                    )));
                }
            },
        };
        self.announce_depth(u32::from(snapshot.apex_labels), labels);
        self.set_slot(slot, apex, address);
        let served = Served { slot, blocks, version: snapshot.version };
        writer.directory.zones.insert(apex.to_owned(), served);
        if let Some(old) = old {
            self.grace();
            writer.space.give(&old.blocks);
        }
        Ok(())
    }

    /// Takes a zone out of service; what it held is freed. False where it was not served.
    pub fn remove_zone(&self, name: &str) -> bool {
        let Ok(apex) = crate::zone::name::from_text_lower(name) else { return false };
        let mut writer = self.writer();
        let Some(old) = writer.directory.zones.remove(&apex) else { return false };
        self.slot_snapshot(old.slot).store(0, Ordering::Release);
        self.grace();
        writer.space.give(&old.blocks);
        true
    }

    /// Where in the table the apex belongs: its own former slot, or the first free one of its probe.
    fn free_slot(&self, apex: &[u8]) -> Option<usize> {
        let hash = self.apex_hash(apex);
        let mut free = None;
        for step in 0..ZONE_PROBES {
            let place = (zone_slot(hash) + step) as usize % ZONE_SLOTS;
            let slot = &self.memory.root().zones[place];
            if slot.snapshot == 0 && (slot.hash == hash || slot.hash == 0) {
                return free.or(Some(place));
            }
            if slot.snapshot == 0 && free.is_none() {
                free = Some(place);
            }
        }
        free
    }

    fn apex_hash(&self, apex: &[u8]) -> u64 {
        // Zero ends a probe.
        name::hash(self.hash_key(), apex).max(1)
    }

    /// Tells readers how deep to look before there is something to find.
    fn announce_depth(&self, apex_labels: u32, labels: u32) {
        let root = self.memory.root_mut();
        // SAFETY: aligned words of the root; atomic, because readers run.
        unsafe {
            let depths = &raw mut (*root).depths[(apex_labels / 64) as usize];
            AtomicU64::from_ptr(depths).fetch_or(1 << (apex_labels % 64), Ordering::Release);
            // One more than the deepest name: the next closer name is hashed, and missed.
            let deepest = (labels + 1).min(LABELS_MAX);
            AtomicU32::from_ptr(&raw mut (*root).hash_labels).fetch_max(deepest, Ordering::Release);
        }
    }

    fn set_slot(&self, slot: usize, apex: &[u8], snapshot: Address) {
        let hash = self.apex_hash(apex);
        // SAFETY: an aligned word of the root; atomic, because readers run. A reader that sees the hash
        // before the snapshot takes the slot for a removed zone's.
        unsafe { AtomicU64::from_ptr(&raw mut (*self.memory.root_mut()).zones[slot].hash) }
            .store(hash, Ordering::Release);
        self.slot_snapshot(slot).store(snapshot, Ordering::Release);
    }

    fn slot_snapshot(&self, slot: usize) -> &AtomicU32 {
        // SAFETY: an aligned word of the root, which lives as long as the store.
        unsafe { AtomicU32::from_ptr(&raw mut (*self.memory.root_mut()).zones[slot].snapshot) }
    }
}
