//! Locks that tell others that a measurement is under way.

use std::{
    fs::File,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context as _;

/// Others get their turn after this time, between two measurements.
const SLICE: Duration = Duration::from_secs(25);

/// Files that are locked while something is measured.
#[derive(Debug)]
pub struct Silence<'a> {
    files: &'a [PathBuf],
    held: Option<(Vec<File>, Instant)>,
}

impl<'a> Silence<'a> {
    /// For these files; nothing is locked yet.
    pub fn over(files: &'a [PathBuf]) -> Self {
        Self { files, held: None }
    }

    /// Before a measurement: the files are locked one after the other. If they are locked already, and
    /// have been for long, others may come between.
    ///
    /// # Errors
    /// When one cannot be opened or locked.
    pub fn begin(&mut self) -> anyhow::Result<()> {
        match &self.held {
            Some((_, since)) if since.elapsed() < SLICE => return Ok(()),
            _ => self.held = None,
        }
        let mut held = Vec::new();
        for path in self.files {
            let context = || path.display().to_string();
            let file = File::options().write(true).create(true).truncate(false).open(path);
            let file = file.with_context(context)?;
            file.lock().with_context(context)?;
            held.push(file);
        }
        self.held = Some((held, Instant::now()));
        Ok(())
    }

    /// What comes now is no measurement.
    pub fn end(&mut self) {
        self.held = None;
    }
}
