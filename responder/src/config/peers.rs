//! `[[peer]]` and `[watchdog]`: who else looks after this node, and whom it looks after.

use std::{net::SocketAddr, time::Duration};

use super::{
    read::parse_address,
    services::{HOUR, MILLISECOND},
    table::Table,
};

/// `[[peer]]`: another node of the cloud, asked from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its `node.id`, which it tells as NSID.
    pub id: String,
    /// Where it is asked.
    pub addresses: Vec<SocketAddr>,
    /// How often.
    pub interval: Duration,
}

/// `[watchdog]`: the process that withdraws when the daemon cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watchdog {
    /// From one look to the next.
    pub interval: Duration,
    /// Bad looks in a row before it withdraws.
    pub fall: u32,
    /// Good looks in a row before it lets go.
    pub rise: u32,
}

impl Default for Watchdog {
    fn default() -> Self {
        Self { interval: Duration::from_secs(1), fall: 3, rise: 3 }
    }
}

/// All `[[peer]]`.
pub(super) fn read_peers(tables: Vec<Table<'_>>) -> Vec<Peer> {
    let mut peers = Vec::new();
    for table in tables {
        let id = table.string("id").map(|(id, _)| id.to_owned());
        let port = table.integer("port", 1..=65_535).map_or(53, |port| port as u16);
        let addresses: Vec<SocketAddr> = table
            .distinct("addresses", parse_address)
            .into_iter()
            .map(|address| SocketAddr::new(address, port))
            .collect();
        let interval = table.duration("interval", 100 * MILLISECOND..=HOUR);
        for (key, missing) in [("id", id.is_none()), ("addresses", addresses.is_empty())] {
            if missing && !table.has(key) {
                table.reader().fault(&table.span, format!("[[peer]] has no {key}: give it one"));
            }
        }
        table.finish();
        peers.extend(id.map(|id| Peer {
            id,
            addresses,
            interval: interval.unwrap_or(Duration::from_secs(5)),
        }));
    }
    peers
}

/// `[watchdog]`.
pub(super) fn read_watchdog(table: Table<'_>) -> Watchdog {
    let default = Watchdog::default();
    let count = |key, default| table.integer(key, 1..=1000).map_or(default, |n| n as u32);
    let watchdog = Watchdog {
        interval: table.duration("interval", 50 * MILLISECOND..=HOUR).unwrap_or(default.interval),
        fall: count("fall", default.fall),
        rise: count("rise", default.rise),
    };
    table.finish();
    watchdog
}
