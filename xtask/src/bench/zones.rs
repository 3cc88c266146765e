//! Zones and queries for the benches, made once and kept in the target folder.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::{
    gen_zone::{self, Signed},
    target_folder,
};

/// The seed of all of them: labels can be made again.
pub const SEED: u64 = 7;

/// Where zones are kept; `kind` keeps the benches apart.
///
/// # Errors
/// When it cannot be made.
pub fn folder(kind: &str) -> anyhow::Result<PathBuf> {
    let folder = target_folder().join("bench").join(kind);
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    Ok(fs::canonicalize(folder)?)
}

/// A zone shaped like a TLD's, and a registry's mix of queries for it beside it if `count` is not 0.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// The apex.
    pub apex: &'a str,
    /// Delegations.
    pub names: usize,
    /// How it is signed.
    pub signed: Option<Signed>,
    /// Queries.
    pub count: usize,
}

/// Makes a file by `make`, unless it is there. What a killed run leaves is never taken for it.
///
/// # Errors
/// Those of `make`.
pub fn once(file: &Path, make: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<()> {
    if file.is_file() {
        return Ok(());
    }
    let begun = file.with_extension("begun");
    make(&begun)?;
    fs::rename(&begun, file).with_context(|| file.display().to_string())
}

/// Makes the zone and its queries, if they are not there.
///
/// # Errors
/// When they cannot be made or signed.
pub fn make(wanted: &Wanted<'_>, zone: &Path, queries: Option<&Path>) -> anyhow::Result<()> {
    let args = |out: &Path, queries: Option<&Path>| gen_zone::Args {
        names: wanted.names,
        signed: wanted.signed,
        seed: SEED,
        apex: wanted.apex.into(),
        out: out.to_owned(),
        queries: queries.map(Path::to_owned),
        count: wanted.count,
    };
    if queries.is_some_and(|queries| !queries.is_file()) {
        _ = fs::remove_file(zone);
    }
    once(zone, |begun| {
        println!("making {} ({} delegations)", zone.display(), wanted.names);
        gen_zone::run(&args(begun, queries))
    })
}

/// Queries for names that the zone does not have, each another.
///
/// # Errors
/// When they cannot be written.
pub fn absent(wanted: &Wanted<'_>, queries: &Path) -> anyhow::Result<()> {
    once(queries, |begun| {
        let args = gen_zone::Args {
            names: wanted.names,
            signed: wanted.signed,
            seed: SEED,
            apex: wanted.apex.into(),
            out: PathBuf::new(),
            queries: None,
            count: wanted.count,
        };
        gen_zone::ask_absent(&args, begun)
    })
}
