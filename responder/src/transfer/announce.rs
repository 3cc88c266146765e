//! Telling others of a new version (RFC 1996): each that `notify-to` names, until it answers.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use domain::base::{
    Header, Message,
    iana::{Opcode, Rcode},
};
use responder_common::wire::rtype;
use tokio::{
    net::UdpSocket,
    runtime::Handle,
    sync::Semaphore,
    task::AbortHandle,
    time::{Instant, sleep, timeout_at},
};
use tracing::{debug, warn};

use super::{
    Cause, Failure, Keyring, Library,
    composer::{Composer, Record},
    connection::source_for,
    counts::Counts,
    exchange::seconds,
    tsig::{Key, Session},
};
use crate::{
    config::{Downstream, Zone},
    locks::lock,
    zone::{
        archive::{Lookup as _, sort_key},
        name,
    },
};

/// How long an answer is waited for, one try after the other: about two minutes in all. Whoever still
/// does not answer finds out by itself, by the SOA's refresh timer.
const WAITS: [u64; 7] = [1, 2, 4, 8, 15, 30, 60];
/// Tries that are on at a time.
const TRIES: usize = 256;
/// Octets of a header (RFC 1035, section 4.1.1).
const HEADER: usize = 12;

/// Tells others.
pub struct Announcer {
    library: Arc<dyn Library>,
    sources: Vec<IpAddr>,
    zones: Mutex<BTreeMap<String, Announced>>,
    tries: Arc<Semaphore>,
    /// Where tasks run: commits happen on threads of any kind.
    runtime: OnceLock<Handle>,
    pub(super) counts: Arc<Counts>,
}

/// A zone whose versions are told.
struct Announced {
    configured: Vec<Downstream>,
    targets: Vec<Target>,
    /// The serial that was told last.
    told: Option<u32>,
    tasks: Vec<AbortHandle>,
}

/// Who is told.
#[derive(Clone)]
struct Target {
    address: SocketAddr,
    /// The key that signs; or why it cannot be used.
    key: Option<Result<Arc<Key>, String>>,
}

impl Announcer {
    /// One that tells nobody yet; `sources` are our own addresses.
    pub fn new(sources: &[IpAddr], library: Arc<dyn Library>) -> Self {
        Self {
            library,
            sources: sources.to_vec(),
            zones: Mutex::default(),
            tries: Arc::new(Semaphore::new(TRIES)),
            runtime: OnceLock::new(),
            counts: Arc::default(),
        }
    }

    /// Follows a configuration: whoever is new is told at once what is served. To be called within the
    /// runtime.
    pub fn configure(self: &Arc<Self>, zones: &[Zone], keys: &Keyring) {
        let _ = self.runtime.get_or_init(Handle::current);
        let mut new = Vec::new();
        {
            let mut announced = lock(&self.zones);
            let mut former = std::mem::take(&mut *announced);
            for zone in zones.iter().filter(|zone| !zone.notify_to.is_empty()) {
                let targets = zone.notify_to.iter().map(|downstream| Target {
                    address: downstream.address,
                    key: keys.named(downstream.key.as_ref()),
                });
                let mut entry = Announced {
                    configured: zone.notify_to.clone(),
                    targets: targets.collect(),
                    told: None,
                    tasks: Vec::new(),
                };
                match former.remove(&zone.name) {
                    Some(before) if before.configured == entry.configured => {
                        (entry.told, entry.tasks) = (before.told, before.tasks);
                    }
                    other => {
                        other.into_iter().for_each(Announced::leave);
                        new.push(zone.name.clone());
                    }
                }
                announced.insert(zone.name.clone(), entry);
            }
            former.into_values().for_each(Announced::leave);
        }
        new.iter().for_each(|zone| self.committed(zone));
    }

    /// A zone may have a new version: tells it, if it is new. Returns at once.
    pub fn committed(self: &Arc<Self>, zone: &str) {
        let Some(runtime) = self.runtime.get() else { return };
        let Some((serial, message)) = self.news(zone) else { return };
        let mut zones = lock(&self.zones);
        let Some(announced) = zones.get_mut(zone) else { return };
        if announced.told.replace(serial) == Some(serial) {
            return;
        }
        // Who has not answered yet need not hear of what is old.
        announced.tasks.drain(..).for_each(|task| task.abort());
        for target in announced.targets.clone() {
            let (announcer, zone) = (Arc::clone(self), zone.to_owned());
            let message = message.clone();
            let task = runtime.spawn(async move {
                announcer.tell(&zone, serial, &target, &message).await;
            });
            announced.tasks.push(task.abort_handle());
        }
    }

    /// What is served and what is to be told, if anybody is to be told.
    fn news(&self, zone: &str) -> Option<(u32, Vec<u8>)> {
        if !lock(&self.zones).contains_key(zone) {
            return None;
        }
        let apex = name::from_text_lower(zone).ok()?;
        let volume = self.library.volume(zone)?;
        let serial = volume.version.filter(|version| !version.expired)?.serial;
        let mut composer = Composer::default();
        const NOTIFY_AUTHORITATIVE: u8 = 4 << 3 | 4;
        let header = [0, 0, NOTIFY_AUTHORITATIVE, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        composer.begin(header, &[&apex[..], &[0, rtype::SOA as u8, 0, 1]].concat());
        // The SOA is a hint that saves others a question (RFC 1996, section 3.7).
        if let Some(view) = volume.archive.and_then(|archive| archive.read().ok())
            && view.serial().ok().flatten() == Some(serial)
        {
            let mut key = Vec::new();
            sort_key(&apex, &mut key);
            if let Ok(Some(owner)) = view.owner(&key)
                && let Some(mut soa) = owner.rrset(rtype::SOA)
                && let Some(rdata) = soa.rdata.next()
            {
                let record = Record { owner: owner.wire, rtype: rtype::SOA, ttl: soa.ttl, rdata };
                composer.add(record, 1024);
            }
        }
        Some((serial, composer.finish().to_vec()))
    }

    /// Tells one, until it answers.
    async fn tell(&self, zone: &str, serial: u32, target: &Target, message: &[u8]) {
        let peer = target.address;
        let mut fault = String::new();
        for (number, seconds) in WAITS.into_iter().enumerate() {
            let wait = Duration::from_secs(seconds);
            let until = Instant::now() + wait;
            match self.try_to_tell(target, message, until).await {
                Ok(()) => {
                    self.counts.add("notify-out");
                    debug!(zone, %peer, serial, tries = number + 1, "told");
                    return;
                }
                // What it answered it would answer again.
                Err(failure) if failure.cause == Cause::Refused || failure.cause == Cause::Tsig => {
                    fault = failure.message;
                    break;
                }
                Err(failure) => fault = failure.message,
            }
            sleep(until.saturating_duration_since(Instant::now())).await;
        }
        self.counts.add("notify-out-failed");
        warn!(zone, %peer, serial, "it was not told of the new version: {fault}");
    }

    async fn try_to_tell(
        &self,
        target: &Target,
        message: &[u8],
        until: Instant,
    ) -> Result<(), Failure> {
        let local = |message: String| Failure::new(Cause::Local, message);
        let key = target.key.clone().transpose().map_err(local)?;
        let source = source_for(&self.sources, target.address.ip())?;
        // Never closed.
        let _place = self.tries.acquire().await;
        let any = |peer: IpAddr| if peer.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        let from = SocketAddr::new(source.unwrap_or_else(|| any(target.address.ip())), 0);
        let no_socket = |error| local(format!("cannot send from {from}: {error}"));
        let socket = UdpSocket::bind(from).await.map_err(no_socket)?;
        let unreachable = |error| Failure::new(Cause::Unreachable, format!("no way: {error}"));
        socket.connect(target.address).await.map_err(unreachable)?;
        let mut message = message.to_vec();
        let mut header = Header::new();
        header.set_random_id();
        let id = header.id().to_be_bytes();
        message[..2].copy_from_slice(&id);
        let mut session = key.map(|key| Session::request(&key, &mut message, seconds()));
        socket.send(&message).await.map_err(unreachable)?;
        let mut answer = vec![0; 4096];
        loop {
            let received = timeout_at(until, socket.recv(&mut answer)).await;
            let length = received
                .map_err(|_| Failure::new(Cause::Timeout, "it does not answer"))?
                .map_err(unreachable)?;
            // Anything else is not for us.
            if length >= HEADER && answer[..2] == id {
                return judge(&answer[..length], session.as_mut());
            }
        }
    }
}

impl Announced {
    fn leave(self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// Whether an answer says that the news was heard.
fn judge(answer: &[u8], session: Option<&mut Session>) -> Result<(), Failure> {
    let malformed = || Failure::malformed("its answer is none");
    let header = Message::from_slice(answer).map_err(|_| malformed())?.header();
    if !header.qr() || header.opcode() != Opcode::NOTIFY {
        return Err(malformed());
    }
    let refused = (header.rcode() != Rcode::NOERROR)
        .then(|| Failure::new(Cause::Refused, format!("it answers {}", header.rcode())));
    if let Some(session) = session
        && let Err(fault) = session.check(&mut answer.to_vec(), seconds())
    {
        return Err(refused.unwrap_or_else(|| fault.into()));
    }
    refused.map_or(Ok(()), Err)
}
