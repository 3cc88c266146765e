//! What an earlier start kept, or another process compiled, gone on from.

use std::sync::Arc;

use tracing::error;

use super::{Kept, LIFE, MARK};
use crate::{
    store::Store,
    zone::{
        Arrivals, Progress,
        archive::{Archive, Error, Limits},
        compile_whole,
    },
};

impl Kept {
    /// What is kept from an earlier start, if it is known for how long it is good. What cannot be opened is
    /// set aside.
    pub(in crate::zone) fn found(&self, apex: &[u8]) -> Option<Arc<Archive>> {
        let folder = self.folder.as_ref().filter(|folder| Archive::stands_in(folder))?;
        let opened = || {
            let archive = Archive::open(folder, apex, Limits::default())?;
            let whole = archive.newest(|contents| {
                Ok(contents.serial()?.is_some() && contents.stamp(LIFE)?.is_some())
            })?;
            Ok::<_, Error>(whole.then(|| Arc::new(archive)))
        };
        opened().unwrap_or_else(|error| {
            self.set_aside(&error);
            None
        })
    }

    /// Moves an archive that is damaged out of the way, for whoever wants to look at it.
    pub(in crate::zone) fn set_aside(&self, error: &Error) {
        let Some(folder) = &self.folder else { return };
        match Archive::set_aside(folder) {
            Ok(to) => error!("{error}; it is set aside as {}", to.display()),
            Err(second) => error!("{error}; it cannot be set aside: {second}"),
        }
    }

    /// Goes on from an archive whose contents are served.
    pub(in crate::zone) fn adopt(&mut self, archive: Arc<Archive>, names: u64) {
        self.names = names;
        self.shelf.put(Some(archive));
        self.agrees = true;
    }

    /// The mark of what is served, if it is on disk.
    pub fn mark(&self) -> Option<u64> {
        mark_of(&*self.shelf.archive().filter(|_| self.agrees)?)
    }

    /// Goes on from what is on disk, if it has this mark; false where it has not. `names` are those in the
    /// store.
    pub fn resume(&mut self, apex: &[u8], mark: u64, names: u64) -> bool {
        let Some(folder) = self.folder.as_ref().filter(|folder| Archive::stands_in(folder)) else {
            return false;
        };
        match Archive::open(folder, apex, Limits::default()) {
            Ok(archive) if mark_of(&archive) == Some(mark) => {
                self.adopt(Arc::new(archive), names);
                true
            }
            _ => false,
        }
    }

    /// Compiles what is on disk, and served, as a whole, so that it can be changed in the store: another
    /// process compiled what is there.
    pub(super) fn unseal(&self, store: &Store, archive: &Archive) -> Result<(), String> {
        let apex = archive.apex();
        if !store.is_sealed(apex) {
            return Ok(());
        }
        let arrivals = Arrivals::of_archive(archive).map_err(|error| error.to_string())?;
        let (progress, mut compiled) = (Progress::default(), Kept::default());
        compile_whole(store, apex, arrivals.sorted()?, &progress, &mut compiled).map(drop)
    }
}

/// The mark of an archive's contents.
fn mark_of(archive: &Archive) -> Option<u64> {
    let mark = archive.newest(|contents| {
        Ok(contents.stamp(MARK)?.and_then(|octets| octets.try_into().ok()).map(u64::from_le_bytes))
    });
    mark.ok()?
}
