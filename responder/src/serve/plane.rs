//! The kernel's part of the service: what the configuration asks for, and what can be had.

mod probe;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tracing::{error, info, warn};

use super::{SwitchedOff, state::StateDirectory};
use crate::{
    config::{Config, Listen},
    control::{DataPlaneStatus, Hook},
    dataplane::{
        Attachment, Counters, Mode, Refused,
        helper::{CounterMap, Hands, Request, Settings},
        lease,
        watch::Samples,
    },
    locks::lock,
    privilege,
    store::{Store, StoreOptions, Terms},
};

/// What becomes of the kernel programs when the daemon is stopped (`--on-stop`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum OnStop {
    /// They go on answering until the lease runs out, or another daemon takes over.
    Keep,
    /// They are detached; after a crash they go on as with `keep`.
    Detach,
}

/// The kernel programs of this daemon, if there are any.
pub struct Plane {
    configured: Mode,
    lease: Duration,
    /// Where they are pinned, and where earlier daemons may have pinned theirs.
    pins: PathBuf,
    /// What touches the kernel.
    hands: Arc<Hands>,
    /// None: nothing outlives the process.
    on_stop: Option<OnStop>,
    /// `xdp.shadow`.
    shadow: u32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The counters of the programs, while these are loaded.
    programs: Option<CounterMap>,
    /// Samples of what they answer, until somebody takes them.
    samples: Option<Samples>,
    /// Whether an earlier daemon left the store that they read.
    adopted: bool,
    attachments: Vec<Attachment>,
    degraded: Option<String>,
    /// What the programs had counted when they were detached.
    last: Counters,
}

/// What is to touch the kernel for the daemon of this configuration: with privileges that the daemon itself
/// is about to give up, a process beside.
///
/// # Errors
/// It cannot be started.
pub fn hands(config: &Config, on_stop: Option<OnStop>) -> Result<Arc<Hands>> {
    let settings = Settings {
        mode: config.xdp.mode,
        interfaces: config.xdp.interfaces.clone(),
        receive_scaling: config.xdp.receive_scaling,
        pins: config.pins(),
        watch: config.xdp.watch,
        lasting: on_stop.is_some(),
        addresses: config.coming_addresses(),
    };
    let wants = config.xdp.mode != Mode::Off && !config.xdp.interfaces.is_empty();
    let found = wants || settings.pins.exists() || !settings.addresses.is_empty();
    match found && privilege::is_separate(config) && privilege::are_worth_keeping() {
        true => Hands::beside(&settings),
        false => Ok(Hands::own(settings)),
    }
}

impl Plane {
    /// Loads the programs that the configuration asks for, and makes the store. Nothing is
    /// attached yet.
    ///
    /// # Errors
    /// An interface is missing; or, unless the mode is `auto`, the programs cannot be loaded, for another
    /// reason than that the kernel's verifier refuses them: a node whose kernel was changed goes on serving
    /// from sockets. One line with the remedy.
    pub fn prepare(
        config: &Config,
        on_stop: Option<OnStop>,
        hands: Arc<Hands>,
        state_directory: &StateDirectory,
    ) -> Result<(Self, Arc<Store>)> {
        let (mode, interfaces) = (config.xdp.mode, &config.xdp.interfaces);
        let (lease, pins) = (config.xdp.lease, config.pins());
        let state = Mutex::default();
        let shadow = config.xdp.watch.shadow;
        let plane = Self { configured: mode, lease, pins, hands, on_stop, shadow, state };
        let options = config.store_options();
        if mode == Mode::Off || interfaces.is_empty() {
            return Ok((plane, without_kernel(&options)?));
        }
        for interface in interfaces {
            if !interface_exists(interface) {
                bail!(
                    "no interface \"{interface}\" on this machine: `ip link` lists them; correct \
                     xdp.interfaces, or set xdp.mode = \"off\""
                );
            }
        }
        let Listen { addresses, port, .. } = config.listen.clone();
        let owner = state_directory.identity()?;
        let terms = Terms { options: options.clone(), addresses, port, owner };
        match plane.hands.load(&terms) {
            Ok(loaded) => {
                if let Some(warning) = loaded.warning {
                    warn!("{warning}");
                }
                plane.renew_lease(&loaded.store);
                let mut state = plane.state();
                state.programs = Some(loaded.counters);
                state.samples = loaded.samples;
                state.adopted = loaded.adopted;
                drop(state);
                Ok((plane, loaded.store))
            }
            Err(error) if mode == Mode::Auto || error.is::<Refused>() => {
                plane.degrade(format!("{error:#}"));
                Ok((plane, without_kernel(&options)?))
            }
            Err(error) => Err(error),
        }
    }

    /// The samples of what the programs answer, in shadow mode; once.
    pub fn take_samples(&self) -> Option<Samples> {
        self.state().samples.take()
    }

    /// Of how many answers one is compared; zero: none is.
    pub fn shadow(&self) -> u32 {
        if self.state().programs.is_some() { self.shadow } else { 0 }
    }

    /// Lets the programs answer for another lease.
    pub fn renew_lease(&self, store: &Store) {
        lease::renew(store, self.lease);
    }

    /// For how long the kernel answers without the daemon, if it does.
    pub fn lasting_lease(&self) -> Option<Duration> {
        let state = self.state();
        let attached = state.attachments.iter().any(|attachment| attachment.mode != Mode::Off);
        self.on_stop.filter(|_| attached && state.programs.is_some()).map(|_| self.lease)
    }

    /// How each interface is served.
    pub fn attachments(&self) -> Vec<Attachment> {
        self.state().attachments.clone()
    }

    /// What touches the kernel.
    pub fn hands(&self) -> &Arc<Hands> {
        &self.hands
    }

    /// Attaches the programs to every interface, in the place of those that an earlier daemon left there.
    ///
    /// # Errors
    /// Unless the mode is `auto`, the first interface that refuses; nothing stays attached then.
    pub fn attach(&self, interfaces: &[String]) -> Result<()> {
        let mut state = self.state();
        if state.programs.is_none() {
            drop(state);
            return self.detach_earlier();
        }
        let mut attachments = Vec::new();
        for interface in interfaces {
            let attachment = match self.hands.attach(interface) {
                Ok(attachment) => attachment,
                Err(error) if self.configured == Mode::Auto => {
                    nowhere(interface, format!("{error:#}"))
                }
                Err(error) => {
                    state.programs = None;
                    self.hands.have_done(&Request::GiveUp)?;
                    return Err(error);
                }
            };
            match &attachment.warning {
                None => info!(interface, mode = label(attachment.mode), "attached"),
                Some(warning) => warn!(interface, mode = label(attachment.mode), "{warning}"),
            }
            if attachment.hides_tags {
                info!(
                    interface,
                    "the network card takes VLAN tags off, and what XDP answers goes out without them: \
                     where queries come tagged, `ethtool -K {interface} rxvlan off`"
                );
            }
            attachments.push(attachment);
        }
        self.hands.have_done(&Request::Settle)?;
        let nowhere = attachments.iter().all(|attachment| attachment.mode == Mode::Off);
        state.attachments = attachments;
        drop(state);
        if nowhere {
            self.degrade("no interface takes the programs".to_owned());
        }
        Ok(())
    }

    /// Attaches the programs to an interface that is another one than before. None where there are no
    /// programs to attach.
    ///
    /// # Errors
    /// The interface refuses: one line with the remedy.
    pub fn attach_again(&self, interface: &str) -> Result<Option<Attachment>> {
        let mut state = self.state();
        if state.programs.is_none() {
            return Ok(None);
        }
        let attached = self.hands.attach(interface);
        let attachment = match &attached {
            Ok(attachment) => attachment.clone(),
            Err(error) => nowhere(interface, format!("{error:#}")),
        };
        state.replace(attachment);
        let attachment = attached?;
        self.hands.have_done(&Request::Settle)?;
        Ok(Some(attachment))
    }

    /// Notes that an interface is gone.
    pub fn lose(&self, interface: &str) {
        self.state().replace(nowhere(interface, "the interface is gone".to_owned()));
    }

    /// Ends it as `--on-stop` says; the counters stay readable.
    ///
    /// # Errors
    /// When something stays attached that should not.
    pub fn stop(&self) -> Result<()> {
        self.leave()?;
        if self.on_stop != Some(OnStop::Keep) {
            self.hands.detach()?;
        }
        Ok(())
    }

    /// Ends it as a crash would: what is pinned goes on, whoever pinned it.
    ///
    /// # Errors
    /// When the kernel refuses something.
    pub fn leave(&self) -> Result<()> {
        let mut state = self.state();
        state.attachments.clear();
        let Some(counters) = state.programs.take() else { return Ok(()) };
        state.last = counters.read();
        self.hands.have_done(&Request::Leave)
    }

    /// Whether what touches the kernel is still there.
    ///
    /// # Errors
    /// It is not: with the remedy.
    pub fn check(&self) -> Result<()> {
        self.hands.check()
    }

    /// Has the helper filter its log as the daemon does, if there is one.
    ///
    /// # Errors
    /// It has ended.
    pub fn filter_log(&self, filter: &str) -> Result<()> {
        self.hands.filter_log(filter)
    }

    /// Detaches what an earlier daemon left, once the sockets answer in its place.
    fn detach_earlier(&self) -> Result<()> {
        let links = self.hands.detach()?;
        if links > 0 {
            warn!(links, "detached what an earlier daemon left: from now on sockets answer");
        }
        Ok(())
    }

    /// What the programs have counted so far.
    pub fn counters(&self) -> Counters {
        let state = self.state();
        state.programs.as_ref().map_or_else(|| state.last.clone(), CounterMap::read)
    }

    /// What the configuration asked for, what there is, and what it did.
    pub fn status(&self) -> DataPlaneStatus {
        let counters = self.counters();
        let state = self.state();
        DataPlaneStatus {
            configured: self.configured,
            degraded: state.degraded.clone(),
            switched_off: SwitchedOff::default(),
            pins: self.on_stop.filter(|_| state.programs.is_some()).map(|_| self.pins.clone()),
            lease: self.lease.as_secs(),
            adopted: state.adopted,
            shadow: None,
            attachments: state.attachments.clone(),
            over_rate: counters.over,
            probes: counters.probes,
            xdp: Hook::new(counters.xdp),
            tc: Hook::new(counters.tc),
        }
    }

    fn degrade(&self, reason: String) {
        error!("DEGRADED: the kernel does not answer, only sockets do: {reason}");
        self.state().degraded = Some(reason);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    /// Notes how an interface is served now.
    fn replace(&mut self, attachment: Attachment) {
        let same = |known: &&mut Attachment| known.interface == attachment.interface;
        if let Some(known) = self.attachments.iter_mut().find(same) {
            *known = attachment;
        }
    }
}

/// An interface that has no programs.
fn nowhere(interface: &str, reason: String) -> Attachment {
    Attachment {
        interface: interface.to_owned(),
        mode: Mode::Off,
        tc: None,
        program: None,
        receive_scaling: false,
        hides_tags: false,
        warning: Some(reason),
    }
}

/// A store that only this process reads.
fn without_kernel(options: &StoreOptions) -> Result<Arc<Store>> {
    Ok(Arc::new(Store::in_memory(options).context("no memory for the store")?))
}

/// The mode as the configuration writes it.
pub fn label(mode: Mode) -> &'static str {
    match mode {
        Mode::Native => "native",
        Mode::Tc => "tc",
        Mode::Off => "off",
        Mode::Auto => "auto",
    }
}

/// Whether this machine (in this network namespace) has an interface of that name.
pub fn interface_exists(name: &str) -> bool {
    let Ok(name) = std::ffi::CString::new(name) else { return false };
    // SAFETY: the name is a zero-terminated string that outlives the call.
    unsafe { libc::if_nametoindex(name.as_ptr()) != 0 }
}
