//! `bird`, `exabgp` and `address` of a `[[service]]`: who announces it.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use ipnet::IpNet;

use super::{
    Node,
    read::{parse_address, parse_interface, resolve},
    table::Table,
};
use crate::service::Family;

/// Who announces a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnnouncedBy {
    /// Nobody: it is judged, and told in status and metrics.
    Nobody,
    /// BIRD, by a file that its configuration includes.
    BirdInclude {
        /// BIRD's control socket.
        socket: PathBuf,
        /// The file.
        file: PathBuf,
    },
    /// BIRD, by protocols that are enabled and disabled.
    BirdProtocols {
        /// BIRD's control socket.
        socket: PathBuf,
        /// The protocol for each family.
        protocols: Vec<(Family, String)>,
    },
    /// ExaBGP, by `responder announce`, which it runs.
    ExaBgp {
        /// Where that command finds the routes.
        folder: PathBuf,
        /// The next hop of each family; ExaBGP's own address otherwise.
        next_hops: Vec<IpAddr>,
    },
    /// The addresses, put on an interface and taken off it, whose routes a routing daemon redistributes.
    Address {
        /// The interface.
        interface: String,
    },
}

/// The announcer of a service.
pub(super) fn read_announcer(
    table: &Table<'_>,
    node: &Node,
    prefixes: &[IpNet],
    directory: &Path,
) -> AnnouncedBy {
    const KINDS: [&str; 3] = ["bird", "exabgp", "address"];
    let named: Vec<&str> = KINDS.into_iter().filter(|kind| table.has(kind)).collect();
    if let [_, second, ..] = named[..] {
        let message =
            format!("{} is announced by {}: keep one", table.title, named.join(" and by "));
        table.reader().fault(&table.span_of(second), message);
    }
    KINDS.into_iter().for_each(|kind| table.known(kind));
    match named.first() {
        Some(&"bird") => read_bird(table.section("bird"), prefixes, directory),
        Some(&"exabgp") => {
            let exabgp = table.section("exabgp");
            let folder = exabgp.parsed("folder", |path| resolve(directory, path));
            let next_hops = exabgp.distinct("next-hops", parse_address);
            exabgp.finish();
            let folder = folder.map_or_else(|| node.state.join("exabgp"), |(folder, _)| folder);
            AnnouncedBy::ExaBgp { folder, next_hops }
        }
        Some(_) => {
            let address = table.section("address");
            let interface = address.parsed("interface", parse_interface);
            if !address.has("interface") {
                let message = format!(
                    "address in {} has no interface: name the one whose addresses the routing \
                     daemon redistributes, such as \"dummy0\"",
                    table.title
                );
                address.reader().fault(&address.span, message);
            }
            address.finish();
            interface
                .map_or(AnnouncedBy::Nobody, |(interface, _)| AnnouncedBy::Address { interface })
        }
        None => {
            let message = format!(
                "{} is announced by nobody: it is judged and told, no more; name bird, exabgp or \
                 address",
                table.title
            );
            table.reader().warn(&table.span, message);
            AnnouncedBy::Nobody
        }
    }
}

fn read_bird(table: Table<'_>, prefixes: &[IpNet], directory: &Path) -> AnnouncedBy {
    let socket = table.parsed("socket", |path| resolve(directory, path));
    let socket = socket.map_or_else(|| PathBuf::from("/run/bird/bird.ctl"), |(path, _)| path);
    let file = table.parsed("include", |path| resolve(directory, path));
    let mut protocols = Vec::new();
    for (key, family) in [("protocol-v4", Family::V4), ("protocol-v6", Family::V6)] {
        if let Some((protocol, span)) = table.parsed(key, parse_protocol) {
            if !prefixes.iter().any(|prefix| Family::of(prefix) == family) {
                let message = format!("{key} in {}: the service has no such prefix", table.title);
                table.reader().warn(&span, message);
            }
            protocols.push((family, protocol));
        }
    }
    let announcer = match (&file, protocols.is_empty()) {
        (Some((file, span)), true) => {
            // What outlives a reboot would be announced before the node answers.
            if !file.starts_with("/run") && !file.starts_with("/tmp") {
                let message = format!(
                    "include in {} outlives a reboot, and BIRD would announce it before this node \
                     answers: put it below /run",
                    table.title
                );
                table.reader().warn(span, message);
            }
            AnnouncedBy::BirdInclude { socket, file: file.clone() }
        }
        (None, false) => {
            for family in prefixes.iter().map(Family::of) {
                if !protocols.iter().any(|(other, _)| *other == family) {
                    let message = format!("{} has no protocol-{family}: name it", table.title);
                    table.reader().fault(&table.span, message);
                    break;
                }
            }
            AnnouncedBy::BirdProtocols { socket, protocols }
        }
        (_, is_none) => {
            let message = match is_none {
                true => {
                    "needs include (a file that bird.conf includes), or protocol-v4 and \
                         protocol-v6 (to be enabled and disabled)"
                }
                false => "has include and protocols: keep one way",
            };
            table.reader().fault(&table.span, format!("{} {message}", table.title));
            AnnouncedBy::Nobody
        }
    };
    table.finish();
    announcer
}

/// An address on an interface and a protocol that is on or off carry no marks.
pub(super) fn warn_of_marks_without_effect(table: &Table<'_>, announcer: &AnnouncedBy) {
    let (AnnouncedBy::Address { .. } | AnnouncedBy::BirdProtocols { .. }) = announcer else {
        return;
    };
    for key in ["communities", "med", "prepend", "drain"] {
        if table.has(key) {
            let message = format!(
                "{key} in {} has no effect: the routing daemon marks these routes by its own \
                 configuration",
                table.title
            );
            table.reader().warn(&table.span_of(key), message);
        }
    }
}

/// A symbol of BIRD's configuration.
fn parse_protocol(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
    match text.chars().next() {
        Some(first) if !first.is_ascii_digit() && text.chars().all(allowed) => Ok(text.to_owned()),
        _ => Err("not the name of a protocol of BIRD: letters, digits and \"_\"".to_owned()),
    }
}
