//! `responder catalog`.

use anyhow::Result;
use clap::{Args, Subcommand};

use super::{
    Target,
    ask::{LATER, print, print_json, unexpected},
};
use crate::control::{Reply, Request};

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
            let reply = target.ask(&Request::CatalogStatus, LATER)?;
            let Reply::Catalogs(catalogs) = reply else {
                return Err(unexpected());
            };
            if json {
                return print_json(&catalogs);
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
            target.ask(&request, LATER)?;
            print(&format!("catalog \"{name}\" is followed as it is\n"))
        }
    }
}
