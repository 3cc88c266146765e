//! `responder zone`.

use anyhow::{Result, anyhow, bail};
use clap::{Args, Subcommand};

use super::{
    Target,
    ask::{SOON, WHENEVER, print, print_json, unexpected},
};
use crate::{
    config::canonical_name,
    control::{Reloaded, Reply, Request, ZoneEvent},
};

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
    /// Ask a zone's primaries whether there is something new, and wait for the outcome.
    Refresh(One),
    /// Transfer a zone from its primaries, whatever its serial, and wait for the outcome.
    Retransfer(One),
    /// Show one zone of the running daemon.
    Status {
        #[command(flatten)]
        zone: One,
        /// Print one JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Show the last transfers and loads of a zone since the daemon started, the last one first.
    History {
        #[command(flatten)]
        zone: One,
        /// Print a JSON list instead of text.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
struct One {
    /// The zone.
    name: String,
    #[command(flatten)]
    target: Target,
}

pub(super) fn run(arguments: Arguments) -> Result<()> {
    match arguments.command {
        Command::Reload { name, target } => reload(name, &target),
        Command::Refresh(zone) => refresh(&zone.target, Request::ZoneRefresh { zone: zone.name }),
        Command::Retransfer(zone) => {
            refresh(&zone.target, Request::ZoneRetransfer { zone: zone.name })
        }
        Command::Status { zone, json } => status(&zone, json),
        Command::History { zone, json } => history(&zone, json),
    }
}

fn refresh(target: &Target, request: Request) -> Result<()> {
    let Reply::Refreshed(Reloaded { zone, serial, error }) = target.ask(&request, WHENEVER)? else {
        return Err(unexpected());
    };
    match (error, serial) {
        (Some(error), _) => bail!("zone \"{zone}\": {error}"),
        (None, Some(serial)) => print(&format!("zone \"{zone}\" is fresh: serial {serial}\n")),
        (None, None) => bail!("zone \"{zone}\" has no data"),
    }
}

fn status(one: &One, json: bool) -> Result<()> {
    let name = canonical_name(&one.name)
        .map_err(|error| anyhow!("\"{}\" is no name of a zone: {error}", one.name))?;
    let Reply::Status(status) = one.target.ask(&Request::Status, SOON)? else {
        return Err(unexpected());
    };
    let Some(zone) = status.zones.iter().find(|zone| zone.name == name) else {
        bail!("no zone \"{name}\" is configured: `responder status` lists the zones");
    };
    if json {
        print_json(zone)
    } else {
        print(&super::status::show_zones(std::slice::from_ref(zone))?)
    }
}

fn history(one: &One, json: bool) -> Result<()> {
    let request = Request::ZoneHistory { zone: one.name.clone() };
    let Reply::History(events) = one.target.ask(&request, SOON)? else {
        return Err(unexpected());
    };
    if json {
        return print_json(&events);
    }
    events.iter().try_for_each(|event| print(&show_event(event)))
}

/// A line for an event; it begins with the seconds since 1970.
fn show_event(event: &ZoneEvent) -> String {
    let mut line = format!("{} {}", event.at, event.what);
    if let Some(primary) = &event.primary {
        line += &format!(" from {primary}");
    }
    let serial =
        |serial: Option<u32>| serial.map_or("none".to_owned(), |serial| serial.to_string());
    match &event.error {
        None => line += &format!(": serial {} -> {}", serial(event.from), serial(event.serial)),
        Some(error) => line += &format!(": serial {} stays: {error}", serial(event.from)),
    }
    for (figure, unit) in [(event.records, "records"), (event.octets, "octets")] {
        if let Some(figure) = figure {
            line += &format!(", {figure} {unit}");
        }
    }
    line + &format!(", {} ms\n", event.milliseconds)
}

fn reload(name: Option<String>, target: &Target) -> Result<()> {
    let Reply::Reloaded(zones) = target.ask(&Request::ZoneReload { zone: name }, WHENEVER)? else {
        return Err(unexpected());
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
