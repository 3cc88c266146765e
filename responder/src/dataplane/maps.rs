//! The programs' maps as the store's memory: written without a system call.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    sync::{Arc, Mutex},
};

use anyhow::Context;
use aya::{
    Ebpf,
    maps::{ArrayOfMaps, LpmTrie, Map, MapData, MapError, lpm_trie::Key},
    sys::SyscallError,
};
use ipnet::Ipv6Net;
use memmap2::{MmapOptions, MmapRaw};
use responder_common::layout::{Root, SEGMENT_BYTES, SEGMENT_SLACK};

use crate::store::{limiter, memory::Backing};

/// `BPF_MAP_TYPE_ARRAY` and `BPF_F_MMAPABLE` of the kernel's interface.
const ARRAY: u32 = 2;
const MMAPABLE: u32 = 1 << 10;

/// Whoever makes segments.
pub trait Segments: Send + Sync {
    /// Makes a segment and shows it to the programs; its map.
    ///
    /// # Errors
    /// When it cannot be had.
    fn add(&self, number: u32) -> io::Result<OwnedFd>;
}

/// The maps of loaded programs that the store is made of.
pub struct KernelMaps {
    root: MapData,
    limits: MapData,
    listed: MapData,
    segments: Mutex<ArrayOfMaps<MapData>>,
}

impl KernelMaps {
    /// Takes the maps of a loaded object.
    ///
    /// # Errors
    /// When they are not what this version of the daemon knows.
    pub fn take(ebpf: &mut Ebpf) -> anyhow::Result<Self> {
        let Some(Map::Array(root)) = ebpf.take_map("ROOT") else {
            anyhow::bail!("the programs have no map ROOT")
        };
        let Some(Map::Array(limits)) = ebpf.take_map("LIMITS") else {
            anyhow::bail!("the programs have no map LIMITS")
        };
        let Some(Map::LpmTrie(listed)) = ebpf.take_map("LISTED") else {
            anyhow::bail!("the programs have no map LISTED")
        };
        let segments = ebpf.take_map("SEGMENTS").context("the programs have no map SEGMENTS")?;
        Ok(Self { root, limits, listed, segments: Mutex::new(ArrayOfMaps::try_from(segments)?) })
    }

    /// What the store's memory is made of: the maps of the root, of the limiter's table and of prefixes.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn descriptors(&self) -> io::Result<[OwnedFd; 3]> {
        let copy = |map: &MapData| map.fd().as_fd().try_clone_to_owned();
        Ok([copy(&self.root)?, copy(&self.limits)?, copy(&self.listed)?])
    }
}

impl Segments for KernelMaps {
    fn add(&self, number: u32) -> io::Result<OwnedFd> {
        let length = SEGMENT_BYTES + SEGMENT_SLACK;
        let definition = aya_obj::Map::new_from_params(ARRAY, 4, length as u32, 1, MMAPABLE);
        let segment = MapData::create(definition, "segment", None).map_err(reason)?;
        self.segments
            .lock()
            .expect("no panic under this lock")
            .set(number, &segment, 0)
            .map_err(reason)?;
        segment.fd().as_fd().try_clone_to_owned()
    }
}

/// Memory that the kernel programs read.
pub struct KernelMemory {
    root: OwnedFd,
    limits: OwnedFd,
    listed: Mutex<LpmTrie<MapData, [u32; 4], u32>>,
    segments: Arc<dyn Segments>,
}

impl KernelMemory {
    /// What [`KernelMaps::descriptors`] gives, and where segments come from.
    ///
    /// # Errors
    /// When these are other maps.
    pub fn new(maps: [OwnedFd; 3], segments: Arc<dyn Segments>) -> anyhow::Result<Self> {
        let [root, limits, listed] = maps;
        let listed = LpmTrie::try_from(Map::LpmTrie(MapData::from_fd(listed)?))?;
        Ok(Self { root, limits, listed: Mutex::new(listed), segments })
    }
}

impl Backing for KernelMemory {
    fn root(&self) -> io::Result<MmapRaw> {
        map(&self.root, size_of::<Root>())
    }

    fn segment(&self, number: u32) -> io::Result<MmapRaw> {
        // The outer map and the mapping keep the segment.
        map(&self.segments.add(number)?, (SEGMENT_BYTES + SEGMENT_SLACK) as usize)
    }

    fn limits(&self) -> io::Result<MmapRaw> {
        map(&self.limits, limiter::TABLE)
    }

    fn list(&self, prefix: Ipv6Net, bits: Option<u32>) -> io::Result<()> {
        let octets = prefix.network().octets();
        let data = std::array::from_fn(|word| {
            u32::from_ne_bytes(std::array::from_fn(|octet| octets[4 * word + octet]))
        });
        let key = Key::new(u32::from(prefix.prefix_len()), data);
        let mut listed = self.listed.lock().expect("no panic under this lock");
        match bits {
            Some(bits) => listed.insert(&key, bits, 0),
            None => listed.remove(&key),
        }
        .map_err(reason)
    }

    fn wait(&self) {
        const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;
        // SAFETY: a system call without pointers. It returns after every processor has left the
        // section in which a program may run. A kernel without it would be older than the programs need.
        let done = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
        if done != 0 {
            tracing::warn!("membarrier: {}; waiting instead", io::Error::last_os_error());
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }
}

/// The kernel's own word for it, if there is one, behind what was tried.
fn reason(error: MapError) -> io::Error {
    match error {
        MapError::SyscallError(SyscallError { call, io_error }) => {
            io::Error::new(io_error.kind(), format!("{call}: {io_error}"))
        }
        error => io::Error::other(error),
    }
}

/// A map's memory.
fn map(map: &OwnedFd, length: usize) -> io::Result<MmapRaw> {
    MmapOptions::new().len(length).map_raw(map.as_raw_fd())
}
