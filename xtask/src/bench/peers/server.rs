//! The servers that are compared, each running on a pair of its own.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crate::{
    daemon::Daemon,
    load::{
        reflector,
        usage::{self, Memory},
    },
    net::Pair,
    prove::servers,
    refereeing::peers::{Kind, Peer, Zone},
};

/// A server that can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Server {
    /// The ceiling: sends queries back
    Reflector,
    /// The same, its interface polled by a kernel thread
    ReflectorThread,
    /// Knot DNS
    Knot,
    /// Knot DNS taking its queries by AF_XDP
    KnotXdp,
    /// NSD
    Nsd,
    /// BIND
    Bind,
    /// Ours as it is by default: a kernel thread polls an interface of one queue
    Responder,
    /// Ours with `xdp.receive-scaling = "off"`
    ResponderInline,
}

impl Server {
    /// All of them, in the order in which they take turns.
    pub const ALL: [Self; 8] = [
        Self::Reflector,
        Self::ReflectorThread,
        Self::Knot,
        Self::KnotXdp,
        Self::Nsd,
        Self::Bind,
        Self::Responder,
        Self::ResponderInline,
    ];

    /// Its name in tables.
    pub fn label(self) -> &'static str {
        match self {
            Self::Reflector => "reflector",
            Self::ReflectorThread => "reflector, scaled",
            Self::Knot => "Knot",
            Self::KnotXdp => "Knot AF_XDP",
            Self::Nsd => "NSD",
            Self::Bind => "BIND",
            Self::Responder => "responder (scaled)",
            Self::ResponderInline => "responder, \"off\"",
        }
    }
}

/// A server at work; ended when dropped, and its pair after it.
pub struct Running {
    /// Which.
    pub server: Server,
    /// Until it answered for the zone.
    pub load: Option<Duration>,
    handle: Handle,
    /// Where it is.
    pub pair: Pair,
}

enum Handle {
    Reflector,
    Peer(Peer),
    Ours(Daemon),
}

impl Running {
    /// Starts a server and waits until it answers.
    ///
    /// # Errors
    /// When it is missing or does not come to answer.
    pub fn start(
        server: Server,
        zone: &Zone,
        program: &Path,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let pair = Pair::create()?;
        let zones = std::slice::from_ref(zone);
        let peer = |kind| servers::start_peer(kind, &pair, zones, 2, folder).map(Handle::Peer);
        let ours = |scaling| {
            servers::start_ours_scaled(program, &pair, zones, "native", scaling, folder)
                .map(Handle::Ours)
        };
        let begin = Instant::now();
        let handle = match server {
            Server::Reflector => reflector::attach(&pair, folder).map(|()| Handle::Reflector)?,
            Server::ReflectorThread => {
                reflector::attach(&pair, folder)?;
                reflector::scale(&pair)?;
                Handle::Reflector
            }
            Server::Knot => peer(Kind::Knot)?,
            Server::KnotXdp => Handle::Peer(servers::start_knot_xdp(&pair, zones, 2, folder)?),
            Server::Nsd => peer(Kind::Nsd)?,
            Server::Bind => peer(Kind::Bind)?,
            Server::Responder => ours("auto")?,
            Server::ResponderInline => ours("off")?,
        };
        let load = match &handle {
            Handle::Reflector => None,
            Handle::Peer(peer) => Some(peer.started_in),
            Handle::Ours(_) => Some(begin.elapsed()),
        };
        Ok(Self { server, load, handle, pair })
    }

    /// What it holds in memory at the moment; of ours every map is part of the process.
    ///
    /// # Errors
    /// When it has ended.
    pub fn memory(&self) -> anyhow::Result<Option<Memory>> {
        Ok(match &self.handle {
            Handle::Reflector => None,
            Handle::Peer(peer) => Some(Memory::of(peer.process())?),
            Handle::Ours(daemon) => Some(Memory::of(daemon.process())?),
        })
    }

    /// Waits until a server that has loaded its zone has nothing to do any more: it may keep it on disk behind
    /// its first answers. A minute at the most.
    ///
    /// # Errors
    /// When it has ended.
    pub fn settle(&self) -> anyhow::Result<()> {
        let process = match &self.handle {
            Handle::Reflector => return Ok(()),
            Handle::Peer(peer) => peer.process(),
            Handle::Ours(daemon) => daemon.process(),
        };
        for _ in 0..60 {
            let before = usage::of_process(process)?;
            thread::sleep(Duration::from_secs(1));
            if usage::of_process(process)? - before < 20_000 {
                break;
            }
        }
        Ok(())
    }

    /// Our own account of what was answered where; nothing of the others.
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub fn status(&self) -> anyhow::Result<serde_json::Value> {
        match &self.handle {
            Handle::Ours(daemon) => daemon.status(),
            _ => Ok(serde_json::Value::Null),
        }
    }
}
