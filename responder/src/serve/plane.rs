//! The kernel's part of the service: what the configuration asks for, and what can be had.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tracing::{debug, info, warn};

use super::SwitchedOff;
use crate::{
    config::{Config, Listen},
    control::{DataPlaneStatus, Hook},
    dataplane::{
        self, Attachment, Counters, DataPlane, Mode, ReceiveScaling, Scaling, lease, pins::Pins,
    },
    store::{Store, StoreOptions},
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
    scaling: ReceiveScaling,
    lease: Duration,
    /// Where they are pinned, and where earlier daemons may have pinned theirs.
    pins: PathBuf,
    /// None: nothing outlives the process.
    on_stop: Option<OnStop>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    programs: Option<DataPlane>,
    attachments: Vec<Attachment>,
    scaled: Vec<Scaling>,
    degraded: Option<String>,
    /// What the programs had counted when they were detached.
    last: Counters,
}

impl Plane {
    /// Loads the programs that the configuration asks for, and makes the store. Nothing is
    /// attached yet.
    ///
    /// # Errors
    /// An interface is missing; or, unless the mode is `auto`, the programs cannot be loaded. One
    /// line with the remedy.
    pub fn prepare(config: &Config, on_stop: Option<OnStop>) -> Result<(Self, Arc<Store>)> {
        let (mode, interfaces) = (config.xdp.mode, &config.xdp.interfaces);
        let scaling = config.xdp.receive_scaling;
        let (lease, pins) = (config.xdp.lease, config.pins());
        let state = Mutex::default();
        let plane = Self { configured: mode, scaling, lease, pins, on_stop, state };
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
        let loaded = plane.open_pins().and_then(|pins| DataPlane::load_over(&options, Some(pins)));
        match loaded {
            Ok((programs, store)) => {
                let Listen { addresses, port } = &config.listen;
                store.set_service(addresses, *port).context("remove some of listen.addresses")?;
                plane.renew_lease(&store);
                plane.state().programs = Some(programs);
                Ok((plane, store))
            }
            Err(error) if mode == Mode::Auto => {
                plane.degrade(format!("{error:#}"));
                Ok((plane, without_kernel(&options)?))
            }
            Err(error) => Err(error),
        }
    }

    /// The folder of the pins, made where something is to be pinned.
    fn open_pins(&self) -> Result<Pins> {
        if self.on_stop.is_none() {
            return Ok(Pins::found(&self.pins));
        }
        match Pins::open(&self.pins) {
            Err(error) if self.configured == Mode::Auto => {
                warn!("{error:#}: the kernel will not answer without the daemon");
                Ok(Pins::found(&self.pins))
            }
            opened => opened,
        }
    }

    /// Lets the programs answer for another lease.
    pub fn renew_lease(&self, store: &Store) {
        lease::renew(store, self.lease);
    }

    /// Attaches the programs to every interface, in the place of those that an earlier daemon left there.
    ///
    /// # Errors
    /// Unless the mode is `auto`, the first interface that refuses; nothing stays attached then.
    pub fn attach(&self, interfaces: &[String]) -> Result<()> {
        let mut state = self.state();
        let Some(programs) = state.programs.as_mut() else {
            drop(state);
            return self.detach_earlier(interfaces);
        };
        let (mut attachments, mut scaled) = (Vec::new(), Vec::new());
        for interface in interfaces {
            let mut attachment = match programs.attach(interface, self.configured) {
                Ok(attachment) => attachment,
                Err(error) if self.configured == Mode::Auto => Attachment {
                    interface: interface.clone(),
                    mode: Mode::Off,
                    tc: None,
                    receive_scaling: false,
                    warning: Some(format!("{error:#}")),
                },
                Err(error) => {
                    if let Some(programs) = state.programs.take() {
                        programs.give_up();
                    }
                    return Err(error);
                }
            };
            match &attachment.warning {
                None => info!(interface, mode = label(attachment.mode), "attached"),
                Some(warning) => warn!(interface, mode = label(attachment.mode), "{warning}"),
            }
            if attachment.mode != Mode::Off {
                let scaling = spread(interface, self.scaling);
                attachment.receive_scaling = scaling.is_some();
                scaled.extend(scaling);
            }
            attachments.push(attachment);
        }
        programs.settle()?;
        let nowhere = attachments.iter().all(|attachment| attachment.mode == Mode::Off);
        state.attachments = attachments;
        state.scaled = scaled;
        drop(state);
        if nowhere {
            self.degrade("no interface takes the programs".to_owned());
        }
        Ok(())
    }

    /// Ends it as `--on-stop` says; the counters stay readable.
    ///
    /// # Errors
    /// When something stays attached that should not.
    pub fn stop(&self, interfaces: &[String]) -> Result<()> {
        self.leave()?;
        if self.on_stop != Some(OnStop::Keep) {
            dataplane::detach(&self.pins, interfaces)?;
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
        state.scaled.clear();
        let Some(programs) = state.programs.take() else { return Ok(()) };
        state.last = programs.counters();
        programs.leave()
    }

    /// Detaches what an earlier daemon left, once the sockets answer in its place.
    fn detach_earlier(&self, interfaces: &[String]) -> Result<()> {
        let links = dataplane::detach(&self.pins, interfaces)?;
        if links > 0 {
            warn!(links, "detached what an earlier daemon left: from now on sockets answer");
        }
        Ok(())
    }

    /// What the programs have counted so far.
    pub fn counters(&self) -> Counters {
        let state = self.state();
        state.programs.as_ref().map_or_else(|| state.last.clone(), DataPlane::counters)
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
            attachments: state.attachments.clone(),
            xdp: Hook::new(counters.xdp),
            tc: Hook::new(counters.tc),
        }
    }

    fn degrade(&self, reason: String) {
        warn!("DEGRADED: the kernel does not answer, only sockets do: {reason}");
        self.state().degraded = Some(reason);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Spreads the work of an interface's receive queues, where that helps or is asked for.
fn spread(interface: &str, wanted: ReceiveScaling) -> Option<Scaling> {
    match Scaling::arrange(interface, wanted) {
        Ok(scaling) => {
            if scaling.is_some() {
                info!(interface, "its work is spread over the processors (threaded NAPI, RPS)");
            }
            scaling
        }
        Err(error) if wanted == ReceiveScaling::On => {
            warn!(interface, "xdp.receive-scaling cannot be switched on: {error:#}");
            None
        }
        Err(error) => {
            debug!(interface, "receive scaling: {error:#}");
            None
        }
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
