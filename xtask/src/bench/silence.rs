//! Locks that tell others that a measurement is under way.

use std::{fs::File, path::PathBuf};

use anyhow::Context as _;

/// Held while something is measured.
#[derive(Debug)]
pub struct Silence(#[allow(dead_code, reason = "closing them unlocks them")] Vec<File>);

impl Silence {
    /// Waits for the files one after the other.
    ///
    /// # Errors
    /// When one cannot be opened or locked.
    pub fn keep(files: &[PathBuf]) -> anyhow::Result<Self> {
        let mut held = Vec::new();
        for path in files {
            let context = || path.display().to_string();
            let file = File::options().write(true).create(true).truncate(false).open(path);
            let file = file.with_context(context)?;
            file.lock().with_context(context)?;
            held.push(file);
        }
        Ok(Self(held))
    }
}
