//! Names as the engine handles them: eight octets at a time, lower-cased, hashed from the right.
//!
//! The hash of a name is built label by label from the root, so one pass over a question name gives
//! the hash of every suffix. It is keyed by two secrets drawn at start-up, since registrants choose
//! names; and it never decides alone: the stored name is compared (the layouts keep it).

/// The two secrets of the name hash.
#[derive(Clone, Copy)]
pub struct HashKey {
    /// The hash of the root: where every name starts.
    pub seed: u64,
    /// Odd multiplier.
    pub multiplier: u64,
}

/// Lower-cases the ASCII letters among eight octets.
///
/// Length octets pass through unharmed: a label has at most 63 octets, and `A` is 65.
#[inline(always)]
pub fn lower(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let heptets = word & (0x7f * ONES);
    let above_z = heptets + (0x7f - b'Z' as u64) * ONES;
    let from_a = heptets + (0x80 - b'A' as u64) * ONES;
    let upper = (from_a ^ above_z) & !word & (0x80 * ONES);
    word | (upper >> 2)
}

/// Keeps the first `count` octets of a word in memory order and clears the rest; 8 or more keep all.
#[inline(always)]
pub fn keep(word: u64, count: u32) -> u64 {
    if count >= 8 { word } else { word & ((1_u64 << (count * 8)) - 1) }
}

/// One step of the hash: eight octets of a label, its length octet first, zeros behind its end.
#[inline(always)]
pub fn absorb(hash: u64, word: u64, multiplier: u64) -> u64 {
    let mixed = (hash ^ word).wrapping_mul(multiplier);
    mixed ^ (mixed >> 32)
}

/// An octet of a lower-case label as it stands in a sort key: itself, or two octets for 0 and 1, so that
/// zero, which ends a label there, sorts before every octet. The second octet is zero where there is none.
#[inline(always)]
pub fn escape(octet: u8) -> (u8, u8) {
    if octet <= 1 { (1, octet + 1) } else { (octet, 0) }
}

/// The hash of a lower-case wire name in memory; for the compiler of zones and the slow path.
pub fn hash(key: HashKey, name: &[u8]) -> u64 {
    let mut starts = [0_u8; 128];
    let mut count = 0;
    let mut at = 0;
    while at < name.len() && name[at] != 0 && count < 128 {
        starts[count] = at as u8;
        count += 1;
        at += usize::from(name[at]) + 1;
    }
    starts[..count].iter().rev().fold(key.seed, |hash, &start| {
        let start = usize::from(start);
        let label = &name[start..start + usize::from(name[start]) + 1];
        hash_label(key, hash, label)
    })
}

/// The hash of `label` (length octet first) put before the name that hashes to `parent`.
pub fn hash_label(key: HashKey, parent: u64, label: &[u8]) -> u64 {
    label.chunks(8).fold(parent, |hash, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        absorb(hash, u64::from_le_bytes(word), key.multiplier)
    })
}
