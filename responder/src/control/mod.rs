//! How other processes of this machine speak with the daemon: one JSON object a line, over a unix
//! socket in the state directory. Who may open the socket may command the daemon.

pub mod client;
mod history;
pub mod server;
mod service;
mod status;

use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use crate::catalog::membership::CatalogStatus;
use crate::cloud::{Overview, Version};
use crate::limits::{self, acl, top::Talker};

pub use history::ZoneEvent;
pub use service::{Alive, FamilyStatus, PeerStatus, ServiceStatus};
pub use status::{
    DataPlaneStatus, Hook, LastCommit, NodeStatus, Rates, SecondaryStatus, ShadowStatus,
    SocketStatus, Status, ZoneState, ZoneStatus,
};

/// The longest request line, in octets.
pub const REQUEST_OCTETS: usize = 4096;

/// The socket's name in the state directory.
pub const CONTROL_SOCKET: &str = "control.sock";

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// How the node is.
    Status,
    /// Read zone files again, changed or not.
    ZoneReload {
        /// The zone; all of them if absent.
        zone: Option<String>,
    },
    /// Ask the zone's primaries whether there is something new.
    ZoneRefresh {
        /// The zone.
        zone: String,
    },
    /// Switch the kernel's answers on or off; kept over restarts.
    Xdp {
        /// Whether they are to be on.
        on: bool,
        /// The zone; all of them if absent.
        zone: Option<String>,
    },
    /// Filter the log anew, until the daemon ends.
    Log {
        /// As in `RESPONDER_LOG`.
        filter: String,
    },
    /// Transfer the zone, whatever its serial.
    ZoneRetransfer {
        /// The zone.
        zone: String,
    },
    /// What a watchdog wants to know, cheap however many zones there are.
    Alive,
    /// Take services out of the routing.
    Drain {
        /// The service; all of them if absent.
        service: Option<String>,
    },
    /// Bring them back.
    Undrain {
        /// The service; all of them if absent.
        service: Option<String>,
    },
    /// Watch for a moment who asks most.
    LimitsTop {
        /// How many sources to tell.
        count: usize,
    },
    /// Tell the access list.
    AclList,
    /// Add a prefix to the access list, or change what becomes of it.
    AclAdd {
        /// The prefix.
        prefix: IpNet,
        /// What becomes of queries from it.
        action: acl::Action,
    },
    /// Remove a prefix from the access list.
    AclDel {
        /// The prefix.
        prefix: IpNet,
    },
    /// How it stands with the catalogs that are followed.
    CatalogStatus,
    /// Let the version of a catalog that is held back count.
    CatalogAccept {
        /// The catalog.
        catalog: String,
    },
    /// What the distributor says of its cloud.
    CloudOverview {
        /// The catalog; the one with nodes if absent.
        catalog: Option<String>,
    },
    /// Drain or undrain a node or a service of it, by the switchboard.
    CloudSwitch {
        /// The catalog; the one with nodes if absent.
        catalog: Option<String>,
        /// The node.
        node: String,
        /// The service; all of them if absent.
        service: Option<String>,
        /// Whether it is to leave the routing.
        drain: bool,
        /// Whether fewer nodes than the floor may be left.
        force: bool,
    },
    /// The versions of the cloud's catalog that were published.
    CloudHistory {
        /// The catalog; the one with nodes if absent.
        catalog: Option<String>,
    },
    /// Publish a former version again.
    CloudRollback {
        /// The catalog; the one with nodes if absent.
        catalog: Option<String>,
        /// Its serial; the configuration is published again if absent.
        serial: Option<u32>,
        /// Whether fewer nodes than the floor may be left.
        force: bool,
    },
    /// Tell what happened to the zone lately.
    ZoneHistory {
        /// The zone.
        zone: String,
    },
}

/// What the daemon answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::ZoneReload`]: what became of each zone.
    Reloaded(Vec<Reloaded>),
    /// To [`Request::ZoneRefresh`] and [`Request::ZoneRetransfer`].
    Refreshed(Reloaded),
    /// To [`Request::Log`], [`Request::Xdp`] and other requests that are done or not.
    Done,
    /// To [`Request::Alive`].
    Alive(Alive),
    /// To [`Request::Drain`] and [`Request::Undrain`]: the services.
    Services(Vec<String>),
    /// To [`Request::LimitsTop`]: whether replies are limited, and the sources, the busiest first.
    Talkers(limits::Mode, Vec<Talker>),
    /// To the requests for the access list: the list as it is now.
    Acl(Vec<(IpNet, acl::Action)>),
    /// To [`Request::CatalogStatus`].
    Catalogs(Vec<CatalogStatus>),
    /// To [`Request::CloudOverview`].
    Cloud(Box<Overview>),
    /// To [`Request::CloudHistory`]: the last version first.
    CloudHistory(Vec<Version>),
    /// To [`Request::ZoneHistory`]: the last event first.
    History(Vec<ZoneEvent>),
    /// The request could not be served: one line for a person.
    Error(String),
}

/// What became of one zone's reload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Reloaded {
    /// The zone's apex.
    pub zone: String,
    /// The serial that is served now, if any.
    pub serial: Option<u32>,
    /// Why file or primaries were refused; then what was served before goes on being served.
    pub error: Option<String>,
}

/// A control socket's path, or why it cannot be one: the address of a unix socket has 107 octets.
///
/// # Errors
/// One line with the remedy.
pub fn check_socket_path(path: PathBuf) -> anyhow::Result<PathBuf> {
    const LONGEST: usize = 107;
    anyhow::ensure!(
        path.as_os_str().len() <= LONGEST,
        "the control socket's path {} is longer than {LONGEST} octets: choose a shorter node.state",
        path.display()
    );
    Ok(path)
}
