//! Fragments that many names refer to, such as the NS set of a big host: stored once.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    io,
};

use responder_common::layout::Address;

use crate::{store::Space, zone::fragment::Built};

/// Where what was stored before stands, by a hash of its octets.
#[derive(Default)]
pub struct Sharing {
    hasher: RandomState,
    stored: HashMap<u64, Vec<Address>>,
}

impl Sharing {
    /// Stores a fragment once, however many names refer to it.
    ///
    /// # Errors
    /// When the store is full.
    pub fn share(&mut self, built: &Built, space: &mut Space<'_>) -> io::Result<Address> {
        let image = built.image();
        let same = self.stored.entry(self.hasher.hash_one(&image)).or_default();
        let store = space.store();
        if let Some(address) = same.iter().find(|address| store.holds(**address, &image)) {
            return Ok(*address);
        }
        let address = built.store(space)?;
        same.push(address);
        Ok(address)
    }
}
