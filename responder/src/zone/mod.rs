//! The second journey: a zone file becomes precomputed responses in the store.

pub mod name;
pub mod read;

use std::path::{Path, PathBuf};

use crate::store::Store;

/// A zone that was compiled and is being served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The SOA's serial.
    pub serial: u32,
    /// Records read.
    pub records: u64,
    /// Names (nodes) in the store.
    pub names: u64,
    /// Octets that the zone takes in the store.
    pub bytes: u64,
    /// What an operator should know, though the zone is served.
    pub warnings: Vec<String>,
}

/// Why a zone is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}{message}", file.display(), line.map_or(": ".to_owned(), |line| format!(":{line}: ")))]
pub struct ZoneError {
    /// The file in which the fault stands (an included one, perhaps).
    pub file: PathBuf,
    /// The line, from 1, where one can be named.
    pub line: Option<u64>,
    /// The fault and its remedy.
    pub message: String,
}

/// Reads a zone file, compiles it and serves it in place of what was served before under this name.
/// On an error what was served goes on being served.
///
/// # Errors
/// The first fault of the file.
pub fn load(store: &Store, name: &str, file: &Path) -> Result<Loaded, ZoneError> {
    let _ = (store, name);
    Err(ZoneError { file: file.to_owned(), line: None, message: "not built yet".into() })
}

/// Reads and judges a zone file without serving it.
///
/// # Errors
/// The first fault of the file.
pub fn check(name: &str, file: &Path) -> Result<Loaded, ZoneError> {
    let _ = name;
    Err(ZoneError { file: file.to_owned(), line: None, message: "not built yet".into() })
}
