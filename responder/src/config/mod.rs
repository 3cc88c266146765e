//! The configuration: what an operator writes, checked as a whole.
//!
//! Every key but `listen.addresses` has a default. Nothing is guessed: an unknown key is an error
//! that names the nearest known one, and all errors are reported at once, each with file, line and
//! column. Secrets stand in files of their own, never in the configuration.

mod announcers;
mod catalogs;
mod defaults;
mod diagnostic;
mod limits;
mod name;
mod peers;
mod read;
mod services;
mod table;
mod tls;
mod zones;

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;

pub use crate::limits::{Cookies, RateLimit};
pub use announcers::AnnouncedBy;
pub use catalogs::{Inventory, Listed, Members};
pub use defaults::LEASE;
pub use diagnostic::{Diagnostic, Faults, Position};
pub use name::canonical_name;
pub use peers::{Peer, Watchdog};
pub use services::{Health, Service};
pub use tls::{Identity, TlsListen, TlsProfile, Trust};
pub use zones::parse_prefix;

use crate::{
    control::CONTROL_SOCKET,
    dataplane::{Mode, ReceiveScaling, pins::default_folder, watch::Watch},
    limits::ZoneRates,
    store::StoreOptions,
    zone::{archive::JournalLimits, guard::Guards},
};

/// A node's whole configuration, valid in itself: what it refers to (files, interfaces) may still
/// be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Who this node is and where it keeps its state.
    pub node: Node,
    /// Where it answers.
    pub listen: Listen,
    /// How the kernel helps.
    pub xdp: Xdp,
    /// How it is watched.
    pub telemetry: Telemetry,
    /// What it bounds.
    pub limits: Limits,
    /// How many replies one source may have.
    pub rate_limit: RateLimit,
    /// DNS cookies.
    pub cookies: Cookies,
    /// How it speaks with primaries and secondaries.
    pub transfer: Transfer,
    /// TSIG keys, by name.
    pub keys: Vec<Key>,
    /// How servers are spoken with over TLS, by name.
    pub tls: Vec<TlsProfile>,
    /// What members of catalogs are like: zones without a place of their own, by name.
    pub templates: Vec<Zone>,
    /// Zones, in the order of the file.
    pub zones: Vec<Zone>,
    /// What this node announces, by name.
    pub services: Vec<Service>,
    /// Other nodes of the cloud that it asks.
    pub peers: Vec<Peer>,
    /// Who looks whether the daemon still does.
    pub watchdog: Watchdog,
}

/// `[node]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Identity: NSID (RFC 5001), the CHAOS names, the label of metrics. At most 64 octets; by
    /// default the host's name.
    pub id: String,
    /// Directory of the lock, the control socket and what must survive a restart.
    pub state: PathBuf,
    /// The user that the daemon becomes when it is started as root; nobody else by default.
    pub user: Option<String>,
}

/// `[listen]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Addresses of the service; never a wildcard, since a reply leaves from the address that was
    /// asked.
    pub addresses: Vec<IpAddr>,
    /// UDP and TCP port, 53 by default.
    pub port: u16,
    /// Those that are put on an interface only while a service is announced.
    pub coming: Vec<IpAddr>,
}

/// `[xdp]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Xdp {
    /// Which hook answers.
    pub mode: Mode,
    /// Interfaces on which queries arrive.
    pub interfaces: Vec<String>,
    /// Whether the work of their receive queues is spread over the processors.
    pub receive_scaling: ReceiveScaling,
    /// The folder on bpffs for what outlives the daemon; by default one for the node's identity.
    pub pins: Option<PathBuf>,
    /// For how long the kernel answers without a daemon.
    pub lease: Duration,
    /// What the programs tell, beside answering.
    pub watch: Watch,
}

/// `[telemetry]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Telemetry {
    /// Address of the HTTP listener; none by default.
    pub listen: Option<SocketAddr>,
}

/// `[limits]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// No UDP reply is larger, in octets (512 to 4096).
    pub udp_size: u16,
    /// Threads that answer from UDP sockets; by default one per processor.
    pub udp_threads: usize,
    /// TCP connections open at a time.
    pub tcp_connections: usize,
    /// TCP connections open at a time from one IPv4 address or one IPv6 /64.
    pub tcp_connections_per_source: usize,
    /// A TCP connection that completes no message for so long is closed (RFC 7766, section 6.2.3).
    pub tcp_idle: Duration,
    /// Datagrams a second that are passed to the daemon (NOTIFY, TSIG, requests for transfers), those of
    /// primaries and secondaries not counted; zero is no limit.
    pub passed: u32,
    /// Such datagrams a second from one source, as `[rate-limit]` knows sources.
    pub passed_per_source: u32,
    /// Primaries that are spoken with at a time.
    pub transfers: usize,
    /// Connections to one primary at a time.
    pub transfers_per_primary: usize,
    /// Transfers given to others at a time.
    pub transfers_out: usize,
    /// Transfers given to one address at a time.
    pub transfers_out_per_peer: usize,
    /// A primary that is silent for so long is left, and a client that takes nothing.
    pub transfer_idle: Duration,
    /// A transfer that takes longer is ended.
    pub transfer_time: Duration,
    /// Octets of one transfer on the wire, and of the memory that its records take before they are
    /// compiled.
    pub transfer_octets: u64,
    /// Records of one transfer.
    pub transfer_records: u64,
    /// Octets that the store may have, in whole segments of 64 MiB: what all zones take, and the new
    /// version of a zone beside the old one while it is compiled.
    pub store_octets: u64,
}

/// `[transfer]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// Unicast addresses of this node for SOA queries, transfers and NOTIFY, at most one a family.
    pub source: Vec<IpAddr>,
    /// The bounds within which an SOA's refresh interval is followed.
    pub refresh: RangeInclusive<Duration>,
    /// Those of its retry interval.
    pub retry: RangeInclusive<Duration>,
    /// Those of its expire interval.
    pub expire: RangeInclusive<Duration>,
    /// Where zones are given over TLS (RFC 9103); nowhere by default.
    pub tls: Option<TlsListen>,
}

/// `[[key]]`: a TSIG key (RFC 8945).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its name, canonical.
    pub name: String,
    /// Its algorithm, such as `hmac-sha256`.
    pub algorithm: String,
    /// The file that holds the secret in base64.
    pub secret_file: PathBuf,
}

/// `[[zone]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// Its apex, canonical.
    pub name: String,
    /// Where its data come from.
    pub source: ZoneSource,
    /// Prefixes from which NOTIFY is heard.
    pub notify_from: Vec<IpNet>,
    /// The name of the key that NOTIFY must be signed with, if any.
    pub notify_key: Option<String>,
    /// Who may transfer it.
    pub transfer_to: Vec<Peers>,
    /// How much of its past changes is kept for them.
    pub journal: JournalLimits,
    /// Who is told of each new version (RFC 1996).
    pub notify_to: Vec<Downstream>,
    /// For a catalog that is followed (RFC 9432): what its members are like.
    pub members: Option<Members>,
    /// The produced catalog that lists the zone.
    pub listed: Option<Listed>,
    /// Whether this is a catalog that is produced: its file is written by the daemon.
    pub is_produced: bool,
    /// For a catalog that is produced: the nodes of the cloud.
    pub inventory: Inventory,
    /// What its versions must satisfy before they are served, where it comes from primaries.
    pub guards: Guards,
    /// Rates of its own, if it has any.
    pub rates: Option<ZoneRates>,
}

/// Where a zone's data come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ZoneSource {
    /// A zone file of this machine.
    File(PathBuf),
    /// Transfers from these servers, in the order of preference.
    Primaries(Vec<Primary>),
}

/// A server that a zone is transferred from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Primary {
    /// Its address and port (53 by default).
    pub address: SocketAddr,
    /// The name of the key that signs the transfer, if any.
    pub key: Option<String>,
    /// The `[[tls]]` by which it is recognised, where it is spoken with over TLS.
    pub tls: Option<String>,
}

/// Servers that may transfer a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peers {
    /// Their addresses.
    pub prefix: IpNet,
    /// The name of the key that they must sign with, if any.
    pub key: Option<String>,
    /// Whether they must come over TLS.
    pub tls: bool,
}

/// A server that is told of new versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Downstream {
    /// Its address and port (53 by default).
    pub address: SocketAddr,
    /// The name of the key that signs what it is told, if any.
    pub key: Option<String>,
}

/// What reading a file gave: a configuration as far as it could be understood, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// What could be understood; the rest has its defaults. To be served only if `faults` is empty.
    pub config: Config,
    /// Whether the file could be read and is TOML at all: else `config` is but the defaults.
    pub is_toml: bool,
    /// Errors, in the order of the file.
    pub faults: Vec<Diagnostic>,
    /// What works, but hardly as it was meant.
    pub warnings: Vec<Diagnostic>,
}

impl Config {
    /// Reads a configuration for use.
    ///
    /// # Errors
    /// All faults of the file at once.
    pub fn load(file: &Path) -> Result<(Self, Vec<Diagnostic>), Faults> {
        let reading = Self::read(file);
        if reading.faults.is_empty() {
            Ok((reading.config, reading.warnings))
        } else {
            Err(Faults(reading.faults))
        }
    }

    /// Reads a configuration as far as it can be understood, and lists its faults.
    pub fn read(file: &Path) -> Reading {
        match std::fs::read_to_string(file) {
            Ok(text) => Self::parse(file, &text),
            Err(error) => Reading {
                config: Self::default(),
                is_toml: false,
                faults: vec![Diagnostic {
                    file: file.to_owned(),
                    position: None,
                    message: format!("cannot read the configuration: {error}"),
                }],
                warnings: Vec::new(),
            },
        }
    }

    /// As [`Config::read`], of a text already in memory; relative paths are resolved against the
    /// directory of `file`.
    pub fn parse(file: &Path, text: &str) -> Reading {
        read::parse(file, text)
    }

    /// The options on which every reply depends.
    pub fn store_options(&self) -> StoreOptions {
        StoreOptions { udp_size: self.limits.udp_size, id: self.node.id.clone() }
    }

    /// The folder of what is pinned.
    pub fn pins(&self) -> PathBuf {
        self.xdp.pins.clone().unwrap_or_else(|| default_folder(&self.node.id))
    }

    /// The addresses that services put on interfaces, with these.
    pub fn coming_addresses(&self) -> Vec<(String, IpAddr)> {
        let mut addresses = Vec::new();
        for service in &self.services {
            if let AnnouncedBy::Address { interface } = &service.announcer {
                let of_service = service.addresses.iter();
                addresses.extend(of_service.map(|address| (interface.clone(), *address)));
            }
        }
        addresses
    }

    /// Where the daemon of this configuration listens for commands.
    pub fn control_socket(&self) -> PathBuf {
        self.node.state.join(CONTROL_SOCKET)
    }
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
