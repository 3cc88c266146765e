//! Giving zones to others: who may have which (RFC 5936, section 5), and how many at a time.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex, RwLock},
};

use ipnet::IpNet;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    counts::Counts,
    keyring::Keyring,
    outgoing::{Order, datagram},
    request::{Read, Refusal, Request},
    tsig::Key,
};
use crate::{
    config::{self, Zone},
    locks::{self, lock},
    store::Version,
    zone::{
        archive::{Archive, Lookup as _, View},
        name,
    },
};

/// What is served, for those who ask for all of it.
pub trait Library: Send + Sync {
    /// A zone, by its canonical name; none where it is not configured.
    fn volume(&self, zone: &str) -> Option<Volume>;
}

/// A configured zone as it stands.
#[derive(Default)]
pub struct Volume {
    /// What is served; none while there are no data.
    pub version: Option<Version>,
    /// Its contents.
    pub archive: Option<Arc<Archive>>,
}

/// Gives zones to those who may have them.
pub struct Distributor {
    library: Arc<dyn Library>,
    rules: RwLock<Rules>,
    places: Arc<Semaphore>,
    of_peers: Mutex<HashMap<IpAddr, usize>>,
    per_peer: usize,
    pub(super) counts: Counts,
}

/// Who may have what.
#[derive(Default)]
struct Rules {
    keys: Arc<Vec<Arc<Key>>>,
    zones: BTreeMap<Vec<u8>, Arc<Rule>>,
}

/// Who may have a zone.
struct Rule {
    name: String,
    peers: Vec<Allowed>,
}

/// Peers that may have a zone.
struct Allowed {
    prefix: IpNet,
    /// The key that they must sign with; or why it cannot be used.
    key: Option<Result<Arc<Key>, String>>,
    /// Whether they must come over TLS.
    tls: bool,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// From where.
    pub address: IpAddr,
    /// Whether over TLS.
    pub tls: bool,
}

/// What becomes of a request over a stream.
pub enum Outcome {
    /// This is all of the answer.
    Answer(Vec<u8>),
    /// A transfer begins.
    Transfer(Box<Order>),
    /// A new version is just being put in place: ask again in a moment.
    Settling(Vec<u8>),
}

/// The right to transfer; given back when dropped.
pub struct Place {
    distributor: Arc<Distributor>,
    peer: IpAddr,
    _total: OwnedSemaphorePermit,
}

impl Distributor {
    /// One that gives nothing to anybody yet.
    pub fn new(limits: &config::Limits, library: Arc<dyn Library>) -> Self {
        Self {
            library,
            rules: RwLock::default(),
            places: Arc::new(Semaphore::new(limits.transfers_out)),
            of_peers: Mutex::default(),
            per_peer: limits.transfers_out_per_peer,
            counts: Counts::default(),
        }
    }

    /// Follows a configuration; transfers that are on go on.
    pub fn configure(&self, zones: &[Zone], keys: &Keyring) {
        let rule = |zone: &Zone| {
            let peers = zone.transfer_to.iter().map(|peers| Allowed {
                prefix: peers.prefix,
                key: keys.named(peers.key.as_ref()),
                tls: peers.tls,
            });
            Arc::new(Rule { name: zone.name.clone(), peers: peers.collect() })
        };
        let zones = zones
            .iter()
            .filter_map(|zone| Some((name::from_text_lower(&zone.name).ok()?, rule(zone))))
            .collect();
        let rules = Rules { keys: Arc::new(keys.usable()), zones };
        *locks::write(&self.rules) = rules;
    }

    /// The keys that messages may be signed with.
    pub fn keys(&self) -> Arc<Vec<Arc<Key>>> {
        Arc::clone(&locks::read(&self.rules).keys)
    }

    /// What happened so far, by label: `out-axfr`, `out-refused`, ...
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.counts.get()
    }

    /// Judges a request that came over a stream.
    pub fn judge(self: &Arc<Self>, message: &[u8], client: Client) -> Outcome {
        let mut request = match Request::read(message, &self.keys()) {
            Read::Request(request) => *request,
            Read::Answer(answer) => {
                self.counts.add("out-refused");
                return Outcome::Answer(answer);
            }
        };
        let (rule, volume) = match self.allowed(&mut request, client) {
            Ok(allowed) => allowed,
            Err(refusal) => return Outcome::Answer(self.refuse(request, client, &refusal)),
        };
        match view(&volume) {
            Ok(Some(view)) => match self.place(client.address) {
                Some(place) => {
                    let zone = rule.name.clone();
                    Outcome::Transfer(Box::new(Order::new(request, zone, client, view, place)))
                }
                None => Outcome::Answer(self.refuse(request, client, &Refusal::BUSY)),
            },
            Ok(None) => Outcome::Settling(request.refuse(&Refusal::NOT_READY)),
            Err(message) => {
                tracing::error!(zone = rule.name, "the zone cannot be transferred: {message}");
                Outcome::Answer(self.refuse(request, client, &Refusal::NOT_READY))
            }
        }
    }

    /// Answers an IXFR that came in a datagram: with the SOA alone, so that the client comes again over
    /// TCP where that is news (RFC 1995, section 2). Empty where nothing is to be sent.
    pub fn answer_datagram(&self, message: &[u8], client: Client, reply: &mut Vec<u8>) {
        reply.clear();
        let mut request = match Request::read(message, &self.keys()) {
            Read::Request(request) => *request,
            Read::Answer(answer) => return reply.extend(answer),
        };
        let volume = match self.allowed(&mut request, client) {
            Ok((_, volume)) => volume,
            Err(refusal) => return reply.extend(self.refuse(request, client, &refusal)),
        };
        // What is just being put in place is there when the client asks again.
        let Ok(Some(view)) = view(&volume) else { return };
        match datagram(request, &view, reply) {
            Ok(()) => self.counts.add("out-datagram"),
            Err(message) => tracing::error!("an IXFR cannot be answered: {message}"),
        }
    }

    fn allowed(
        &self,
        request: &mut Request,
        client: Client,
    ) -> Result<(Arc<Rule>, Volume), Refusal> {
        let rule = {
            let rules = locks::read(&self.rules);
            rules.zones.get(&request.apex).cloned().ok_or(Refusal::NOT_AUTHORITATIVE)?
        };
        let signed_by = request.session.as_ref().map(|session| session.key().name());
        let may = |allowed: &Allowed| {
            allowed.prefix.contains(&client.address)
                && (client.tls || !allowed.tls)
                && match &allowed.key {
                    None => true,
                    Some(Ok(key)) => signed_by == Some(key.name()),
                    Some(Err(_)) => false,
                }
        };
        if !rule.peers.iter().any(may) {
            return Err(Refusal::PROHIBITED);
        }
        let volume = self.library.volume(&rule.name).ok_or(Refusal::NOT_AUTHORITATIVE)?;
        match volume.version {
            None => Err(Refusal::NOT_READY),
            Some(version) if version.expired => Err(Refusal::EXPIRED),
            Some(version) => {
                request.good_for(version.good_for);
                Ok((rule, volume))
            }
        }
    }

    fn refuse(&self, request: Request, client: Client, refusal: &Refusal) -> Vec<u8> {
        self.counts.add("out-refused");
        let zone = name::to_text(&request.apex);
        let (peer, kind) = (client.address, request.wanted.label());
        tracing::info!(zone, %peer, kind, "no transfer: {}", refusal.reason);
        request.refuse(refusal)
    }

    /// A place, if there is one: a client that asks for more than its share does not wait in front of
    /// the others.
    fn place(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let total = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let mut of_peers = lock(&self.of_peers);
        let of_peer = of_peers.entry(peer).or_default();
        if *of_peer >= self.per_peer {
            return None;
        }
        *of_peer += 1;
        drop(of_peers);
        Some(Place { distributor: Arc::clone(self), peer, _total: total })
    }
}

impl Place {
    pub(super) fn counts(&self) -> &Counts {
        &self.distributor.counts
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut of_peers = lock(&self.distributor.of_peers);
        if let Some(of_peer) = of_peers.get_mut(&self.peer) {
            *of_peer -= 1;
            if *of_peer == 0 {
                of_peers.remove(&self.peer);
            }
        }
    }
}

/// The contents, if they are those that are served: for a moment after a commit the archive is one
/// behind, and for longer on a full disk.
fn view(volume: &Volume) -> Result<Option<View>, String> {
    let Some(archive) = &volume.archive else { return Ok(None) };
    archive.catch_up().map_err(|error| error.to_string())?;
    let view = archive.read().map_err(|error| error.to_string())?;
    let serial = view.serial().map_err(|error| error.to_string())?;
    Ok((serial == volume.version.map(|version| version.serial)).then_some(view))
}
