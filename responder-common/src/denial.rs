//! Proof that something is not there: NSEC (RFC 4034, 4035) and NSEC3 (RFC 5155).
//!
//! What depends on an existing name only is a reference of its node, laid there by the compiler. At query
//! time one thing is left: the record that covers the next closer name.

use crate::{
    bounds,
    layout::{Address, Cell, Link, Snapshot, denial, node::role},
    name::{escape, keep},
    plan::{find, push},
    platform::Platform,
    scratch::{Item, Scratch, edns, section},
    sha1::BLOCKS_MAX,
    verdict::{Next, Verdict},
};

/// Most rounds beyond the first that a chain may ask of us: a zone that wants more is refused when it is
/// loaded (RFC 9276 wants none).
pub const ITERATIONS_MAX: u16 = 100;
/// Longest salt, so that name, salt, padding and length take five blocks.
pub const SALT_MAX: usize = 56;

/// Whether the client wants proofs and the zone has them.
#[inline(always)]
pub fn wanted(s: &Scratch, zone: &Snapshot) -> bool {
    s.edns.get() & edns::DO != 0 && zone.denial != denial::NONE
}

/// The records that deny what the node does not own: its own NSEC or NSEC3, or, where it has none, those
/// that show why (an empty non-terminal; opt-out, RFC 5155, sections 7.2.4 and 7.2.7).
#[inline(always)]
pub fn own<P: Platform>(platform: &P, s: &mut Scratch, zone: &Snapshot, origin: Item) -> bool {
    let proof = find(platform, s, role::PROOF, 0);
    if proof != 0 {
        prove(platform, s, zone, origin, proof);
        return true;
    }
    let mut encloser = find(platform, s, role::ENCLOSER, 0);
    if encloser == 0 && zone.denial == denial::NSEC3 {
        encloser = zone.apex_proof;
    }
    if encloser != 0 {
        prove(platform, s, zone, origin, encloser);
    }
    let cover = find(platform, s, role::COVER, 0);
    if cover != 0 {
        prove(platform, s, zone, origin, cover);
    }
    false
}

/// Adds the proof of a cell to the authority section, once.
#[inline(always)]
pub fn prove<P: Platform>(
    platform: &P,
    s: &mut Scratch,
    zone: &Snapshot,
    origin: Item,
    cell: Address,
) {
    let Some(cell) = platform.object::<Cell>(cell) else { return };
    let fragment = cell.fragment(zone.version);
    s.differs.set(0);
    platform.repeat(s.items_length.get(), |step| {
        match bounds::get(&s.items, step) {
            Some(item) if item.fragment == fragment => s.differs.set(1),
            _ => {}
        }
        s.differs.get() == 0
    });
    if s.differs.get() == 0 {
        push(platform, s, origin, fragment, section::AUTHORITY, 0);
    }
}

/// Readies the search for the record that covers the next closer name: one label below the node that the
/// walk ended at. Returns how many digests are to be made before [`cover`].
#[inline(always)]
pub fn prepare<P: Platform>(platform: &P, s: &mut Scratch) -> u32 {
    let Some(zone) = platform.object::<Snapshot>(s.zone.get()) else { return 0 };
    if zone.denial != denial::NSEC3 {
        key(platform, s, zone);
        return 0;
    }
    let place = s.name_labels.get().wrapping_sub(s.depth.get() + 1);
    let start = u32::from(bounds::get(&s.labels, place).unwrap_or(0));
    let length = s.name_length.get().wrapping_sub(start);
    s.position.set(length);
    platform.repeat(32, |step| {
        let at = step * 8;
        if step >= 32 || at >= length {
            return false;
        }
        let octets = keep(bounds::word(&s.name, start + at), length - at);
        bounds::put(&mut s.sha1.input, at, octets);
        true
    });
    u32::from(zone.iterations.min(ITERATIONS_MAX)) + 1
}

/// One round of the hash (RFC 5155, section 5) over what stands in the input; the digest takes its place.
#[inline(always)]
pub fn digest<P: Platform>(platform: &P, s: &mut Scratch) {
    let Some(zone) = platform.object::<Snapshot>(s.zone.get()) else { return };
    let salt = u32::from(zone.salt_length);
    let length = s.position.get();
    let mut step = 0;
    while step < SALT_MAX as u32 / 8 {
        if step * 8 >= salt {
            break;
        }
        let octets = bounds::get(&zone.salt, step).unwrap_or(0);
        bounds::put(&mut s.sha1.input, length + step * 8, octets);
        step += 1;
    }
    let blocks = s.sha1.pad(length + salt);
    s.sha1.start();
    platform.repeat(BLOCKS_MAX, |number| {
        if number >= blocks {
            return false;
        }
        s.sha1.block(number);
        true
    });
    s.sha1.feed_back();
    s.position.set(20);
}

/// Adds the record that covers the next closer name.
#[inline(always)]
pub fn cover<P: Platform>(platform: &P, s: &mut Scratch) -> Next {
    let fault = Next::Stop(Verdict::Fault);
    let Some(zone) = platform.object::<Snapshot>(s.zone.get()) else { return fault };
    if zone.denial == denial::NSEC3 {
        let words = [
            bounds::word(&s.sha1.input, 0),
            bounds::word(&s.sha1.input, 8),
            bounds::word(&s.sha1.input, 16),
        ];
        bounds::put(&mut s.key, 0, words[0]);
        bounds::put(&mut s.key, 8, words[1]);
        bounds::put(&mut s.key, 16, words[2]);
    }
    let cell = predecessor(platform, s, zone);
    if cell == 0 {
        return fault;
    }
    let origin = s.origin;
    if !begins_with_nonexistent(s, zone) {
        prove(platform, s, zone, origin, cell);
        return Next::Reply;
    }
    // What may be there already is known: no search.
    let is_encloser = zone.denial == denial::NSEC3 && cell == zone.apex_proof;
    if cell != zone.no_wildcard && !is_encloser {
        let Some(cell) = platform.object::<Cell>(cell) else { return fault };
        push(platform, s, origin, cell.fragment(zone.version), section::AUTHORITY, 0);
    }
    Next::Reply
}

/// Whether the reply consists of the fragment for names that do not exist right below the apex.
#[inline(always)]
fn begins_with_nonexistent(s: &Scratch, zone: &Snapshot) -> bool {
    zone.nonexistent != 0 && s.items_length.get() == 1 && s.items[0].fragment == zone.nonexistent
}

/// The next closer name as a sort key: its labels below the apex, from the right (RFC 4034, section 6.1).
#[inline(always)]
fn key<P: Platform>(platform: &P, s: &mut Scratch, zone: &Snapshot) {
    let labels = s.name_labels.get();
    let last = labels.wrapping_sub(s.depth.get() + 1);
    s.count.set(labels.wrapping_sub(u32::from(zone.apex_labels) + 1));
    s.position.set(0);
    s.slot.set(0);
    platform.repeat(512, |_| {
        let label = s.count.get();
        let start = u32::from(bounds::get(&s.labels, label).unwrap_or(0));
        let length = u32::from(bounds::get(&s.name, start).unwrap_or(0));
        let at = s.position.get();
        let octet = s.slot.get();
        if octet == length {
            bounds::set(&mut s.key, at, 0);
            s.position.set(at + 1);
            s.slot.set(0);
            s.count.set(label.wrapping_sub(1));
            return label != last;
        }
        let (first, second) = escape(bounds::get(&s.name, start + 1 + octet).unwrap_or(0));
        bounds::set(&mut s.key, at, first);
        if second != 0 {
            bounds::set(&mut s.key, at + 1, second);
        }
        s.position.set(at + 1 + u32::from(second != 0));
        s.slot.set(octet + 1);
        true
    });
    // Keys are compared by words: zeros behind the last octet.
    let end = s.position.get();
    bounds::put(&mut s.key, end, 0);
}

/// The cell of the chain's record with the greatest key not above the one looked for; the last of the
/// chain where there is none, since the chain is a ring.
#[inline(always)]
fn predecessor<P: Platform>(platform: &P, s: &mut Scratch, zone: &Snapshot) -> Address {
    let prefix = bounds::word(&s.key, 0).swap_bytes();
    let slot = (prefix >> (zone.directory_shift & 63)) as u32;
    let Some(&[low, high]) = platform.object::<[u64; 2]>(zone.directory + slot) else { return 0 };
    s.position.set(low as u32);
    s.count.set(high as u32);
    // The leaf with the greatest first key not above; a leaf's links begin behind its count.
    narrow(platform, s, zone.leaves, prefix);
    let before = s.position.get();
    let place = if before == 0 { zone.leaves_length } else { before }.wrapping_sub(1);
    let Some(leaf) = platform.object::<Link>(zone.leaves + place * LINK_UNITS) else { return 0 };
    let Some(&links) = platform.object::<u64>(leaf.target) else { return 0 };
    let first = leaf.target + 1;
    let mut last = (links as u32).wrapping_sub(1);
    if before != 0 {
        s.position.set(1);
        s.count.set(links as u32);
        narrow(platform, s, first, prefix);
        last = s.position.get().wrapping_sub(1);
    }
    platform.object::<Link>(first + last * LINK_UNITS).map_or(0, |link| link.target)
}

/// Units of a link.
const LINK_UNITS: u32 = 2;

/// Halves the stretch of links from `scratch.position` to `scratch.count` until its start is behind the
/// last whose key is not above the one looked for.
#[inline(always)]
fn narrow<P: Platform>(platform: &P, s: &mut Scratch, links: Address, prefix: u64) {
    platform.repeat(33, |_| {
        let (low, high) = (s.position.get(), s.count.get());
        if low >= high {
            return false;
        }
        let middle = (low + high) / 2;
        let Some(link) = platform.object::<Link>(links + middle * LINK_UNITS) else {
            return false;
        };
        let mut below = link.key < prefix;
        if link.key == prefix {
            below = not_above(platform, s, link.rest);
        }
        if below {
            s.position.set(middle + 1);
        } else {
            s.count.set(middle);
        }
        true
    });
}

/// Whether the rest of a stored key, behind equal first words, is not above the one looked for.
#[inline(always)]
fn not_above<P: Platform>(platform: &P, s: &mut Scratch, rest: Address) -> bool {
    if rest == 0 {
        return true;
    }
    let Some(&words) = platform.object::<u64>(rest) else { return true };
    s.differs.set(0);
    platform.repeat(words as u32, |step| {
        let Some(&stored) = platform.object::<u64>(rest + 1 + step) else { return false };
        let mine = bounds::word(&s.key, 8 + step * 8).swap_bytes();
        if stored == mine {
            return true;
        }
        s.differs.set(u64::from(stored > mine));
        false
    });
    s.differs.get() == 0
}
