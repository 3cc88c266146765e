//! SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012), as RFC 9018 wants it.

/// The hash, word by word.
#[derive(Clone, Copy)]
pub struct SipHash {
    v: [u64; 4],
}

impl SipHash {
    /// Begins with a key, its octets in memory order.
    #[inline(always)]
    pub fn new(key: [u64; 2]) -> Self {
        Self {
            v: [
                key[0] ^ 0x736f_6d65_7073_6575,
                key[1] ^ 0x646f_7261_6e64_6f6d,
                key[0] ^ 0x6c79_6765_6e65_7261,
                key[1] ^ 0x7465_6462_7974_6573,
            ],
        }
    }

    #[inline(always)]
    fn round(&mut self) {
        let v = &mut self.v;
        v[0] = v[0].wrapping_add(v[1]);
        v[1] = v[1].rotate_left(13) ^ v[0];
        v[0] = v[0].rotate_left(32);
        v[2] = v[2].wrapping_add(v[3]);
        v[3] = v[3].rotate_left(16) ^ v[2];
        v[0] = v[0].wrapping_add(v[3]);
        v[3] = v[3].rotate_left(21) ^ v[0];
        v[2] = v[2].wrapping_add(v[1]);
        v[1] = v[1].rotate_left(17) ^ v[2];
        v[2] = v[2].rotate_left(32);
    }

    /// Takes in eight octets in memory order. The last word of an input has its length, modulo 256, in
    /// the high octet.
    #[inline(always)]
    pub fn word(&mut self, word: u64) {
        self.v[3] ^= word;
        self.round();
        self.round();
        self.v[0] ^= word;
    }

    /// The hash, in memory order.
    #[inline(always)]
    pub fn finish(mut self) -> u64 {
        self.v[2] ^= 0xff;
        self.round();
        self.round();
        self.round();
        self.round();
        self.v[0] ^ self.v[1] ^ self.v[2] ^ self.v[3]
    }
}

#[cfg(test)]
mod tests {
    use super::SipHash;

    /// The paper's appendix: key 00 … 0f, input 00 … 0e.
    #[test]
    fn the_papers_example() {
        let mut hash = SipHash::new([0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908]);
        hash.word(0x0706_0504_0302_0100);
        hash.word(0x0f0e_0d0c_0b0a_0908);
        assert_eq!(hash.finish(), 0xa129_ca61_49be_45e5);
    }
}
