//! Which hashes were looked up in the chain of NSEC3 for which node: what a change of the chain reaches.

use super::{archive::Hashed, collect::sort_key};

/// Octets of a hash.
const HASH: usize = 20;

/// Hashes, and the sort keys of the nodes for which they were looked up, in one row: there are millions.
#[derive(Default)]
pub struct Lookups {
    /// For each a hash, the length of a key in two octets, and the key.
    octets: Vec<u8>,
    count: usize,
}

impl Lookups {
    /// Notes the hashes that were looked up for a node, by its name in wire form.
    pub fn note(&mut self, name: &[u8], hashes: &[Vec<u8>]) {
        for hash in hashes.iter().filter(|hash| hash.len() == HASH) {
            self.octets.extend_from_slice(hash);
            let length = self.octets.len();
            self.octets.extend_from_slice(&[0; 2]);
            sort_key(name, &mut self.octets);
            let key = (self.octets.len() - length - 2) as u16;
            self.octets[length..length + 2].copy_from_slice(&key.to_be_bytes());
            self.count += 1;
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Hashed<'_>> {
        let mut rest = self.octets.as_slice();
        std::iter::from_fn(move || {
            let (hash, behind) = rest.split_first_chunk::<HASH>()?;
            let (length, behind) = behind.split_first_chunk()?;
            let (key, behind) = behind.split_at_checked(u16::from_be_bytes(*length).into())?;
            rest = behind;
            Some(Hashed { hash: *hash, tag: 0, key })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Lookups;

    #[test]
    fn what_was_noted_is_told() {
        let mut lookups = Lookups::default();
        lookups.note(b"\x01a\x03lac\0", &[vec![7; 20], vec![8; 20]]);
        lookups.note(b"\x03lac\0", &[vec![9; 20], vec![1, 2]]);
        let told: Vec<(u8, &[u8])> = lookups.iter().map(|one| (one.hash[0], one.key)).collect();
        assert_eq!(lookups.count(), 3);
        assert_eq!(told, [(7, &b"lac\0a\0"[..]), (8, b"lac\0a\0"), (9, b"lac\0")]);
    }
}
