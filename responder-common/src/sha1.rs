//! SHA-1 (RFC 3174), for the hashes of NSEC3 (RFC 5155): one block at a time, in scratch memory.
//!
//! The message schedule lives in memory between rounds, since the kernel's stack and registers are few.

use crate::{bounds, scratch::Hidden};

/// Blocks of the longest input: a name of 255 octets, salt, padding and length.
pub const BLOCKS_MAX: u32 = 5;
/// Octets of a block.
pub const BLOCK: u32 = 64;
/// Room for the input of the longest hash.
pub const INPUT: usize = (BLOCKS_MAX * BLOCK) as usize + 16;

/// The state of a hash.
#[derive(Clone, zerocopy::FromZeros)]
#[repr(C, align(8))]
pub struct Sha1 {
    /// The octets being hashed.
    pub input: [u8; INPUT],
    /// The digest so far, as numbers.
    pub digest: [Hidden<u32>; 5],
    schedule: [Hidden<u32>; 17],
}

impl Sha1 {
    /// Starts a hash.
    #[inline(always)]
    pub fn start(&mut self) {
        self.digest[0].set(0x6745_2301);
        self.digest[1].set(0xefcd_ab89);
        self.digest[2].set(0x98ba_dcfe);
        self.digest[3].set(0x1032_5476);
        self.digest[4].set(0xc3d2_e1f0);
    }

    /// Puts the padding and the length behind `length` octets of input; how many blocks there are.
    #[inline(always)]
    pub fn pad(&mut self, length: u32) -> u32 {
        let blocks = (length + 8) / BLOCK + 1;
        bounds::set(&mut self.input, length, 0x80);
        let bits = u64::from(length) * 8;
        // Zeros between the end and the length: at most a block and a word.
        let mut step = 0;
        while step < 10 {
            let at = length + 1 + step * 8;
            if at + 8 <= blocks * BLOCK {
                bounds::put(&mut self.input, at, 0);
            }
            step += 1;
        }
        bounds::put(&mut self.input, blocks * BLOCK - 8, bits.swap_bytes());
        blocks
    }

    /// Works one block into the digest.
    #[inline(always)]
    pub fn block(&mut self, number: u32) {
        let mut word = 0;
        while word < 8 {
            let octets = bounds::word(&self.input, number * BLOCK + word * 8).swap_bytes();
            self.schedule[word as usize * 2].set((octets >> 32) as u32);
            self.schedule[word as usize * 2 + 1].set(octets as u32);
            word += 1;
        }
        let mut a = self.digest[0].get();
        let mut b = self.digest[1].get();
        let mut c = self.digest[2].get();
        let mut d = self.digest[3].get();
        let mut e = self.digest[4].get();
        // The round's number is a literal everywhere: in a loop the places of the schedule would be worked out
        // anew each time, which costs BPF with its ten registers more than the rounds themselves.
        macro_rules! round {
            ($a:ident $b:ident $c:ident $d:ident $e:ident, $mix:expr, $constant:literal, $round:expr) => {
                // What needs the round before comes last.
                $e = $e
                    .wrapping_add(self.scheduled($round))
                    .wrapping_add($constant)
                    .wrapping_add($mix)
                    .wrapping_add($a.rotate_left(5));
                $b = $b.rotate_left(30);
            };
        }
        macro_rules! five_rounds {
            ($from:expr, $constant:literal, |$x:ident, $y:ident, $z:ident| $mix:expr) => {
                macro_rules! mix {
                    ($one:ident $two:ident $three:ident) => {{
                        let ($x, $y, $z) = ($one, $two, $three);
                        $mix
                    }};
                }
                round!(a b c d e, mix!(b c d), $constant, $from);
                round!(e a b c d, mix!(a b c), $constant, $from + 1);
                round!(d e a b c, mix!(e a b), $constant, $from + 2);
                round!(c d e a b, mix!(d e a), $constant, $from + 3);
                round!(b c d e a, mix!(c d e), $constant, $from + 4);
            };
        }
        macro_rules! rounds {
            ($from:literal, $constant:literal, $($mix:tt)*) => {
                five_rounds!($from, $constant, $($mix)*);
                five_rounds!($from + 5, $constant, $($mix)*);
                five_rounds!($from + 10, $constant, $($mix)*);
                five_rounds!($from + 15, $constant, $($mix)*);
            };
        }
        rounds!(0, 0x5a82_7999_u32, |x, y, z| z ^ (x & (y ^ z)));
        rounds!(20, 0x6ed9_eba1_u32, |x, y, z| x ^ y ^ z);
        rounds!(40, 0x8f1b_bcdc_u32, |x, y, z| (x & y) | (z & (x | y)));
        rounds!(60, 0xca62_c1d6_u32, |x, y, z| x ^ y ^ z);
        self.digest[0].set(self.digest[0].get().wrapping_add(a));
        self.digest[1].set(self.digest[1].get().wrapping_add(b));
        self.digest[2].set(self.digest[2].get().wrapping_add(c));
        self.digest[3].set(self.digest[3].get().wrapping_add(d));
        self.digest[4].set(self.digest[4].get().wrapping_add(e));
    }

    /// The schedule's word of a round, made from the ones before it.
    #[inline(always)]
    fn scheduled(&mut self, round: u32) -> u32 {
        let at = |round: u32| (round & 15) as usize;
        if round < 16 {
            return self.schedule[at(round)].get();
        }
        let word = self.schedule[at(round + 13)].get()
            ^ self.schedule[at(round + 8)].get()
            ^ self.schedule[at(round + 2)].get()
            ^ self.schedule[at(round)].get();
        let word = word.rotate_left(1);
        self.schedule[at(round)].set(word);
        word
    }

    /// Writes the digest over the start of the input.
    #[inline(always)]
    pub fn feed_back(&mut self) {
        let word = |high: u32, low: u32| (u64::from(high) << 32 | u64::from(low)).swap_bytes();
        let [a, b, c, d, e] = &self.digest;
        let words = [word(a.get(), b.get()), word(c.get(), d.get()), word(e.get(), 0)];
        bounds::put(&mut self.input, 0, words[0]);
        bounds::put(&mut self.input, 8, words[1]);
        bounds::put(&mut self.input, 16, words[2]);
    }
}

/// The hash of a name (RFC 5155, section 5): for the compiler of zones.
pub fn nsec3(sha1: &mut Sha1, name: &[u8], salt: &[u8], iterations: u16) -> [u8; 20] {
    sha1.input[..name.len()].copy_from_slice(name);
    let mut length = name.len();
    for _ in 0..=iterations {
        sha1.input[length..length + salt.len()].copy_from_slice(salt);
        let blocks = sha1.pad((length + salt.len()) as u32);
        sha1.start();
        for number in 0..blocks {
            sha1.block(number);
        }
        sha1.feed_back();
        length = 20;
    }
    let mut digest = [0; 20];
    digest.copy_from_slice(&sha1.input[..20]);
    digest
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::FromZeros;

    fn hex(octets: &[u8]) -> u128 {
        octets[..16].iter().fold(0, |number, octet| number << 8 | u128::from(*octet))
    }

    #[test]
    fn rfc3174_test_vectors() {
        let mut sha1 = Sha1::new_zeroed();
        let digest = nsec3(&mut sha1, b"abc", b"", 0);
        assert_eq!(hex(&digest), 0xa999_3e36_4706_816a_ba3e_2571_7850_c26c);
        let long = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
        let digest = nsec3(&mut sha1, long, b"", 0);
        assert_eq!(hex(&digest), 0x8498_3e44_1c3b_d26e_baae_4aa1_f951_29e5);
    }

    #[test]
    fn rfc5155_appendix_a() {
        // H(example) = 0p9mhaveqvm6t7vbl5lop2u3t2rp3tom, salt AABBCCDD, 12 iterations.
        let mut sha1 = Sha1::new_zeroed();
        let digest = nsec3(&mut sha1, b"\x07example\0", &[0xaa, 0xbb, 0xcc, 0xdd], 12);
        let text: [u8; 8] = *b"0p9mhave";
        let value = |octet: u8| if octet < b'a' { octet - b'0' } else { octet - b'a' + 10 };
        let start = text.iter().fold(0_u64, |number, octet| number << 5 | u64::from(value(*octet)));
        assert_eq!((hex(&digest) >> 88) as u64, start);
    }

    #[test]
    fn every_length_up_to_five_blocks() {
        let mut sha1 = Sha1::new_zeroed();
        let octets = [0x61; 311];
        let mut seen = [0_u128; 312];
        for length in 0..=311 {
            seen[length] = hex(&nsec3(&mut sha1, &octets[..length], b"", 0));
            assert!(!seen[..length].contains(&seen[length]));
        }
        // 64 and 128 times "a", from FIPS test tools.
        assert_eq!(seen[64], 0x0098_ba82_4b5c_1642_7bd7_a112_2a5a_442a);
        assert_eq!(seen[128], 0xad5b_3fdb_cb52_6778_c283_9d2f_151e_a753);
    }
}
