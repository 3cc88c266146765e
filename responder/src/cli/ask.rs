//! What nearly every command does: it asks the daemon, and prints what that says.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use anyhow::{Result, anyhow};
use serde::Serialize;

use super::Target;
use crate::control::{Reply, Request, client};

/// How long the daemon may take for what it has at hand.
pub(super) const SOON: Option<Duration> = Some(Duration::from_secs(10));
/// How long it may take for what it has to look for, or to wait for.
pub(super) const LATER: Option<Duration> = Some(Duration::from_secs(60));
/// A large zone takes its time.
pub(super) const WHENEVER: Option<Duration> = None;

impl Target {
    /// Asks the daemon.
    pub(super) fn ask(&self, request: &Request, patience: Option<Duration>) -> Result<Reply> {
        client::ask(&self.socket()?, request, patience)
    }
}

/// It answered another question.
pub(super) fn unexpected() -> anyhow::Error {
    anyhow!("the daemon answered something else: it is of another version")
}

/// Writes to the standard output; a reader that has seen enough is no fault.
pub(super) fn print(text: &str) -> Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

/// The same, as JSON.
pub(super) fn print_json(value: &impl Serialize) -> Result<()> {
    print(&format!("{}\n", serde_json::to_string_pretty(value)?))
}
