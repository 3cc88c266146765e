//! The programs' maps as the store's memory: written without a system call.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    sync::{Arc, Mutex},
};

use anyhow::Context;
use aya::{
    Ebpf,
    maps::{ArrayOfMaps, Map, MapData, MapError},
    sys::SyscallError,
};
use memmap2::{MmapOptions, MmapRaw};
use responder_common::layout::{Root, SEGMENT_BYTES, SEGMENT_SLACK};

use crate::store::memory::Backing;

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
        let segments = ebpf.take_map("SEGMENTS").context("the programs have no map SEGMENTS")?;
        Ok(Self { root, segments: Mutex::new(ArrayOfMaps::try_from(segments)?) })
    }

    /// The root's map.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn root(&self) -> io::Result<OwnedFd> {
        self.root.fd().as_fd().try_clone_to_owned()
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
    segments: Arc<dyn Segments>,
}

impl KernelMemory {
    /// The root's map, and where segments come from.
    pub fn new(root: OwnedFd, segments: Arc<dyn Segments>) -> Self {
        Self { root, segments }
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
