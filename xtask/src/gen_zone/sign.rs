//! Signing the made-up zone.

use std::{fs, path::Path};

use anyhow::Context as _;

use super::Signed;
use crate::{
    cleanup::Scratch,
    refereeing::{
        peers::Zone,
        sign::{Denial, sign},
    },
    strict::Name,
};

/// Replaces a zone file by its signed form.
///
/// # Errors
/// When kzonesign is missing or refuses the zone, or the file cannot be replaced.
pub fn in_place(file: &Path, apex: &str, signed: Signed) -> anyhow::Result<()> {
    let denial = match signed {
        Signed::Nsec => Denial::Nsec,
        Signed::Nsec3 => Denial::Nsec3,
        Signed::Nsec3Optout => Denial::Nsec3OptOut,
    };
    let folder = Scratch::create()?;
    let zone = Zone { apex: Name::from_text(apex)?, file: file.to_owned() };
    let made = sign(&zone, denial, folder.path())?;
    // The scratch folder may be on another file system, so copy and do not rename.
    fs::copy(&made.file, file).with_context(|| file.display().to_string())?;
    Ok(())
}
