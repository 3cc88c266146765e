//! The zone table: a zone comes, changes and goes by one store of its snapshot's address.

use std::{
    collections::{HashMap, HashSet},
    io,
    mem::offset_of,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use responder_common::{
    layout::{Address, BUCKET_SLOTS, Snapshot, UNIT, ZONE_SLOTS, switch},
    limit,
    locate::{ZONE_PROBES, zone_slot},
    name,
    wire::LABELS_MAX,
};
use zerocopy::IntoBytes;

use super::{Space, Store, Writer, clock, space::Holding};

/// The zones being served, by their apex in lower-case wire form.
#[derive(Default)]
pub struct Directory {
    pub(super) zones: HashMap<Vec<u8>, Served>,
    /// How many were ever published.
    published: u64,
    /// Zones, served or not, whose queries the kernel programs are to leave to the sockets.
    pub(super) switched_off: HashSet<Vec<u8>>,
}

/// A served zone.
pub(super) struct Served {
    /// Different for whatever else is or was served, under this name too.
    pub(super) incarnation: u64,
    pub(super) slot: usize,
    /// What it holds; lent to a commit while there is one.
    pub(super) holding: Holding,
    pub(super) version: u32,
    pub(super) snapshot: Address,
    /// Slots of its index that are not empty.
    pub(super) index_used: u64,
    /// What no reader finds any more, but some may still look at until the next grace is over.
    pub(super) fading: Vec<(Address, Address)>,
    /// Whether a commit is at work.
    pub(super) lent: bool,
    /// Whether another process compiled it, so that nobody knows what in its blocks is whose: the next
    /// version is compiled as a whole.
    pub(super) sealed: bool,
}

/// The version of a zone that is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// Its SOA's serial.
    pub serial: u32,
    /// Whether its data are too old to be served.
    pub expired: bool,
    /// For how many more seconds they may be.
    pub good_for: u32,
}

/// What a served zone holds of the store, in octets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Read by queries.
    pub live: u64,
    /// Given back by commits and not used again yet.
    pub dead: u64,
    /// All that is reserved for the zone.
    pub reserved: u64,
    /// Slots of its index in use.
    pub index_used: u64,
    /// Slots of its index.
    pub index_slots: u64,
}

impl Usage {
    /// Whether so much lies idle that the zone had better be compiled anew: more than half of what it
    /// uses, and a megabyte. Commits alone reuse what commits give back; this is what is left when many
    /// names have gone.
    pub fn is_crumbled(&self) -> bool {
        self.dead > self.live / 2 + (1 << 20)
    }
}

impl Directory {
    /// Adds a zone.
    pub(super) fn insert(&mut self, apex: Vec<u8>, mut zone: Served) {
        self.published += 1;
        zone.incarnation = self.published;
        self.zones.insert(apex, zone);
    }
}

impl Writer {
    /// The zone that was lent to a commit, if it is still there.
    pub(super) fn lent_zone(&mut self, apex: &[u8], incarnation: u64) -> Option<&mut Served> {
        self.directory.zones.get_mut(apex).filter(|zone| zone.incarnation == incarnation)
    }
}

impl Store {
    /// Serves what `space` holds under `apex` (lower-case wire form) in place of what was served before.
    /// Queries received before see the old version whole, later ones the new version whole.
    ///
    /// `labels` is the number of labels of the zone's deepest name, `names` how many its index holds.
    ///
    /// # Errors
    /// When the store or the zone table is full, or a commit to the zone is at work.
    pub fn publish(
        &self,
        apex: &[u8],
        labels: u32,
        names: u64,
        mut snapshot: Snapshot,
        mut space: Space<'_>,
    ) -> io::Result<()> {
        let address = space.take(size_of::<Snapshot>() as u64, 64)?;
        space.fits()?;
        let version = self.writer().directory.zones.get(apex).map_or(0, |zone| zone.version);
        snapshot.version = version.wrapping_add(1);
        snapshot.ledger = 0;
        space.write(address, snapshot.as_bytes());
        let holding = space.into_holding();
        let mut writer = self.writer();
        if writer.directory.zones.get(apex).is_some_and(|zone| zone.lent) {
            writer.space.give(&holding.into_blocks());
            return Err(io::Error::other("a commit to this zone is at work"));
        }
        let old = writer.directory.zones.remove(apex);
        let slot = match &old {
            Some(zone) => zone.slot,
            None => match self.free_slot(apex) {
                Some(slot) => slot,
                None => {
                    writer.space.give(&holding.into_blocks());
                    return Err(io::Error::other(format!(
                        "the zone table is full: {} zones are served",
                        writer.directory.zones.len()
                    )));
                }
            },
        };
        let change = self.change();
        self.announce_depth(u32::from(snapshot.apex_labels), labels);
        let off = writer.directory.switched_off.contains(apex);
        self.set_switch(slot, off, self.limiter.profile(apex));
        self.set_slot(slot, apex, address);
        drop(change);
        let served = Served {
            // Set when it enters the directory.
            incarnation: 0,
            slot,
            holding,
            version: snapshot.version,
            snapshot: address,
            index_used: names,
            fading: Vec::new(),
            lent: false,
            sealed: false,
        };
        writer.directory.insert(apex.to_owned(), served);
        drop(writer);
        if let Some(old) = old {
            self.reclaim(old.holding);
        }
        Ok(())
    }

    /// What a served zone holds, by its apex in lower-case wire form.
    pub fn usage(&self, apex: &[u8]) -> Option<Usage> {
        let writer = self.writer();
        let zone = writer.directory.zones.get(apex)?;
        let snapshot: &Snapshot = self.memory.object(zone.snapshot)?;
        Some(Usage {
            live: zone.holding.live(),
            dead: zone.holding.dead(),
            reserved: zone.holding.bytes(),
            index_used: zone.index_used,
            index_slots: u64::from(snapshot.shape().buckets()) * BUCKET_SLOTS as u64,
        })
    }

    /// What is served of a zone, by its apex in lower-case wire form.
    pub fn version(&self, apex: &[u8]) -> Option<Version> {
        let writer = self.writer();
        let zone = writer.directory.zones.get(apex)?;
        let snapshot: &Snapshot = self.memory.object(zone.snapshot)?;
        Some(Version {
            serial: snapshot.serial,
            expired: snapshot.is_expired(clock::now),
            good_for: snapshot.good_for(clock::now),
        })
    }

    /// Has a served zone answered with SERVFAIL once so much time has passed, or never: one store of one
    /// word, which readers heed whether this process lives or not. A version that a commit publishes keeps
    /// it, one that was compiled as a whole has none. False where the zone is not served.
    pub fn expire_after(&self, apex: &[u8], time: Option<Duration>) -> bool {
        const OFFSET: usize = offset_of!(Snapshot, deadline);
        let writer = self.writer();
        let Some(zone) = writer.directory.zones.get(apex) else { return false };
        let word = zone.snapshot + (OFFSET / UNIT as usize) as Address;
        let _change = self.change();
        self.memory.store_word(word, time.map_or(0, clock::after));
        true
    }

    /// Has the kernel programs leave the queries for these zones, by their apexes, to the sockets, and answer
    /// those for all others; zones that are served later too.
    pub fn switch_off(&self, apexes: HashSet<Vec<u8>>) {
        let mut writer = self.writer();
        for (apex, zone) in &writer.directory.zones {
            self.set_switch(zone.slot, apexes.contains(apex), self.limiter.profile(apex));
        }
        writer.directory.switched_off = apexes;
    }

    /// Takes a zone out of service; what it held is freed. False where it was not served. A commit that is
    /// at work then fails, and frees what it was lent.
    pub fn remove_zone(&self, name: &str) -> bool {
        self.remove_zones([name]) == 1
    }

    /// Takes zones out of service, all with one wait for their readers; how many were served.
    pub fn remove_zones<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> usize {
        let mut removed = Vec::new();
        let mut writer = self.writer();
        let change = self.change();
        for name in names {
            let Ok(apex) = crate::zone::name::from_text_lower(name) else { continue };
            let Some(old) = writer.directory.zones.remove(&apex) else { continue };
            self.slot_snapshot(old.slot).store(0, Ordering::Release);
            removed.push(old.holding);
        }
        drop((change, writer));
        let count = removed.len();
        if count > 0 {
            self.grace();
            let mut writer = self.writer();
            removed.into_iter().for_each(|holding| writer.space.give(&holding.into_blocks()));
        }
        count
    }

    /// Frees what a zone held that is not in the zone table any more, once nobody reads it.
    pub(super) fn reclaim(&self, holding: Holding) {
        self.grace();
        self.writer().space.give(&holding.into_blocks());
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

    /// The tag of the limiter's buckets for names that do not exist in a zone.
    pub fn zone_tag(&self, apex: &[u8]) -> u16 {
        limit::tag(limit::Class::NxDomain as u32, limit::zone_bits(self.apex_hash(apex), 0))
    }

    pub(super) fn apex_hash(&self, apex: &[u8]) -> u64 {
        // Zero ends a probe.
        name::hash(self.hash_key(), apex).max(1)
    }

    /// Tells readers how deep to look before there is something to find.
    pub(super) fn announce_depth(&self, apex_labels: u32, labels: u32) {
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

    pub(super) fn set_slot(&self, slot: usize, apex: &[u8], snapshot: Address) {
        let hash = self.apex_hash(apex);
        self.memory.before_store();
        // SAFETY: an aligned word of the root; atomic, because readers run. A reader that sees the hash
        // before the snapshot takes the slot for a removed zone's.
        unsafe { AtomicU64::from_ptr(&raw mut (*self.memory.root_mut()).zones[slot].hash) }
            .store(hash, Ordering::Release);
        self.memory.before_store();
        self.slot_snapshot(slot).store(snapshot, Ordering::Release);
    }

    /// Switches a zone off or on, and names its rates: one word.
    pub(super) fn set_switch(&self, slot: usize, off: bool, profile: u32) {
        let bits = if off { switch::OFF } else { 0 } | profile << switch::RATES_SHIFT;
        // SAFETY: an aligned word of the root, which lives as long as the store.
        unsafe { AtomicU32::from_ptr(&raw mut (*self.memory.root_mut()).zones[slot].switches) }
            .store(bits, Ordering::Release);
    }

    fn slot_snapshot(&self, slot: usize) -> &AtomicU32 {
        // SAFETY: an aligned word of the root, which lives as long as the store.
        unsafe { AtomicU32::from_ptr(&raw mut (*self.memory.root_mut()).zones[slot].snapshot) }
    }
}
