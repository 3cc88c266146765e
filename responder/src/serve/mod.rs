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
mod daemon;
mod interfaces;
mod notify;
mod plane;
mod responses;
mod shadow;
mod signals;
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
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use anyhow::{Context, Result};
use sd_notify::NotifyState;
use tokio::{
    net::TcpListener,
    signal::unix::Signal,
    task::{JoinSet, spawn_blocking},
};
use tracing::{info, warn};

pub use counters::{Counters, Event};
pub use daemon::Daemon;
pub use plane::{OnStop, Plane, interface_exists, label as mode_label};
pub use shadow::{Comparison, compare};
pub(crate) use state::replace;
pub use switches::{SwitchedOff, Switches};
pub use zones::Zones;

use self::{responses::AnswererPool, signals::Signals, sockets::Sockets, state::StateDirectory};
use crate::{
    config::Config,
    control::{self, CONTROL_SOCKET},
    dataplane::{self, helper::Hands},
    privilege,
    service::{self, peers},
    telemetry,
};

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
