//! A change of a few names.

use std::sync::atomic::Ordering;

use heed::{EnvFlags, FlagSetMode, MdbError, RoTxn, RwTxn, WithoutTls};
use responder_common::wire::rtype;

use super::{
    Owner, StoredKey,
    error::{At as _, Error},
    generation::{Generation, word},
    hosts::{self, Targets},
    lookup::{Hashed, Inside, Lookup, stamp_key},
    owner::encode,
};

/// A change that is nothing until it is committed. It reads what it wrote ([`Lookup`]); views do not.
/// Dropped, it leaves the archive as it was.
///
/// After an error it is worth nothing: drop it.
pub struct Edit<'a> {
    txn: RwTxn<'a>,
    generation: &'a Generation,
    records: u64,
    octets: Vec<u8>,
}

impl<'a> Edit<'a> {
    pub(super) fn begin(generation: &'a Generation) -> Result<Self, Error> {
        let txn = generation.env.write_txn().at(&generation.folder)?;
        let records = generation.records(&txn)?;
        Ok(Self { txn, generation, records, octets: Vec::new() })
    }

    /// Writes an owner, in place of what it was. One without RRsets is deleted.
    ///
    /// # Errors
    /// [`Error::OutOfZone`], [`Error::Owner`]; [`Error::Full`]; what LMDB says.
    pub fn put(&mut self, owner: &Owner<'_>) -> Result<(), Error> {
        if owner.rrsets.is_empty() {
            return self.delete(owner.key).map(|_| ());
        }
        let generation = self.generation;
        if !owner.key.starts_with(&generation.apex) {
            return Err(Error::OutOfZone);
        }
        let servers = owner.rrset(rtype::NS).into_iter().flat_map(|set| set.rdata.iter().copied());
        let targets = hosts::targets(&generation.apex, owner.key, servers)?;
        let (records, before) = self.present(owner.key)?;
        self.octets.clear();
        self.records = self.records - records + encode(owner, &mut self.octets)?;
        let put = generation.owners.put(&mut self.txn, &StoredKey::new(owner.key), &self.octets);
        self.fits(put)?;
        self.point(owner.key, &before, &targets)
    }

    /// Deletes an owner; says whether it was there.
    ///
    /// # Errors
    /// As [`Edit::put`].
    pub fn delete(&mut self, key: &[u8]) -> Result<bool, Error> {
        let (records, before) = self.present(key)?;
        if records == 0 {
            return Ok(false);
        }
        self.records -= records;
        let deleted = self.generation.owners.delete(&mut self.txn, &StoredKey::new(key));
        self.fits(deleted)?;
        self.point(key, &before, &Targets::new())?;
        Ok(true)
    }

    /// Files an owner's key under an NSEC3 hash, with a mark of the caller's. Twice is once.
    ///
    /// # Errors
    /// [`Error::Full`]; what LMDB says.
    pub fn put_hash(&mut self, hashed: Hashed<'_>) -> Result<(), Error> {
        let put = self.generation.hashes.put(&mut self.txn, &hashed.hash, &filed(hashed));
        self.fits(put)
    }

    /// Takes it out again; says whether it was there.
    ///
    /// # Errors
    /// As [`Edit::put_hash`].
    pub fn delete_hash(&mut self, hashed: Hashed<'_>) -> Result<bool, Error> {
        let filed = filed(hashed);
        let deleted =
            self.generation.hashes.delete_one_duplicate(&mut self.txn, &hashed.hash, &filed);
        self.fits(deleted)
    }

    /// Takes all hashes out; for a new NSEC3 chain.
    ///
    /// # Errors
    /// As [`Edit::put_hash`].
    pub fn clear_hashes(&mut self) -> Result<(), Error> {
        let cleared = self.generation.hashes.clear(&mut self.txn);
        self.fits(cleared)
    }

    /// Notes octets of the caller's under a name of at most 500 octets.
    ///
    /// # Errors
    /// As [`Edit::put_hash`].
    pub fn put_stamp(&mut self, name: &str, octets: &[u8]) -> Result<(), Error> {
        let put = self.generation.meta.put(&mut self.txn, &stamp_key(name), octets);
        self.fits(put)
    }

    /// Makes the change the archive's content. Views opened from now on see it; whatever happens to the
    /// process, it stays.
    ///
    /// With `sync` it has also survived a loss of power when this returns. Without, its data are on the
    /// disk too, but the page that names it may not be: a loss of power may take this commit back, and
    /// those before it that were not synced, never a part of one. The next commit with `sync` holds for all.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Io`] on a full disk: nothing has changed then.
    pub fn commit(mut self, sync: bool) -> Result<(), Error> {
        let generation = self.generation;
        let records = self.records.to_be_bytes();
        let put = generation.meta.put(&mut self.txn, word::RECORDS, &records);
        self.fits(put)?;
        let mode = if sync { FlagSetMode::Disable } else { FlagSetMode::Enable };
        // SAFETY: only who holds the one write transaction comes here, so no two threads do. The flag
        // gives up durability, as said above, and keeps integrity.
        unsafe { generation.env.set_flags(EnvFlags::NO_META_SYNC, mode) }.at(&generation.folder)?;
        let Self { txn, .. } = self;
        let committed = txn.commit();
        generation.rest();
        check(generation, committed)
    }

    /// What it is an edit of.
    pub(super) fn generation(&self) -> &Generation {
        self.generation
    }

    /// The number of records under a key, and the name servers that have an entry for it.
    fn present(&self, key: &[u8]) -> Result<(u64, Targets), Error> {
        let Some(owner) = self.owner(key)? else { return Ok((0, Targets::new())) };
        let servers = owner.rrset(rtype::NS).into_iter().flat_map(|set| set.rdata);
        Ok((owner.records(), hosts::targets(&self.generation.apex, key, servers)?))
    }

    /// Brings the entries of `hosts` for an owner from one list to another.
    fn point(&mut self, key: &[u8], before: &Targets, after: &Targets) -> Result<(), Error> {
        let (hosts, key) = (self.generation.hosts, StoredKey::new(key));
        for gone in before.iter().filter(|host| after.binary_search(host).is_err()) {
            let host = StoredKey::new(gone);
            let deleted = hosts.delete_one_duplicate(&mut self.txn, &host, &key);
            self.fits(deleted)?;
        }
        for new in after.iter().filter(|host| before.binary_search(host).is_err()) {
            let put = hosts.put(&mut self.txn, &StoredKey::new(new), &key);
            self.fits(put)?;
        }
        Ok(())
    }

    /// Changes another database of the generation.
    pub(super) fn change<T>(
        &mut self,
        change: impl FnOnce(&Generation, &mut RwTxn<'_>) -> heed::Result<T>,
    ) -> Result<T, Error> {
        let changed = change(self.generation, &mut self.txn);
        self.fits(changed)
    }

    fn fits<T>(&self, result: heed::Result<T>) -> Result<T, Error> {
        check(self.generation, result)
    }
}

/// Says so when the address space is used up, and sees to it that the next writer has more.
pub(super) fn check<T>(generation: &Generation, result: heed::Result<T>) -> Result<T, Error> {
    match result {
        Err(heed::Error::Mdb(MdbError::MapFull)) => {
            generation.full.store(true, Ordering::Relaxed);
            let octets = generation.env.info().map_size as u64;
            Err(Error::Full { folder: generation.folder.clone(), octets })
        }
        other => other.at(&generation.folder),
    }
}

/// What stands under a hash.
pub(super) fn filed(hashed: Hashed<'_>) -> Vec<u8> {
    [&[hashed.tag], hashed.key].concat()
}

impl Inside for Edit<'_> {
    fn inside(&self) -> (&RoTxn<'_, WithoutTls>, &Generation) {
        (&self.txn, self.generation)
    }
}

impl Lookup for Edit<'_> {
    fn records(&self) -> Result<u64, Error> {
        Ok(self.records)
    }
}
