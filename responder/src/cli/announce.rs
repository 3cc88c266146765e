//! `responder announce`: the process that ExaBGP runs.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;

use crate::{
    config::{AnnouncedBy, Config},
    service::announcers,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The daemon's configuration, which tells where routes are found.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["folder", "service"])]
    config: Option<PathBuf>,
    /// Where routes are found, if the configuration cannot be read by ExaBGP's user.
    #[arg(long, value_name = "PATH", requires = "service")]
    folder: Option<PathBuf>,
    /// A service to announce; may be repeated.
    #[arg(long, value_name = "NAME", requires = "folder")]
    service: Vec<String>,
}

pub(super) fn run(arguments: Arguments) -> Result<()> {
    let (folder, services) = match (arguments.config, arguments.folder) {
        (_, Some(folder)) => (folder, arguments.service),
        (Some(file), None) => of(&Config::load(&file)?.0)?,
        (None, None) => bail!("name the configuration with --config, or --folder and --service"),
    };
    announcers::announce(&folder, &services)
}

/// The services of a configuration that ExaBGP announces.
fn of(config: &Config) -> Result<(PathBuf, Vec<String>)> {
    let mut folders = Vec::new();
    let mut names = Vec::new();
    for service in &config.services {
        if let AnnouncedBy::ExaBgp { folder, .. } = &service.announcer {
            folders.push(folder.clone());
            names.push(service.name.clone());
        }
    }
    folders.dedup();
    match &folders[..] {
        [] => bail!("no service of this configuration is announced by exabgp"),
        [folder] => Ok((folder.clone(), names)),
        _ => bail!("services with several folders: one process for each, with --folder"),
    }
}
