//! `responder acl`.

use anyhow::Result;
use clap::{Args, Subcommand};
use ipnet::IpNet;

use super::{
    Target,
    ask::{SOON, print, print_json, unexpected},
};
use crate::{
    control::{Reply, Request},
    limits::acl::Action,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Deny a prefix, or allow one inside a denied one.
    Add {
        /// What becomes of queries from it.
        action: Action,
        /// An address or a prefix, such as 192.0.2.0/24.
        #[arg(value_parser = parse_prefix)]
        prefix: IpNet,
        #[command(flatten)]
        target: Target,
    },
    /// Take a prefix off the list.
    Del {
        /// The prefix, as it is listed.
        #[arg(value_parser = parse_prefix)]
        prefix: IpNet,
        #[command(flatten)]
        target: Target,
    },
    /// Show the list.
    List {
        #[command(flatten)]
        target: Target,
        /// Print JSON instead of text.
        #[arg(long)]
        json: bool,
    },
}

fn parse_prefix(text: &str) -> Result<IpNet, String> {
    crate::config::parse_prefix(text)
}

pub(super) fn run(arguments: Arguments) -> Result<()> {
    let (target, request, json) = match arguments.command {
        Command::Add { action, prefix, target } => {
            (target, Request::AclAdd { prefix, action }, false)
        }
        Command::Del { prefix, target } => (target, Request::AclDel { prefix }, false),
        Command::List { target, json } => (target, Request::AclList, json),
    };
    let Reply::Acl(list) = target.ask(&request, SOON)? else {
        return Err(unexpected());
    };
    if json {
        return print_json(&list);
    }
    if list.is_empty() {
        return print("the access list is empty: every client is served\n");
    }
    let line = |(prefix, action): (IpNet, Action)| format!("{:<5} {prefix}\n", action.label());
    print(&list.into_iter().map(line).collect::<String>())
}
