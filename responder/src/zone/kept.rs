//! What a zone keeps from one version to the next: its contents on disk, so that a change costs what has
//! changed, a restart needs no primary, and others can have the zone and its changes.
//!
//! | module | what |
//! |---|---|
//! | [`again`] | what an earlier start kept, or another process compiled |
//! | [`apply`] | differences from elsewhere, applied to the archive |
//! | [`commit`] | a change, from the archive to the store and back |
//! | [`shelf`] | where others find the archive |
//! | [`tell`] | what differs between two forms of an owner, for the journal |

mod again;
mod apply;
mod commit;
mod shelf;
mod tell;
#[cfg(test)]
mod tests;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tracing::{debug, warn};

use self::commit::{Trouble, Work};
pub use self::{commit::Steps, shelf::Shelf};
use super::{
    archive::{Archive, Error, JournalLimits, Limits, Lookup as _},
    change::Refused,
    collect::{Owner, Sorted},
    difference::Difference,
    give_memory_back,
    guard::{self, Guards, Refusal, Subject},
    life::Life,
    lookups::Lookups,
};
use crate::store::Store;

/// Zones with fewer owners are compiled anew: that is faster than to look up what has changed.
const WORTHWHILE: u64 = 4096;

/// So many owners may differ in any zone before it is compiled as a whole; in a large one, an eighth.
const FEW: u64 = 1024;

/// A zone with so many owners is served before it is written to disk.
const LARGE: usize = 100_000;

/// With more hashes than this, a changed content is written anew rather than edited.
const MANY_LOOKUPS: usize = 100_000;

/// The stamp of a zone's [`Life`].
const LIFE: &str = "life";

/// The stamp of a version's mark: a random number, other for each.
const MARK: &str = "mark";

/// What a zone keeps. Nothing, at first.
#[derive(Default)]
pub struct Kept {
    /// Where its archive may stand; none where nothing is to be kept.
    folder: Option<PathBuf>,
    purpose: Purpose,
    /// How much its journal holds.
    journal: JournalLimits,
    shelf: Shelf,
    /// Whether the archive holds what is served, so that a change can be told from it.
    agrees: bool,
    /// What is served and not yet on disk, since that is not to be waited for.
    unwritten: Option<Whole>,
    names: u64,
    /// For how long the next version is good, where it comes by transfer.
    life: Option<Life>,
    /// What a version that comes by transfer must satisfy.
    guards: Option<Guards>,
}

/// What a zone keeps its contents for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Purpose {
    /// Cheap changes: only a large zone is kept.
    #[default]
    Changes,
    /// Those who transfer it: it is kept however small it is.
    Transfers,
    /// The next start: no version is served that is not on disk.
    Restart,
}

/// A change that was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The serial now served.
    pub serial: u32,
    /// Names in the store.
    pub names: u64,
    /// Records of the zone.
    pub records: u64,
    /// Owners that differed.
    pub owners: u64,
    /// Names written anew: those, and what hangs on them.
    pub written: u64,
    /// How long each step took.
    pub steps: Steps,
}

/// A zone that was compiled as a whole.
pub struct Whole {
    /// Lower-case wire form.
    pub apex: Vec<u8>,
    /// Names in the store.
    pub names: u64,
    /// The owners.
    pub zone: Sorted,
    /// What the nodes hang on.
    pub lookups: Vec<Lookups>,
}

impl Kept {
    /// A zone that may keep its contents in a folder.
    pub fn within(folder: PathBuf) -> Self {
        Self { folder: Some(folder), ..Self::default() }
    }

    /// What the contents are kept for, and how much the journal holds. It holds from the next load on.
    pub fn set_purpose(&mut self, purpose: Purpose, journal: JournalLimits) {
        (self.purpose, self.journal) = (purpose, journal);
    }

    /// What each new version must satisfy; none where nothing but being a zone is asked for.
    pub fn set_guards(&mut self, guards: Option<Guards>) {
        self.guards = guards;
    }

    /// Judges a version that is about to be served.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn judge<'s>(
        &self,
        apex: &'s [u8],
        records: u64,
        owners: &'s dyn Fn() -> guard::Owners<'s>,
    ) -> Result<(), Refusal> {
        let Some(guards) = &self.guards else { return Ok(()) };
        guards.judge(&Subject { apex, before: self.records(), records, owners })
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
        let most = self.most();
        let Some(archive) = self.take() else { return Ok(None) };
        if store.is_sealed(archive.apex()) {
            return Ok(None);
        }
        // Where too much was given back, a compilation is also a cleaning.
        if store.usage(archive.apex()).is_none_or(|usage| usage.is_crumbled()) {
            return Ok(None);
        }
        let work =
            Work { archive: &archive, store, journal: self.journal, life: self.life.as_ref() };
        match work.follow(owners, most) {
            Ok(Some(done)) => Ok(Some(self.committed(done))),
            Ok(None) => Ok(None),
            Err(Trouble::Refused(Refused::Zone(message))) => {
                self.agrees = true;
                Err(message)
            }
            // A compilation would need more room still.
            Err(Trouble::Refused(Refused::Store(error)))
                if error.kind() == io::ErrorKind::StorageFull =>
            {
                self.agrees = true;
                Err(error.to_string())
            }
            Err(trouble) => {
                debug!("no commit, the zone is compiled as a whole: {trouble}");
                Ok(None)
            }
        }
    }

    /// Serves what differences make of the contents.
    ///
    /// # Errors
    /// They cannot be applied: what was served goes on being served, and the zone is to come as a whole.
    pub fn apply(
        &mut self,
        store: &Store,
        differences: &[Difference],
    ) -> Result<Committed, Refusal> {
        self.settle();
        const NOT_KEPT: &str = "the contents are not on disk: changes cannot be applied";
        let archive = self.take().ok_or_else(|| Refusal::Zone(NOT_KEPT.to_owned()))?;
        if let Err(message) = self.unseal(store, &archive) {
            self.agrees = true;
            return Err(message.into());
        }
        let work =
            Work { archive: &archive, store, journal: self.journal, life: self.life.as_ref() };
        match work.apply(differences, self.guards.as_ref()) {
            Ok(done) => Ok(self.committed(done)),
            Err(trouble) => {
                // The archive is ahead of the store only if the store failed at the very end, for another
                // reason than that it is full.
                self.agrees = !matches!(&trouble, Trouble::Refused(Refused::Store(error))
                    if error.kind() != io::ErrorKind::StorageFull);
                Err(match trouble {
                    Trouble::Judged(refusal) => refusal,
                    trouble => Refusal::Zone(trouble.to_string()),
                })
            }
        }
    }

    /// The number of records that are kept.
    pub fn records(&self) -> Option<u64> {
        self.shelf.archive()?.read().ok()?.records().ok()
    }

    /// Notes with the next version for how long it is good.
    pub fn set_life(&mut self, life: Life) {
        self.life = Some(life);
    }

    /// Whether [`Kept::publish`] is to know what nodes depend on.
    pub fn wants_lookups(&self) -> bool {
        self.folder.is_some()
    }

    /// Publishes contents that were compiled as a whole, and keeps them. Large ones that came from a file
    /// are not on disk before [`Kept::settle`]: that takes as long as to compile them.
    ///
    /// # Errors
    /// Those of `publish`; or the contents cannot be kept and must be, and an older version is served.
    pub fn publish(
        &mut self,
        store: &Store,
        whole: Whole,
        publish: impl FnOnce() -> Result<(), String>,
    ) -> Result<(), String> {
        if self.purpose == Purpose::Restart && store.usage(&whole.apex).is_some() {
            let kept = self.keep(&whole).map_err(|error| format!("it cannot be kept: {error}"));
            return kept.and_then(|()| publish()).inspect_err(|_| self.forget());
        }
        publish()?;
        self.agrees = false;
        let to_disk = self.folder.is_some() && self.purpose != Purpose::Restart;
        let later = to_disk && whole.zone.len() >= LARGE;
        self.unwritten = Some(whole);
        if !later {
            self.settle();
        }
        Ok(())
    }

    /// Whether what is served is still to be written to disk.
    pub fn is_unwritten(&self) -> bool {
        self.unwritten.is_some()
    }

    /// Writes what is served to disk, if that is still to be done.
    pub fn settle(&mut self) {
        let Some(whole) = self.unwritten.take() else { return };
        if let Err(error) = self.keep(&whole) {
            self.forget();
            warn!("the contents are not kept, the next change compiles the whole zone: {error}");
        }
        let large = whole.zone.len() >= LARGE;
        drop(whole);
        if large {
            give_memory_back();
        }
    }

    fn keep(&mut self, whole: &Whole) -> Result<(), Error> {
        self.agrees = false;
        self.names = whole.names;
        let wanted = |_: &&PathBuf| self.purpose != Purpose::Changes || whole.names >= WORTHWHILE;
        let Some(folder) = self.folder.as_ref().filter(wanted) else {
            self.shelf.put(None);
            return Ok(());
        };
        // One that is open stays open: others may be reading it.
        let archive = self.shelf.archive();
        let archive = archive.map_or_else(|| open_or_begin(folder, &whole.apex), Ok)?;
        let lookups: usize = whole.lookups.iter().map(Lookups::count).sum();
        let most = if lookups > MANY_LOOKUPS { 0 } else { self.most() };
        let owners = || whole.zone.owners();
        commit::keep(&archive, owners, &whole.lookups, self.life.as_ref(), most, self.journal)?;
        self.shelf.put(Some(archive));
        self.agrees = true;
        Ok(())
    }

    /// How many owners may differ before a zone is compiled as a whole.
    fn most(&self) -> u64 {
        FEW.max(self.names / 8)
    }

    /// The archive, if it holds what is served; it counts as not doing so until a change is through.
    fn take(&mut self) -> Option<Arc<Archive>> {
        self.shelf.archive().filter(|_| std::mem::take(&mut self.agrees))
    }

    fn forget(&mut self) {
        self.agrees = false;
        self.shelf.put(None);
    }

    fn committed(&mut self, done: commit::Done) -> Committed {
        let commit::Done { changed, owners, records, steps } = done;
        self.names = self.names + changed.added - changed.removed;
        self.agrees = true;
        let (serial, written, names) = (changed.serial, changed.written, self.names);
        Committed { serial, names, records, owners, written, steps }
    }
}

/// Opens what stands in a folder; begins anew where that is of no use.
fn open_or_begin(folder: &Path, apex: &[u8]) -> Result<Arc<Archive>, Error> {
    let open = || Archive::open(folder, apex, Limits::default());
    let archive = open().or_else(|error| {
        debug!("{error}: begun anew");
        Archive::discard(folder)?;
        open()
    });
    archive.map(Arc::new)
}
