//! A change of a few names.

use std::sync::atomic::Ordering;

use heed::{EnvFlags, FlagSetMode, MdbError, RoTxn, RwTxn, WithoutTls};
use responder_common::wire::rtype;

use super::{
    Owner, StoredKey,
    error::{At as _, Error},
    generation::{Generation, word},
    hosts::{self, Targets},
    log::Record,
    lookup::{Hashed, Inside, Lookup, stamp_key},
    owner::encode,
    step::{self, Step, Which},
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
    /// What goes into the log.
    record: Record,
    /// Steps that are done by the commit.
    later: Vec<u8>,
}

impl<'a> Edit<'a> {
    pub(super) fn begin(generation: &'a Generation) -> Result<Self, Error> {
        let txn = generation.env.write_txn().at(&generation.folder)?;
        let records = generation.records(&txn)?;
        Ok(Self {
            txn,
            generation,
            records,
            octets: Vec::new(),
            record: Record::new(),
            later: Vec::new(),
        })
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
        let octets = std::mem::take(&mut self.octets);
        let put = self.step(Which::Owners, Step::Put(&StoredKey::new(owner.key), &octets));
        self.octets = octets;
        put?;
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
        self.step(Which::Owners, Step::Delete(&StoredKey::new(key)))?;
        self.point(key, &before, &Targets::new())?;
        Ok(true)
    }

    /// Files an owner's key under an NSEC3 hash, with a mark of the caller's. Twice is once.
    ///
    /// # Errors
    /// [`Error::Full`]; what LMDB says.
    pub fn put_hash(&mut self, hashed: Hashed<'_>) -> Result<(), Error> {
        self.step(Which::Hashes, Step::Put(&hashed.hash, &filed(hashed))).map(drop)
    }

    /// Takes it out again; says whether it was there.
    ///
    /// # Errors
    /// As [`Edit::put_hash`].
    pub fn delete_hash(&mut self, hashed: Hashed<'_>) -> Result<bool, Error> {
        self.step(Which::Hashes, Step::Part(&hashed.hash, &filed(hashed)))
    }

    /// [`Edit::put_hash`] (`is_there`) or [`Edit::delete_hash`], done by [`Edit::commit`], since pages of
    /// their own have to be read for it: until then the edit reads the hashes as they were.
    pub fn file_later(&mut self, hashed: Hashed<'_>, is_there: bool) {
        let filed = filed(hashed);
        let put = Step::Put(&hashed.hash, &filed);
        self.step_later(
            Which::Hashes,
            if is_there { put } else { Step::Part(&hashed.hash, &filed) },
        );
    }

    /// Whether that is seen to stand under a hash. LMDB would copy the page before it looks, and most nodes
    /// that a commit writes hang on the same hashes as before.
    fn is_filed(&self, hash: &[u8], filed: &[u8]) -> Result<bool, Error> {
        const LOOKED_AT: usize = 8;
        let folder = &self.generation.folder;
        let found = self.generation.hashes.get_duplicates(&self.txn, hash).at(folder)?;
        for entry in found.into_iter().flatten().take(LOOKED_AT) {
            if entry.at(folder)?.1 == filed {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes all hashes out; for a new NSEC3 chain.
    ///
    /// # Errors
    /// As [`Edit::put_hash`].
    pub fn clear_hashes(&mut self) -> Result<(), Error> {
        self.step(Which::Hashes, Step::Clear).map(drop)
    }

    /// Notes octets of the caller's under a name of at most 500 octets.
    ///
    /// # Errors
    /// As [`Edit::put_hash`].
    pub fn put_stamp(&mut self, name: &str, octets: &[u8]) -> Result<(), Error> {
        self.step(Which::Meta, Step::Put(&stamp_key(name), octets)).map(drop)
    }

    /// Makes the change the archive's content. Views opened from now on see it; whatever happens to the
    /// process, it stays.
    ///
    /// With `sync` it has also survived a loss of power when this returns. Without, its data are on the
    /// disk too, but the page that names it may not be: a loss of power may take this commit back, and
    /// those before it that were not synced, never a part of one. The next commit with `sync` holds for all.
    /// So only stamps are committed without: what is logged next goes on from the contents.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Io`] on a full disk: nothing has changed then.
    pub fn commit(mut self, sync: bool) -> Result<(), Error> {
        if self.generation.is_behind() {
            // This very change is in the log, with its number.
            return self.commit_logged();
        }
        if sync {
            self.number()?;
        } else {
            self.count()?;
        }
        self.finish(sync)
    }

    /// Makes what the log holds the tree's.
    pub(super) fn commit_logged(self) -> Result<(), Error> {
        let generation = self.generation;
        self.finish(true)?;
        generation.behind.store(false, Ordering::Release);
        Ok(())
    }

    fn finish(mut self, sync: bool) -> Result<(), Error> {
        let later = std::mem::take(&mut self.later);
        self.redo_all(&later)?;
        let generation = self.generation;
        let mode = if sync { FlagSetMode::Disable } else { FlagSetMode::Enable };
        // SAFETY: only who holds the one write transaction comes here, so no two threads do. The flag
        // gives up durability, as said above, and keeps integrity.
        unsafe { generation.env.set_flags(EnvFlags::NO_META_SYNC, mode) }.at(&generation.folder)?;
        let Self { txn, .. } = self;
        let committed = txn.commit();
        generation.rest();
        check(generation, committed)
    }

    /// Gives the change the next number, which it tells.
    pub(super) fn number(&mut self) -> Result<u64, Error> {
        self.count()?;
        let number = self.generation.changes(&self.txn)? + 1;
        self.step(Which::Meta, Step::Put(word::CHANGES, &number.to_be_bytes()))?;
        Ok(number)
    }

    /// Notes how many records there are.
    fn count(&mut self) -> Result<(), Error> {
        let records = self.records.to_be_bytes();
        self.step(Which::Meta, Step::Put(word::RECORDS, &records)).map(drop)
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
        let key = StoredKey::new(key);
        for gone in before.iter().filter(|host| after.binary_search(host).is_err()) {
            self.step(Which::Hosts, Step::Part(&StoredKey::new(gone), &key))?;
        }
        for new in after.iter().filter(|host| before.binary_search(host).is_err()) {
            self.step(Which::Hosts, Step::Put(&StoredKey::new(new), &key))?;
        }
        Ok(())
    }

    /// Does a step, and notes it for the log; whether there was something to be done.
    pub(super) fn step(&mut self, which: Which, step: Step<'_>) -> Result<bool, Error> {
        self.record.add(which, step);
        self.redo(which, step)
    }

    /// Notes a step for the log, and does it when the edit is committed.
    pub(super) fn step_later(&mut self, which: Which, step: Step<'_>) {
        self.record.add(which, step);
        step::encode(which, step, &mut self.later);
    }

    /// Does steps that the log has already.
    pub(super) fn redo_all(&mut self, mut steps: &[u8]) -> Result<(), Error> {
        while !steps.is_empty() {
            let Some((which, step)) = step::decode(&mut steps) else {
                let what = "the log is not what was written";
                return Err(Error::Broken { folder: self.generation.folder.clone(), what });
            };
            self.redo(which, step)?;
        }
        Ok(())
    }

    /// Does a step that the log has already; whether there was something to be done.
    pub(super) fn redo(&mut self, which: Which, step: Step<'_>) -> Result<bool, Error> {
        let map = self.generation.map(which);
        let done = match step {
            Step::Put(hash, filed) if which == Which::Hashes && self.is_filed(hash, filed)? => {
                return Ok(false);
            }
            Step::Put(key, value) => map.put(&mut self.txn, key, value).map(|()| true),
            Step::Delete(key) => map.delete(&mut self.txn, key),
            Step::Part(key, value) => map.delete_one_duplicate(&mut self.txn, key, value),
            Step::Clear => map.clear(&mut self.txn).map(|()| true),
            Step::Note(limits, entry) => return self.append(limits, entry).map(|()| true),
        };
        check(self.generation, done)
    }

    /// Reads how many records there are, after steps that a log told.
    pub(super) fn recount(&mut self) -> Result<(), Error> {
        self.records = self.generation.records(&self.txn)?;
        Ok(())
    }

    /// What goes into the log; nothing is noted any more.
    pub(super) fn record(&mut self) -> Record {
        std::mem::replace(&mut self.record, Record::none())
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
