//! A zone's contents in an archive, as a commit asks for them.

use std::cell::RefCell;

use super::{Changed, Contents, Key};
use crate::zone::{
    archive::{Edit, Error, Hashed, Lookup},
    collect::Owner,
};

/// The contents of an archive within an edit: what was put into it counts.
pub struct Archived<'e, 't> {
    edit: &'e Edit<'t>,
    fault: RefCell<Option<String>>,
}

impl<'e, 't> Archived<'e, 't> {
    /// The contents as the edit leaves them.
    pub fn new(edit: &'e Edit<'t>) -> Self {
        Self { edit, fault: RefCell::default() }
    }

    /// What was found; a fault is kept for later.
    fn told<T>(&self, found: Result<T, Error>) -> Option<T> {
        if let Err(error) = &found {
            self.fault.borrow_mut().get_or_insert(error.to_string());
        }
        found.ok()
    }
}

impl<'e> Contents<'e> for Archived<'e, '_> {
    fn owner(&self, key: &[u8]) -> Option<Owner<'e>> {
        Some(self.told(self.edit.owner(key)).flatten()?.to_owner())
    }

    fn next(&self, key: &[u8]) -> Option<Key> {
        Some(self.told(self.edit.after(key)).flatten()?.key.to_vec())
    }

    fn below(&self, key: &[u8]) -> Vec<Key> {
        let Some(owners) = self.told(self.edit.below(key)) else { return Vec::new() };
        owners.map_while(|owner| self.told(owner)).map(|owner| owner.key.to_vec()).collect()
    }

    fn served_by(&self, host: &[u8]) -> Vec<Key> {
        let Some(keys) = self.told(self.edit.delegations_to(host)) else { return Vec::new() };
        keys.map_while(|key| self.told(key)).map(<[u8]>::to_vec).collect()
    }

    fn dependents(&self, from: &[u8], to: Option<&[u8]>) -> Vec<Key> {
        let Ok(from) = <[u8; 20]>::try_from(from) else { return Vec::new() };
        let to = to.and_then(|to| to.try_into().ok()).unwrap_or(from);
        let mut keys = Vec::new();
        if let Some(here) = self.told(self.edit.hashed(&from)) {
            keys.extend(here.map_while(|found| self.told(found)).map(|found| found.key.to_vec()));
        }
        if let Some(between) = self.told(self.edit.between(&from, &to)) {
            keys.extend(
                between.map_while(|found| self.told(found)).map(|found| found.key.to_vec()),
            );
        }
        keys
    }

    fn expect<'k>(&self, keys: impl Iterator<Item = &'k [u8]>) {
        self.edit.expect(keys);
    }

    fn fault(&self) -> Option<String> {
        self.fault.borrow().clone()
    }
}

/// Files what the nodes of a commit depend on, when the edit is committed.
pub fn file(edit: &mut Edit<'_>, changed: &Changed) {
    for (node, hash) in &changed.forgotten {
        if let Ok(hash) = <[u8; 20]>::try_from(hash.as_slice()) {
            edit.file_later(Hashed { hash, tag: 0, key: node }, false);
        }
    }
    for (node, hashes) in &changed.lookups {
        for hash in hashes {
            if let Ok(hash) = <[u8; 20]>::try_from(hash.as_slice()) {
                edit.file_later(Hashed { hash, tag: 0, key: node }, true);
            }
        }
    }
}
