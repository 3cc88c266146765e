//! The real root zone and the questions about it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};

use super::Args;
use crate::{
    process,
    refereeing::{
        ask,
        contest::Side,
        peers::Zone,
        queries::{self, Query, Scope},
    },
    strict::{Name, Record},
};

/// Queries, unless `--count` says otherwise.
const QUERIES: usize = 200_000;
/// What the checks call it.
pub const NAME: &str = "root";
const FILE: &str = "zones/root-signed-2020101902.zone.gz";

/// The zone's file: the one named, else the one in `$RESPONDER_SHARED`, else the one in `shared`
/// beside the repository.
///
/// # Errors
/// When there is none.
pub fn find(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let shared = env::var_os("RESPONDER_SHARED").map_or(beside, PathBuf::from);
    let source = named.map_or_else(|| shared.join(FILE), Path::to_owned);
    if !source.is_file() {
        bail!("{} is missing: name a signed root zone's file", source.display());
    }
    Ok(source)
}

/// Unpacks the zone into `folder`; which one, see [`find`].
///
/// # Errors
/// When there is none, or it cannot be unpacked.
pub fn unpack(named: Option<&Path>, folder: &Path) -> anyhow::Result<Zone> {
    let source = find(named)?;
    let file = folder.join("root.zone");
    if source.extension().is_some_and(|extension| extension == "gz") {
        let text = process::output(Command::new("gzip").arg("-dc").arg(&source))?;
        fs::write(&file, text)?;
    } else {
        fs::copy(&source, &file).with_context(|| source.display().to_string())?;
    }
    Ok(Zone { apex: Name::root(), file })
}

/// Random questions about the zone that a server transfers.
///
/// # Errors
/// When it does not.
pub fn questions(args: &Args, zone: &Zone, peer: &Side<'_>) -> anyhow::Result<Vec<Query>> {
    let records: Vec<Record> = peer.reach(|address| ask::transfer(address, &zone.apex))?;
    let names = queries::names(&zone.apex, &records);
    let count = args.count.unwrap_or(QUERIES);
    println!("{} records, {} names, {} queries", records.len(), names.len(), count);
    Ok(queries::draw(&zone.apex, &names, count, args.seed, Scope::Plain))
}
