//! A zone is served from what is on disk: at a start, before its primaries are asked.

use super::{Arrivals, Kept, Loaded, Progress, compile_whole, name};
use crate::store::Store;

/// Serves what is kept of a zone from an earlier start. None where nothing is, or where it is damaged:
/// that is told, and set aside.
///
/// # Errors
/// What is kept cannot be served: one line.
pub fn restore(store: &Store, name: &str, kept: &mut Kept) -> Result<Option<Loaded>, String> {
    let apex = name::from_text_lower(name)?;
    let Some(archive) = kept.found(&apex) else { return Ok(None) };
    let arrivals = match Arrivals::of_archive(&archive) {
        Ok(arrivals) => arrivals,
        Err(error) => {
            drop(archive);
            kept.set_aside(&error);
            return Ok(None);
        }
    };
    let records = arrivals.records();
    let zone = arrivals.sorted()?;
    // It is on disk already: nothing is to be kept anew.
    let mut compiled = Kept::default();
    let loaded = compile_whole(store, &apex, zone, &Progress::default(), &mut compiled)?;
    kept.adopt(archive, loaded.names);
    Ok(Some(Loaded { records, ..loaded }))
}
