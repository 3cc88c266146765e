//! All zones that come from primaries: which there are, and what they may use together.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex},
};

use ipnet::IpNet;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::AbortHandle,
};

use super::{
    Failure, Home, Keyring,
    attempt::Primary,
    connection::{Bounds, source_for},
    counts::Counts,
    secondary::Secondary,
    tls::Profiles,
    tsig::Key,
};
use crate::{
    config::{self, Config, TlsProfile, Transfer, Zone, ZoneSource},
    locks::lock,
    zone::name,
};

/// The zones that come from primaries.
pub struct Secondaries {
    shared: Arc<Shared>,
    /// Keys and TLS as they were configured last.
    credentials: Mutex<(Vec<config::Key>, Vec<TlsProfile>)>,
    zones: Mutex<BTreeMap<Vec<u8>, Running>>,
}

/// What all secondaries share.
pub(super) struct Shared {
    pub home: Arc<dyn Home>,
    pub limits: Limits,
    pub counts: Counts,
}

/// A secondary that is looked after.
struct Running {
    zone: Zone,
    secondary: Arc<Secondary>,
    /// Who may send NOTIFY: prefixes, and the key that must sign it.
    notify: Arc<NotifyRule>,
    task: AbortHandle,
}

/// Who may say that a zone has something new.
pub(super) struct NotifyRule {
    pub prefixes: Vec<IpNet>,
    /// The key that must sign; or why it cannot be used.
    pub key: Option<Result<Arc<Key>, String>>,
}

impl Secondaries {
    /// None yet.
    pub fn new(config: &Config, home: Arc<dyn Home>) -> Self {
        let limits = Limits::new(&config.limits, &config.transfer);
        let shared = Arc::new(Shared { home, limits, counts: Counts::default() });
        Self { shared, credentials: Mutex::default(), zones: Mutex::default() }
    }

    /// Follows a configuration: zones that are gone, or whose primaries or keys changed, are left; new
    /// ones begin with a transfer. To be called within the runtime.
    pub fn configure(&self, config: &Config, keyring: &Keyring) {
        let credentials = (config.keys.clone(), config.tls.clone());
        let mut before = lock(&self.credentials);
        let same_credentials = *before == credentials;
        *before = credentials;
        drop(before);
        let profiles = Profiles::load(&config.tls);
        let mut running = lock(&self.zones);
        let mut former = std::mem::take(&mut *running);
        for zone in &config.zones {
            let ZoneSource::Primaries(primaries) = &zone.source else { continue };
            let Ok(apex) = name::from_text_lower(&zone.name) else { continue };
            if let Some(before) = former.remove(&apex) {
                if before.zone == *zone && same_credentials {
                    running.insert(apex, before);
                    continue;
                }
                before.task.abort();
            }
            let with_keys = primaries
                .iter()
                .map(|primary| Primary {
                    address: primary.address,
                    key: keyring.named(primary.key.as_ref()),
                    tls: profiles.named(primary.tls.as_ref()),
                })
                .collect();
            let secondary = Arc::new(Secondary::new(
                zone.name.clone(),
                apex.clone(),
                with_keys,
                Arc::clone(&self.shared),
            ));
            // Primaries are heard without being named twice (RFC 1996, section 2.1).
            let hosts = primaries.iter().map(|primary| IpNet::from(primary.address.ip()));
            let notify = Arc::new(NotifyRule {
                prefixes: hosts.chain(zone.notify_from.iter().copied()).collect(),
                key: keyring.named(zone.notify_key.as_ref()),
            });
            let task = Handle::current().spawn(Arc::clone(&secondary).live()).abort_handle();
            running.insert(apex, Running { zone: zone.clone(), secondary, notify, task });
        }
        for gone in former.into_values() {
            gone.task.abort();
        }
    }

    /// A zone, by its apex in lower-case wire form.
    pub fn get(&self, apex: &[u8]) -> Option<Arc<Secondary>> {
        lock(&self.zones).get(apex).map(|running| Arc::clone(&running.secondary))
    }

    pub(super) fn notify_rule(&self, apex: &[u8]) -> Option<(Arc<Secondary>, Arc<NotifyRule>)> {
        let zones = lock(&self.zones);
        let running = zones.get(apex)?;
        Some((Arc::clone(&running.secondary), Arc::clone(&running.notify)))
    }

    /// What happened so far, by label: `axfr`, `current`, `failed-CAUSE`, `notify`, ...
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.shared.counts.get()
    }

    pub(super) fn count(&self, label: &str) {
        self.shared.counts.add(label);
    }
}

/// What transfers may use.
pub struct Limits {
    bounds: Bounds,
    transfer: Transfer,
    total: Arc<Semaphore>,
    per_primary: usize,
    primaries: Mutex<HashMap<IpAddr, Arc<Semaphore>>>,
}

/// The right to speak with a primary; given back when dropped.
pub struct Place {
    _primary: Option<OwnedSemaphorePermit>,
    _total: Option<OwnedSemaphorePermit>,
}

impl Limits {
    fn new(limits: &config::Limits, transfer: &Transfer) -> Self {
        Self {
            bounds: Bounds {
                idle: limits.transfer_idle,
                time: limits.transfer_time,
                octets: limits.transfer_octets,
                records: limits.transfer_records,
            },
            transfer: transfer.clone(),
            total: Arc::new(Semaphore::new(limits.transfers)),
            per_primary: limits.transfers_per_primary,
            primaries: Mutex::default(),
        }
    }

    /// The limits of one connection.
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// The bounds of timers.
    pub fn timers(&self) -> &Transfer {
        &self.transfer
    }

    /// Our own address for a primary's family, where addresses are configured.
    ///
    /// # Errors
    /// Addresses are configured, and none is of this family.
    pub fn source_for(&self, primary: IpAddr) -> Result<Option<IpAddr>, Failure> {
        source_for(&self.transfer.source, primary)
    }

    /// Waits until a primary may be spoken with. A slow primary keeps its own zones waiting before it
    /// takes places that others need.
    pub async fn place(&self, primary: IpAddr) -> Place {
        let of_primary = {
            let mut primaries = lock(&self.primaries);
            // Those that nobody uses or waits for need not be remembered.
            primaries.retain(|_, semaphore| Arc::strong_count(semaphore) > 1);
            let new = || Arc::new(Semaphore::new(self.per_primary));
            Arc::clone(primaries.entry(primary).or_insert_with(new))
        };
        // Neither is ever closed.
        let primary = of_primary.acquire_owned().await.ok();
        let total = Arc::clone(&self.total).acquire_owned().await.ok();
        Place { _primary: primary, _total: total }
    }
}
