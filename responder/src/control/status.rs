//! The daemon's account of itself, as `responder status --json` prints it.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{PeerStatus, ServiceStatus};
use crate::{
    dataplane::{Attachment, Mode},
    serve::SwitchedOff,
    store::Usage,
    zone::Committed,
};

/// How a node is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// The process.
    pub node: NodeStatus,
    /// Every configured zone, by name.
    pub zones: Vec<ZoneStatus>,
    /// What this node announces, in the order of the configuration.
    #[serde(default)]
    pub services: Vec<ServiceStatus>,
    /// Other nodes, as they are seen from here.
    #[serde(default)]
    pub peers: Vec<PeerStatus>,
    /// The kernel's part.
    pub data_plane: DataPlaneStatus,
    /// The daemon's own sockets.
    pub sockets: SocketStatus,
    /// Replies per second.
    pub rates: Rates,
    /// Refreshes, transfers and NOTIFY, by outcome.
    pub transfers: BTreeMap<String, u64>,
    /// Memory held by the store, in octets.
    pub store_bytes: u64,
    /// Memory that it may hold (`limits.store-octets`).
    pub store_limit: u64,
    /// Its segments of 64 MiB.
    pub store_segments: u32,
}

/// The process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct NodeStatus {
    /// Its identity.
    pub id: String,
    /// The program's version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Seconds since it started.
    pub uptime: u64,
    /// Whether it answers: zones were loaded, sockets are open, programs attached.
    pub ready: bool,
}

/// One zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ZoneStatus {
    /// Its apex.
    pub name: String,
    /// What it is doing.
    pub state: ZoneState,
    /// The serial served.
    pub serial: Option<u32>,
    /// Its records.
    pub records: u64,
    /// Its names.
    pub names: u64,
    /// Octets in the store.
    pub bytes: u64,
    /// Octets that commits gave back and that are not used again yet.
    pub dead_bytes: u64,
    /// Octets of the store that the zone has for itself: those, and room that was never used.
    pub reserved_bytes: u64,
    /// Places of its index of names.
    pub index_slots: u64,
    /// Those in use: the index grows at thirteen of sixteen.
    pub index_used: u64,
    /// The last commit, if what is served came by one.
    pub last_commit: Option<LastCommit>,
    /// When it was loaded, in seconds since 1970.
    pub loaded_at: Option<u64>,
    /// How long that took, in milliseconds.
    pub load_milliseconds: Option<u64>,
    /// Its file, if it has one.
    pub file: Option<String>,
    /// What an operator should know of the data served.
    pub warnings: Vec<String>,
    /// Why the last attempt to load it failed, if it did.
    pub last_error: Option<String>,
    /// How it stands with its primaries, if it has any.
    pub secondary: Option<SecondaryStatus>,
}

/// How a zone stands with its primaries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SecondaryStatus {
    /// They, in the order in which they are asked.
    pub primaries: Vec<String>,
    /// The one that last gave or confirmed the zone.
    pub primary: Option<String>,
    /// Seconds since then.
    pub age: Option<u64>,
    /// Seconds until they are asked again.
    pub next_refresh: u64,
    /// Seconds until the data are too old to be served.
    pub expiry: Option<u64>,
    /// Whether they are.
    pub expired: bool,
    /// Refreshes in a row that failed.
    pub failures: u32,
    /// Why the last one failed, if it did: each primary and its fault.
    pub last_error: Option<String>,
}

impl ZoneStatus {
    /// Tells what it holds of the store now.
    pub fn hold(&mut self, usage: Usage) {
        self.bytes = usage.live;
        self.dead_bytes = usage.dead;
        self.reserved_bytes = usage.reserved;
        self.index_slots = usage.index_slots;
        self.index_used = usage.index_used;
    }

    /// Adds how it stands with its primaries.
    pub fn follow(&mut self, secondary: SecondaryStatus) {
        if secondary.expired {
            self.state = ZoneState::Expired;
        } else if self.serial.is_none() && secondary.last_error.is_some() {
            self.state = ZoneState::Failed;
        }
        self.last_error.clone_from(&secondary.last_error);
        self.secondary = Some(secondary);
    }
}

/// A commit: what has changed, without the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LastCommit {
    /// Owners that differed.
    pub owners: u64,
    /// Names written anew: those, and what hangs on them.
    pub written: u64,
    /// From the hand-over of the change until nobody read the former version any more.
    pub microseconds: u64,
    /// Those of them that went by until it was on its way to the disk.
    #[serde(default)]
    pub disk_microseconds: u64,
}

impl From<Committed> for LastCommit {
    fn from(commit: Committed) -> Self {
        let microseconds = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Self {
            owners: commit.owners,
            written: commit.written,
            microseconds: microseconds(commit.steps.total()),
            disk_microseconds: microseconds(commit.steps.kept),
        }
    }
}

/// What a zone is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ZoneState {
    /// Waiting for its first load to end.
    #[serde(rename = "loading")]
    Loading,
    /// Answered for.
    #[serde(rename = "serving")]
    Serving,
    /// Refused, and nothing older is there to serve.
    #[serde(rename = "failed")]
    Failed,
    /// Too old: answered with SERVFAIL until a primary confirms it.
    #[serde(rename = "expired")]
    Expired,
}

impl ZoneState {
    /// The state as a person reads it, which is also the metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Serving => "serving",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }
}

/// The kernel's part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DataPlaneStatus {
    /// `xdp.mode` of the configuration.
    pub configured: Mode,
    /// Why it is less than that, if it is.
    pub degraded: Option<String>,
    /// What an operator has switched off.
    #[serde(default)]
    pub switched_off: SwitchedOff,
    /// Where it is pinned, if it outlives the daemon.
    pub pins: Option<PathBuf>,
    /// For how many seconds it does.
    pub lease: u64,
    /// Whether the daemon went on with the store that an earlier one left.
    #[serde(default)]
    pub adopted: bool,
    /// What shadow mode found, where it is on.
    #[serde(default)]
    pub shadow: Option<ShadowStatus>,
    /// The interfaces.
    pub attachments: Vec<Attachment>,
    /// Replies over the rate of their source, by what they were to be; by the kernel and by the daemon's
    /// sockets. With `rate-limit.mode = "log"` they were sent all the same.
    #[serde(default)]
    pub over_rate: BTreeMap<String, u64>,
    /// Verdicts of runs by the daemon itself, which are in neither of the next.
    #[serde(default)]
    pub probes: BTreeMap<String, u64>,
    /// The XDP program.
    pub xdp: Hook,
    /// The tc program.
    pub tc: Hook,
}

impl DataPlaneStatus {
    /// Adds what the daemon's sockets found to be over the rate.
    pub fn and_over(mut self, sockets: BTreeMap<String, u64>) -> Self {
        for (label, count) in sockets {
            *self.over_rate.entry(label).or_default() += count;
        }
        self
    }
}

/// What came of comparing the kernel's answers with the host's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ShadowStatus {
    /// Of so many answers one is compared.
    pub one_of: u32,
    /// How many were the same, octet by octet.
    pub equal: u64,
    /// How many were not.
    pub different: u64,
    /// How many were not judged, since the store changed meanwhile.
    pub skipped: u64,
}

/// What a program in the kernel has done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Hook {
    /// Replies sent.
    pub answered: u64,
    /// Packets left to whoever comes next, by reason.
    pub passed: BTreeMap<String, u64>,
    /// Packets dropped, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Replies by kind.
    pub replies: BTreeMap<String, u64>,
}

impl Hook {
    /// Sorts a program's counters; labels of passes and drops begin so.
    pub fn new(counters: BTreeMap<String, u64>) -> Self {
        let mut hook = Self::default();
        for (label, count) in counters {
            if let Some(reason) = label.strip_prefix("pass-") {
                hook.passed.insert(reason.to_owned(), count);
            } else if let Some(reason) = label.strip_prefix("drop-") {
                hook.dropped.insert(reason.to_owned(), count);
            } else {
                hook.answered += count;
                hook.replies.insert(label, count);
            }
        }
        hook
    }
}

/// Messages and connections of the daemon's own sockets, by outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SocketStatus {
    /// Datagrams.
    pub udp: BTreeMap<String, u64>,
    /// Streams.
    pub tcp: BTreeMap<String, u64>,
}

/// Replies per second over the last interval.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Rates {
    /// The interval in seconds; 0 until there is one.
    pub interval: f64,
    /// By the XDP program.
    pub xdp: f64,
    /// By the tc program.
    pub tc: f64,
    /// By the daemon, over UDP.
    pub udp: f64,
    /// By the daemon, over TCP.
    pub tcp: f64,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::Hook;

    #[test]
    fn counters_are_sorted_by_what_became_of_the_packet() {
        let counters = [("positive", 5), ("nxdomain", 2), ("pass-notify", 3), ("drop-runt", 1)]
            .map(|(label, count)| (label.to_owned(), count));
        let hook = Hook::new(BTreeMap::from(counters));
        assert_eq!(hook.answered, 7);
        assert_eq!(hook.passed, BTreeMap::from([("notify".to_owned(), 3)]));
        assert_eq!(hook.dropped, BTreeMap::from([("runt".to_owned(), 1)]));
        assert_eq!(hook.replies.len(), 2);
    }
}
