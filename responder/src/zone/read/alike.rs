//! Types that `domain` cannot read in their own words, but that are written like one that it can.

use std::ops::Range;

use domain::base::iana::Rtype;

use super::words::{is_indented, words};

/// Each type with its name, and the type whose record data is written and laid out in the same way.
const ALIKE: &[(&str, u16, &str)] = &[
    ("AFSDB", 18, "MX"),     // a number and a name (RFC 1183, section 1)
    ("RT", 21, "MX"),        // a number and a name (RFC 1183, section 3.3)
    ("KX", 36, "MX"),        // a number and a name (RFC 2230)
    ("LP", 107, "MX"),       // a number and a name (RFC 6742, section 2.4)
    ("SMIMEA", 53, "TLSA"),  // RFC 8162, section 2
    ("SPF", 99, "TXT"),      // RFC 4408, section 3.1.1
    ("NINFO", 56, "TXT"),    // IANA's registry
    ("AVC", 258, "TXT"),     // IANA's registry
    ("RESINFO", 261, "TXT"), // RFC 9606, section 5
    ("WALLET", 262, "TXT"),  // IANA's registry
    ("KEY", 25, "DNSKEY"),   // RFC 3445, section 3
    ("TA", 32768, "DS"),     // IANA's registry
    ("DLV", 32769, "DS"),    // RFC 4431, section 2
    ("CSYNC", 62, "NSEC"),   // RFC 7477, section 2.1: a serial, flags, then NSEC's type bit map
];

/// An entry rewritten in another type's name.
pub struct Alike {
    /// The rewritten entry.
    pub text: Vec<u8>,
    rtype: u16,
    /// What comes first in the record data, in place of NSEC's name.
    head: Option<[u8; 6]>,
}

impl Alike {
    /// Makes the borrowed type's record data that of the entry's own type, which is returned.
    pub fn finish(&self, rdata: &mut Vec<u8>) -> u16 {
        if let Some(head) = self.head {
            // The root, written in place of the serial and the flags, is one octet.
            rdata.splice(..1, head);
        }
        self.rtype
    }
}

/// Rewrites an entry of one of these types, unless it is in the form of RFC 3597 already.
pub fn borrow(entry: &[u8]) -> Option<Alike> {
    let words = words(entry);
    let owner = usize::from(!is_indented(entry));
    // A TTL and a class may stand before the type.
    let (at, &(_, rtype, model)) = (owner..words.len().min(owner + 3)).find_map(|at| {
        let word = &entry[words[at].clone()];
        let found = ALIKE.iter().find(|(name, ..)| word.eq_ignore_ascii_case(name.as_bytes()));
        Some((at, found?))
    })?;
    if entry.get(words.get(at + 1)?.clone()) == Some(b"\\#") {
        return None;
    }
    let mut text = entry.to_vec();
    let mut head = None;
    if rtype == Rtype::CSYNC.to_int() {
        let (serial, flags) = (words.get(at + 1)?.clone(), words.get(at + 2)?.clone());
        let mut octets = [0; 6];
        octets[..4].copy_from_slice(&number::<u32>(entry, &serial)?.to_be_bytes());
        octets[4..].copy_from_slice(&number::<u16>(entry, &flags)?.to_be_bytes());
        head = Some(octets);
        // The later word first, so that the earlier one keeps its place.
        text[flags].fill(b' ');
        text.splice(serial, *b".");
    }
    text.splice(words[at].clone(), model.bytes());
    Some(Alike { text, rtype, head })
}

/// A word as a number.
fn number<N: std::str::FromStr>(entry: &[u8], word: &Range<usize>) -> Option<N> {
    std::str::from_utf8(&entry[word.clone()]).ok()?.parse().ok()
}
