//! Other nodes of the cloud, asked from here: a node's own probes never come in through its network card,
//! a peer's do. What is found is told, in status and metrics, and decides nothing here.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query},
    rr::{
        Name, RecordType,
        rdata::opt::{EdnsCode, EdnsOption},
    },
};
use tokio::{net::UdpSocket, time::timeout};
use tracing::{info, warn};

use crate::{
    config::{Config, Peer},
    control::PeerStatus,
    locks::lock,
    serve::Daemon,
};

/// How long a peer may take: it may be at the other end of the continent.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is known of the peers.
#[derive(Default)]
pub struct Peers(Mutex<Vec<PeerStatus>>);

impl Peers {
    /// Those of a configuration: nothing is known yet.
    pub fn new(config: &Config) -> Self {
        let peers = config.peers.iter().flat_map(|peer| {
            peer.addresses.iter().map(|address| PeerStatus {
                id: peer.id.clone(),
                address: *address,
                told: None,
                fault: Some("not asked yet".to_owned()),
                milliseconds: None,
            })
        });
        Self(Mutex::new(peers.collect()))
    }

    /// The account of them.
    pub fn status(&self) -> Vec<PeerStatus> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<PeerStatus>> {
        lock(&self.0)
    }

    /// Notes what an address said; one line where that is news.
    fn note(&self, status: PeerStatus) {
        let mut peers = self.lock();
        let known = peers.iter_mut().find(|p| p.id == status.id && p.address == status.address);
        let Some(known) = known else { return };
        if known.fault != status.fault {
            let (peer, address) = (&status.id, status.address);
            match &status.fault {
                Some(fault) => warn!(peer, %address, "{fault}"),
                None => info!(peer, %address, "answers"),
            }
        }
        *known = status;
    }
}

/// Asks one peer again and again, until dropped.
pub async fn ask_for_ever(daemon: Arc<Daemon>, peer: Peer) {
    let mut ticks = tokio::time::interval(peer.interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut id = std::process::id() as u16;
    loop {
        ticks.tick().await;
        for address in &peer.addresses {
            id = id.wrapping_add(1);
            let begun = Instant::now();
            let said = timeout(PATIENCE, ask(*address, id)).await;
            let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            let (told, fault) = match said {
                Err(_) => (None, Some("no reply in time".to_owned())),
                Ok(Err(error)) => (None, Some(format!("{error:#}"))),
                // Another node may have taken over its address: that is what anycast is for.
                Ok(Ok(told)) if told != peer.id => {
                    let fault = format!("node \"{told}\" answers in its place");
                    (Some(told), Some(fault))
                }
                Ok(Ok(told)) => (Some(told), None),
            };
            let milliseconds = told.is_some().then_some(took);
            let status =
                PeerStatus { id: peer.id.clone(), address: *address, told, fault, milliseconds };
            daemon.peers.note(status);
        }
    }
}

/// The NSID (RFC 5001) of whoever answers at an address.
async fn ask(address: SocketAddr, id: u16) -> anyhow::Result<String> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::root(), RecordType::SOA));
    let mut edns = Edns::new();
    edns.set_max_payload(1232).set_version(0);
    edns.options_mut().insert(EdnsOption::Unknown(EdnsCode::NSID.into(), Vec::new()));
    message.set_edns(edns);
    socket.send(&message.to_vec()?).await?;
    let mut buffer = [0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let Ok(reply) = Message::from_vec(&buffer[..length]) else { continue };
        if reply.metadata.id == id {
            return nsid(&reply);
        }
    }
}

fn nsid(reply: &Message) -> anyhow::Result<String> {
    let edns = reply.edns.as_ref();
    let option = edns.and_then(|edns| edns.option(EdnsCode::NSID));
    match option {
        Some(EdnsOption::NSID(nsid)) => Ok(String::from_utf8_lossy(nsid.as_ref()).into_owned()),
        Some(EdnsOption::Unknown(_, octets)) => Ok(String::from_utf8_lossy(octets).into_owned()),
        _ => anyhow::bail!("a reply without NSID"),
    }
}
