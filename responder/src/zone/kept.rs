//! What a zone keeps from one load to the next, so that a change costs what has changed.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use tracing::{debug, warn};

use super::{
    archive::{Archive, Error, Hashed, Limits, OwnerChange, diff},
    change::{self, Archived, Changed, Refused},
    collect::{Owner, sort_key},
};
use crate::store::Store;

/// Zones with fewer owners are compiled anew: that is faster than to look up what has changed.
const WORTHWHILE: u64 = 4096;

/// What a zone keeps. Nothing, at first.
#[derive(Default)]
pub struct Kept {
    /// Where its archive may stand; none where nothing is to be kept.
    folder: Option<PathBuf>,
    /// Whether it has an archive however small it is: for those who transfer it.
    always: bool,
    shelf: Shelf,
    /// Whether the archive holds what is served, so that a change can be told from it.
    agrees: bool,
    names: u64,
}

/// Where a zone's archive is found by those who read it while the zone is loaded anew.
#[derive(Clone, Default)]
pub struct Shelf(Arc<RwLock<Option<Arc<Archive>>>>);

impl Shelf {
    /// The archive, if there is one. Its contents may be those of the version before for a moment.
    pub fn archive(&self) -> Option<Arc<Archive>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, archive: Option<Arc<Archive>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = archive;
    }
}

/// A change that was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The serial now served.
    pub serial: u32,
    /// Names in the store.
    pub names: u64,
    /// Owners that differed.
    pub owners: u64,
    /// Names written anew: those, and what hangs on them.
    pub written: u64,
    /// From the first look at the store until nobody reads the former version.
    pub took: Duration,
}

impl Kept {
    /// A zone that may keep its contents in a folder.
    pub fn within(folder: PathBuf) -> Self {
        Self { folder: Some(folder), ..Self::default() }
    }

    /// Has the zone keep its contents however small it is, or only where that makes changes cheaper.
    /// It holds from the next load on.
    pub fn set_always(&mut self, always: bool) {
        self.always = always;
    }

    /// Where its archive is found.
    pub fn shelf(&self) -> Shelf {
        self.shelf.clone()
    }

    /// Removes what was kept.
    pub fn discard(self) {
        self.shelf.put(None);
        if let Some(folder) = self.folder
            && let Err(error) = Archive::discard(&folder)
        {
            warn!("{error}");
        }
    }

    /// Serves other contents by committing what differs. None where that cannot be done or is not worth
    /// it: then the zone is to be compiled as a whole.
    ///
    /// # Errors
    /// What is wrong with the new contents; what was served goes on being served.
    pub fn change<'a>(
        &mut self,
        store: &Store,
        owners: impl Iterator<Item = Owner<'a>>,
    ) -> Result<Option<Committed>, String> {
        let archive = self.shelf.archive().filter(|_| std::mem::take(&mut self.agrees));
        let Some(archive) = archive else { return Ok(None) };
        let apex = archive.apex().to_owned();
        // Where too much was given back, a compilation is also a cleaning.
        let crumbled = |usage: crate::store::Usage| usage.dead > usage.live / 2 + (1 << 20);
        if store.usage(&apex).is_none_or(crumbled) {
            return Ok(None);
        }
        let outcome = commit(&archive, store, &apex, owners, self.names / 8);
        match outcome {
            Ok(Some((owners, took, changed))) => {
                self.names = self.names + changed.added - changed.removed;
                self.agrees = true;
                Ok(Some(Committed {
                    serial: changed.serial,
                    names: self.names,
                    owners,
                    written: changed.written,
                    took,
                }))
            }
            Ok(None) => Ok(None),
            Err(Trouble::Refused(Refused::Zone(message))) => {
                self.agrees = true;
                Err(message)
            }
            Err(trouble) => {
                debug!("no commit, the zone is compiled as a whole: {trouble:?}");
                Ok(None)
            }
        }
    }

    /// Notes what a node depends on, for [`Kept::keep`].
    pub fn note(&self, name: &[u8], hashes: &[Vec<u8>], to: &mut Vec<([u8; 20], Vec<u8>)>) {
        if self.folder.is_none() {
            return;
        }
        let mut key = Vec::new();
        sort_key(name, &mut key);
        for hash in hashes {
            if let Ok(hash) = hash.as_slice().try_into() {
                to.push((hash, key.clone()));
            }
        }
    }

    /// Keeps contents that were compiled as a whole: the owners in canonical order, and the hashes that
    /// were looked up for their nodes.
    pub fn keep<'a>(
        &mut self,
        apex: &[u8],
        names: u64,
        owners: impl Iterator<Item = Owner<'a>>,
        lookups: &[([u8; 20], Vec<u8>)],
    ) {
        self.agrees = false;
        self.names = names;
        let wanted = |_: &&PathBuf| self.always || names >= WORTHWHILE;
        let Some(folder) = self.folder.as_ref().filter(wanted) else {
            return self.shelf.put(None);
        };
        let open = || Archive::open(folder, apex, Limits::default()).map(Arc::new);
        // One that is open stays open: others may be reading it.
        let archive = self.shelf.archive().map_or_else(open, Ok).or_else(|error| {
            debug!("{error}: begun anew");
            Archive::discard(folder)?;
            open()
        });
        let kept = archive.and_then(|archive| {
            let hashes = lookups.iter().map(|(hash, key)| Hashed { hash: *hash, tag: 0, key });
            archive.replace(owners, hashes, &[])?;
            Ok(archive)
        });
        match kept {
            Ok(archive) => {
                self.shelf.put(Some(archive));
                self.agrees = true;
            }
            Err(error) => {
                self.shelf.put(None);
                warn!("the next change compiles the whole zone: {error}");
            }
        }
    }
}

#[derive(Debug)]
enum Trouble {
    Archive(#[expect(dead_code, reason = "printed")] Error),
    Refused(Refused),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Archive(error)
    }
}

/// Brings archive and store to the new contents. None where more than `most` owners differ.
fn commit<'a>(
    archive: &Archive,
    store: &Store,
    apex: &[u8],
    owners: impl Iterator<Item = Owner<'a>>,
    most: u64,
) -> Result<Option<(u64, Duration, Changed)>, Trouble> {
    let mut writer = archive.writer()?;
    let view = archive.read()?;
    let mut edit = writer.begin()?;
    let mut keys = BTreeSet::new();
    for difference in diff(&view, owners)? {
        match difference? {
            OwnerChange::Put(owner) => {
                edit.put(&owner)?;
                keys.insert(owner.key.to_vec());
            }
            OwnerChange::Deleted(key) => {
                edit.delete(key)?;
                keys.insert(key.to_vec());
            }
        }
        if keys.len() as u64 > most {
            return Ok(None);
        }
    }
    drop(view);
    let started = Instant::now();
    let changed =
        change::commit(store, apex, &Archived::new(&edit), &keys).map_err(Trouble::Refused)?;
    let took = started.elapsed();
    // What is served is the new contents already; the archive follows.
    change::file(&mut edit, &changed)?;
    edit.commit(false)?;
    Ok(Some((keys.len() as u64, took, changed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_that_keeps_nothing_is_compiled_as_a_whole() {
        let options = crate::store::StoreOptions { udp_size: 1232, id: String::new() };
        let store = Store::in_memory(&options).expect("memory");
        assert_eq!(Kept::default().change(&store, std::iter::empty()), Ok(None));
    }
}
