//! The daemon: its life from the lock on the state directory to the last signal.
//!
//! The order matters. What can fail for reasons of the configuration comes first and costs nothing
//! (lock, sockets, programs); then the zones are loaded; only then does anything answer, and the
//! kernel programs are attached last, when what they pass finds a socket. The daemon is ready after
//! that, and not before.

mod armour;
mod catalogs;
mod cloud;
mod counters;
mod interfaces;
mod notify;
mod plane;
mod responses;
mod shadow;
mod signed;
mod sockets;
mod state;
mod switches;
mod tcp;
mod udp;
mod zones;

use std::{
    net::TcpListener as StdListener,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use sd_notify::NotifyState;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    task::{JoinSet, spawn_blocking},
};
use tracing::{error, info, warn};

pub use counters::{Counters, Event};
pub use plane::{OnStop, Plane, interface_exists, label as mode_label};
pub use shadow::{Comparison, compare};
pub(crate) use state::replace;
pub use switches::{SwitchedOff, Switches};
pub use zones::Zones;

use self::{
    armour::Armour, catalogs::Catalogs, responses::AnswererPool, sockets::Sockets,
    state::StateDirectory,
};
use crate::{
    config::{Config, Limits},
    control::{
        self, CONTROL_SOCKET, DataPlaneStatus, NodeStatus, SocketStatus, Status, ZoneStatus,
    },
    dataplane::{self, helper::Hands},
    privilege,
    service::{
        self, Services,
        peers::{self, Peers},
    },
    store::Store,
    telemetry::{self, Sampler},
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
    catalogs: Catalogs,
    /// What it announces.
    pub services: Arc<Services>,
    followed: cloud::Followed,
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
    armour: Armour,
    shadow: shadow::Shadow,
    store: Arc<Store>,
    started: Instant,
    ready: AtomicBool,
}

impl Daemon {
    fn new(config: Config, plane: Plane, store: Arc<Store>) -> Result<Arc<Self>> {
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
    fn renew_lease(&self) {
        if self.switches.off().all {
            self.store.set_lease(0);
        } else {
            self.plane.renew_lease(&self.store);
        }
    }

    /// Reads the configuration again and follows it where zones are concerned; a broken one changes
    /// nothing.
    fn follow_configuration(&self, file: &Path) {
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

/// Runs the daemon until a signal ends it.
///
/// # Errors
/// Whatever keeps it from serving as configured: one line with the remedy.
pub fn run(file: PathBuf, config: Config, on_stop: Option<OnStop>) -> Result<()> {
    raise_descriptor_limit();
    let opened = Opened::new(&file, &config, on_stop)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the asynchronous threads")?;
    let result = runtime.block_on(live(file, config, on_stop, opened));
    // A zone that is still being loaded is not waited for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// Removes what daemons of this configuration left attached to the kernel. How many links there were.
///
/// # Errors
/// A daemon runs, or something cannot be removed: one line with the remedy.
pub fn detach(config: &Config) -> Result<usize> {
    let _lock = StateDirectory::claim(&config.node.state)?;
    // Nothing may lead here what nobody answers.
    let withdrawn = service::withdraw_all(config);
    service::note_lease(&config.node.state, None);
    let links = dataplane::detach(&config.pins(), &config.xdp.interfaces)?;
    withdrawn.map(|_| links)
}

/// Withdraws what daemons of this configuration announced. How many services that were.
///
/// # Errors
/// A daemon runs, or something cannot be withdrawn: one line with the remedy.
pub fn withdraw(config: &Config) -> Result<usize> {
    let _lock = StateDirectory::claim(&config.node.state).context(
        "a daemon that runs would announce them again: `responder drain` takes them out of the routing",
    )?;
    service::withdraw_all(config)
}

/// What is opened with privileges, by the one thread that there is at first; after that they are gone.
struct Opened {
    state: StateDirectory,
    sockets: Sockets,
    control_path: PathBuf,
    telemetry: Option<StdListener>,
    hands: Arc<Hands>,
}

impl Opened {
    fn new(file: &Path, config: &Config, on_stop: Option<OnStop>) -> Result<Self> {
        let hands = plane::hands(config, on_stop)?;
        privilege::become_user(config)?;
        let state = StateDirectory::claim(&config.node.state)?;
        let threads = config.limits.udp_threads;
        let sockets = sockets::bind(&config.listen, config.transfer.tls.as_ref(), threads)?;
        let control_path = control::check_socket_path(state.path().join(CONTROL_SOCKET))?;
        let telemetry = telemetry::http::bind(config.telemetry.listen)?;
        privilege::confine(config, file)?;
        Ok(Self { state, sockets, control_path, telemetry, hands })
    }
}

async fn live(
    file: PathBuf,
    config: Config,
    on_stop: Option<OnStop>,
    opened: Opened,
) -> Result<()> {
    let mut signals = Signals::new()?;
    // The lock of the state directory is held to the end.
    let Opened { state, sockets, control_path, telemetry, hands } = opened;
    let (plane, store) = Plane::prepare(&config, on_stop, hands, &state)?;
    store.set_limit(config.limits.store_octets);
    let control = control::server::bind(&control_path)?;
    let daemon = Daemon::new(config, plane, store)?;

    let mut tasks = JoinSet::new();
    tasks.spawn(control::server::serve(control, Arc::clone(&daemon)));
    for peer in &daemon.config.peers {
        tasks.spawn(peers::ask_for_ever(Arc::clone(&daemon), peer.clone()));
    }
    tasks.spawn(catalogs::follow(Arc::clone(&daemon)));
    tasks.spawn(telemetry::sample_every_second(Arc::clone(&daemon)));
    let alive = renew_lease(Arc::clone(&daemon));
    if let Some(listener) = telemetry {
        tasks.spawn(telemetry::http::serve(listener, Arc::clone(&daemon)));
    }
    let mut threads = None;
    let starting = Arc::clone(&daemon);
    spawn_blocking(move || starting.services.start(&starting, on_stop)).await?;
    let work = answer(&daemon, sockets, &file, &mut signals.hangup, &mut threads, &mut tasks);
    let result = tokio::select! {
        result = work => result,
        result = alive => result,
        name = signals.end.recv() => {
            info!("{name}: stopping; a second signal ends the process at once");
            Ok(())
        }
    };

    notify::service_manager(NotifyState::Stopping);
    tokio::spawn(async move {
        signals.end.recv().await;
        std::process::exit(1);
    });
    let withdrawing = Arc::clone(&daemon);
    // Before anything else ends: what is still on its way here is answered.
    let stays = on_stop == Some(OnStop::Keep) || result.is_err() && on_stop.is_some();
    spawn_blocking(move || withdrawing.services.stop(!stays)).await?;
    daemon.ready.store(false, Relaxed);
    let detaching = Arc::clone(&daemon);
    let stopped = result.is_ok();
    let detached = spawn_blocking(move || match stopped {
        true => detaching.plane.stop(),
        // What keeps this daemon from serving is no reason to end what an earlier one left.
        false => detaching.plane.leave(),
    })
    .await?;
    if let Some(threads) = threads {
        spawn_blocking(move || udp::Threads::stop(threads)).await?;
    }
    tasks.shutdown().await;
    // The lock is still held, so this is no other daemon's.
    let _ = std::fs::remove_file(&control_path);
    info!("stopped");
    result.and(detached)
}

/// Loads the zones, answers, and follows the configuration at each SIGHUP. Ends with an error only.
async fn answer(
    daemon: &Arc<Daemon>,
    sockets: Sockets,
    file: &Path,
    hangup: &mut Signal,
    threads: &mut Option<udp::Threads>,
    tasks: &mut JoinSet<()>,
) -> Result<()> {
    let loading = Arc::clone(daemon);
    spawn_blocking(move || {
        loading.configure(&loading.config);
        loading.zones.settle_adopted();
        loading.zones.load_changed();
        loading.zones.put_unused_away();
    })
    .await?;

    *threads = Some(udp::start(sockets.udp, &daemon.store, &daemon.transfers, &daemon.udp)?);
    let transfers = Arc::clone(&daemon.transfers);
    let answerers = AnswererPool::new(Arc::clone(&daemon.store), Arc::clone(&transfers));
    let (counters, limits) = (Arc::clone(&daemon.tcp), daemon.config.limits.clone());
    let streams =
        tcp::Service::new(answerers, transfers, Arc::clone(&daemon.services), counters, limits);
    for listener in sockets.tcp {
        let listener = TcpListener::from_std(listener).context("cannot serve TCP")?;
        tasks.spawn(Arc::clone(&streams).accept(listener, None));
    }
    for listener in sockets.tls {
        let listener = TcpListener::from_std(listener).context("cannot serve TLS")?;
        tasks.spawn(Arc::clone(&streams).accept(listener, daemon.transfers.tls.clone()));
    }
    if let Some(samples) = daemon.plane.take_samples() {
        shadow::start(daemon, samples)?;
    }
    let attaching = Arc::clone(daemon);
    spawn_blocking(move || attaching.plane.attach(&attaching.config.xdp.interfaces)).await??;
    if let Err(error) = interfaces::watch(Arc::downgrade(daemon), &daemon.config.xdp.interfaces) {
        warn!("interfaces that come back are not attached to: {error:#}");
    }

    privilege::advise(&daemon.config);
    daemon.ready.store(true, Relaxed);
    notify::service_manager(NotifyState::Ready);
    tasks.spawn(notify::keep_watchdog(Arc::clone(daemon)));
    let Config { node, listen, .. } = &daemon.config;
    info!(node = node.id, addresses = ?listen.addresses, port = listen.port, "ready");
    loop {
        hangup.recv().await.context("signals cannot be received any more")?;
        info!("SIGHUP: looking for changes");
        let (following, file) = (Arc::clone(daemon), file.to_owned());
        spawn_blocking(move || following.follow_configuration(&file)).await?;
    }
}

/// Keeps the kernel programs answering for as long as this process lives. Ends when the helper has.
async fn renew_lease(daemon: Arc<Daemon>) -> Result<()> {
    let mut ticks = tokio::time::interval(dataplane::lease::RENEWAL);
    loop {
        ticks.tick().await;
        daemon.renew_lease();
        daemon.store.set_wall_clock();
        daemon.plane.check()?;
        if daemon.is_ready() && !daemon.config.services.is_empty() {
            let noting = Arc::clone(&daemon);
            let note = move || {
                let lease = noting.plane.lasting_lease().filter(|_| !noting.switches.off().all);
                service::note_lease(&noting.config.node.state, lease);
            };
            let _ = spawn_blocking(note).await;
        }
    }
}

/// The signals that the daemon heeds.
struct Signals {
    hangup: Signal,
    end: EndSignals,
}

/// The signals that end it.
struct EndSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        let heed = |kind| signal(kind).context("cannot heed signals");
        Ok(Self {
            hangup: heed(SignalKind::hangup())?,
            end: EndSignals {
                terminate: heed(SignalKind::terminate())?,
                interrupt: heed(SignalKind::interrupt())?,
            },
        })
    }
}

impl EndSignals {
    /// Waits for one, and names it.
    async fn recv(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Lets the process open as many files as its hard limit grants: connections are files, and
/// `limits.tcp-connections` bounds them.
fn raise_descriptor_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for both calls.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}
