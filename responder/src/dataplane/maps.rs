//! The programs' maps as the store's memory: written without a system call.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use anyhow::Context;
use aya::{
    Ebpf, EbpfLoader,
    maps::{ArrayOfMaps, LpmTrie, Map, MapData, MapError, MapType, lpm_trie::Key},
    sys::SyscallError,
};
use ipnet::Ipv6Net;
use memmap2::{MmapOptions, MmapRaw};
use responder_common::layout::{Root, SEGMENT_BYTES, SEGMENT_SLACK};

use super::pins;
use crate::{
    locks::lock,
    store::{
        limiter,
        memory::{Backing, own},
    },
};

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
    outer: Mutex<Map>,
    /// The segments, and where all is pinned, once it is.
    segments: Mutex<(Vec<MapData>, Option<PathBuf>)>,
}

/// Names of the pins; the segments have their numbers.
const ROOT: &str = "root";
const SEGMENTS: &str = "segments";

/// The maps of a store that an earlier daemon left.
pub struct FoundMaps {
    root: MapData,
    segments: Vec<MapData>,
    folder: PathBuf,
}

impl FoundMaps {
    /// The maps that an earlier daemon left pinned in a folder; none where there are none.
    ///
    /// # Errors
    /// When they are not what this version of the daemon knows.
    pub fn pinned(folder: &Path) -> anyhow::Result<Option<Self>> {
        if !folder.join(ROOT).exists() {
            return Ok(None);
        }
        let open = |name: &str, kind: MapType, octets: u64| {
            let path = folder.join(name);
            let map = MapData::from_pin(&path).with_context(|| path.display().to_string())?;
            let info = map.info()?;
            let is_alike = info.map_type()? == kind && u64::from(info.value_size()) == octets;
            anyhow::ensure!(is_alike, "{} is a map of another kind", path.display());
            Ok(map)
        };
        let root = open(ROOT, MapType::Array, size_of::<Root>() as u64)?;
        open(SEGMENTS, MapType::ArrayOfMaps, 4)?;
        let mut segments = Vec::new();
        while folder.join(segments.len().to_string()).exists() {
            let number = segments.len().to_string();
            segments.push(open(&number, MapType::Array, SEGMENT_BYTES + SEGMENT_SLACK)?);
        }
        Ok(Some(Self { root, segments, folder: folder.to_owned() }))
    }

    /// The root's map.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn root(&self) -> io::Result<OwnedFd> {
        self.root.fd().as_fd().try_clone_to_owned()
    }

    /// How many segments there are.
    pub fn segments(&self) -> u32 {
        self.segments.len() as u32
    }

    /// The map of a segment.
    ///
    /// # Errors
    /// When there is none, or the process has no descriptor left.
    pub fn segment(&self, number: u32) -> io::Result<OwnedFd> {
        let segment = self.segments.get(number as usize).ok_or(io::ErrorKind::NotFound)?;
        segment.fd().as_fd().try_clone_to_owned()
    }
}

impl KernelMaps {
    /// Takes the maps of an object that was loaded, over those that were found, if any were.
    ///
    /// # Errors
    /// When they are not what this version of the daemon knows.
    pub fn take(ebpf: &mut Ebpf, found: Option<FoundMaps>) -> anyhow::Result<Self> {
        let Some(Map::Array(root)) = ebpf.take_map("ROOT") else {
            anyhow::bail!("the programs have no map ROOT")
        };
        let Some(Map::Array(limits)) = ebpf.take_map("LIMITS") else {
            anyhow::bail!("the programs have no map LIMITS")
        };
        let Some(Map::LpmTrie(listed)) = ebpf.take_map("LISTED") else {
            anyhow::bail!("the programs have no map LISTED")
        };
        let outer = ebpf.take_map("SEGMENTS").context("the programs have no map SEGMENTS")?;
        let found = found.map(|found| (found.segments, Some(found.folder))).unwrap_or_default();
        Ok(Self { root, limits, listed, outer: Mutex::new(outer), segments: Mutex::new(found) })
    }

    /// Has the programs that are to be loaded use the maps that are pinned in a folder.
    pub fn use_pinned(loader: &mut EbpfLoader<'_>, folder: &Path) {
        loader.map_pin_path("ROOT", folder.join(ROOT));
        loader.map_pin_path("SEGMENTS", folder.join(SEGMENTS));
    }

    /// What the store's memory is made of: the maps of the root, of the limiter's table and of prefixes.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn descriptors(&self) -> io::Result<[OwnedFd; 3]> {
        let copy = |map: &MapData| map.fd().as_fd().try_clone_to_owned();
        Ok([copy(&self.root)?, copy(&self.limits)?, copy(&self.listed)?])
    }

    /// How many segments there are.
    pub fn segments(&self) -> u32 {
        lock(&self.segments).0.len() as u32
    }

    /// Pins the maps in a folder that is not there yet, those that come later too.
    ///
    /// # Errors
    /// When the kernel refuses it; nothing is pinned then.
    pub fn pin(&self, folder: &Path) -> anyhow::Result<()> {
        let mut guard = lock(&self.segments);
        let (segments, pinned) = &mut *guard;
        let done = pins::folder(folder).and_then(|()| {
            self.root.pin(folder.join(ROOT))?;
            lock(&self.outer).pin(folder.join(SEGMENTS))?;
            for (number, segment) in segments.iter().enumerate() {
                segment.pin(folder.join(number.to_string()))?;
            }
            // Nobody but the owner reads or writes zones here.
            pins::restrict_all(folder)
        });
        match done {
            Ok(()) => *pinned = Some(folder.to_owned()),
            Err(_) => pins::remove_store(folder)?,
        }
        done
    }
}

impl Segments for KernelMaps {
    fn add(&self, number: u32) -> io::Result<OwnedFd> {
        let mut guard = lock(&self.segments);
        let (segments, pinned) = &mut *guard;
        let length = SEGMENT_BYTES + SEGMENT_SLACK;
        let definition = aya_obj::Map::new_from_params(ARRAY, 4, length as u32, 1, MMAPABLE);
        let segment = MapData::create(definition, "segment", None).map_err(reason)?;
        // Before anything can stand in it that a store without it would lack.
        pin_another(pinned, number, &segment);
        let mut outer = lock(&self.outer);
        let mut outer: ArrayOfMaps<_, MapData> =
            ArrayOfMaps::try_from(&mut *outer).map_err(reason)?;
        outer.set(number, &segment, 0).map_err(reason)?;
        let descriptor = segment.fd().as_fd().try_clone_to_owned();
        segments.push(segment);
        descriptor
    }
}

/// Pins a segment that has come; where it cannot be, nothing is: a part of a store is of no use.
fn pin_another(pinned: &mut Option<PathBuf>, number: u32, segment: &MapData) {
    let Some(folder) = pinned.as_ref() else { return };
    let path = folder.join(number.to_string());
    let done = segment.pin(&path).map_err(anyhow::Error::from);
    if let Err(error) = done.and_then(|()| pins::restrict(&path, 0o600)) {
        let removed = pins::remove_store(folder);
        let removed = removed.err().map_or(String::new(), |error| format!("; {error:#}"));
        tracing::warn!("the next start will load all zones anew: {error:#}{removed}");
        *pinned = None;
    }
}

/// A store that an earlier daemon left, to see whether it can be gone on with.
pub struct FoundMemory {
    /// The root's map.
    pub root: OwnedFd,
    /// The segments' maps.
    pub segments: Vec<OwnedFd>,
}

impl Backing for FoundMemory {
    fn root(&self) -> io::Result<MmapRaw> {
        map(&self.root, size_of::<Root>())
    }

    fn segment(&self, _: u32) -> io::Result<MmapRaw> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn found(&self) -> io::Result<Vec<MmapRaw>> {
        map_all(&self.segments)
    }

    fn limits(&self) -> io::Result<MmapRaw> {
        own(limiter::TABLE)
    }

    fn list(&self, _: Ipv6Net, _: Option<u32>) -> io::Result<()> {
        Ok(())
    }

    fn wait(&self) {}
}

/// Memory that the kernel programs read.
pub struct KernelMemory {
    root: OwnedFd,
    limits: OwnedFd,
    listed: Mutex<LpmTrie<MapData, [u32; 4], u32>>,
    /// Those that are there already.
    found: Vec<OwnedFd>,
    segments: Arc<dyn Segments>,
    lasting: bool,
}

impl KernelMemory {
    /// What [`KernelMaps::descriptors`] gives, the segments that are there, and where more come from; whether it
    /// is to outlive the process.
    ///
    /// # Errors
    /// When these are other maps.
    pub fn new(
        maps: [OwnedFd; 3],
        found: Vec<OwnedFd>,
        segments: Arc<dyn Segments>,
        lasting: bool,
    ) -> anyhow::Result<Self> {
        let [root, limits, listed] = maps;
        let listed = LpmTrie::try_from(Map::LpmTrie(MapData::from_fd(listed)?))?;
        Ok(Self { root, limits, listed: Mutex::new(listed), found, segments, lasting })
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

    fn found(&self) -> io::Result<Vec<MmapRaw>> {
        map_all(&self.found)
    }

    fn is_lasting(&self) -> bool {
        self.lasting
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

/// The memory of segments.
fn map_all(segments: &[OwnedFd]) -> io::Result<Vec<MmapRaw>> {
    let length = (SEGMENT_BYTES + SEGMENT_SLACK) as usize;
    segments.iter().map(|segment| map(segment, length)).collect()
}

/// A map's memory.
fn map(map: &OwnedFd, length: usize) -> io::Result<MmapRaw> {
    MmapOptions::new().len(length).map_raw(map.as_raw_fd())
}
