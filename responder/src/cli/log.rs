//! `responder log`.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;

use super::Target;
use crate::control::{Reply, Request, client};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// error, warn, info, debug or trace; or a filter by journey (query, zone, route, node) or module,
    /// such as `info,zone=debug` or `info,responder::transfer=debug`.
    filter: String,
    #[command(flatten)]
    target: Target,
}

pub(super) fn run(arguments: Arguments) -> Result<()> {
    let request = Request::Log { filter: arguments.filter };
    match client::ask(&arguments.target.socket()?, &request, Some(Duration::from_secs(10)))? {
        Reply::Done => Ok(()),
        _ => bail!("the daemon answered something else: it is of another version"),
    }
}
