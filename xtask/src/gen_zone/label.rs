//! Labels as registrants choose them: pronounceable mostly, of the lengths that TLDs show, each once.

use std::collections::HashSet;

use crate::refereeing::random::Random;

const ONSETS: &[&str] = &[
    "b", "c", "d", "f", "g", "h", "j", "l", "m", "n", "p", "r", "s", "t", "v", "br", "cl", "tr",
    "pr", "st", "gr", "ch", "k", "z",
];
const VOWELS: &[&str] = &["a", "e", "i", "o", "u", "a", "e", "o", "ia", "ei"];
const CODAS: &[&str] = &["", "", "", "n", "r", "s", "l", "m"];
const DIGITS: &[u8] = b"0123456789";
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// An endless sequence of labels without repetition.
pub struct Labels {
    random: Random,
    /// Hashes of what was given out: 8 octets for each label.
    seen: HashSet<u64>,
}

impl Labels {
    /// Equal seeds give equal sequences.
    pub fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), seen: HashSet::new() }
    }

    /// The next label.
    pub fn next(&mut self) -> String {
        loop {
            let label = self.draw();
            if self.seen.insert(fingerprint(label.as_bytes())) {
                return label;
            }
        }
    }

    fn draw(&mut self) -> String {
        let random = &mut self.random;
        let kind = random.below(100);
        if kind < 3 {
            // Internationalised names as they stand in the DNS.
            let length = 6 + random.below(14);
            return format!("xn--{}", letters(random, length));
        }
        if kind < 8 {
            let length = 3 + random.below(10);
            return letters(random, length);
        }
        // The sum of two draws and what the last syllable adds: 3 to 20, a peak near 11, a few longer.
        let target = match random.below(50) {
            0 => 18 + random.below(24),
            _ => 3 + random.below(8) + random.below(7),
        };
        let mut label = String::with_capacity(target + 8);
        while label.len() < target {
            label.push_str(random.choose::<&str>(ONSETS));
            label.push_str(random.choose::<&str>(VOWELS));
            label.push_str(random.choose::<&str>(CODAS));
            if random.percent(6) && label.len() + 3 < target {
                label.push('-');
            }
        }
        if random.percent(8) {
            for _ in 0..1 + random.below(3) {
                label.push(char::from(*random.choose(DIGITS)));
            }
        }
        label
    }
}

/// Letters and digits without order.
fn letters(random: &mut Random, length: usize) -> String {
    (0..length).map(|_| char::from(*random.choose(LETTERS))).collect()
}

/// FNV-1a with a final mix; a collision costs one label of the sequence, nothing else.
fn fingerprint(octets: &[u8]) -> u64 {
    let hash = octets.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    Random::new(hash).next()
}
