//! `responder serve`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::{config::Config, telemetry};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn run(arguments: Arguments) -> Result<()> {
    let (config, warnings) = Config::load(&arguments.config)?;
    telemetry::start_log()?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    crate::serve::run(arguments.config, config)
}
