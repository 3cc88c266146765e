//! The state directory, and the lock that keeps it for one daemon.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow, bail};

/// The state directory of a running daemon; its lock goes with it, however the process ends.
pub struct StateDirectory {
    path: PathBuf,
    /// Never read: it holds the lock.
    _lock: File,
}

impl StateDirectory {
    /// Makes the directory if need be and locks it.
    ///
    /// # Errors
    /// It cannot be made or written, or another daemon holds it: one line with the remedy.
    pub fn claim(path: &Path) -> Result<Self> {
        let shown = path.display();
        DirBuilder::new().recursive(true).mode(0o750).create(path).map_err(|error| {
            anyhow!(
                "cannot make the state directory {shown}: {error}: make it for this user, or set \
                 node.state"
            )
        })?;
        let file = path.join("lock");
        let mut lock = OpenOptions::new()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .open(&file)
            .map_err(|error| {
                anyhow!(
                    "cannot write the state directory {shown}: {error}: give it to this user, or \
                     set node.state"
                )
            })?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = fs::read_to_string(&file).unwrap_or_default();
                let holder = match holder.trim() {
                    "" => "another process".to_owned(),
                    pid => format!("process {pid}"),
                };
                bail!(
                    "the state directory {shown} is locked by {holder}: stop that daemon, or give \
                     this one a node.state of its own"
                )
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", file.display()));
            }
        }
        let write_pid = |lock: &mut File| -> io::Result<()> {
            lock.set_len(0)?;
            writeln!(lock, "{}", std::process::id())
        };
        write_pid(&mut lock).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// A number by which the directory is told from others of this machine, as long as it is there; never
    /// zero.
    ///
    /// # Errors
    /// The directory cannot be asked.
    pub fn identity(&self) -> Result<u64> {
        let about = fs::metadata(&self.path).with_context(|| self.path.display().to_string())?;
        // The inodes of one file system differ in their low bits.
        Ok((about.dev().rotate_left(40) ^ about.ino()).max(1))
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Puts a file in the place of another, in one step and for good.
///
/// # Errors
/// What the file system says.
pub(crate) fn replace(file: &Path, octets: &[u8]) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let beside = file.with_extension("new");
    let mut new = File::create(&beside)?;
    new.write_all(octets)?;
    new.sync_all()?;
    fs::rename(beside, file)
}
