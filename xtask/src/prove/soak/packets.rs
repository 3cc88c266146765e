//! What the interface says that came, and what the programs say.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::{
    daemon::Daemon,
    net::{Namespace, SERVER_INTERFACE},
    process,
    prove::servers,
};

/// How long it may take until nothing comes any more.
const PATIENCE: Duration = Duration::from_secs(20);

/// Counted at a moment at which nothing came.
#[derive(Debug, Clone)]
pub struct Packets {
    /// Frames that the interface received.
    pub received: u64,
    /// Verdicts of the XDP program.
    pub verdicts: u64,
    /// Those by kind.
    pub kinds: BTreeMap<String, u64>,
    /// Runs by the daemon itself.
    pub probes: u64,
}

impl Packets {
    /// Counts once nothing comes: the interface's count is the same before and after the programs' is read.
    ///
    /// # Errors
    /// When it never is.
    pub fn count(daemon: &Daemon, namespace: &Namespace) -> anyhow::Result<Self> {
        let deadline = Instant::now() + PATIENCE;
        let mut before = received(namespace)?;
        loop {
            thread::sleep(Duration::from_millis(50));
            let status = daemon.status()?;
            let after = received(namespace)?;
            if before == after {
                let hook = servers::counters(&status, "xdp");
                let kinds: BTreeMap<String, u64> = ["answered", "passed", "dropped"]
                    .map(|kind| (kind.to_owned(), super::sum(&hook[kind])))
                    .into();
                let probes = super::sum(&status["data-plane"]["probes"]);
                return Ok(Self { received: after, verdicts: kinds.values().sum(), kinds, probes });
            }
            ensure!(Instant::now() < deadline, "packets come without an end");
            before = after;
        }
    }

    /// What was added.
    pub fn since(&self, base: &Self) -> Self {
        let kinds = self.kinds.iter().map(|(kind, count)| {
            (kind.clone(), count - base.kinds.get(kind).copied().unwrap_or(0))
        });
        Self {
            received: self.received - base.received,
            verdicts: self.verdicts - base.verdicts,
            kinds: kinds.collect(),
            probes: self.probes - base.probes,
        }
    }
}

/// Frames that the interface received, by its own statistics.
fn received(namespace: &Namespace) -> anyhow::Result<u64> {
    let mut show = namespace.ip(["-s", "-j", "link", "show", "dev", SERVER_INTERFACE]);
    let said: Value = serde_json::from_str(&process::output(&mut show)?)?;
    said[0]["stats64"]["rx"]["packets"].as_u64().context("`ip -s link` tells no packets")
}
