//! `responder drain`, `undrain` and `withdraw`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::{
    Target,
    ask::{SOON, print, unexpected},
};
use crate::{
    config::Config,
    control::{Reply, Request},
};

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
    match arguments.target.ask(&request, SOON)? {
        Reply::Services(services) => print(&format!(
            "{done}: {}; `responder status` shows how far that is\n",
            services.join(", ")
        )),
        _ => Err(unexpected()),
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
