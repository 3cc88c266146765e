//! The store: the memory from which both the kernel and the daemon answer.
//!
//! | module | what |
//! |---|---|
//! | [`memory`] | segments: BPF maps seen as memory, or a process's own |
//! | [`space`] | which stretches of the segments are in use, and by whom |
//! | [`free`] | the stretches that are in no use |
//! | [`publish`] | the zone table: a zone comes, changes and goes by one store |
//! | [`commit`] | a version that shares all but what changed with the one before |
//! | [`shared`] | what many names of a zone refer to, stored once |
//! | [`changes`] | when replies last changed |
//! | [`clock`] | the clock by which zones expire |
//! | [`adopt`] | going on with the store of a process that has ended |
//! | [`readers`] | when what was taken out of service may be used again |

mod adopt;
mod changes;
pub mod clock;
mod commit;
mod free;
pub mod limiter;
pub mod memory;
mod publish;
mod readers;
mod shared;
mod space;

use std::{
    io,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use responder_common::{
    layout::{ADDRESSES_MAX, Address, LAYOUT_VERSION, NSID_MAX, Root},
    name::HashKey,
    platform::Platform,
};
use zerocopy::{FromBytes, Immutable};

pub use self::{
    adopt::{Adopted, COMPILER, Terms},
    commit::{Commit, Found, Ready},
    memory::{DoesNotFit, REACH},
    publish::{Directory, Usage, Version},
    readers::Reader,
    space::Space,
};
use self::{
    memory::{Backing, Memory, OwnMemory},
    readers::Readers,
};
use crate::locks::lock;

/// Options that every reply depends on.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// `limits.udp-size`: no UDP reply is larger, in octets (512 to 4096).
    pub udp_size: u16,
    /// The node's identity: NSID and CHAOS names (at most 64 octets).
    pub id: String,
}

/// The store.
pub struct Store {
    memory: Memory,
    limiter: limiter::State,
    readers: Readers,
    changes: changes::Changes,
    writer: Mutex<Writer>,
}

/// What only the one writer touches.
#[derive(Default)]
pub struct Writer {
    space: space::Spaces,
    directory: Directory,
}

impl Store {
    /// A store in ordinary memory, for `xdp.mode = "off"`, the CLI and tests.
    ///
    /// # Errors
    /// When the memory cannot be had.
    pub fn in_memory(options: &StoreOptions) -> io::Result<Self> {
        Self::over(Box::new(OwnMemory), options)
    }

    /// A store over segments from elsewhere: the maps that the kernel programs read.
    ///
    /// # Errors
    /// When the memory cannot be had.
    pub fn over(backing: Box<dyn Backing>, options: &StoreOptions) -> io::Result<Self> {
        let limiter = limiter::State::new(backing.limits()?);
        let memory = Memory::new(backing)?;
        let root = memory.root_mut();
        // SAFETY: no reader knows the root before `layout` is written, last.
        unsafe {
            (*root).seed = random()?;
            (*root).multiplier = random()? | 1;
            (*root).lease = u64::MAX;
            (*root).compiler = COMPILER;
            options.tell(&mut *root);
            (*root).layout = LAYOUT_VERSION;
        }
        Ok(Self::with(memory, limiter))
    }

    fn with(memory: Memory, limiter: limiter::State) -> Self {
        let (readers, changes, writer) = Default::default();
        Self { memory, limiter, readers, changes, writer }
    }

    /// Tells the packet path which destinations are ours. Without any, every address is.
    ///
    /// # Errors
    /// More addresses of a family than the packet path has room for.
    pub fn set_service(&self, addresses: &[IpAddr], port: u16) -> io::Result<()> {
        // SAFETY: set before the programs are attached; a reader sees an old or a new number.
        tell_service(unsafe { &mut *self.memory.root_mut() }, addresses, port)
    }

    /// Until when the kernel programs answer, in nanoseconds of their clock; at first for ever.
    pub fn set_lease(&self, until: u64) {
        // SAFETY: an aligned word of the root's memory, which lives as long as `self`; atomic, because
        // programs read it.
        unsafe { AtomicU64::from_ptr(&raw mut (*self.memory.root_mut()).lease) }
            .store(until, Ordering::Relaxed);
    }

    /// The secrets of the name hash.
    pub fn hash_key(&self) -> HashKey {
        let root = self.memory.root();
        HashKey { seed: root.seed, multiplier: root.multiplier }
    }

    /// Bounds the memory that the store may have, in octets. What it has already stays.
    pub fn set_limit(&self, octets: u64) {
        self.memory.set_limit(octets);
    }

    /// The memory that the store may have, in octets.
    pub fn limit(&self) -> u64 {
        self.memory.limit()
    }

    /// Whether another process can go on with it once this one has ended.
    pub fn is_lasting(&self) -> bool {
        self.memory.is_lasting()
    }

    /// Segments of 64 MiB that the store has.
    pub fn segments(&self) -> u32 {
        self.memory.segments()
    }

    /// Memory held by the store, in octets.
    pub fn bytes(&self) -> u64 {
        self.memory.bytes()
    }

    /// A reader's registration: what it may still see is not used again while it reads.
    pub fn reader(self: &Arc<Self>) -> Reader {
        self.readers.register()
    }

    /// New space for a zone's next version.
    pub fn space(&self) -> Space<'_> {
        Space::new(self)
    }

    /// An object at an address, for who writes zones.
    pub fn object_at<T: FromBytes + Immutable>(&self, address: Address) -> Option<&T> {
        self.memory.object(address)
    }

    /// Octets in a row, for who writes zones.
    pub fn octets_at(&self, address: Address, length: usize) -> Option<&[u8]> {
        self.memory.octets(address, length)
    }

    /// Whether these octets stand at an address.
    pub fn holds(&self, address: Address, octets: &[u8]) -> bool {
        self.memory.octets(address, octets.len()) == Some(octets)
    }

    /// Has the writer die before it has made so many more stores to published memory.
    #[cfg(test)]
    pub fn let_the_writer_die(&self, stores: u32) {
        self.memory.life.store(stores, Ordering::SeqCst);
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        lock(&self.writer)
    }

    /// Waits until no reader can still see what was taken out of the zone table before the call.
    fn grace(&self) {
        self.readers.wait();
        self.memory.wait();
    }
}

// SAFETY: `Memory::object` checks bounds; published words change by single stores only, and space is not
// reused while a registered reader may see it.
unsafe impl Platform for Store {
    const IS_KERNEL: bool = false;

    #[inline(always)]
    fn now(&self) -> u64 {
        clock::now()
    }

    #[inline(always)]
    fn root(&self) -> &Root {
        self.memory.root()
    }

    #[inline(always)]
    fn object<T: FromBytes + Immutable>(&self, address: Address) -> Option<&T> {
        self.memory.object(address)
    }

    #[inline(always)]
    fn repeat<F: FnMut(u32) -> bool>(&self, times: u32, mut step: F) {
        for index in 0..times {
            if !step(index) {
                break;
            }
        }
    }
}

impl StoreOptions {
    /// Writes them to a root.
    fn tell(&self, root: &mut Root) {
        let identity = self.id.as_bytes();
        let length = identity.len().min(NSID_MAX);
        root.udp_size = self.udp_size;
        root.port = 53;
        root.nsid_length = length as u32;
        root.nsid[..length].copy_from_slice(&identity[..length]);
    }
}

/// Writes to a root which destinations are ours.
fn tell_service(root: &mut Root, addresses: &[IpAddr], port: u16) -> io::Result<()> {
    let mut four = Vec::new();
    let mut six = Vec::new();
    for address in addresses {
        match address {
            IpAddr::V4(address) => four.push(u32::from_ne_bytes(address.octets())),
            IpAddr::V6(address) => {
                let octets = address.octets();
                let half = |at: usize| {
                    u64::from_ne_bytes(octets[at..at + 8].try_into().expect("eight octets"))
                };
                six.push([half(0), half(8)]);
            }
        }
    }
    if four.len() > ADDRESSES_MAX || six.len() > ADDRESSES_MAX {
        return Err(io::Error::other(format!(
            "more than {ADDRESSES_MAX} listen addresses of one family"
        )));
    }
    root.port = port;
    root.addresses4[..four.len()].copy_from_slice(&four);
    root.addresses6[..six.len()].copy_from_slice(&six);
    root.addresses4_length = four.len() as u16;
    root.addresses6_length = six.len() as u16;
    Ok(())
}

/// A secret from the kernel.
pub(crate) fn random() -> io::Result<u64> {
    let mut octets = [0_u8; 8];
    // SAFETY: the buffer has as many octets as are asked for.
    let got = unsafe { libc::getrandom(octets.as_mut_ptr().cast(), octets.len(), 0) };
    if got == octets.len() as isize {
        Ok(u64::from_ne_bytes(octets))
    } else {
        Err(io::Error::last_os_error())
    }
}
