//! The canonical order of names (RFC 4034, section 6.1).

use std::{cmp::Ordering, thread};

use responder_common::name::escape;

/// A row, as it is sorted.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The first 21 octets of the key of the row's name, without the labels of the apex, as codes of six
    /// bits: [`CODES`]. Two words, since a row of 24 octets is sorted faster than one of 32.
    prefix: [u64; 2],
    /// Where the row stands: rows of the same name keep this order.
    place: u64,
}

/// The bit of a place that is set where the row has NSEC or NSEC3 records.
const DENIES: u64 = 1 << 63;

impl Entry {
    /// For the row of a name in wire form that ends with an apex of so many octets; `denies` where it has
    /// NSEC or NSEC3 records.
    pub fn new(wire: &[u8], apex: usize, position: u64, denies: bool) -> Self {
        let prefix = prefix(&wire[..wire.len() - apex]);
        let prefix = [(prefix >> 64) as u64, prefix as u64];
        Self { prefix, place: position | if denies { DENIES } else { 0 } }
    }

    /// Where the row stands.
    pub fn position(&self) -> u64 {
        self.place & !DENIES
    }

    /// Whether the row has NSEC or NSEC3 records.
    pub fn denies(&self) -> bool {
        self.place & DENIES != 0
    }

    fn prefix(&self) -> u128 {
        u128::from(self.prefix[0]) << 64 | u128::from(self.prefix[1])
    }

    /// As the prefixes are; none where they do not decide.
    ///
    /// A zero ends each label of a key, and no label is empty: a prefix that ends with two zeros has the
    /// whole key in it.
    pub fn compare_prefix(&self, other: &Self) -> Option<Ordering> {
        match self.prefix().cmp(&other.prefix()) {
            Ordering::Equal if self.prefix[1] & 0xfff == 0 => Some(Ordering::Equal),
            Ordering::Equal => None,
            order => Some(order),
        }
    }

    /// The same, further on.
    pub fn moved(self, start: u64) -> Self {
        Self { place: start + self.place, ..self }
    }

    /// The same name, in a row that was joined from those of several entries.
    pub fn joined(self, position: u64, denies: bool) -> Self {
        Self { place: position | if denies { DENIES } else { 0 }, ..self }
    }
}

/// Codes of octets, in their order, behind zero, which ends a label: hyphen, digits, underscore and letters,
/// of which hosts' names are made, have one each; what is between them has one together, which decides
/// nothing among its own ([`is_exact`]).
const CODES: [u8; 256] = {
    let mut codes = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        let lower = (octet as u8).to_ascii_lowercase();
        codes[octet] = match lower {
            0..b'-' => 1,
            b'-' => 2,
            b'.' | b'/' => 3,
            b'0'..=b'9' => 4 + lower - b'0',
            b':'..b'_' => 14,
            b'_' => 15,
            b'`' => 16,
            b'a'..=b'z' => 17 + lower - b'a',
            _ => 43,
        };
        octet += 1;
    }
    codes
};

/// Whether one octet alone, letters' case aside, has this code.
fn is_exact(code: u8) -> bool {
    !matches!(code, 1 | 3 | 14 | 16 | 43)
}

/// Codes in a prefix.
const LENGTH: u32 = 21;

/// The codes of the key of a name's labels, filled up with zeros. Behind a code that several octets share
/// nothing may decide: there the prefix is filled up with ones.
fn prefix(labels: &[u8]) -> u128 {
    let mut codes = 0_u128;
    let mut left = LENGTH;
    let (starts, count) = label_starts(labels);
    for &start in starts[..count].iter().rev() {
        let start = usize::from(start);
        for &octet in &labels[start + 1..start + 1 + usize::from(labels[start])] {
            if left == 0 {
                return codes;
            }
            let code = CODES[usize::from(octet)];
            codes = codes << 6 | u128::from(code);
            left -= 1;
            if !is_exact(code) {
                return codes << (6 * left) | ((1 << (6 * left)) - 1);
            }
        }
        if left == 0 {
            return codes;
        }
        codes <<= 6;
        left -= 1;
    }
    codes << (6 * left)
}

/// Where the labels of a name begin, the root left out.
fn label_starts(labels: &[u8]) -> ([u8; 128], usize) {
    let mut starts = [0; 128];
    let (mut at, mut count) = (0, 0);
    while at < labels.len() && labels[at] != 0 {
        starts[count] = at as u8;
        count += 1;
        at += usize::from(labels[at]) + 1;
    }
    (starts, count)
}

/// Compares names in wire form.
pub fn compare_names(one: &[u8], other: &[u8]) -> Ordering {
    let (ones, one_count) = label_starts(one);
    let (others, other_count) = label_starts(other);
    let label = |name: &[u8], start: u8| {
        let start = usize::from(start);
        start + 1..start + 1 + usize::from(name[start])
    };
    let pairs = ones[..one_count].iter().rev().zip(others[..other_count].iter().rev());
    for (&here, &there) in pairs {
        let (here, there) = (&one[label(one, here)], &other[label(other, there)]);
        let lower = u8::to_ascii_lowercase;
        let order = here.iter().map(lower).cmp(there.iter().map(lower));
        if order.is_ne() {
            return order;
        }
    }
    one_count.cmp(&other_count)
}

/// Sorts on every processor; what is sorted already costs one look.
pub fn sort<T: Send>(items: &mut [T], compare: &(impl Fn(&T, &T) -> Ordering + Sync)) {
    if !items.is_sorted_by(|one, other| compare(one, other).is_le()) {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        sort_on(threads, items, compare);
    }
}

fn sort_on<T: Send>(
    threads: usize,
    items: &mut [T],
    compare: &(impl Fn(&T, &T) -> Ordering + Sync),
) {
    if threads < 2 || items.len() < 1 << 14 {
        return items.sort_unstable_by(compare);
    }
    // Everything before the middle is less than what is behind it: two tasks that share nothing.
    let (low, _, high) = items.select_nth_unstable_by(items.len() / 2, compare);
    thread::scope(|scope| {
        scope.spawn(|| sort_on(threads / 2, low, compare));
        sort_on(threads - threads / 2, high, compare);
    });
}

/// Appends a key that sorts as the name does: labels from the root, lower-case, each ended by a zero.
///
/// Octets 0 and 1 become two, so that the end of a label sorts before every octet.
pub fn sort_key(wire: &[u8], to: &mut Vec<u8>) {
    let (starts, count) = label_starts(wire);
    for &start in starts[..count].iter().rev() {
        let start = usize::from(start);
        for &octet in &wire[start + 1..start + 1 + usize::from(wire[start])] {
            let (first, second) = escape(octet.to_ascii_lowercase());
            to.push(first);
            if second != 0 {
                to.push(second);
            }
        }
        to.push(0);
    }
}

/// The length of a name's key, at the beginning of these octets.
pub fn key_length(wire: &[u8], keys: &[u8]) -> usize {
    let (_, labels) = label_starts(wire);
    (0..labels).fold(0, |at, _| {
        at + 1 + memchr::memchr(0, &keys[at..]).expect("a zero ends each label of a key")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The list of RFC 4034, section 6.1, and names whose difference a prefix does not show.
    const NAMES: [&[u8]; 17] = [
        b"\x07example\0",
        b"\x01a\x07example\0",
        b"\x08yljkjljk\x01a\x07example\0",
        b"\x01Z\x01a\x07example\0",
        b"\x04zABC\x01a\x07EXAMPLE\0",
        b"\x0fabcdefghijklmno\x07example\0",
        b"\x01a\x0fabcdefghijklmno\x07example\0",
        b"\x10abcdefghijklmnop\x07example\0",
        b"\x11abcdefghijklmnop\0\x07example\0",
        b"\x11abcdefghijklmnopQ\x07example\0",
        b"\x15abcdefghijklmnopQrstu\x07example\0",
        b"\x16abcdefghijklmnopQrstuv\x07example\0",
        b"\x01a\x16abcdefghijklmnopQrstuv\x07example\0",
        b"\x01z\x07example\0",
        b"\x01\x01\x01z\x07example\0",
        b"\x01*\x01z\x07example\0",
        b"\x01\xc8\x01z\x07example\0",
    ];

    #[test]
    fn rfc4034_names_sort_by_labels_from_the_root() {
        let key = |name: &&[u8]| {
            let mut key = Vec::new();
            sort_key(name, &mut key);
            key
        };
        assert!(NAMES.iter().map(key).is_sorted());
        for name in NAMES {
            let key = key(&name);
            assert_eq!(key_length(name, &[&key[..], b"abc\0"].concat()), key.len());
        }
    }

    #[test]
    fn prefixes_and_names_compare_as_keys_do() {
        for (one, name) in NAMES.iter().enumerate() {
            for (other, other_name) in NAMES.iter().enumerate() {
                assert_eq!(compare_names(name, other_name), one.cmp(&other), "{one} {other}");
                let entries = [name, other_name].map(|name| Entry::new(name, 9, 0, false));
                if let Some(order) = entries[0].compare_prefix(&entries[1]) {
                    assert_eq!(order, one.cmp(&other), "{one} {other}");
                }
            }
            assert!(compare_names(name, &name.to_ascii_uppercase()).is_eq());
        }
    }

    #[test]
    fn any_number_of_threads_sorts() {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 33
        };
        let items: Vec<u64> = (0..100_000).map(|_| next()).collect();
        let mut expected = items.clone();
        expected.sort();
        for threads in [1, 2, 3, 8] {
            let mut items = items.clone();
            sort_on(threads, &mut items, &u64::cmp);
            assert!(items == expected, "{threads} threads");
        }
    }
}
