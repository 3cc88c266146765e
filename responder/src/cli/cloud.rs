//! `responder cloud`: the switchboard of a cloud, on the distributor that produces its catalog.

use std::fmt::Write as _;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    Target,
    ask::{LATER, print, print_json, unexpected},
};
use crate::{
    cloud::{Overview, announced::Announced, look},
    control::{Reply, Request},
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Ask every node of the cloud what it serves, and show that beside what the distributor serves.
    Status {
        #[command(flatten)]
        at: At,
        /// Print one JSON object instead of text.
        #[arg(long)]
        json: bool,
        /// The port of the nodes.
        #[arg(long, default_value_t = 53)]
        port: u16,
    },
    /// Show the zones of the cloud.
    Zones {
        #[command(flatten)]
        at: At,
        /// Print a JSON list instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Take a node, or one service of it, out of the routing.
    Drain(Switch),
    /// Bring a node, or one service of it, back.
    Undrain(Switch),
    /// Show the versions of the catalog that were published, the last one first.
    History {
        #[command(flatten)]
        at: At,
        /// Print a JSON list instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Publish a former version again, under a new serial.
    ///
    /// Its zones and nodes are published, whatever the configuration says, until --release.
    Rollback {
        /// The serial of that version.
        #[arg(required_unless_present = "release")]
        serial: Option<u32>,
        /// Publish what the configuration says again.
        #[arg(long, conflicts_with = "serial")]
        release: bool,
        /// Also where fewer nodes than the drain floor are left.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        at: At,
    },
}

#[derive(Debug, Args)]
struct At {
    /// The catalog; the one with nodes by default.
    #[arg(long, value_name = "NAME")]
    catalog: Option<String>,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
struct Switch {
    /// The node, by its identity.
    node: String,
    /// The service; all of them by default.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Also where fewer nodes than the drain floor are left.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    at: At,
}

impl At {
    fn ask(&self, request: &Request) -> Result<Reply> {
        self.target.ask(request, LATER)
    }

    fn overview(&self) -> Result<Overview> {
        match self.ask(&Request::CloudOverview { catalog: self.catalog.clone() })? {
            Reply::Cloud(overview) => Ok(*overview),
            _ => Err(unexpected()),
        }
    }
}

pub(super) fn run(arguments: Arguments) -> Result<()> {
    match arguments.command {
        Command::Status { at, json, port } => status(&at, json, port),
        Command::Zones { at, json } => zones(&at, json),
        Command::Drain(switch) => set(switch, true),
        Command::Undrain(switch) => set(switch, false),
        Command::History { at, json } => history(&at, json),
        Command::Rollback { serial, force, at, .. } => {
            let catalog = at.catalog.clone();
            at.ask(&Request::CloudRollback { catalog, serial, force })?;
            print(&match serial {
                Some(serial) => format!("what was published under serial {serial} is again\n"),
                None => "what the configuration says is published again\n".to_owned(),
            })
        }
    }
}

fn set(switch: Switch, drain: bool) -> Result<()> {
    let Switch { node, service, force, at } = switch;
    let told =
        service.as_ref().map_or(String::new(), |service| format!("service \"{service}\" of "));
    let request = Request::CloudSwitch {
        catalog: at.catalog.clone(),
        node: node.clone(),
        service,
        drain,
        force,
    };
    at.ask(&request)?;
    let done = if drain { "drained" } else { "undrained" };
    print(&format!("{told}node \"{node}\" is {done}: the nodes follow with the next version\n"))
}

fn status(at: &At, json: bool, port: u16) -> Result<()> {
    let overview = at.overview()?;
    let nodes = look::at_nodes(&overview, port);
    if json {
        let all = json!({ "catalog": overview.catalog, "serial": overview.serial, "nodes": nodes });
        return print_json(&all);
    }
    let mut text = String::new();
    for node in nodes {
        let address = node.address.map_or("no address".to_owned(), |address| address.to_string());
        write!(text, "{}  {address}", node.id)?;
        match &node.nsid {
            Some(nsid) if nsid.eq_ignore_ascii_case(&node.id) => {}
            Some(nsid) => write!(text, "  says that it is \"{nsid}\"")?,
            None => write!(text, "  does not say who it is")?,
        }
        write!(text, "  {}", announced(&node))?;
        if !node.drained.is_empty() {
            write!(text, "  drained: {}", node.drained.join(" "))?;
        }
        writeln!(text)?;
        for zone in &node.zones {
            match (&zone.fault, zone.serial) {
                (Some(fault), _) => writeln!(text, "  {}  {fault}", zone.name)?,
                (None, Some(serial)) => {
                    write!(text, "  {}  serial {serial}", zone.name)?;
                    match zone.lag {
                        Some(0) => writeln!(text)?,
                        Some(lag) => writeln!(text, "  {lag} behind")?,
                        None => writeln!(text, "  the distributor has none")?,
                    }
                }
                (None, None) => writeln!(text, "  {}", zone.name)?,
            }
        }
    }
    print(&text)
}

/// What a node announces, in a few words.
fn announced(node: &look::NodeLook) -> String {
    let Some(services) = &node.services else { return "does not say what it announces".into() };
    if services.is_empty() {
        return "has no services".into();
    }
    let of = |one: &Announced| {
        let doubt = if one.confirmed { "" } else { ", unconfirmed" };
        format!("{} {} {}{doubt}", one.service, one.family, one.route.label())
    };
    services.iter().map(of).collect::<Vec<_>>().join("; ")
}

fn zones(at: &At, json: bool) -> Result<()> {
    let overview = at.overview()?;
    if json {
        return print_json(&overview.zones);
    }
    if let Some(pinned) = overview.pinned {
        print(&format!(
            "as published under serial {pinned} (`responder cloud rollback --release`)\n"
        ))?;
    }
    overview.zones.iter().try_for_each(|zone| {
        let serial =
            zone.serial.map_or("not served".to_owned(), |serial| format!("serial {serial}"));
        let mut line = format!("{}  {serial}", zone.name);
        if let Some(group) = &zone.group {
            line += &format!("  group {group}");
        }
        for (name, value) in &zone.options {
            line += &format!("  {name}={value}");
        }
        print(&(line + "\n"))
    })
}

fn history(at: &At, json: bool) -> Result<()> {
    let request = Request::CloudHistory { catalog: at.catalog.clone() };
    let Reply::CloudHistory(versions) = at.ask(&request)? else {
        return Err(unexpected());
    };
    if json {
        return print_json(&versions);
    }
    versions.iter().try_for_each(|version| {
        let mut line = format!("{}  at {}  {} zones", version.serial, version.at, version.zones);
        for (node, services) in &version.drained {
            let services: Vec<&str> = services.iter().map(String::as_str).collect();
            line += &format!("  {node} drained: {}", services.join(" "));
        }
        print(&(line + "\n"))
    })
}
