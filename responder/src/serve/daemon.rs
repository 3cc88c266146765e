//! Everything of a running daemon that its parts share, and its account of itself.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Instant,
};

use anyhow::Result;
use tracing::{error, warn};

use super::{Counters, Plane, Switches, Zones, armour::Armour, catalogs::Catalogs, cloud, shadow};
use crate::{
    config::{Config, Limits},
    control::{DataPlaneStatus, NodeStatus, SocketStatus, Status, ZoneStatus},
    service::{Services, peers::Peers},
    store::Store,
    telemetry::Sampler,
    transfer::{Home, Library, Transfers},
};

/// Everything of a running daemon that its parts share.
pub struct Daemon {
    /// The configuration as it was at the start; only zones follow later changes of the file.
    pub config: Config,
    /// The zones.
    pub zones: Arc<Zones>,
    /// Those that come from primaries, and those that are given to others.
    pub transfers: Arc<Transfers>,
    pub(super) catalogs: Catalogs,
    /// What it announces.
    pub services: Arc<Services>,
    pub(super) followed: cloud::Followed,
    /// Other nodes, as they are seen from here.
    pub peers: Peers,
    /// The kernel's part.
    pub plane: Plane,
    /// What of it an operator has switched off.
    pub switches: Switches,
    /// What the UDP sockets did.
    pub udp: Arc<Counters>,
    /// What the TCP sockets did.
    pub tcp: Arc<Counters>,
    /// Replies per second.
    pub sampler: Sampler,
    pub(super) armour: Armour,
    pub(super) shadow: shadow::Shadow,
    pub(super) store: Arc<Store>,
    started: Instant,
    pub(super) ready: AtomicBool,
}

impl Daemon {
    pub(super) fn new(config: Config, plane: Plane, store: Arc<Store>) -> Result<Arc<Self>> {
        let switches = Switches::kept_in(&config.node.state)?;
        switches.apply(&store);
        let armour = Armour::open(&store, &config)?;
        let zones = Arc::new(Zones::new(Arc::clone(&store), config.node.state.join("zones")));
        let home: Arc<dyn Home> = Arc::clone(&zones) as _;
        let library: Arc<dyn Library> = Arc::clone(&zones) as _;
        let transfers = Arc::new(Transfers::new(&config, home, library)?);
        zones.announce_by(Arc::clone(&transfers.announcer));
        Ok(Arc::new(Self {
            transfers,
            zones,
            services: Arc::new(Services::new(&config)),
            followed: cloud::Followed::default(),
            catalogs: Catalogs::kept_in(&config.node.state),
            peers: Peers::new(&config),
            plane,
            switches,
            udp: Arc::default(),
            tcp: Arc::default(),
            sampler: Sampler::default(),
            armour,
            shadow: shadow::Shadow::default(),
            store,
            started: Instant::now(),
            ready: AtomicBool::new(false),
            config,
        }))
    }

    /// Whether the node answers.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Relaxed)
    }

    /// The daemon's account of itself.
    pub fn status(&self) -> Status {
        Status {
            node: NodeStatus {
                id: self.config.node.id.clone(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                pid: std::process::id(),
                uptime: self.started.elapsed().as_secs(),
                ready: self.is_ready(),
            },
            zones: self.zone_status(),
            services: self.services.status(),
            peers: self.peers.status(),
            transfers: self.transfers.counts(),
            data_plane: DataPlaneStatus {
                switched_off: self.switches.off(),
                shadow: Some(self.plane.shadow())
                    .filter(|one_of| *one_of > 0)
                    .map(|one_of| self.shadow.status(one_of)),
                ..self.plane.status().and_over(self.store.over_rate())
            },
            sockets: SocketStatus { udp: self.udp.to_map(), tcp: self.tcp.to_map() },
            rates: self.sampler.rates(),
            store_bytes: self.store.bytes(),
            store_limit: self.store.limit(),
            store_segments: self.store.segments(),
        }
    }

    fn zone_status(&self) -> Vec<ZoneStatus> {
        let mut zones = self.zones.status();
        for zone in &mut zones {
            let Ok(apex) = crate::zone::name::from_text_lower(&zone.name) else { continue };
            if let Some(usage) = self.store.usage(&apex) {
                zone.hold(usage);
            }
            if let Some(secondary) = self.transfers.secondaries.get(&apex) {
                zone.follow(secondary.status());
            }
        }
        zones
    }

    /// Switches the kernel's answers on or off, for one zone or for all.
    ///
    /// # Errors
    /// There is no such zone, or the switch cannot be kept: one line.
    pub fn switch(&self, on: bool, zone: Option<&str>) -> Result<()> {
        let zone = zone.map(|zone| self.zones.known(zone, on)).transpose()?;
        self.switches.switch(on, zone.as_deref(), &self.store)?;
        self.renew_lease();
        Ok(())
    }

    /// Lets the kernel programs answer for another lease, unless they are switched off.
    pub(super) fn renew_lease(&self) {
        if self.switches.off().all {
            self.store.set_lease(0);
        } else {
            self.plane.renew_lease(&self.store);
        }
    }

    /// Reads the configuration again and follows it where zones are concerned; a broken one changes
    /// nothing.
    pub(super) fn follow_configuration(&self, file: &Path) {
        match Config::load(file) {
            Ok((config, warnings)) => {
                for warning in warnings {
                    warn!("{warning}");
                }
                let Config { zones, templates, keys, tls, limits, .. } = self.config.clone();
                let Config { rate_limit, cookies, .. } = self.config.clone();
                let limits = Limits {
                    store_octets: config.limits.store_octets,
                    passed: config.limits.passed,
                    passed_per_source: config.limits.passed_per_source,
                    ..limits
                };
                let others =
                    Config { zones, templates, keys, tls, rate_limit, cookies, ..config.clone() };
                if others != (Config { limits, ..self.config.clone() }) {
                    warn!(
                        "only zones, keys, [[tls]], [rate-limit], [cookies], limits.passed, \
                         limits.passed-per-source and limits.store-octets follow the changed \
                         configuration: restart for the rest"
                    );
                }
                self.follow_limits(&config);
                self.store.set_limit(config.limits.store_octets);
                self.configure(&config);
            }
            Err(faults) => {
                for fault in faults.0 {
                    error!("{fault}");
                }
                error!(
                    "the configuration is kept as it was; zone files are looked at all the same"
                );
            }
        }
        self.zones.load_changed();
    }
}
