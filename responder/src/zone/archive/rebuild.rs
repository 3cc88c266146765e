//! A whole new content, written beside the old and put in its place in one step.

use responder_common::wire::rtype;

use super::{
    Archive, Owner, StoredKey,
    edit::{check, filed},
    error::{At as _, Error},
    generation::{self, Generation, word},
    hosts,
    lookup::{Hashed, stamp_key},
    owner::encode,
    run::Run,
};

/// Entries are gathered up to so many octets, then written in one transaction. It bounds the memory.
const OWNERS: usize = 4 << 20;

/// What comes in another order than it is kept in is sorted in runs of so many octets.
const SORTED: usize = 16 << 20;

/// A new content on its way. Readers of the old one are not disturbed; dropped, it leaves no trace.
pub struct Rebuild<'a> {
    archive: &'a Archive,
    number: u64,
    // None only while it is being finished.
    building: Option<Generation>,
    owners: Run,
    hosts: Run,
    hashes: Run,
    stamps: Vec<(Vec<u8>, Vec<u8>)>,
    last: Vec<u8>,
    records: u64,
}

impl<'a> Rebuild<'a> {
    pub(super) fn begin(archive: &'a Archive) -> Result<Self, Error> {
        let building = Generation::build(&archive.folder, &archive.apex, archive.limits)?;
        Ok(Self {
            archive,
            number: archive.generation().number + 1,
            building: Some(building),
            owners: Run::default(),
            hosts: Run::default(),
            hashes: Run::default(),
            stamps: Vec::new(),
            last: Vec::new(),
            records: 0,
        })
    }

    /// Takes the next owner in canonical order. One without RRsets is left out.
    ///
    /// # Errors
    /// [`Error::Order`], [`Error::OutOfZone`], [`Error::Owner`]: drop the rebuild then. [`Error::Full`] and
    /// [`Error::Io`] when there is no room.
    pub fn owner(&mut self, owner: &Owner<'_>) -> Result<(), Error> {
        let apex = &self.building().apex;
        if !owner.key.starts_with(apex) {
            return Err(Error::OutOfZone);
        }
        if owner.key <= &self.last[..] && !self.last.is_empty() {
            return Err(Error::Order);
        }
        if owner.rrsets.is_empty() {
            return Ok(());
        }
        if let Some(set) = owner.rrset(rtype::NS) {
            let targets = hosts::targets(apex, owner.key, set.rdata.iter().copied())?;
            for host in targets {
                self.hosts.add([&[0], &host], |to| {
                    to.extend_from_slice(&StoredKey::new(owner.key));
                    Ok::<_, Error>(())
                })?;
            }
        }
        self.records += self.owners.add([&[0], owner.key], |to| encode(owner, to))?;
        self.last.clear();
        self.last.extend_from_slice(owner.key);
        if self.owners.octets() >= OWNERS || self.hosts.octets() >= SORTED {
            self.flush()?;
        }
        Ok(())
    }

    /// Files an owner's key under an NSEC3 hash. Best in order of hash; any order will do.
    ///
    /// # Errors
    /// [`Error::Full`] and [`Error::Io`] when there is no room.
    pub fn hash(&mut self, hashed: Hashed<'_>) -> Result<(), Error> {
        self.hashes.add([&hashed.hash, &[]], |to| {
            to.extend_from_slice(&filed(hashed));
            Ok::<_, Error>(())
        })?;
        if self.hashes.octets() >= SORTED { self.flush() } else { Ok(()) }
    }

    /// Notes octets of the caller's under a name. Stamps of the old content are not kept.
    pub fn stamp(&mut self, name: &str, octets: &[u8]) {
        self.stamps.push((stamp_key(name), octets.to_vec()));
    }

    /// Makes the new content durable and puts it in the place of the old.
    ///
    /// # Errors
    /// [`Error::Full`] and [`Error::Io`]; nothing has changed then.
    pub fn finish(mut self) -> Result<(), Error> {
        self.flush()?;
        let building = self.building.take().expect("it is there until here");
        let folder = &building.folder;
        let mut txn = building.env.write_txn().at(folder)?;
        let mut put =
            |key: &[u8], value: &[u8]| check(&building, building.meta.put(&mut txn, key, value));
        put(word::RECORDS, &self.records.to_be_bytes())?;
        for (key, octets) in &self.stamps {
            put(key, octets)?;
        }
        check(&building, txn.commit())?;
        building.durable()?;
        generation::put_in_place(&self.archive.folder, self.number)?;
        self.archive.follow(self.number, 0)?;
        Ok(())
    }

    fn building(&self) -> &Generation {
        self.building.as_ref().expect("it is there until it is finished")
    }

    /// Writes what was gathered.
    fn flush(&mut self) -> Result<(), Error> {
        let building = self.building.as_ref().expect("it is there until it is finished");
        let mut txn = building.env.write_txn().at(&building.folder)?;
        check(building, self.owners.flush(&mut txn, building.owners))?;
        check(building, self.hosts.flush(&mut txn, building.hosts))?;
        check(building, self.hashes.flush(&mut txn, building.hashes))?;
        check(building, txn.commit())
    }
}

impl Drop for Rebuild<'_> {
    fn drop(&mut self) {
        if let Some(building) = self.building.take() {
            let folder = building.folder.clone();
            drop(building);
            // What stays is removed by the next one, or at the next start.
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}
