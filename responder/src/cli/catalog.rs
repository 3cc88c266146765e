//! `responder catalog`.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};

use super::{Target, print};
use crate::control::{Reply, Request, client};

const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the catalogs that are followed: their members, and what is held back.
    Status {
        #[command(flatten)]
        target: Target,
        /// Print a JSON list instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Let the version of a catalog that is held back count: its zones go, if it says so.
    Accept {
        /// The catalog.
        name: String,
        #[command(flatten)]
        target: Target,
    },
}

pub(super) fn run(arguments: Arguments) -> Result<()> {
    match arguments.command {
        Command::Status { target, json } => {
            let reply = client::ask(&target.socket()?, &Request::CatalogStatus, Some(PATIENCE))?;
            let Reply::Catalogs(catalogs) = reply else {
                bail!("the daemon answered something else: it is of another version");
            };
            if json {
                return print(&format!("{}\n", serde_json::to_string_pretty(&catalogs)?));
            }
            catalogs.iter().try_for_each(|catalog| {
                let serial = catalog.serial.map_or("none".to_owned(), |serial| serial.to_string());
                let mut text =
                    format!("{}  serial {serial}, {} zones\n", catalog.name, catalog.members);
                if let Some(fault) = &catalog.held {
                    text += &format!("  held back: {fault}\n");
                }
                print(&text)
            })
        }
        Command::Accept { name, target } => {
            let request = Request::CatalogAccept { catalog: name.clone() };
            client::ask(&target.socket()?, &request, Some(PATIENCE))?;
            print(&format!("catalog \"{name}\" is followed as it is\n"))
        }
    }
}
