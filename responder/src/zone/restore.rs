//! A zone is served from what is on disk: at a start, before its primaries are asked; and anew, when
//! commits have left its space in crumbs.

use std::sync::Arc;

use super::{Arrivals, Kept, Loaded, Progress, archive::Archive, compile_whole, name};
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
    serve(store, &apex, archive, arrivals, kept).map(Some)
}

/// Compiles a zone anew, from what is on disk, where commits have left too much of its space idle: that
/// space serves other zones then. None where nothing was to be done.
///
/// # Errors
/// It cannot be compiled, for want of room perhaps; what was served goes on being served.
pub fn compact(store: &Store, name: &str, kept: &mut Kept) -> Result<Option<Loaded>, String> {
    let apex = name::from_text_lower(name)?;
    let crumbled = store.usage(&apex).is_some_and(|usage| usage.is_crumbled());
    let Some(archive) = kept.shelf().archive().filter(|_| crumbled) else { return Ok(None) };
    let arrivals = Arrivals::of_archive(&archive).map_err(|error| error.to_string())?;
    serve(store, &apex, archive, arrivals, kept).map(Some)
}

fn serve(
    store: &Store,
    apex: &[u8],
    archive: Arc<Archive>,
    arrivals: Arrivals,
    kept: &mut Kept,
) -> Result<Loaded, String> {
    let records = arrivals.records();
    let zone = arrivals.sorted()?;
    // It is on disk already: nothing is to be kept anew.
    let mut compiled = Kept::default();
    let loaded = compile_whole(store, apex, zone, &Progress::default(), &mut compiled)?;
    kept.adopt(archive, loaded.names);
    Ok(Loaded { records, ..loaded })
}
