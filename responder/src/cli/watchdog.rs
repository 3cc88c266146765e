//! `responder watchdog`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::{config::Config, service, telemetry};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The daemon's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let (config, _) = Config::load(&arguments.config)?;
    telemetry::start_log()?;
    service::watchdog::run(&config)
}
