//! A zone's data on disk, in canonical order: what a restart serves from, what a small change is
//! compiled against, and what a transfer streams.
//!
//! An archive is a folder of one zone. It holds an LMDB environment, an ordered map that is read
//! straight from the page cache and changed by copy on write: a commit is one page that names the new
//! root of the tree, so a crash leaves the last commit, and readers go on with the tree that they
//! started on. The zone is never held in memory.
//!
//! ```text
//! <zones>/<zone>/            the archive
//!   00000007/data.mdb        the current generation: always complete
//!   00000007/lock.mdb        LMDB's readers
//!   00000007/log             the change that is on its way into the tree ([`log`])
//!   building/                a generation on its way; removed when it is found at a start
//! ```
//!
//! Small changes are an [`Edit`]: a transaction within the current generation. A whole new content
//! ([`Rebuild`]) is a generation of its own, written beside, made durable and then put in place by a
//! rename; whoever reads the old one keeps it until done.
//!
//! | database | key | value |
//! |---|---|---|
//! | `owners` | the owner's sort key | its RRsets ([`owner`]) |
//! | `hosts` | sort key of a name server inside the zone | sort keys of the delegations to it ([`hosts`]) |
//! | `hashes` | an NSEC3 hash | a tag and a sort key; what goes in is the compiler's business |
//! | `meta` | a word | format, apex, number of records, the caller's stamps |
//! | `journal` | a number that counts up | what changed from one serial to the next ([`journal`]) |
//!
//! Keys in the databases have a zero in front: LMDB refuses empty ones, and the root's is empty.
//!
//! One process has an archive open at a time; the daemon's lock on its state folder sees to that.

mod diff;
mod edit;
mod error;
mod generation;
mod hosts;
mod journal;
mod log;
mod lookup;
mod owner;
mod rebuild;
mod run;
mod step;
#[cfg(test)]
mod tests;
mod warm;
mod whole;

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

pub use self::{
    diff::{Diff, OwnerChange, diff},
    edit::Edit,
    error::Error,
    journal::{Changes, JournalEntry, JournalLimits, changes_since},
    lookup::{Hashed, HashedRange, HostKeys, Lookup, Owners, View},
    owner::{Items, OwnerRef, RrSetRef, RrSets},
    rebuild::Rebuild,
};
use tracing::warn;

use self::{error::At as _, generation::Generation};
pub use super::collect::{Owner, RrSet, sort_key};

/// What an archive may ask of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The size that the data file may reach, in octets.
    pub octets: u64,
    /// Address space taken for a small zone, in octets, so that it can grow in place. It costs nothing
    /// but numbers: a process has 128 TiB of them, and `RLIMIT_AS`, where it is set, counts them.
    pub reserve: u64,
    /// How many [`View`]s may be open at a time.
    pub views: u32,
}

impl Default for Limits {
    /// 64 GiB hold some 400 million delegations.
    fn default() -> Self {
        Self { octets: 64 << 30, reserve: 1 << 30, views: 512 }
    }
}

/// The archive of one zone. Shared between threads: any number of [`View`]s, one [`Writer`].
pub struct Archive {
    folder: PathBuf,
    apex: Vec<u8>,
    limits: Limits,
    current: RwLock<Arc<Generation>>,
    writing: Mutex<()>,
}

/// The right to change an archive; one at a time.
pub struct Writer<'a> {
    archive: &'a Archive,
    generation: Arc<Generation>,
    _writing: MutexGuard<'a, ()>,
}

/// What an archive takes, in octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// The data file, free pages included.
    pub file: u64,
    /// The pages in use.
    pub live: u64,
}

impl Archive {
    /// Opens the archive of a zone, or makes an empty one. What an interrupted [`Rebuild`] left is removed.
    ///
    /// # Errors
    /// [`Error::Format`], [`Error::Apex`] and [`Error::Broken`] mean that what stands there cannot be
    /// used: [`Archive::discard`] makes room for a new one. [`Error::Io`] and [`Error::Database`] as the
    /// system says.
    pub fn open(folder: &Path, apex: &[u8], limits: Limits) -> Result<Self, Error> {
        let apex = apex.to_ascii_lowercase();
        let generation = match generation::newest(folder)? {
            Some(number) => Generation::open(folder, number, &apex, limits, 0)?,
            None => Generation::create(folder, &apex, limits)?,
        };
        match generation.catch_up() {
            // It can be read all the same ([`Archive::newest`]).
            Err(error) if error.is_room() => warn!("{error}: the last change stays in its log"),
            other => other?,
        }
        generation::tidy(folder, generation.number)?;
        Ok(Self {
            folder: folder.to_owned(),
            apex,
            limits,
            current: RwLock::new(Arc::new(generation)),
            writing: Mutex::new(()),
        })
    }

    /// Removes an archive that is not open, whatever state it is in. One that is not there is no error.
    ///
    /// # Errors
    /// What the file system says.
    pub fn discard(folder: &Path) -> Result<(), Error> {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).at(folder),
            _ => Ok(()),
        }
    }

    /// Whether there is an archive in a folder, in whatever state.
    pub fn stands_in(folder: &Path) -> bool {
        generation::newest(folder).is_ok_and(|newest| newest.is_some())
    }

    /// Moves an archive that is not open out of the way, in place of one that was moved before; to where.
    ///
    /// # Errors
    /// What the file system says.
    pub fn set_aside(folder: &Path) -> Result<PathBuf, Error> {
        // No zone's folder has this character.
        let mut name = folder.as_os_str().to_owned();
        name.push("~damaged");
        let to = PathBuf::from(name);
        Self::discard(&to)?;
        fs::rename(folder, &to).at(folder)?;
        Ok(to)
    }

    /// The folder of a zone's archive under `zones`: the name in lower case, octets other than letters,
    /// digits, hyphens and underscores as `%` and two hexadecimal digits, the root as `%`. No two names
    /// share one. A long name goes down several folders, since a file name has at most 255 octets.
    pub fn folder(zones: &Path, apex: &[u8]) -> PathBuf {
        const LONGEST: usize = 200;
        let mut text = String::new();
        let mut at = 0;
        while apex[at] != 0 {
            let end = at + 1 + usize::from(apex[at]);
            if at > 0 {
                text.push('.');
            }
            for octet in apex[at + 1..end].to_ascii_lowercase() {
                match octet {
                    b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => text.push(char::from(octet)),
                    _ => write!(text, "%{octet:02x}").expect("a String takes everything"),
                }
            }
            at = end;
        }
        if text.is_empty() {
            text.push('%');
        }
        let mut folder = zones.to_owned();
        let mut rest = text.as_str();
        while rest.len() > LONGEST {
            let (part, after) = rest.split_at(LONGEST);
            folder.push(format!("{part}+"));
            rest = after;
        }
        folder.push(rest);
        folder
    }

    /// The zone's name, lower-case wire form.
    pub fn apex(&self) -> &[u8] {
        &self.apex
    }

    /// The last commit, to be read for as long as the view lives; not yet what is in the log. A view that is kept for long keeps the
    /// pages that it sees from being used again: the file grows.
    ///
    /// # Errors
    /// [`Error::Database`] when there are more views than [`Limits::views`].
    pub fn read(&self) -> Result<View, Error> {
        View::open(self.generation())
    }

    /// Reads the newest contents: the last commit, and what is in the log where that cannot be written.
    ///
    /// # Errors
    /// What `read` says, and what the system or LMDB says.
    pub fn newest<T>(
        &self,
        read: impl FnOnce(&dyn Lookup) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if !self.generation().is_behind() {
            return read(&self.read()?);
        }
        let writer = self.lock();
        let mut edit = Edit::begin(&writer.generation)?;
        writer.generation.take_in(&mut edit)?;
        read(&edit)
    }

    /// Whether the newest contents are in the log alone, and nobody is about to write them elsewhere: that
    /// failed.
    pub fn is_stuck(&self) -> bool {
        self.generation().is_behind() && self.writing.try_lock().is_ok()
    }

    /// Tries again to write what is in the log alone, unless somebody is at work.
    ///
    /// # Errors
    /// What the system or LMDB says.
    pub fn catch_up(&self) -> Result<(), Error> {
        if !self.generation().is_behind() {
            return Ok(());
        }
        match self.writing.try_lock() {
            Ok(_writing) => self.generation().catch_up(),
            Err(_) => Ok(()),
        }
    }

    /// The right to change the archive, as soon as no other thread has it. A thread that asks for a
    /// second one waits for ever.
    ///
    /// # Errors
    /// As [`Writer::compact`]: an archive that outgrew its address space is moved to a larger one here.
    /// What is in the log alone is written first: [`Error::Io`] where there is no room for it.
    pub fn writer(&self) -> Result<Writer<'_>, Error> {
        let mut writer = self.lock();
        if writer.generation.is_tight(self.limits) {
            writer.compact()?;
        }
        writer.generation.catch_up()?;
        Ok(writer)
    }

    fn lock(&self) -> Writer<'_> {
        // What a panic interrupted was never committed.
        let writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        Writer { archive: self, generation: self.generation(), _writing: writing }
    }

    /// A whole new content, in place of the present one in one step; see [`Rebuild`].
    ///
    /// # Errors
    /// Those of [`Rebuild`]; then nothing has changed.
    pub fn replace<'o, 'h>(
        &self,
        owners: impl IntoIterator<Item = Owner<'o>>,
        hashes: impl IntoIterator<Item = Hashed<'h>>,
        stamps: &[(&str, &[u8])],
    ) -> Result<(), Error> {
        // What is in the log goes with the old content.
        let mut writer = self.lock();
        let mut rebuild = writer.rebuild()?;
        for owner in owners {
            rebuild.owner(&owner)?;
        }
        for hashed in hashes {
            rebuild.hash(hashed)?;
        }
        for (name, octets) in stamps {
            rebuild.stamp(name, octets);
        }
        rebuild.finish()
    }

    /// What it takes on disk.
    ///
    /// # Errors
    /// What the system or LMDB says.
    pub fn sizes(&self) -> Result<Sizes, Error> {
        self.generation().sizes()
    }

    /// Gives the pages that were read back to the page cache, so that they no longer count as this
    /// process' memory. Long reads and large edits do so by themselves, on their way and at their end.
    pub fn release(&self) {
        self.generation().release();
    }

    fn generation(&self) -> Arc<Generation> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Writer<'_> {
    /// Begins a change. It is nothing until [`Edit::commit`].
    ///
    /// # Errors
    /// What LMDB says.
    pub fn begin(&mut self) -> Result<Edit<'_>, Error> {
        Edit::begin(&self.generation)
    }

    /// Begins a whole new content.
    ///
    /// # Errors
    /// What the system or LMDB says.
    pub fn rebuild(&mut self) -> Result<Rebuild<'_>, Error> {
        Rebuild::begin(self.archive)
    }

    /// Writes the content anew without its free pages, with address space to grow. Costs a copy of the
    /// zone; readers are not disturbed. Done by [`Archive::writer`] when the address space gets tight.
    ///
    /// # Errors
    /// What the system or LMDB says; then nothing has changed.
    pub fn compact(&mut self) -> Result<(), Error> {
        let archive = self.archive;
        let larger = self.generation.larger_map(archive.limits);
        let building = generation::building(&archive.folder)?;
        self.generation.copy_to(&building)?;
        self.generation.copy_log(&building)?;
        generation::put_in_place(&archive.folder, self.generation.number + 1)?;
        self.generation = archive.follow(self.generation.number + 1, larger)?;
        Ok(())
    }
}

impl Archive {
    /// Makes a generation that was just put in place the current one, and removes the one before.
    fn follow(&self, number: u64, map: u64) -> Result<Arc<Generation>, Error> {
        let next = Arc::new(Generation::open(&self.folder, number, &self.apex, self.limits, map)?);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::clone(&next);
        drop(current);
        // Views of the old one keep its file open; its space is given back when the last one ends.
        generation::tidy(&self.folder, number)?;
        Ok(next)
    }
}

/// The sort key as it stands in the databases.
struct StoredKey {
    octets: [u8; MAX_KEY],
    length: usize,
}

/// LMDB's limit. A sort key has at most 504 octets: 250 octets of labels, each perhaps two, and four
/// label ends; and one stands in front.
const MAX_KEY: usize = 511;

impl StoredKey {
    fn new(key: &[u8]) -> Self {
        let mut octets = [0; MAX_KEY];
        // A longer key belongs to no name. What is left of it matches none.
        let length = key.len().min(MAX_KEY - 1) + 1;
        octets[1..length].copy_from_slice(&key[..length - 1]);
        Self { octets, length }
    }
}

impl std::ops::Deref for StoredKey {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.octets[..self.length]
    }
}
