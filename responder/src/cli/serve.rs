//! `responder serve`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::{config::Config, serve::OnStop, telemetry};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Attach to this interface, not to those of the configuration; may be repeated.
    #[arg(long, value_name = "NAME")]
    interface: Vec<String>,
    /// Let the kernel go on answering when the daemon dies, and say what it does when the daemon is
    /// stopped [default: nothing outlives the process].
    ///
    /// Programs and counters are pinned (xdp.pins). Without a daemon they answer from the zones as they
    /// last were until the lease (xdp.lease) runs out; the next daemon takes over without losing a
    /// query; `responder detach` ends them.
    #[arg(long, value_name = "WHAT")]
    on_stop: Option<OnStop>,
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
    crate::serve::run(arguments.config, config, arguments.on_stop)
}
