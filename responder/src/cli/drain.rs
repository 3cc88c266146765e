//! `responder drain`, `undrain` and `withdraw`.

use std::{path::PathBuf, time::Duration};

use anyhow::{Result, bail};
use clap::Args;

use super::{Target, print};
use crate::{
    config::Config,
    control::{Reply, Request, client},
};

/// How long the daemon may take to note it.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    target: Target,
    /// The service; all of them if absent.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
}

pub(super) fn run(arguments: Arguments, drained: bool) -> Result<()> {
    let service = arguments.service;
    let (request, done) = match drained {
        true => (Request::Drain { service }, "drained"),
        false => (Request::Undrain { service }, "undrained"),
    };
    match client::ask(&arguments.target.socket()?, &request, Some(PATIENCE))? {
        Reply::Services(services) => print(&format!(
            "{done}: {}; `responder status` shows how far that is\n",
            services.join(", ")
        )),
        _ => bail!("the daemon answered something else: it is of another version"),
    }
}

#[derive(Debug, Args)]
pub(super) struct WithdrawArguments {
    /// The configuration of the daemon that announced something.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn withdraw(arguments: &WithdrawArguments) -> Result<()> {
    let (config, _) = Config::load(&arguments.config)?;
    let services = crate::serve::withdraw(&config)?;
    print(&format!("withdrew {services} services\n"))
}
