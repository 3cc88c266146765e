//! The commands: one file each, and [`ask`], what they have in common.

mod acl;
mod announce;
mod ask;
mod catalog;
mod check;
mod cloud;
mod detach;
mod dig;
mod drain;
mod limits;
mod log;
mod query;
mod serve;
mod status;
mod watchdog;
mod xdp;
mod zone;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Faults};

/// An authoritative DNS node that answers from the network driver.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "The exit code is 0, or 1 with one line on the standard error for \
    each fault, or 2 for a command line that cannot be understood."
)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon in the foreground.
    ///
    /// It locks the state directory, opens its sockets, loads the zones, attaches the kernel
    /// programs, and then tells the service manager that it is ready (sd_notify). SIGHUP reads the
    /// configuration's zones and every changed zone file again; SIGTERM and SIGINT end it, a second
    /// one at once. The log goes to the standard output; RESPONDER_LOG filters it (debug, info,
    /// warn, error).
    Serve(serve::Arguments),
    /// Check the configuration and its zones without serving them.
    ///
    /// Every error is told at once, with file and line.
    Check(check::Arguments),
    /// Print the answer to one query, as dig would print it.
    ///
    /// The zones are loaded into this process and the engine is asked directly: no daemon needs to
    /// run, nothing goes over the network, and the answer is what the daemon would send.
    Query(query::Arguments),
    /// Show how the running daemon does: zones, data plane, counters and rates.
    Status(status::Arguments),
    /// Detach what a daemon left in the kernel.
    ///
    /// After `serve --on-stop keep`, or a crash of a daemon that was started with --on-stop. Refused
    /// while the daemon runs.
    Detach(detach::Arguments),
    /// Do what needs privileges for a daemon that gave its own up (started by `serve`).
    #[command(hide = true)]
    Helper,
    /// Take this node's services out of the routing, gracefully, and keep them out.
    ///
    /// Routes are made less preferred first (RFC 8326), and withdrawn after service.drain.wait. The node
    /// goes on answering. This survives restarts; `undrain` ends it.
    Drain(drain::Arguments),
    /// Bring drained services back, the same way in reverse.
    Undrain(drain::Arguments),
    /// Withdraw what a daemon left announced. Refused while the daemon runs.
    Withdraw(drain::WithdrawArguments),
    /// Withdraw this node's routes when its daemon cannot: a process of its own, beside the daemon.
    ///
    /// It looks whether the daemon answers its commands and the service's addresses, and whether the
    /// kernel's programs hang where the daemon attached them ([watchdog] in the configuration).
    Watchdog(watchdog::Arguments),
    /// Tell ExaBGP the routes of this node: to be run by ExaBGP, as a process of its API.
    Announce(announce::Arguments),
    /// Edit the list of prefixes that are denied or allowed, while the daemon runs.
    ///
    /// The longest prefix that holds a client's address decides; who is not listed is served. The list is
    /// kept in the state directory.
    Acl(acl::Arguments),
    /// Look at the limits of the running daemon.
    Limits(limits::Arguments),
    /// Filter the log of the running daemon anew, until it ends.
    Log(log::Arguments),
    /// Switch the kernel's answers on or off while the daemon runs.
    ///
    /// Off, queries are left to the sockets, which give the same answers; the programs stay attached and
    /// count them (`pass-switched-off`). A switch is kept over restarts.
    Xdp(xdp::Arguments),
    /// Commands for the catalogs that the running daemon follows.
    Catalog(catalog::Arguments),
    /// The switchboard of a cloud, on the distributor that produces its catalog.
    Cloud(cloud::Arguments),
    /// Commands for the zones of the running daemon.
    Zone(zone::Arguments),
}

/// How a client finds its daemon.
#[derive(Debug, Args)]
struct Target {
    /// The daemon's configuration, which tells where its control socket is.
    #[arg(long, value_name = "FILE", conflicts_with = "socket")]
    config: Option<PathBuf>,
    /// The daemon's control socket [default: /var/lib/responder/control.sock].
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

impl Target {
    fn socket(&self) -> Result<PathBuf> {
        match (&self.socket, &self.config) {
            (Some(socket), _) => Ok(socket.clone()),
            (None, Some(file)) => {
                // Faults elsewhere in the file are no reason to keep silent about the daemon.
                let reading = Config::read(file);
                if !reading.is_toml {
                    return Err(Faults(reading.faults).into());
                }
                Ok(reading.config.control_socket())
            }
            (None, None) => Ok(Config::default().control_socket()),
        }
    }
}

/// Runs the command of this process' command line.
pub fn main() -> ExitCode {
    let result = match CommandLine::parse().command {
        Command::Serve(arguments) => serve::run(arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Query(arguments) => query::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Detach(arguments) => detach::run(&arguments),
        Command::Helper => crate::dataplane::helper::run(),
        Command::Drain(arguments) => drain::run(arguments, true),
        Command::Undrain(arguments) => drain::run(arguments, false),
        Command::Withdraw(arguments) => drain::withdraw(&arguments),
        Command::Watchdog(arguments) => watchdog::run(&arguments),
        Command::Announce(arguments) => announce::run(arguments),
        Command::Acl(arguments) => acl::run(arguments),
        Command::Limits(arguments) => limits::run(arguments),
        Command::Log(arguments) => log::run(arguments),
        Command::Xdp(arguments) => xdp::run(arguments),
        Command::Catalog(arguments) => catalog::run(arguments),
        Command::Cloud(arguments) => cloud::run(arguments),
        Command::Zone(arguments) => zone::run(arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Faults of the configuration have their place before them, one a line.
            match error.downcast_ref::<Faults>() {
                Some(faults) => eprintln!("{faults}"),
                None => eprintln!("error: {error:#}"),
            }
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::CommandLine;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }
}
