//! What the configuration is where the file says nothing.

use std::{path::PathBuf, time::Duration};

use super::{Config, Cookies, Limits, Listen, Node, RateLimit, Telemetry, Transfer, Watchdog, Xdp};
use crate::dataplane::{Mode, ReceiveScaling, watch::Watch};

/// For how long the kernel answers without a daemon, by default: hours, since what stops one daemon may
/// stop those of every node.
pub const LEASE: Duration = Duration::from_secs(6 * 3600);

impl Default for Config {
    fn default() -> Self {
        Self {
            node: Node::default(),
            listen: Listen { addresses: Vec::new(), port: 53, coming: Vec::new() },
            xdp: Xdp {
                mode: Mode::Auto,
                interfaces: Vec::new(),
                receive_scaling: ReceiveScaling::Auto,
                pins: None,
                lease: LEASE,
                watch: Watch::default(),
            },
            telemetry: Telemetry::default(),
            limits: Limits::default(),
            rate_limit: RateLimit::default(),
            cookies: Cookies::default(),
            transfer: Transfer::default(),
            keys: Vec::new(),
            tls: Vec::new(),
            templates: Vec::new(),
            zones: Vec::new(),
            services: Vec::new(),
            peers: Vec::new(),
            watchdog: Watchdog::default(),
        }
    }
}

impl Default for Node {
    fn default() -> Self {
        Self { id: host_name(), state: PathBuf::from("/var/lib/responder"), user: None }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            udp_size: 1232,
            udp_threads: std::thread::available_parallelism().map_or(1, usize::from),
            tcp_connections: 1000,
            tcp_connections_per_source: 100,
            tcp_idle: Duration::from_secs(10),
            passed: 5000,
            passed_per_source: 100,
            transfers: 64,
            transfers_per_primary: 4,
            transfers_out: 64,
            transfers_out_per_peer: 8,
            transfer_idle: Duration::from_secs(30),
            transfer_time: Duration::from_secs(2 * 3600),
            transfer_octets: 4 << 30,
            transfer_records: 100_000_000,
            store_octets: crate::store::REACH,
        }
    }
}

impl Default for Transfer {
    /// Wide enough for what zones say in earnest, narrow enough that no zone is forgotten.
    fn default() -> Self {
        let (minute, day) = (Duration::from_secs(60), Duration::from_secs(86_400));
        Self {
            source: Vec::new(),
            refresh: minute..=day,
            retry: minute / 4..=day / 12,
            expire: minute * 10..=day * 28,
            tls: None,
        }
    }
}

/// The host's name, at most 64 octets on Linux.
fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "responder".to_owned())
}
