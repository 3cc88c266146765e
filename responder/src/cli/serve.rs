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
    /// Attach to this interface, not to those of the configuration; may be repeated.
    #[arg(long, value_name = "NAME")]
    interface: Vec<String>,
}

pub(super) fn run(arguments: Arguments) -> Result<()> {
    let (mut config, warnings) = Config::load(&arguments.config)?;
    if !arguments.interface.is_empty() {
        config.xdp.interfaces = arguments.interface;
    }
    telemetry::start_log()?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    crate::serve::run(arguments.config, config)
}
