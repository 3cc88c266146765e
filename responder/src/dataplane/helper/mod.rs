//! The hands that touch the kernel: everything that needs capabilities once the daemon runs.
//!
//! They are the daemon's own, or, where it gives its privileges up ([`crate::privilege`]), those of a
//! helper process. Either way they do what [`Request`] lists and nothing else, for the interfaces and the
//! folder of pins that were settled at the start; a helper gives the daemon descriptors of the programs'
//! maps, and takes none. What the daemon writes through a map's memory needs no hands.
//!
//! | module | what |
//! |---|---|
//! | [`worker`] | what is done |
//! | [`process`] | a process that does it for another |

mod process;
mod worker;

use std::{
    io,
    net::IpAddr,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
};

use anyhow::{Context, Result, bail};
use aya::maps::{Map, MapData, PerCpuArray};
use serde::{Deserialize, Serialize};
use tracing::info;

pub use process::run;

use self::{process::Helper, worker::Worker};
use super::{
    Attachment, Counters, Found, Mode, ReceiveScaling, Refused, Rows,
    maps::{FoundMemory, KernelMemory, Segments},
    watch::{Samples, Watch},
};
use crate::{
    locks::lock,
    store::{Store, Terms},
};

/// What is settled before the first request, by a daemon that has all of its privileges yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// `xdp.mode`.
    pub mode: Mode,
    /// The interfaces that may be touched.
    pub interfaces: Vec<String>,
    /// `xdp.receive-scaling`.
    pub receive_scaling: ReceiveScaling,
    /// What the programs are to tell.
    pub watch: Watch,
    /// The folder of pins.
    pub pins: PathBuf,
    /// Whether what is attached is to outlive the process.
    pub lasting: bool,
    /// The addresses that may be put on an interface and taken off it.
    pub addresses: Vec<(String, IpAddr)>,
}

/// What can be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Look for the store that an earlier daemon left.
    Find,
    /// A segment of that store, by its number.
    Found(u32),
    /// Load the programs: once.
    Load {
        /// Over the store that was found.
        found: bool,
    },
    /// Add the next segment, which must have this number, to the store.
    Segment(u32),
    /// Attach the programs to an interface.
    Attach(String),
    /// Everything is attached: remove the pins that are in no use any more.
    Settle,
    /// It could not be attached everywhere: leave all as it was found.
    GiveUp,
    /// End this process's part; what is pinned goes on.
    Leave,
    /// Remove everything that is pinned, whoever pinned it.
    Detach,
    /// Look whether the programs still hang there, and have them run on a frame.
    Try {
        /// Where they were attached.
        attachments: Vec<Attachment>,
        /// The frame.
        frame: Vec<u8>,
    },
    /// Put an address of the settings on its interface, or take it off.
    Address {
        /// The interface.
        interface: String,
        /// The address.
        address: IpAddr,
        /// Whether it is to be there.
        present: bool,
    },
    /// Filter the log anew.
    Log(String),
}

/// What programs did with a frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// They answered, with this frame.
    Answered(Vec<u8>),
    /// They dropped it.
    Dropped,
    /// They left it to the sockets.
    Passed,
    /// They could not be run: one line.
    Failed(String),
}

/// What became of a trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// What was found at each interface.
    pub found: Vec<Found>,
    /// What the programs did with the frame.
    pub outcome: Outcome,
}

/// What came of it; descriptors travel beside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// [`Request::Find`]: the map of the root, if there is a store, and how many segments it has.
    Found(Option<u32>),
    /// [`Request::Load`]: the maps of the root, of limits, of prefixes, of the counters and of samples.
    Loaded {
        /// Whether what is attached is to outlive the process.
        lasting: bool,
        /// What is less than was asked for.
        warning: Option<String>,
    },
    /// [`Request::Segment`] and [`Request::Found`]: its map.
    Segment,
    /// [`Request::Attach`].
    Attached(Attachment),
    /// [`Request::Detach`]: how many links there were.
    Detached(usize),
    /// [`Request::Try`].
    Tried(Tried),
    /// Done.
    Done,
    /// [`Request::Load`]: the kernel's verifier does not take the programs.
    Refused(Refused),
    /// One line for a person.
    Error(String),
}

/// Programs that were loaded, and what goes with them.
pub struct Loaded {
    /// What they read.
    pub store: Arc<Store>,
    /// What they count.
    pub counters: CounterMap,
    /// What they tell of queries that they answered, in shadow mode.
    pub samples: Option<Samples>,
    /// Whether an earlier daemon left the store.
    pub adopted: bool,
    /// What is less than was asked for.
    pub warning: Option<String>,
}

/// Where the hands are.
pub struct Hands {
    place: Mutex<Place>,
    /// Whether samples are wanted.
    shadow: bool,
}

enum Place {
    Here(Box<Worker>),
    Beside(Helper),
}

impl Hands {
    /// The process's own.
    pub fn own(settings: Settings) -> Arc<Self> {
        let shadow = settings.watch.shadow > 0;
        let place = Mutex::new(Place::Here(Box::new(Worker::new(settings))));
        Arc::new(Self { place, shadow })
    }

    /// Those of a helper, which is started with all privileges that this process has.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn beside(settings: &Settings) -> Result<Arc<Self>> {
        let helper = Helper::start(settings).context("cannot start the helper process")?;
        let shadow = settings.watch.shadow > 0;
        Ok(Arc::new(Self { place: Mutex::new(Place::Beside(helper)), shadow }))
    }

    /// Whether they can still be asked.
    ///
    /// # Errors
    /// The helper has ended: with the remedy.
    pub fn check(&self) -> Result<()> {
        match &*self.place() {
            Place::Beside(helper) if helper.has_ended() => {
                bail!("the helper process has ended: start the daemon again")
            }
            _ => Ok(()),
        }
    }

    /// Loads the programs, over the store that an earlier daemon left, if it did so on these terms, or else
    /// over one that is made now.
    ///
    /// # Errors
    /// As [`super::DataPlane::load`].
    pub fn load(self: &Arc<Self>, terms: &Terms) -> Result<Loaded> {
        let found = self.find(terms).unwrap_or_else(|error| {
            info!(
                "a store is built beside the one that an earlier daemon left, which goes on answering \
                 until then: {error:#}"
            );
            None
        });
        let (reply, descriptors) = self.ask(&Request::Load { found: found.is_some() })?;
        let Reply::Loaded { lasting, warning } = reply else { return Err(unexpected()) };
        let [root, limits, listed, counters, samples] =
            <[OwnedFd; 5]>::try_from(descriptors).map_err(|_| unexpected())?;
        let (hands, adopted) = (Arc::clone(self) as Arc<dyn Segments>, found.is_some());
        let maps = [root, limits, listed];
        let memory = KernelMemory::new(maps, found.unwrap_or_default(), hands, lasting)?;
        let memory = Box::new(memory);
        let store = if adopted {
            Store::adopt(memory, terms)?
        } else {
            let store = Store::over(memory, &terms.options)
                .context("the kernel gives no memory for the store")?;
            store
                .set_service(&terms.addresses, terms.port)
                .context("remove some of listen.addresses")?;
            store.set_owner(terms.owner);
            store
        };
        let counters = CounterMap::open(counters)?;
        let samples = self.shadow.then(|| Samples::open(samples)).transpose()?;
        Ok(Loaded { store: Arc::new(store), counters, samples, adopted, warning })
    }

    /// The segments of the store that an earlier daemon left, if there is one; an error where it cannot be
    /// gone on with.
    fn find(&self, terms: &Terms) -> Result<Option<Vec<OwnedFd>>> {
        let (reply, mut descriptors) = self.ask(&Request::Find)?;
        let Reply::Found(segments) = reply else { return Err(unexpected()) };
        let Some(segments) = segments else { return Ok(None) };
        let root = descriptors.pop().ok_or_else(unexpected)?;
        let segment = |number| {
            let (_, mut descriptors) = self.ask(&Request::Found(number))?;
            descriptors.pop().ok_or_else(unexpected)
        };
        let found = (0..segments).map(segment).collect::<Result<Vec<_>>>()?;
        let copies = found.iter().map(OwnedFd::try_clone).collect::<io::Result<_>>()?;
        // Whatever is wrong with it is to be seen before the programs are loaded over it.
        Store::adopt(Box::new(FoundMemory { root, segments: copies }), terms)?;
        Ok(Some(found))
    }

    /// Attaches the programs to an interface of the settings.
    ///
    /// # Errors
    /// As [`super::DataPlane::attach`].
    pub fn attach(&self, interface: &str) -> Result<Attachment> {
        match self.ask(&Request::Attach(interface.to_owned()))?.0 {
            Reply::Attached(attachment) => Ok(attachment),
            _ => Err(unexpected()),
        }
    }

    /// Has one of [`Request::Settle`], [`Request::GiveUp`] and [`Request::Leave`] done.
    ///
    /// # Errors
    /// When it cannot be.
    pub fn have_done(&self, request: &Request) -> Result<()> {
        match self.ask(request)?.0 {
            Reply::Done => Ok(()),
            _ => Err(unexpected()),
        }
    }

    /// Has the helper, if there is one, filter its log.
    ///
    /// # Errors
    /// It has ended.
    pub fn filter_log(&self, filter: &str) -> Result<()> {
        if matches!(&*self.place(), Place::Here(_)) {
            return Ok(());
        }
        self.have_done(&Request::Log(filter.to_owned()))
    }

    /// Looks whether the programs still hang where they were attached, and has them run on a frame.
    ///
    /// # Errors
    /// There are no programs.
    pub fn try_out(&self, attachments: Vec<Attachment>, frame: Vec<u8>) -> Result<Tried> {
        match self.ask(&Request::Try { attachments, frame })?.0 {
            Reply::Tried(tried) => Ok(tried),
            _ => Err(unexpected()),
        }
    }

    /// Puts an address of the settings on its interface, or takes it off.
    ///
    /// # Errors
    /// It cannot be done: one line.
    pub fn set_address(&self, interface: &str, address: IpAddr, present: bool) -> Result<()> {
        let interface = interface.to_owned();
        self.have_done(&Request::Address { interface, address, present })
    }

    /// Removes what is pinned; how many links there were.
    ///
    /// # Errors
    /// When something is there and cannot be removed.
    pub fn detach(&self) -> Result<usize> {
        match self.ask(&Request::Detach)?.0 {
            Reply::Detached(links) => Ok(links),
            _ => Err(unexpected()),
        }
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        lock(&self.place)
    }

    fn ask(&self, request: &Request) -> Result<(Reply, Vec<OwnedFd>)> {
        let mut place = self.place();
        let (reply, descriptors) = match &mut *place {
            Place::Here(worker) => worker.serve(request),
            Place::Beside(helper) => helper.ask(request)?,
        };
        match reply {
            Reply::Error(message) => bail!(message),
            Reply::Refused(refused) => Err(refused.into()),
            reply => Ok((reply, descriptors)),
        }
    }
}

impl Segments for Hands {
    fn add(&self, number: u32) -> io::Result<OwnedFd> {
        let told = |error: anyhow::Error| io::Error::other(format!("{error:#}"));
        let (_, mut descriptors) = self.ask(&Request::Segment(number)).map_err(told)?;
        descriptors.pop().ok_or_else(|| told(unexpected()))
    }
}

fn unexpected() -> anyhow::Error {
    anyhow::anyhow!("the helper process answered something else: it is of another version")
}

/// The programs' counters, read without privileges.
pub struct CounterMap(Rows);

impl CounterMap {
    fn open(descriptor: OwnedFd) -> Result<Self> {
        let map = Map::PerCpuArray(MapData::from_fd(descriptor)?);
        Ok(Self(PerCpuArray::try_from(map)?))
    }

    /// Summed over the processors.
    pub fn read(&self) -> Counters {
        super::counted(&self.0)
    }
}
