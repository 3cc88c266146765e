//! Segments as memory.

use std::{
    fmt, io,
    sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering},
};

use ipnet::Ipv6Net;
use memmap2::{MmapMut, MmapOptions, MmapRaw};
use responder_common::layout::{
    Address, Root, SEGMENT_BYTES, SEGMENT_SLACK, SEGMENTS_MAX, UNIT, UNIT_BITS,
};
use zerocopy::{FromBytes, Immutable};

use super::limiter;

/// Where segments come from.
pub trait Backing: Send + Sync {
    /// The memory of the root, zeroed.
    ///
    /// # Errors
    /// When it cannot be had.
    fn root(&self) -> io::Result<MmapRaw>;

    /// The memory of a segment, zeroed, seen by the kernel programs from now on.
    ///
    /// # Errors
    /// When it cannot be had.
    fn segment(&self, number: u32) -> io::Result<MmapRaw>;

    /// The memory of the limiter's table, zeroed.
    ///
    /// # Errors
    /// When it cannot be had.
    fn limits(&self) -> io::Result<MmapRaw>;

    /// Lists a prefix, or takes it off the list, for the kernel programs.
    ///
    /// # Errors
    /// When the kernel refuses it.
    fn list(&self, prefix: Ipv6Net, bits: Option<u32>) -> io::Result<()>;

    /// The segments that are there already, by their numbers.
    ///
    /// # Errors
    /// When they cannot be had.
    fn found(&self) -> io::Result<Vec<MmapRaw>> {
        Ok(Vec::new())
    }

    /// Whether it is there for another process once this one has ended.
    fn is_lasting(&self) -> bool {
        false
    }

    /// Waits until every run of a kernel program that had begun before has ended.
    fn wait(&self);
}

/// The process's own memory: no kernel program looks at it.
pub struct OwnMemory;

impl Backing for OwnMemory {
    fn root(&self) -> io::Result<MmapRaw> {
        own(size_of::<Root>())
    }

    fn segment(&self, _: u32) -> io::Result<MmapRaw> {
        own((SEGMENT_BYTES + SEGMENT_SLACK) as usize)
    }

    fn limits(&self) -> io::Result<MmapRaw> {
        own(limiter::TABLE)
    }

    fn list(&self, _: Ipv6Net, _: Option<u32>) -> io::Result<()> {
        Ok(())
    }

    fn wait(&self) {}
}

/// Anonymous memory, committed page by page as it is touched.
pub(crate) fn own(length: usize) -> io::Result<MmapRaw> {
    let memory: MmapMut = MmapOptions::new().len(length).map_anon()?;
    Ok(memory.into())
}

/// Octets that addresses reach, and the root: no store is larger.
pub const REACH: u64 = SEGMENTS_MAX as u64 * SEGMENT_BYTES + size_of::<Root>() as u64;

/// Something does not fit the memory that the store is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DoesNotFit {
    /// Octets that the zone needs.
    pub needs: u64,
    /// Octets that the store would have with it, for which `limits.store-octets` is to be raised.
    pub whole: u64,
    /// Octets that it may have.
    pub allowed: u64,
}

impl std::error::Error for DoesNotFit {}

impl fmt::Display for DoesNotFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { needs, whole, allowed } = self;
        write!(
            f,
            "no room: the zone needs {needs} octets, and the store {whole} with all that it serves now; \
             limits.store-octets allows {allowed}: "
        )?;
        if *whole <= REACH {
            write!(f, "raise it to {whole} and reload")
        } else {
            write!(f, "no store can have more than {REACH}")
        }
    }
}

impl From<DoesNotFit> for io::Error {
    fn from(error: DoesNotFit) -> Self {
        Self::new(io::ErrorKind::StorageFull, error)
    }
}

/// The store's memory: a root and a growing row of segments.
pub struct Memory {
    backing: Box<dyn Backing>,
    root: MmapRaw,
    starts: Box<[AtomicPtr<u8>]>,
    count: AtomicU32,
    /// Octets that it may have, root included.
    limit: AtomicU64,
    segments: std::sync::Mutex<Vec<MmapRaw>>,
    /// How many stores the writer lives to make.
    #[cfg(test)]
    pub life: AtomicU32,
}

impl Memory {
    /// Memory with a root, and the segments that are there already.
    pub fn new(backing: Box<dyn Backing>) -> io::Result<Self> {
        let root = backing.root()?;
        let found = backing.found()?;
        assert!(root.len() >= size_of::<Root>(), "the root's memory holds a root");
        let start = |number| found.get(number).map_or(std::ptr::null_mut(), MmapRaw::as_mut_ptr);
        let starts =
            (0..SEGMENTS_MAX).map(|number| AtomicPtr::new(start(number as usize))).collect();
        let (count, limit) = (AtomicU32::new(found.len() as u32), AtomicU64::new(REACH));
        Ok(Self {
            backing,
            root,
            starts,
            count,
            limit,
            segments: found.into(),
            #[cfg(test)]
            life: AtomicU32::new(u32::MAX),
        })
    }

    /// The root.
    #[inline(always)]
    pub fn root(&self) -> &Root {
        // SAFETY: the mapping holds a root, zeroed or filled, for as long as `self` lives; what changes in
        // it after the start changes by single aligned stores.
        unsafe { &*self.root.as_ptr().cast::<Root>() }
    }

    /// The root, for the writer.
    pub fn root_mut(&self) -> *mut Root {
        self.root.as_mut_ptr().cast()
    }

    /// The object at an address, or nothing where no segment is.
    #[inline(always)]
    pub fn object<T: FromBytes + Immutable>(&self, address: Address) -> Option<&T> {
        const { assert!(size_of::<T>() as u64 <= SEGMENT_SLACK && align_of::<T>() <= 8) };
        let start = self.starts.get((address >> UNIT_BITS) as usize)?.load(Ordering::Acquire);
        if start.is_null() {
            return None;
        }
        let offset = u64::from(address) % (1 << UNIT_BITS) * UNIT;
        // SAFETY: the segment is mapped for as long as `self` lives, and the slack behind its last unit
        // holds the largest object.
        Some(unsafe { &*start.add(offset as usize).cast::<T>() })
    }

    /// Octets in a row; nothing where they would go beyond a segment.
    pub fn octets(&self, address: Address, length: usize) -> Option<&[u8]> {
        let start = self.starts.get((address >> UNIT_BITS) as usize)?.load(Ordering::Acquire);
        let offset = (u64::from(address) % (1 << UNIT_BITS) * UNIT) as usize;
        if start.is_null() || offset + length > SEGMENT_BYTES as usize {
            return None;
        }
        // SAFETY: inside a mapped segment, as was just checked, for as long as `self` lives.
        Some(unsafe { std::slice::from_raw_parts(start.add(offset), length) })
    }

    /// Bounds the octets of all segments and the root. What is there already stays.
    pub fn set_limit(&self, octets: u64) {
        self.limit.store(octets, Ordering::Relaxed);
    }

    /// The octets that all segments and the root may have.
    pub fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed).min(REACH)
    }

    /// How many segments there are.
    pub fn segments(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    /// What to tell of something that needs so many octets, and with them so many more segments.
    pub fn does_not_fit(&self, needs: u64, segments: u32) -> DoesNotFit {
        let whole = self.bytes() + u64::from(segments) * SEGMENT_BYTES;
        DoesNotFit { needs, whole, allowed: self.limit() }
    }

    /// Adds segments at the end; the number of the first. [`io::ErrorKind::StorageFull`] where they are
    /// not allowed.
    pub fn grow(&self, count: u32) -> io::Result<u32> {
        let first = self.count.load(Ordering::Relaxed);
        if size_of::<Root>() as u64 + u64::from(first + count) * SEGMENT_BYTES > self.limit() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        for number in first..first + count {
            let segment = self.backing.segment(number)?;
            self.starts[number as usize].store(segment.as_mut_ptr(), Ordering::Release);
            self.segments.lock().expect("no panic under this lock").push(segment);
            self.count.store(number + 1, Ordering::Relaxed);
        }
        Ok(first)
    }

    /// Writes octets to space that no reader knows yet.
    ///
    /// # Panics
    /// Beyond the last segment, or across a segment's end.
    pub fn write(&self, address: Address, octets: &[u8]) {
        let offset = (u64::from(address) % (1 << UNIT_BITS) * UNIT) as usize;
        let to = self.starts[(address >> UNIT_BITS) as usize].load(Ordering::Relaxed);
        assert!(!to.is_null() && offset + octets.len() <= SEGMENT_BYTES as usize);
        // SAFETY: in bounds, as was just checked; the space belongs to the caller, the only writer.
        unsafe { to.add(offset).copy_from_nonoverlapping(octets.as_ptr(), octets.len()) };
    }

    /// One store to published memory is about to be made: a test may have the writer die instead.
    #[inline(always)]
    pub fn before_store(&self) {
        #[cfg(test)]
        if self
            .life
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
            .is_err()
        {
            // Not a fault: no message.
            std::panic::resume_unwind(Box::new("the writer died"));
        }
    }

    /// Stores one aligned word so that readers see it after all that was written before.
    pub fn store_word(&self, address: Address, word: u64) {
        self.before_store();
        let offset = (u64::from(address) % (1 << UNIT_BITS) * UNIT) as usize;
        let to = self.starts[(address >> UNIT_BITS) as usize].load(Ordering::Relaxed);
        assert!(!to.is_null());
        // SAFETY: in bounds and aligned to eight octets; atomic, because readers run.
        unsafe { AtomicU64::from_ptr(to.add(offset).cast()) }.store(word, Ordering::Release);
    }

    /// Octets of all segments and the root.
    pub fn bytes(&self) -> u64 {
        u64::from(self.count.load(Ordering::Relaxed)) * SEGMENT_BYTES + size_of::<Root>() as u64
    }

    /// Lists a prefix for the kernel programs; see [`Backing::list`].
    pub fn list(&self, prefix: Ipv6Net, bits: Option<u32>) -> io::Result<()> {
        self.backing.list(prefix, bits)
    }

    /// Whether it is there for another process once this one has ended.
    pub fn is_lasting(&self) -> bool {
        self.backing.is_lasting()
    }

    /// Waits for the kernel's readers.
    pub fn wait(&self) {
        self.backing.wait();
    }
}
