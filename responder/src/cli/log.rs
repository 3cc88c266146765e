//! `responder log`.

use anyhow::Result;
use clap::Args;

use super::{
    Target,
    ask::{SOON, unexpected},
};
use crate::control::{Reply, Request};

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
    match arguments.target.ask(&request, SOON)? {
        Reply::Done => Ok(()),
        _ => Err(unexpected()),
    }
}
