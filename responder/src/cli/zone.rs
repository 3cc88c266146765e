//! `responder zone`.

use anyhow::{Result, bail};
use clap::{Args, Subcommand};

use super::{Target, print};
use crate::control::{Reply, Request, client};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read the file of a zone again, changed or not.
    ///
    /// Queries are answered from the old data until the new are complete. A file that is refused
    /// changes nothing.
    Reload {
        /// The zone; all zones with a file if absent.
        name: Option<String>,
        #[command(flatten)]
        target: Target,
    },
}

pub(super) fn run(arguments: Arguments) -> Result<()> {
    let Command::Reload { name, target } = arguments.command;
    let socket = target.socket()?;
    // A large zone takes its time: there is no limit.
    let Reply::Reloaded(zones) = client::ask(&socket, &Request::ZoneReload { zone: name }, None)?
    else {
        bail!("the daemon answered something else: it is of another version");
    };
    let mut refused = Vec::new();
    for zone in &zones {
        match (&zone.error, zone.serial) {
            (Some(error), _) => refused.push(format!("zone \"{}\" refused: {error}", zone.zone)),
            (None, Some(serial)) => {
                print(&format!("zone \"{}\" loaded: serial {serial}\n", zone.zone))?;
            }
            (None, None) => print(&format!("zone \"{}\" is being loaded\n", zone.zone))?,
        }
    }
    match refused.as_slice() {
        [] => Ok(()),
        refused => bail!("{}", refused.join("\nerror: ")),
    }
}
