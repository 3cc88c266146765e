//! `responder detach`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::config::Config;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration of the daemon that left something.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let (config, _) = Config::load(&arguments.config)?;
    let links = crate::serve::detach(&config)?;
    super::ask::print(&match links {
        0 => format!("nothing is pinned in {}\n", config.pins().display()),
        links => format!("detached {links} programs, pinned in {}\n", config.pins().display()),
    })
}
