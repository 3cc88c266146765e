//! One generation of an archive: an LMDB environment in a numbered folder.

use std::{
    fs::{self, File},
    io,
    ops::Range,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use heed::{
    CommitOrAbort, CompactionOption, Database, DatabaseFlags, DatabaseOpener, Env, EnvFlags,
    EnvOpenOptions, WithoutTls, types::Bytes,
};

use super::{
    Limits, Sizes,
    error::{At as _, Error},
    sort_key,
    whole::is_whole,
};

/// Changes with every change of what stands in the databases.
pub(super) const FORMAT: u32 = 3;

/// The same without a log; it becomes [`FORMAT`], since a program that knows no logs would go astray.
const WITHOUT_LOG: u32 = 2;

/// Where a generation is written before it has its number.
const BUILDING: &str = "building";

/// The file that LMDB keeps its pages in.
const DATA: &str = "data.mdb";
/// The file of LMDB's readers.
const LOCK: &str = "lock.mdb";

/// Owners read or written before it is worth while to give pages back at the end of a view or an edit. A
/// page fault maps up to 16 pages.
const MANY: u64 = 1024;

/// Owners after which pages are given back in the middle of it: some 6 MB of a scan.
const TOO_MANY: u64 = 1 << 16;

/// An ordered map of octets to octets.
pub(super) type Map = Database<'static, Bytes, Bytes>;

/// The words of the `meta` database.
pub(super) mod word {
    pub const FORMAT: &[u8] = b"format";
    pub const APEX: &[u8] = b"apex";
    pub const RECORDS: &[u8] = b"records";
    /// How many changes there were; see `log`.
    pub const CHANGES: &[u8] = b"changes";
    /// In front of the name of a caller's stamp.
    pub const STAMP: &[u8] = b"stamp:";
}

/// An open generation.
pub struct Generation {
    pub env: Env<WithoutTls>,
    pub owners: Map,
    pub hosts: Map,
    pub hashes: Map,
    pub meta: Map,
    pub journal: Map,
    pub folder: PathBuf,
    pub number: u64,
    /// The apex's sort key.
    pub apex: Vec<u8>,
    /// An edit did not fit.
    pub full: AtomicBool,
    /// The log has a change that the tree lacks.
    pub behind: AtomicBool,
    /// Owners read or written since pages were given back.
    touched: AtomicU64,
    /// Where the file is mapped; empty if that is not known.
    mapped: OnceLock<Range<usize>>,
}

impl Generation {
    /// Makes the first, empty generation of an archive.
    pub fn create(folder: &Path, apex: &[u8], limits: Limits) -> Result<Self, Error> {
        Self::open_at(&building(folder)?, 0, apex, limits, limits.reserve)?.durable()?;
        put_in_place(folder, 1)?;
        Self::open(folder, 1, apex, limits, 0)
    }

    /// Opens a generation, with at least `map` octets of address space.
    pub fn open(
        folder: &Path,
        number: u64,
        apex: &[u8],
        limits: Limits,
        map: u64,
    ) -> Result<Self, Error> {
        let folder = folder.join(file_name(number));
        let data = folder.join(DATA);
        let length = fs::metadata(&data).at(&data)?.len();
        let map = map.max(length.saturating_mul(16)).max(limits.reserve).min(limits.octets);
        Self::open_at(&folder, number, apex, limits, map)?.looked_at_log()
    }

    /// A generation that is being written: commits are not durable until [`Generation::durable`].
    pub fn build(folder: &Path, apex: &[u8], limits: Limits) -> Result<Self, Error> {
        let generation = Self::open_at(&building(folder)?, 0, apex, limits, limits.octets)?;
        // SAFETY: the file is ours alone and is thrown away if it is not finished; nobody else calls
        // this function of this environment.
        unsafe { generation.env.set_flags(EnvFlags::NO_SYNC, heed::FlagSetMode::Enable) }
            .at(&generation.folder)?;
        Ok(generation)
    }

    fn open_at(
        folder: &Path,
        number: u64,
        apex: &[u8],
        limits: Limits,
        map: u64,
    ) -> Result<Self, Error> {
        let page = page_size();
        let map = usize::try_from(map.next_multiple_of(page)).unwrap_or(usize::MAX);
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(map).max_dbs(5).max_readers(limits.views);
        reserve_lock(folder, limits.views)?;
        // SAFETY: nothing but LMDB writes to the file: the archive is one process', and its folder is in
        // the daemon's state. No flag is set that weakens its locks.
        let env = unsafe { options.open(folder) }.at(folder)?;
        whole(&env, folder, page)?;
        env.clear_stale_readers().at(folder)?;
        let txn = env.write_txn().at(folder)?;
        let [owners, hosts, hashes, meta, journal] = env
            .create_databases_and_commit(txn, |opener, txn| {
                Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit([
                    create(opener, txn, "owners", DatabaseFlags::empty())?,
                    create(opener, txn, "hosts", DatabaseFlags::DUP_SORT)?,
                    create(opener, txn, "hashes", DatabaseFlags::DUP_SORT)?,
                    create(opener, txn, "meta", DatabaseFlags::empty())?,
                    create(opener, txn, "journal", DatabaseFlags::empty())?,
                ]))
            })
            .at(folder)?
            .unwrap_commit();
        let mut key = Vec::new();
        sort_key(apex, &mut key);
        let generation = Self {
            env,
            owners,
            hosts,
            hashes,
            meta,
            journal,
            folder: folder.to_owned(),
            number,
            apex: key,
            full: AtomicBool::new(false),
            behind: AtomicBool::new(false),
            touched: AtomicU64::new(0),
            mapped: OnceLock::new(),
        };
        generation.identify(apex)?;
        Ok(generation)
    }

    /// Checks that the generation is this program's and this zone's; marks an empty one.
    fn identify(&self, apex: &[u8]) -> Result<(), Error> {
        let folder = self.folder.clone();
        let mut txn = self.env.write_txn().at(&folder)?;
        match self.meta.get(&txn, word::FORMAT).at(&folder)? {
            Some(found) if found == FORMAT.to_be_bytes() => {}
            Some(found) if found == WITHOUT_LOG.to_be_bytes() => {
                self.meta.put(&mut txn, word::FORMAT, &FORMAT.to_be_bytes()).at(&folder)?;
                txn.commit().at(&folder)?;
                return self.identify(apex);
            }
            Some(found) => {
                let found = found.try_into().map_or(0, u32::from_be_bytes);
                return Err(Error::Format { folder, found });
            }
            None if self.number > 0 => {
                return Err(Error::Broken { folder, what: "the format is not stated" });
            }
            None => {
                self.meta.put(&mut txn, word::FORMAT, &FORMAT.to_be_bytes()).at(&folder)?;
                self.meta.put(&mut txn, word::APEX, apex).at(&folder)?;
                self.meta.put(&mut txn, word::RECORDS, &0_u64.to_be_bytes()).at(&folder)?;
                return txn.commit().at(&folder);
            }
        }
        if self.meta.get(&txn, word::APEX).at(&folder)? != Some(apex) {
            return Err(Error::Apex { folder });
        }
        Ok(())
    }

    /// Writes everything through to the disk and closes the environment.
    pub fn durable(self) -> Result<(), Error> {
        self.env.force_sync().at(&self.folder)?;
        // Nobody else has a clone of it: a generation on its way is never handed out.
        self.env.prepare_for_closing().wait();
        Ok(())
    }

    /// Copies what is in use, and no free page, to a folder; durable.
    pub fn copy_to(&self, folder: &Path) -> Result<(), Error> {
        let path = folder.join(DATA);
        let file = self.env.copy_to_path(&path, CompactionOption::Enabled).at(&self.folder)?;
        file.sync_all().at(&path)
    }

    /// Whether there may be no room for the next edit, and more can be had.
    pub fn is_tight(&self, limits: Limits) -> bool {
        let info = self.env.info();
        let used = (info.last_page_number as u64 + 1) * page_size();
        let map = info.map_size as u64;
        map < limits.octets && (self.full.load(Ordering::Relaxed) || used > map / 2)
    }

    /// How much address space the next generation should have at least.
    pub fn larger_map(&self, limits: Limits) -> u64 {
        let map = self.env.info().map_size as u64;
        if self.is_tight(limits) { map.saturating_mul(16).min(limits.octets) } else { map }
    }

    pub fn sizes(&self) -> Result<Sizes, Error> {
        let folder = &self.folder;
        let txn = self.env.read_txn().at(folder)?;
        let mut pages = 0;
        for map in [self.owners, self.hosts, self.hashes, self.meta, self.journal] {
            let stat = map.stat(&txn).at(folder)?;
            pages += stat.branch_pages + stat.leaf_pages + stat.overflow_pages;
        }
        let file = self.env.real_disk_size().at(folder)?;
        Ok(Sizes { file, live: pages as u64 * page_size() })
    }

    /// Counts an owner that was read or written.
    pub fn touch(&self) {
        if self.touched.fetch_add(1, Ordering::Relaxed) >= TOO_MANY {
            self.release();
        }
    }

    /// [`Generation::release`] if it is worth while.
    pub fn rest(&self) {
        if self.touched.load(Ordering::Relaxed) >= MANY {
            self.release();
        }
    }

    /// Takes the file's pages out of this process' page tables; they stay in the page cache.
    pub fn release(&self) {
        self.touched.store(0, Ordering::Relaxed);
        let mapped = self.mapped.get_or_init(|| mapping(&self.env).unwrap_or_default());
        if mapped.is_empty() {
            return;
        }
        // SAFETY: the range is the environment's mapping of its file, shared and read-only, and lives as
        // long as the environment that `self` holds. Who reads it meanwhile has its pages mapped again.
        // Failure would only leave them counted.
        unsafe { libc::madvise(mapped.start as *mut _, mapped.len(), libc::MADV_DONTNEED) };
    }
}

fn create<'e>(
    opener: &DatabaseOpener<'e, WithoutTls>,
    txn: &mut heed::RwTxn<'_>,
    name: &str,
    flags: DatabaseFlags,
) -> heed::Result<Database<'e, Bytes, Bytes>> {
    opener.database_options().types::<Bytes, Bytes>().name(name).flags(flags).create(txn)
}

/// Gives the file of readers its blocks. LMDB writes it as memory: with a full disk a block that is missing
/// would be a fault of the processor (SIGBUS), and here it is an error.
fn reserve_lock(folder: &Path, views: u32) -> Result<(), Error> {
    // A reader has a cache line, and two more stand in front of all (LMDB's `MDB_txninfo`): the length that
    // LMDB would give it. It takes a file that is there as it is.
    let length = (u64::from(views) + 2) * 64;
    let path = folder.join(LOCK);
    let file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .at(&path)?;
    fallocate(&file, 0, length).at(&path)
}

/// Allocates a stretch of a file, and zeros what was not there.
fn fallocate(file: &File, start: u64, length: u64) -> io::Result<()> {
    let (Ok(start), Ok(length)) = (start.try_into(), length.try_into()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    // SAFETY: a plain system call on an open file; glibc writes zeros where the file system cannot do it.
    match unsafe { libc::posix_fallocate(file.as_raw_fd(), start, length) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Makes sure that every page that the data file speaks of can be read: one behind the end of the file would
/// be a fault of the processor.
fn whole(env: &Env<WithoutTls>, folder: &Path, page: u64) -> Result<(), Error> {
    let needed = (env.info().last_page_number as u64 + 1) * page;
    let path = folder.join(DATA);
    if fs::metadata(&path).at(&path)?.len() >= needed {
        return Ok(());
    }
    let file = File::options().read(true).write(true).open(&path).at(&path)?;
    if !is_whole(&file, page).at(&path)? {
        let folder = folder.to_owned();
        return Err(Error::Broken { folder, what: "the data file was cut short" });
    }
    file.set_len(needed).at(&path)
}

/// Where an environment's data file is mapped.
fn mapping(env: &Env<WithoutTls>) -> Option<Range<usize>> {
    use std::os::unix::fs::MetadataExt;
    let inode = env.try_clone_inner_file().ok()?.metadata().ok()?.ino().to_string();
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    // An inode's number is one file system's: the name must be right as well.
    let line = maps.lines().find(|line| {
        let mut words = line.split_ascii_whitespace();
        words.nth(4) == Some(inode.as_str()) && words.next().is_some_and(|path| path.contains(DATA))
    })?;
    let (start, end) = line.split_ascii_whitespace().next()?.split_once('-')?;
    Some(usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
}

fn page_size() -> u64 {
    // SAFETY: asks for a constant of the system.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).expect("the page size is a number")
}

fn file_name(number: u64) -> String {
    format!("{number:08}")
}

/// The number of the newest generation of an archive.
pub(super) fn newest(folder: &Path) -> Result<Option<u64>, Error> {
    Ok(entries(folder)?.iter().filter_map(|(_, number)| *number).max())
}

/// Removes every generation but one.
pub(super) fn tidy(folder: &Path, keep: u64) -> Result<(), Error> {
    for (path, number) in entries(folder)? {
        if number != Some(keep) {
            fs::remove_dir_all(&path).at(&path)?;
        }
    }
    Ok(())
}

/// The generations in a folder, with their numbers if they are complete.
fn entries(folder: &Path) -> Result<Vec<(PathBuf, Option<u64>)>, Error> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.at(folder)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.at(folder)?;
        let name = entry.file_name();
        let name = name.to_str().unwrap_or_default();
        let number = name.parse::<u64>().ok().filter(|&number| file_name(number) == name);
        // What is neither may be another zone's folder: a long name goes down several.
        if number.is_some() || name == BUILDING {
            found.push((entry.path(), number));
        }
    }
    Ok(found)
}

/// An empty folder to build a generation in.
pub(super) fn building(folder: &Path) -> Result<PathBuf, Error> {
    let path = folder.join(BUILDING);
    match fs::remove_dir_all(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).at(&path),
        _ => {}
    }
    fs::create_dir_all(&path).at(&path)?;
    Ok(path)
}

/// Gives the generation that was built its number, durably.
pub(super) fn put_in_place(folder: &Path, number: u64) -> Result<(), Error> {
    let sync = |path: &Path| File::open(path).and_then(|folder| folder.sync_all()).at(path);
    let from = folder.join(BUILDING);
    sync(&from)?;
    fs::rename(&from, folder.join(file_name(number))).at(&from)?;
    sync(folder)?;
    folder.parent().map_or(Ok(()), sync)
}
