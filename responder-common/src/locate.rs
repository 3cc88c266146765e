//! From the current name to a node: the zone, then down from its apex one label at a time.
//!
//! RFC 1034, section 4.3.2; RFC 9499 for the terms.

use crate::{
    bounds,
    layout::{
        Address, BUCKET_SLOTS, Bucket, Lines, Node, Shape, Snapshot, ZONE_SLOTS, ZoneSlot, node,
        switch,
    },
    limit,
    name::{absorb, keep},
    plan,
    platform::Platform,
    scratch::Scratch,
    verdict::{Next, Verdict},
    wire::rtype,
};

/// Hashes the suffixes of the current name, from the root down to the deepest that a zone may hold.
#[inline(always)]
pub fn hash<P: Platform>(platform: &P, s: &mut Scratch) {
    let root = platform.root();
    s.hashes[0] = root.seed;
    s.hash.set(root.seed);
    let labels = s.name_labels.get().min(root.hash_labels);
    platform.repeat(labels, |step| {
        let depth = step + 1;
        let Some(start) = bounds::get(&s.labels, s.name_labels.get().wrapping_sub(depth)) else {
            return false;
        };
        let start = u32::from(start);
        let first = bounds::word(&s.name, start);
        let length = (first as u32 & 0xff) + 1;
        let multiplier = platform.root().multiplier;
        let mut hash = absorb(s.hash.get(), keep(first, length), multiplier);
        let mut done = 8;
        while done < 64 {
            if length <= done {
                break;
            }
            hash =
                absorb(hash, keep(bounds::word(&s.name, start + done), length - done), multiplier);
            done += 8;
        }
        s.hash.set(hash);
        bounds::set(&mut s.hashes, depth, hash)
    });
}

/// Finds the zone with the longest apex that matches the current name. False where there is none.
///
/// DS belongs to the parent side of a cut (RFC 4035, section 3.1.4.1): for it the name itself is an apex
/// only if no zone above is loaded.
#[inline(always)]
pub fn zone<P: Platform>(platform: &P, s: &mut Scratch) -> bool {
    let labels = s.name_labels.get();
    let above = s.qtype.get() == u32::from(rtype::DS) && labels > 0;
    s.zone.set(0);
    if above {
        search_zone(platform, s, labels - 1);
    }
    if s.zone.get() == 0 {
        search_zone(platform, s, labels);
    }
    s.zone.get() != 0
}

/// Looks for an apex of `deepest` labels, then of one less, and so on.
#[inline(always)]
fn search_zone<P: Platform>(platform: &P, s: &mut Scratch, deepest: u32) {
    let deepest = deepest.min(platform.root().hash_labels);
    s.count.set(deepest);
    platform.repeat(128, |_| {
        let depth = s.count.get();
        let bits = if depth < 64 { platform.root().depths[0] } else { platform.root().depths[1] };
        if bits >> (depth & 63) & 1 == 1 && probe_zone(platform, s, depth) {
            return false;
        }
        s.count.set(depth.wrapping_sub(1));
        depth != 0
    });
}

/// Most slots that a probe of the zone table looks at; insertion keeps to it.
pub const ZONE_PROBES: u32 = 16;

/// The slot at which a probe for an apex begins.
#[inline(always)]
pub fn zone_slot(hash: u64) -> u32 {
    (hash >> 20) as u32 & (ZONE_SLOTS as u32 - 1)
}

/// Looks for the zone whose apex is the last `depth` labels of the current name.
#[inline(always)]
fn probe_zone<P: Platform>(platform: &P, s: &mut Scratch, depth: u32) -> bool {
    let Some(hash) = bounds::get(&s.hashes, depth) else { return false };
    let Some(start) = bounds::get(&s.labels, s.name_labels.get().wrapping_sub(depth)) else {
        return false;
    };
    s.hash.set(hash);
    s.position.set(u32::from(start));
    platform.repeat(ZONE_PROBES, |step| {
        let place = (zone_slot(s.hash.get()) + step) & (ZONE_SLOTS as u32 - 1);
        let Some(slot) = bounds::at(&platform.root().zones, place) else { return false };
        let slot = zone_slot_now(slot);
        if slot.hash == 0 {
            return false;
        }
        if slot.hash != s.hash.get() || slot.snapshot == 0 {
            return true;
        }
        let Some(zone) = platform.object::<Snapshot>(slot.snapshot) else { return false };
        let length = u32::from(zone.apex_length);
        let start = s.position.get();
        if start + length != s.name_length.get() {
            return true;
        }
        if differs(platform, s, start, length, |step| bounds::get(&zone.name, step)) {
            return true;
        }
        s.zone.set(slot.snapshot);
        s.switches.set(slot.switches);
        let profile = slot.switches >> switch::RATES_SHIFT;
        s.zone_limits.set(limit::zone_bits(slot.hash, profile));
        false
    });
    s.zone.get() != 0
}

/// A zone slot as it stands now: the daemon stores to it while readers run.
#[inline(always)]
fn zone_slot_now(slot: &ZoneSlot) -> ZoneSlot {
    // SAFETY: the reference is valid for reads; volatile, because the daemon may store to it.
    unsafe { core::ptr::read_volatile(slot) }
}

/// Whether `length` octets of the current name from `start` differ from the stored words.
#[inline(always)]
pub(crate) fn differs<P: Platform>(
    platform: &P,
    s: &mut Scratch,
    start: u32,
    length: u32,
    stored: impl Fn(u32) -> Option<u64>,
) -> bool {
    let mine = |s: &Scratch, step: u32| {
        keep(bounds::word(&s.name, start + step * 8), length.wrapping_sub(step * 8))
    };
    // Most names below an apex take two words.
    if length != 0 && stored(0) != Some(mine(s, 0)) {
        return true;
    }
    if length > 8 && stored(1) != Some(mine(s, 1)) {
        return true;
    }
    if length <= 16 {
        return false;
    }
    s.differs.set(0);
    platform.repeat(32, |step| {
        let step = step + 2;
        if step * 8 >= length {
            return false;
        }
        match stored(step) {
            Some(word) if word == mine(s, step) => true,
            _ => {
                s.differs.set(1);
                false
            }
        }
    });
    s.differs.get() != 0
}

/// Most steps of a walk: one for each label, and room for full buckets and versions not yet visible.
const WALK_STEPS: u32 = 1024;

/// Walks from the apex towards the current name and leaves the last node that it met, and its depth.
///
/// It ends at the name itself, at a delegation, at a DNAME above the name, or at the closest encloser.
/// `Reply`: the zone has expired, and that is the reply.
#[inline(always)]
pub fn walk<P: Platform>(platform: &P, s: &mut Scratch) -> Next {
    let Some(zone) = platform.object::<Snapshot>(s.zone.get()) else {
        return Next::Stop(Verdict::Fault);
    };
    if zone.is_expired(|| platform.now()) {
        return plan::expired(s);
    }
    let version = zone.version;
    let index = zone.index;
    let shape = zone.index_shape;
    let apex_length = u32::from(zone.apex_length);
    let apex_labels = u32::from(zone.apex_labels);
    s.node.set(zone.apex);
    s.depth.set(apex_labels);
    enter(s, apex_labels + 1, index, shape);
    let deepest = s.name_labels.get().min(platform.root().hash_labels);
    let ds = s.qtype.get() == u32::from(rtype::DS);
    platform.repeat(WALK_STEPS, |_| {
        let depth = s.depth.get() + 1;
        if depth > deepest {
            return false;
        }
        let mut found = s.candidate.get();
        if found == 0 {
            let bucket = s.bucket.get();
            let Some(lines) = platform.object::<Lines>(bucket) else { return false };
            lines.touch(Shape::of(shape).lines);
            let Some(bucket) = platform.object::<Bucket>(bucket) else { return false };
            match scan(bucket, s.hash.get(), s.slot.get()) {
                Scan::Hit { slot, node } => {
                    s.slot.set(slot + 1);
                    found = node;
                }
                Scan::Miss => return false,
                Scan::Full => {
                    let probe = s.probe.get() + 1;
                    s.probe.set(probe);
                    s.bucket.set(index + Shape::of(shape).probe(s.hash.get(), probe));
                    s.slot.set(0);
                    return true;
                }
            }
        }
        s.candidate.set(0);
        let Some(here) = platform.object::<Node>(found) else { return false };
        let first = here.words[0];
        if node::born(first) > version {
            // The slot goes on with the older version, if the name was there before.
            s.candidate.set(node::older(first));
            return true;
        }
        let second = here.words[1];
        let labels = s.name_labels.get();
        let Some(start) = bounds::get(&s.labels, labels.wrapping_sub(depth)) else { return false };
        let start = u32::from(start);
        let length = s.name_length.get().wrapping_sub(apex_length).wrapping_sub(start);
        if node::name_length(second) != length {
            return true;
        }
        let stored = |step: u32| bounds::get(&here.words, node::HEADER_WORDS + step);
        if differs(platform, s, start, length, stored) {
            return true;
        }
        let kind = node::kind(second);
        if kind & node::REMOVED != 0 {
            return false;
        }
        s.node.set(found);
        s.depth.set(depth);
        let exact = depth == labels;
        if kind & node::DELEGATION != 0 && !(exact && ds) {
            return false;
        }
        if kind & node::DNAME != 0 && !exact {
            return false;
        }
        enter(s, depth + 1, index, shape);
        true
    });
    Next::Continue
}

/// Sets the search up for the name of `depth` labels.
#[inline(always)]
fn enter(s: &mut Scratch, depth: u32, index: Address, shape: u32) {
    let hash = bounds::get(&s.hashes, depth).unwrap_or(0);
    s.hash.set(hash);
    s.bucket.set(index + Shape::of(shape).home(hash));
    s.probe.set(0);
    s.slot.set(0);
    s.candidate.set(0);
}

/// What a look at a bucket gave.
enum Scan {
    /// A slot with the right tag.
    Hit { slot: u32, node: Address },
    /// An empty slot: the name is not there.
    Miss,
    /// Only other tags: the next bucket may have it.
    Full,
}

/// Looks through the slots of a bucket from `from` on.
#[inline(always)]
fn scan(bucket: &Bucket, hash: u64, from: u32) -> Scan {
    let tag = hash >> 32;
    let mut place = 0;
    while place < BUCKET_SLOTS {
        let slot = bucket.slot(place);
        if slot == 0 {
            return Scan::Miss;
        }
        if slot >> 32 == tag && place as u32 >= from {
            return Scan::Hit { slot: place as u32, node: slot as Address };
        }
        place += 1;
    }
    Scan::Full
}
