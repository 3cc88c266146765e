//! A change on its way: written into an edit of the archive, worked out in the store, made durable in the
//! archive's log, published, and then brought into the archive's tree. Whatever fails before it is published
//! leaves both as they were; what fails after that is done again from the log.

use std::{
    collections::BTreeSet,
    fmt,
    time::{Duration, Instant},
};

use tracing::error;

use super::{LIFE, MARK, apply, tell::tell};
use crate::{
    store::{Store, random},
    zone::{
        archive::{Archive, Edit, Error, JournalLimits, Lookup as _, OwnerChange, OwnerRef, diff},
        change::{self, Archived, Changed, Key, Refused},
        collect::Owner,
        difference::Difference,
        guard::{self, Guards, Refusal, Subject},
        life::Life,
        lookups::Lookups,
        name,
    },
};

/// Where a change is made, and what goes with it.
pub struct Work<'w> {
    pub archive: &'w Archive,
    pub store: &'w Store,
    pub journal: JournalLimits,
    /// For how long the new version is good, where it comes by transfer.
    pub life: Option<&'w Life>,
}

/// A change that was made.
pub struct Done {
    pub changed: Changed,
    /// Owners that differed.
    pub owners: u64,
    /// Records of the zone.
    pub records: u64,
    /// How long each step took.
    pub steps: Steps,
}

/// How long the steps of a change took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Steps {
    /// Written into an edit of the archive.
    pub edited: Duration,
    /// Worked out in the store, beside what is served.
    pub prepared: Duration,
    /// On its way to the disk, where it lasts.
    pub kept: Duration,
    /// Published, and the version before left by all its readers.
    pub published: Duration,
    /// Brought from the log into the archive's tree, while it is served.
    pub filed: Duration,
}

impl Steps {
    /// All of them until nobody reads the version before any more.
    pub fn total(&self) -> Duration {
        self.edited + self.prepared + self.kept + self.published
    }
}

/// Times one step after the other.
struct Watch(Instant);

impl Watch {
    fn lap(&mut self) -> Duration {
        let now = Instant::now();
        now - std::mem::replace(&mut self.0, now)
    }
}

/// Why a change was not made.
#[derive(Debug)]
pub enum Trouble {
    Archive(Error),
    Refused(Refused),
    /// Differences do not fit the contents.
    Unfit(String),
    /// The new version is not what it must be.
    Judged(Refusal),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Archive(error)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Archive(error) => error.fmt(f),
            Self::Refused(Refused::Rebuild) => f.write_str("so much changes that all of it does"),
            Self::Refused(Refused::Zone(message) | Refused::Contents(message))
            | Self::Unfit(message) => f.write_str(message),
            Self::Judged(refusal) => refusal.fmt(f),
            Self::Refused(Refused::Store(error)) => write!(f, "the store: {error}"),
        }
    }
}

impl Work<'_> {
    /// Brings archive and store to these owners. None where more than `most` of them differ.
    pub fn follow<'a>(
        &self,
        owners: impl Iterator<Item = Owner<'a>>,
        most: u64,
    ) -> Result<Option<Done>, Trouble> {
        let mut watch = Watch(Instant::now());
        let mut writer = self.archive.writer()?;
        let mut edit = writer.begin()?;
        let Some((keys, difference)) = rewrite(self.archive, &mut edit, owners, most)? else {
            return Ok(None);
        };
        self.settle(edit, &keys, &[difference], watch.lap(), watch).map(Some)
    }

    /// Applies differences to archive and store.
    pub fn apply(
        &self,
        differences: &[Difference],
        guards: Option<&Guards>,
    ) -> Result<Done, Trouble> {
        let mut watch = Watch(Instant::now());
        let mut writer = self.archive.writer()?;
        let mut edit = writer.begin()?;
        let before = Some(edit.records()?);
        let keys = apply::apply(&mut edit, differences).map_err(|unfit| match unfit {
            apply::Unfit::Contents(message) => Trouble::Unfit(message),
            apply::Unfit::Archive(error) => Trouble::Archive(error),
        })?;
        if let Some(guards) = guards {
            let owners = || -> guard::Owners<'_> {
                match edit.all() {
                    Ok(all) => Box::new(all.map(|owner| {
                        owner.map(|owner| owner.to_owner()).map_err(|error| error.to_string())
                    })),
                    Err(error) => Box::new(std::iter::once(Err(error.to_string()))),
                }
            };
            let (apex, records) = (self.archive.apex(), edit.records()?);
            let subject = Subject { apex, before, records, owners: &owners };
            guards.judge(&subject).map_err(Trouble::Judged)?;
        }
        self.settle(edit, &keys, differences, watch.lap(), watch)
    }

    /// Works out what an edit changes in the store, makes it durable and publishes it.
    fn settle(
        &self,
        mut edit: Edit<'_>,
        keys: &BTreeSet<Key>,
        differences: &[Difference],
        edited: Duration,
        mut watch: Watch,
    ) -> Result<Done, Trouble> {
        let apex = self.archive.apex();
        let (changed, ready) = change::prepare(self.store, apex, &Archived::new(&edit), keys)
            .map_err(Trouble::Refused)?;
        let prepared = watch.lap();
        change::file(&mut edit, &changed);
        note(&mut edit, keys, differences, self.journal, self.life)?;
        let records = edit.records()?;
        let mut edit = Some(edit);
        let logged = edit.as_mut().expect("it was put there").log()?;
        if !logged {
            edit.take().expect("it is there still").commit(true)?;
        }
        let kept = watch.lap();
        let finished = ready.finish();
        let published = watch.lap();
        if let Some(Err(error)) = edit.map(|edit| edit.commit(true)) {
            error!(
                zone = name::to_text(apex),
                serial = changed.serial,
                "DEGRADED: the version is served and in the archive's log, but not in the archive, so no \
                 other version can follow and none be transferred: {error}; this is tried again whenever \
                 the archive is asked for, so make room on the disk"
            );
        }
        finished.map_err(|error| Trouble::Refused(Refused::Store(error)))?;
        let steps = Steps { edited, prepared, kept, published, filed: watch.lap() };
        Ok(Done { changed, owners: keys.len() as u64, records, steps })
    }
}

/// Writes contents that were compiled as a whole into an archive: as a change, where that is small, so that
/// the journal goes on.
pub fn keep<'a, I: Iterator<Item = Owner<'a>>>(
    archive: &Archive,
    owners: impl Fn() -> I,
    lookups: &[Lookups],
    life: Option<&Life>,
    most: u64,
    journal: JournalLimits,
) -> Result<(), Error> {
    let hashes = || lookups.iter().flat_map(Lookups::iter);
    if most > 0 && archive.read()?.serial()?.is_some() {
        let mut writer = archive.writer()?;
        let mut edit = writer.begin()?;
        let rewritten = match rewrite(archive, &mut edit, owners(), most) {
            // What is damaged is written anew, without a look at it.
            Err(Error::Broken { .. }) => None,
            other => other?,
        };
        if let Some((keys, difference)) = rewritten {
            if keys.is_empty() && life.is_none() {
                return Ok(());
            }
            if !keys.is_empty() {
                // The nodes were all written anew, and so is what they hang on.
                edit.clear_hashes()?;
                hashes().try_for_each(|hashed| edit.put_hash(hashed))?;
            }
            note(&mut edit, &keys, &[difference], journal, life)?;
            return edit.commit(true);
        }
    }
    let life = life.map(Life::octets);
    let mark = new_mark();
    let mut stamps: Vec<(&str, &[u8])> = vec![(MARK, &mark)];
    stamps.extend(life.iter().map(|life| (LIFE, &life[..])));
    archive.replace(owners(), hashes(), &stamps)
}

/// Notes what goes with new contents: what changed, and for how long they are good.
fn note(
    edit: &mut Edit<'_>,
    keys: &BTreeSet<Key>,
    differences: &[Difference],
    journal: JournalLimits,
    life: Option<&Life>,
) -> Result<(), Error> {
    if !keys.is_empty() {
        for difference in differences {
            edit.note_difference(Some(difference), journal);
        }
    }
    edit.put_stamp(MARK, &new_mark())?;
    match life {
        Some(life) => edit.put_stamp(LIFE, &life.octets()),
        None => Ok(()),
    }
}

/// A mark for new contents. Without a source of chance it is none that anything agrees with.
fn new_mark() -> Vec<u8> {
    random().map_or(Vec::new(), |mark| mark.to_le_bytes().to_vec())
}

/// Writes into an edit what differs, and tells it. None where more than `most` owners differ.
fn rewrite<'a>(
    archive: &Archive,
    edit: &mut Edit<'_>,
    owners: impl Iterator<Item = Owner<'a>>,
    most: u64,
) -> Result<Option<(BTreeSet<Key>, Difference)>, Error> {
    let view = archive.read()?;
    let (mut keys, mut difference) = (BTreeSet::new(), Difference::default());
    for change in diff(&view, owners)? {
        let (key, new) = match change? {
            OwnerChange::Put(owner) => (owner.key.to_vec(), Some(owner)),
            OwnerChange::Deleted(key) => (key.to_vec(), None),
        };
        let old = view.owner(&key)?.as_ref().map(OwnerRef::to_owner);
        tell(old.as_ref(), new.as_ref(), &mut difference);
        match &new {
            Some(owner) => edit.put(owner)?,
            None => drop(edit.delete(&key)?),
        }
        keys.insert(key);
        if keys.len() as u64 > most {
            return Ok(None);
        }
    }
    Ok(Some((keys, difference)))
}
