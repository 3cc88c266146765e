//! Why an archive cannot be read or written.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::owner::Malformed;

/// Why an archive cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system says no; a full disk among others.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// LMDB says no.
    #[error("{}: {source}", folder.display())]
    Database {
        /// The generation's folder.
        folder: PathBuf,
        /// What LMDB says.
        source: heed::Error,
    },
    /// Written by another version of this program.
    #[error("{}: the archive has format {found}, this program knows {}: discard it", folder.display(), super::generation::FORMAT)]
    Format {
        /// The generation's folder.
        folder: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The folder holds another zone.
    #[error("{}: the archive is of another zone: discard it", folder.display())]
    Apex {
        /// The generation's folder.
        folder: PathBuf,
    },
    /// What stands on disk is not what was written.
    #[error("{}: {what}: discard the archive", folder.display())]
    Broken {
        /// The generation's folder.
        folder: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// The content does not fit the address space. A new [`Writer`](super::Writer) makes more of it, as
    /// long as [`Limits::octets`](super::Limits::octets) permits.
    #[error("{}: the archive would exceed {octets} octets", folder.display())]
    Full {
        /// The generation's folder.
        folder: PathBuf,
        /// What it may take now.
        octets: u64,
    },
    /// Owners must be given in canonical order, each once.
    #[error("owners are not in canonical order")]
    Order,
    /// An owner that is not inside the zone.
    #[error("an owner lies outside the zone")]
    OutOfZone,
    /// An owner that cannot be written.
    #[error("an owner cannot be archived: {0}")]
    Owner(#[from] Malformed),
}

impl Error {
    /// Whether the archive is sound, and there is no room to write to it.
    pub fn is_room(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        match self {
            Self::Io { source, .. } => {
                matches!(source.kind(), QuotaExceeded | ReadOnlyFilesystem | StorageFull)
            }
            Self::Full { .. } => true,
            _ => false,
        }
    }
}

/// Says where a fault is.
pub(super) trait At<T> {
    /// The fault with its place.
    fn at(self, path: &Path) -> Result<T, Error>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &Path) -> Result<T, Error> {
        self.map_err(|source| Error::Io { path: path.to_owned(), source })
    }
}

impl<T> At<T> for heed::Result<T> {
    fn at(self, path: &Path) -> Result<T, Error> {
        use heed::MdbError;
        let folder = path.to_owned();
        self.map_err(|source| match source {
            heed::Error::Io(source) => Error::Io { path: folder, source },
            heed::Error::Mdb(MdbError::Corrupted | MdbError::PageNotFound) => {
                Error::Broken { folder, what: "a page is not what LMDB wrote" }
            }
            heed::Error::Mdb(MdbError::Invalid | MdbError::VersionMismatch) => {
                Error::Broken { folder, what: "the data file is not LMDB's" }
            }
            source => Error::Database { folder, source },
        })
    }
}
