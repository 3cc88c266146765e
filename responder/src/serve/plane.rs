//! The kernel's part of the service: what the configuration asks for, and what can be had.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};
use tracing::{debug, info, warn};

use crate::{
    config::{Config, Listen},
    control::{DataPlaneStatus, Hook},
    dataplane::{Attachment, Counters, DataPlane, Mode, ReceiveScaling, Scaling},
    store::{Store, StoreOptions},
};

/// The kernel programs of this daemon, if there are any.
pub struct Plane {
    configured: Mode,
    scaling: ReceiveScaling,
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
    pub fn prepare(config: &Config) -> Result<(Self, Arc<Store>)> {
        let (mode, interfaces) = (config.xdp.mode, &config.xdp.interfaces);
        let scaling = config.xdp.receive_scaling;
        let plane = Self { configured: mode, scaling, state: Mutex::default() };
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
        match DataPlane::load(&options) {
            Ok((programs, store)) => {
                let Listen { addresses, port } = &config.listen;
                store.set_service(addresses, *port).context("remove some of listen.addresses")?;
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

    /// Attaches the programs to every interface.
    ///
    /// # Errors
    /// Unless the mode is `auto`, the first interface that refuses; nothing stays attached then.
    pub fn attach(&self, interfaces: &[String]) -> Result<()> {
        let mut state = self.state();
        let Some(programs) = state.programs.as_mut() else { return Ok(()) };
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
                    state.programs = None;
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
        let nowhere = attachments.iter().all(|attachment| attachment.mode == Mode::Off);
        state.attachments = attachments;
        state.scaled = scaled;
        drop(state);
        if nowhere {
            self.degrade("no interface takes the programs".to_owned());
        }
        Ok(())
    }

    /// Detaches everything; the counters stay readable.
    pub fn detach(&self) {
        let mut state = self.state();
        if let Some(programs) = state.programs.take() {
            state.last = programs.counters();
        }
        state.attachments.clear();
        state.scaled.clear();
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
