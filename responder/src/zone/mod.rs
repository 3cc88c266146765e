//! The second journey: a zone file becomes precomputed responses in the store.

pub mod archive;
mod arrivals;
mod chain;
pub mod change;
mod collect;
mod compile;
pub mod difference;
pub(crate) mod fragment;
pub mod guard;
mod hosts;
mod kept;
mod life;
mod lookups;
pub mod name;
mod progress;
pub mod read;
mod restore;
pub mod serial;
mod side_by_side;
#[cfg(test)]
mod small_disk;
mod walk;

use std::path::{Path, PathBuf};

pub(crate) use self::compile::write_index;
pub use self::{
    arrivals::Arrivals,
    guard::Refusal,
    kept::{Committed, Kept, Purpose, Shelf, Steps},
    life::Life,
    progress::{Phase, Progress, watched},
    restore::{compact, restore},
};
use self::{
    collect::{Collector, Rows, Sorted},
    compile::CompileError,
    kept::Whole,
    read::Limits,
};
use crate::store::{Store, StoreOptions};

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
    /// Octets of those that hold nothing at the moment.
    pub dead: u64,
    /// What an operator should know, though the zone is served.
    pub warnings: Vec<String>,
    /// The commit, where the zone was not compiled as a whole.
    pub committed: Option<Committed>,
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
/// The first fault of the file, or of the store.
pub fn load(store: &Store, name: &str, file: &Path) -> Result<Loaded, ZoneError> {
    load_keeping(store, name, file, &Progress::default(), &mut Kept::default())
}

/// As [`load`]; tells how far it has come, and commits what has changed since the last time if `kept`
/// knows that.
///
/// # Errors
/// As [`load`].
pub fn load_keeping(
    store: &Store,
    name: &str,
    file: &Path,
    progress: &Progress,
    kept: &mut Kept,
) -> Result<Loaded, ZoneError> {
    let fault = |message: String| ZoneError { file: file.to_owned(), line: None, message };
    let apex = name::from_text_lower(name).map_err(fault)?;
    let mut collector = Collector::default();
    let limits = Limits::default();
    let report =
        read::read_batches(&apex, file, &limits, progress, &mut |rows: &Rows| collector.add(rows))?;
    let loaded = serve(store, &apex, collector, report.records, progress, kept);
    let mut loaded = loaded.map_err(|refusal| fault(refusal.to_string()))?;
    // What was seen first comes first.
    loaded.warnings.splice(..0, report.warnings);
    Ok(loaded)
}

/// Serves what was collected of the zone at `apex` (lower-case wire form): commits what has changed if
/// `kept` knows that, or compiles everything.
fn serve(
    store: &Store,
    apex: &[u8],
    collector: Collector,
    records: u64,
    progress: &Progress,
    kept: &mut Kept,
) -> Result<Loaded, Refusal> {
    kept.settle();
    let zone = collector.sort(progress)?;
    kept.judge(apex, records, &|| Box::new(zone.owners().map(Ok)))?;
    if let Some(committed) = kept.change(store, zone.owners())? {
        let Committed { serial, names, .. } = committed;
        let usage = store.usage(apex).unwrap_or_default();
        let (bytes, dead, committed) = (usage.live, usage.dead, Some(committed));
        return Ok(Loaded { serial, records, names, bytes, dead, warnings: Vec::new(), committed });
    }
    let loaded = compile_whole(store, apex, zone, progress, kept)?;
    Ok(Loaded { records, ..loaded })
}

/// Gives the system what the allocator keeps for later: what a load takes for a while is several times
/// what the daemon needs otherwise.
fn give_memory_back() {
    // SAFETY: the allocator's own function, which may be called at any time.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Compiles everything that was collected, and serves it.
fn compile_whole(
    store: &Store,
    apex: &[u8],
    zone: Sorted,
    progress: &Progress,
    kept: &mut Kept,
) -> Result<Loaded, String> {
    progress.enter(Phase::Compiling, zone.len() as u64);
    let mut space = store.space();
    let compiled = compile::compile(&zone, apex, &mut space, kept.wants_lookups(), progress)
        .map_err(|error| match error {
            CompileError::Zone(message) => message,
            CompileError::Store(error) => error.to_string(),
        })?;
    let mut warnings = Vec::new();
    if compiled.occluded > 0 {
        warnings.push(format!(
            "{} names below a delegation or a DNAME are never answered (RFC 1034, section 4.2.1)",
            compiled.occluded
        ));
    }
    // Before anything is kept of it.
    space.fits().map_err(|error| error.to_string())?;
    let bytes = space.used();
    let (serial, names) = (compiled.snapshot.serial, compiled.names);
    let labels = compiled.labels;
    let whole = Whole { apex: apex.to_owned(), names, zone, lookups: compiled.lookups };
    kept.publish(store, whole, || {
        let published = store.publish(apex, labels, names, compiled.snapshot, space);
        published.map_err(|error| error.to_string())
    })?;
    Ok(Loaded { serial, records: 0, names, bytes, dead: 0, warnings, committed: None })
}

/// Reads and judges a zone file without serving it: it is compiled into a store of its own.
///
/// # Errors
/// The first fault of the file.
pub fn check(name: &str, file: &Path, progress: &Progress) -> Result<Loaded, ZoneError> {
    let options = StoreOptions { udp_size: 1232, id: String::new() };
    let store = Store::in_memory(&options).map_err(|error| ZoneError {
        file: file.to_owned(),
        line: None,
        message: error.to_string(),
    })?;
    load_keeping(&store, name, file, progress, &mut Kept::default())
}
