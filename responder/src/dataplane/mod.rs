//! The third hop of a query's journey, from outside: the kernel programs are loaded, attached, counted.
//!
//! | module | what |
//! |---|---|
//! | [`maps`] | the programs' maps as the store's memory |
//! | [`attach`] | hooks and interfaces |
//! | [`clsact`] | the tc hook of kernels before 6.6 |
//! | [`occupant`] | whose program sits where ours was to go |
//! | [`offloads`] | what a network card does before |
//! | [`inspect`] | whether the programs still hang where they were attached |
//! | [`pins`] | what outlives the daemon |
//! | [`lease`] | how long it does |
//! | [`scaling`] | how the work of a lone receive queue is spread over the processors |
//! | [`helper`] | in which process all that is done |
//! | [`watch`] | what the programs tell, beside answering |
//! | [`refused`] | what the kernel says when it takes no program |
//! | [`tally`] | the programs' counters |
//! | [`trial`] | single runs, for tests and benches |

mod attach;
mod clsact;
pub mod helper;
mod inspect;
pub mod lease;
mod maps;
mod occupant;
mod offloads;
pub mod pins;
mod refused;
mod scaling;
mod tally;
pub mod trial;
pub mod watch;

use std::{
    collections::BTreeMap,
    ffi::CString,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    sync::Arc,
};

use anyhow::{Context, bail};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Map, PerCpuArray},
    programs::SchedClassifier,
    util::KernelVersion,
};
use serde::{Deserialize, Serialize};

pub use inspect::{Found, fault_of_xdp};
pub use refused::Refused;
pub use scaling::{ReceiveScaling, Scaling};
pub use tally::Counters;

use self::{
    occupant::Occupants,
    pins::Pins,
    refused::{explain, load_program},
    tally::{Rows, counted},
    trial::HookPoint,
    watch::{Samples, Scribe, Watch},
};
use crate::store::{Store, StoreOptions};

/// The kernel programs, as the build script compiled them.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/responder-ebpf"));

/// The program of the driver's hook.
const XDP_PROGRAM: &str = "responder_xdp";

/// The program of the tc hook.
const TC_PROGRAM: &str = "responder_tc";

/// `xdp.mode` of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// XDP in the driver, with tc behind it.
    Native,
    /// The tc program alone.
    Tc,
    /// Sockets only.
    Off,
    /// Native, else tc with a warning, else off with a warning.
    Auto,
}

/// How the tc program hangs in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TcHook {
    /// A link (Linux 6.6): it goes with the process, however that ends.
    Tcx,
    /// A filter in the clsact queueing discipline (before 6.6): after a SIGKILL it stays, and answers from
    /// the zones as they last were, until the daemon is started again.
    Clsact,
}

impl TcHook {
    /// Its name.
    pub fn label(self) -> &'static str {
        match self {
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
        }
    }
}

/// How one interface is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Its name.
    pub interface: String,
    /// `native`, `tc` or `off`.
    pub mode: Mode,
    /// How the tc program hangs in the kernel; nothing where it does not.
    #[serde(default)]
    pub tc: Option<TcHook>,
    /// The number of the XDP program, where there is one.
    #[serde(default)]
    pub program: Option<u32>,
    /// Whether the daemon spread the work of its receive queues over the processors.
    #[serde(default)]
    pub receive_scaling: bool,
    /// Whether the network card takes VLAN tags off before XDP sees them.
    #[serde(default)]
    pub hides_tags: bool,
    /// Why it is less than what was asked for, if it is.
    pub warning: Option<String>,
}

/// The loaded programs; detached when dropped, unless pinned.
pub struct DataPlane {
    ebpf: Ebpf,
    counters: Rows,
    counters_descriptor: OwnedFd,
    watch: Watch,
    samples_descriptor: OwnedFd,
    _scribe: Option<Scribe>,
    maps: Arc<maps::KernelMaps>,
    /// Whether no store but this one is pinned.
    is_stored: bool,
    /// What is left by an earlier daemon, and what is to outlive this one.
    pins: Option<Pins>,
    /// Whose programs sat in the hooks before.
    occupants: Occupants,
    /// With signs of life, to be dropped after the filters: behind `ebpf`.
    filters: Vec<clsact::Filter>,
}

impl DataPlane {
    /// Loads the programs and makes the store that they read. Nothing is attached yet.
    ///
    /// # Errors
    /// A missing capability, or a refusal of the verifier ([`Refused`]), as one clear line with the remedy.
    pub fn load(options: &StoreOptions) -> anyhow::Result<(Self, Arc<Store>)> {
        Self::load_watched(options, Watch::default())
    }

    /// The same, with programs that tell more.
    ///
    /// # Errors
    /// As [`DataPlane::load`].
    pub fn load_watched(
        options: &StoreOptions,
        watch: Watch,
    ) -> anyhow::Result<(Self, Arc<Store>)> {
        let (plane, maps) = Self::load_maps(None, None, Occupants::default(), watch)?;
        let memory = maps::KernelMemory::new(maps.descriptors()?, Vec::new(), maps, false)?;
        let store = Store::over(Box::new(memory), options)
            .context("the kernel gives no memory for the store")?;
        Ok((plane, Arc::new(store)))
    }

    /// Loads the programs, with the maps of a store that is still to be made, or over those of one that an
    /// earlier daemon left. What is pinned is taken over when the programs are attached, and what is attached
    /// is pinned, if it is to last; counters that last go on.
    fn load_maps(
        pins: Option<Pins>,
        found: Option<maps::FoundMaps>,
        occupants: Occupants,
        watch: Watch,
    ) -> anyhow::Result<(Self, Arc<maps::KernelMaps>)> {
        let mut loader = EbpfLoader::new();
        if let Some(path) = pins.as_ref().and_then(Pins::counters) {
            loader.map_pin_path("COUNTERS", path);
        }
        let adopted = found.is_some();
        if let Some(folder) = pins.as_ref().and_then(Pins::store).filter(|_| adopted) {
            maps::KernelMaps::use_pinned(&mut loader, &folder);
        }
        let level = watch.level();
        loader.override_global("SHADOW", &watch.shadow, true);
        loader.override_global(aya_log::LEVEL, &level, true);
        watch.size_rings(&mut loader);
        let mut ebpf = loader.load(OBJECT).map_err(explain)?;
        pins.as_ref().map_or(Ok(()), Pins::open_counters)?;
        let maps = Arc::new(maps::KernelMaps::take(&mut ebpf, found)?);
        for hook in [HookPoint::Xdp, HookPoint::Tc] {
            load_program(&mut ebpf, hook, watch.program(hook))?;
        }
        let counters = ebpf.take_map("COUNTERS").context("the programs have no map COUNTERS")?;
        let Map::PerCpuArray(data) = &counters else { bail!("COUNTERS is another kind of map") };
        let counters_descriptor = data.fd().as_fd().try_clone_to_owned()?;
        let counters = PerCpuArray::try_from(counters)?;
        let samples = ebpf.take_map(watch::SAMPLES).context("the programs have no map SAMPLES")?;
        let samples_descriptor = watch::descriptor(&samples)?;
        let scribe = watch.debug.then(|| Scribe::start(&mut ebpf)).transpose()?;
        let plane = Self {
            ebpf,
            counters,
            counters_descriptor,
            watch,
            samples_descriptor,
            _scribe: scribe,
            maps: Arc::clone(&maps),
            is_stored: adopted,
            pins,
            occupants,
            filters: Vec::new(),
        };
        Ok((plane, maps))
    }

    /// The counters' map, for another process to read.
    fn counters_descriptor(&self) -> std::io::Result<OwnedFd> {
        self.counters_descriptor.try_clone()
    }

    /// The samples' map, for another process to read.
    fn samples_descriptor(&self) -> std::io::Result<OwnedFd> {
        self.samples_descriptor.try_clone()
    }

    /// What the programs tell of queries that they answered. Who takes one takes it from all others.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn samples(&self) -> anyhow::Result<Samples> {
        Samples::open(self.samples_descriptor()?)
    }

    /// The loaded program of a hook.
    fn hook(&self, hook: HookPoint) -> anyhow::Result<&aya::programs::Program> {
        self.ebpf.program(self.watch.program(hook)).context("the program is missing")
    }

    /// Attaches to an interface.
    ///
    /// # Errors
    /// A missing interface, a program of somebody else's already there; one clear line with the remedy.
    pub fn attach(&mut self, interface: &str, mode: Mode) -> anyhow::Result<Attachment> {
        if let Some(pins) = self.pins.as_ref().filter(|_| !self.is_stored) {
            // What is attached from now on answers from this store.
            pins.forget_store()?;
            self.is_stored = true;
        }
        let Self { ebpf, pins, occupants, watch, .. } = self;
        let mut hooks = attach::Hooks { ebpf, pins, occupants, watch: *watch };
        let (mut attachment, filter) = hooks.attach(interface, mode)?;
        if attachment.mode == Mode::Native {
            attachment.program = Some(self.program_id(HookPoint::Xdp)?);
            // A driver that does not tell has no such switch.
            attachment.hides_tags = offloads::hides_tags(interface).unwrap_or(false);
        }
        self.filters.extend(filter);
        Ok(attachment)
    }

    /// To be called when every interface has been attached to: removes the pins that nothing here uses.
    ///
    /// # Errors
    /// When one cannot be removed.
    pub fn settle(&mut self) -> anyhow::Result<()> {
        if let Some(pins) = &mut self.pins {
            let links = pins.settle()?;
            if links > 0 {
                tracing::info!(links, "removed pins that nothing uses");
            }
            if let Some(folder) = pins.store().filter(|folder| !folder.exists())
                && let Err(error) = self.maps.pin(&folder)
            {
                tracing::warn!("the next start will load all zones anew: {error:#}");
            }
        }
        Ok(())
    }

    /// Ends a data plane that could not be attached everywhere. What an earlier daemon left attached goes
    /// on answering.
    pub fn give_up(mut self) {
        if let Some(pins) = &mut self.pins {
            pins.undo();
        }
    }

    /// Ends the process's part: the kernel goes on answering, if the data plane is pinned.
    ///
    /// # Errors
    /// When a filter cannot be kept.
    pub fn leave(mut self) -> anyhow::Result<()> {
        if self.pins.as_ref().is_some_and(Pins::is_lasting) {
            let name = self.watch.program(HookPoint::Tc);
            let program = self.ebpf.program_mut(name).context("the program is missing")?;
            let program: &mut SchedClassifier = program.try_into()?;
            for filter in self.filters.drain(..) {
                // Dropped, it would take the filter with it.
                std::mem::forget(program.take_link(filter.link)?);
            }
        }
        Ok(())
    }

    /// The counters, summed over the processors.
    pub fn counters(&self) -> Counters {
        counted(&self.counters)
    }

    /// How many instructions the verifier worked through, by program: what is left of its million is
    /// the room to grow.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn verified(&self) -> anyhow::Result<BTreeMap<&'static str, u32>> {
        let mut counts = BTreeMap::new();
        for hook in [HookPoint::Xdp, HookPoint::Tc] {
            let count = self.hook(hook)?.info()?.verified_instruction_count();
            counts.insert(
                self.watch.program(hook),
                count.context("this kernel does not count them (before 5.16)")?,
            );
        }
        Ok(counts)
    }
}

/// Removes what daemons left attached: the pins in a folder, and filters on interfaces before Linux 6.6.
/// How many links and interfaces that were.
///
/// # Errors
/// When something is there and cannot be removed.
pub fn detach(folder: &Path, interfaces: &[String]) -> anyhow::Result<usize> {
    let links = pins::remove_all(folder)?;
    if KernelVersion::current()? < KernelVersion::new(6, 6, 0) {
        for interface in interfaces {
            clsact::sweep(interface)?;
        }
    }
    Ok(links)
}

/// An interface's number, which is its own as long as it lives; its name may change.
///
/// # Errors
/// There is none of that name.
pub fn index(interface: &str) -> anyhow::Result<u32> {
    let name = CString::new(interface)?;
    // SAFETY: the name is a zero-terminated string that outlives the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => bail!("no interface \"{interface}\" on this machine: `ip link` lists them"),
        index => Ok(index),
    }
}
