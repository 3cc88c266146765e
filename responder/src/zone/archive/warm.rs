//! Pages on their way from the disk before they are asked for.
//!
//! What a commit of 1,000 names of ten million needs lies in as many pages, and the system may have given
//! their memory to others since the last commit. One after the other, the disk's delays add up; together they
//! are one.

use std::thread;

use super::{Edit, StoredKey, generation::Generation};
use crate::zone::{chain::nsec3, name::of_key};

/// Pages that are waited for at a time.
const TOGETHER: usize = 16;

/// Fewer names are not worth the threads.
const WORTHWHILE: usize = 64;

impl Edit<'_> {
    /// Reads, many at a time, the pages that hold what these sort keys own, who names them as a name server,
    /// and what stands under the hashes in their first labels. Nothing comes of it but that they are in memory:
    /// what cannot be read is told to whoever asks for it.
    pub fn expect<'k>(&self, keys: impl Iterator<Item = &'k [u8]>) {
        let keys: Vec<&[u8]> = keys.collect();
        if keys.len() < WORTHWHILE {
            return;
        }
        let generation = self.generation();
        thread::scope(|scope| {
            for keys in keys.chunks(keys.len().div_ceil(TOGETHER)) {
                // Where there is no thread to be had, nothing is read ahead.
                let _ = thread::Builder::new()
                    .name("archive".into())
                    .spawn_scoped(scope, move || read(generation, keys));
            }
        });
    }
}

fn read(generation: &Generation, keys: &[&[u8]]) {
    let Ok(txn) = generation.env.read_txn() else { return };
    for key in keys {
        let stored = StoredKey::new(key);
        // Owners larger than a page have pages of their own, the checksum at the front.
        let owner = generation.owners.get(&txn, &stored).ok().flatten();
        std::hint::black_box(owner.and_then(|octets| octets.first().copied()));
        std::hint::black_box(generation.hosts.get(&txn, &stored).is_ok());
        if let Some(hash) = nsec3::hash_in(&of_key(key)) {
            std::hint::black_box(generation.hashes.get(&txn, &hash).is_ok());
        }
    }
}
