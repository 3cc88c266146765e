//! The engine's platform in the kernel: the store's maps, scratch memory, counters, `bpf_loop`.

use core::{ffi::c_void, ptr};

use aya_ebpf::{
    btf_maps::{Array, ArrayOfMaps, LpmTrie, PerCpuArray, lpm_trie::Key},
    helpers::{bpf_ktime_get_coarse_ns, bpf_loop},
    macros::btf_map,
};
use responder_common::{
    bounds::opaque,
    layout::{Address, Root, SEGMENT_BYTES, SEGMENT_SLACK, SEGMENTS_MAX, UNIT, UNIT_BITS},
    limit::{self, Limiter, Line},
    platform::Platform,
    scratch::Scratch,
    verdict::{COUNTERS as COUNTERS_LENGTH, ROWS, Verdict},
};
use zerocopy::{FromBytes, Immutable};

use crate::steps;

/// `BPF_F_MMAPABLE`: the daemon writes the map's memory without system calls.
const MMAPABLE: usize = 1 << 10;

/// A segment's memory. An array and no struct: kernels before 6.2 take a map into the map of maps only
/// if it is like the one described here in where a timer might be, and they look for one in structs. The
/// daemon makes its segments without such a description.
type Segment = [u8; (SEGMENT_BYTES + SEGMENT_SLACK) as usize];

/// Counters by verdict.
type Counters = [u64; COUNTERS_LENGTH];

/// Index of the driver's hook among the counters.
pub const HOOK_XDP: u32 = 0;
/// Index of the tc hook among the counters.
pub const HOOK_TC: u32 = 1;
/// Index among the counters of replies over the rate, by what they were to be.
const OVER: u32 = 2;
/// Index among the counters of packets that came from no interface: the daemon tries the programs out.
pub const PROBES: u32 = 3;

#[btf_map]
static ROOT: Array<Root, 1, MMAPABLE> = Array::new();

#[btf_map]
static SEGMENTS: ArrayOfMaps<Array<Segment, 1, MMAPABLE>, { SEGMENTS_MAX as usize }> =
    ArrayOfMaps::new();

#[btf_map]
static SCRATCH: PerCpuArray<Scratch, 1> = PerCpuArray::new();

#[btf_map]
static COUNTERS: PerCpuArray<Counters, { ROWS as usize }> = PerCpuArray::new();

/// The limiter's table, line by line. No type of a bucket: see [`Segment`].
#[btf_map]
static LIMITS: Array<[u64; 8], { limit::TABLE }, MMAPABLE> = Array::new();

/// What prefixes are listed as. An IPv4 prefix stands behind the 96 bits of ::ffff:0:0.
#[btf_map]
static LISTED: LpmTrie<[u32; 4], u32, { limit::LISTED_MAX }> = LpmTrie::new();

#[btf_map]
static ROOM: PerCpuArray<Room, 1> = PerCpuArray::new();

/// What this processor has learned of the room that frames have for replies to queries with EDNS.
#[repr(C)]
pub struct Room {
    /// How often there was none lately: 0 is never, 65,536 always.
    lack: u32,
    /// Queries that were passed on at once.
    skipped: u32,
}

impl Room {
    /// What the processor at hand has learned.
    #[inline(always)]
    pub fn here() -> Option<&'static mut Self> {
        let room = ROOM.get_ptr_mut(0)?;
        // SAFETY: as for the scratch memory.
        Some(unsafe { &mut *room })
    }

    /// Whether to pass a query on at once, for the hook where there is always room, instead of working
    /// out a reply that would find none. One of 32 is tried all the same: things change.
    #[inline(always)]
    pub fn is_hopeless(&mut self) -> bool {
        // Fifteen of sixteen had none.
        if self.lack < 61_440 {
            return false;
        }
        self.skipped = self.skipped.wrapping_add(1);
        self.skipped & 31 != 0
    }

    /// Learns from a reply whether there was room for it.
    #[inline(always)]
    pub fn learn(&mut self, found: bool) {
        let goal = if found { 0 } else { 65_536 };
        self.lack = self.lack - self.lack / 16 + goal / 16;
    }
}

/// Counts a verdict.
#[inline(always)]
pub fn count(hook: u32, verdict: Verdict) {
    if let Some(counters) = COUNTERS.get_ptr_mut(hook) {
        // The compiler knows that a verdict is below the length; the verifier has to be shown.
        let number = opaque(verdict as u64);
        if number < COUNTERS_LENGTH as u64 {
            // SAFETY: the slot belongs to this processor, and the program is not preempted by itself.
            unsafe { *(*counters).as_mut_ptr().add(opaque(number) as usize) += 1 };
        }
    }
}

/// The scratch memory of this processor.
#[inline(always)]
pub fn scratch() -> Option<&'static mut Scratch> {
    let scratch = SCRATCH.get_ptr_mut(0)?;
    // SAFETY: the slot belongs to this processor; a program runs to its end before the next begins, and
    // each function takes the reference anew.
    Some(unsafe { &mut *scratch })
}

/// The kernel as the engine's platform.
#[derive(Clone, Copy)]
pub struct Kernel {
    root: &'static Root,
}

impl Kernel {
    /// The kernel, once the store has a root.
    #[inline(always)]
    pub fn new() -> Option<Self> {
        Some(Self { root: ROOT.get(0)? })
    }

    /// The limiter's switches.
    #[inline(always)]
    pub fn switches(&self) -> u32 {
        // SAFETY: an aligned word of the map; volatile, because the daemon writes it meanwhile.
        unsafe { ptr::read_volatile(&raw const self.root.limiting) }
    }

    /// Ends the work on a packet if the daemon's lease has run out.
    #[inline(always)]
    pub fn check_lease(&self) -> Result<(), Verdict> {
        // SAFETY: an aligned word of the map; volatile, because the daemon writes it meanwhile.
        let until = unsafe { ptr::read_volatile(&raw const self.root.lease) };
        if self.now() < until {
            Ok(())
        } else if until == 0 {
            Err(Verdict::SwitchedOff)
        } else {
            Err(Verdict::Lease)
        }
    }
}

// SAFETY: objects are inside a segment's memory: the mask bounds their start, and the slack behind the
// addressable octets holds the largest of them. The daemon changes published words by single stores.
unsafe impl Platform for Kernel {
    const IS_KERNEL: bool = true;

    #[inline(always)]
    fn now(&self) -> u64 {
        // SAFETY: a helper without arguments.
        unsafe { bpf_ktime_get_coarse_ns() }
    }

    #[inline(always)]
    fn root(&self) -> &Root {
        self.root
    }

    #[inline(always)]
    fn object<T: FromBytes + Immutable>(&self, address: Address) -> Option<&T> {
        const { assert!(size_of::<T>() as u64 <= SEGMENT_SLACK && align_of::<T>() <= 8) };
        let segment = SEGMENTS.get_value_ptr_mut(address >> UNIT_BITS, &0)?;
        let unit = opaque(u64::from(address)) & ((1 << UNIT_BITS) - 1);
        // SAFETY: see above.
        Some(unsafe { &*segment.cast::<u8>().add((unit * UNIT) as usize).cast::<T>() })
    }

    #[inline(always)]
    fn repeat<F: FnMut(u32) -> bool>(&self, times: u32, step: F) {
        repeat(times, step);
    }
}

impl Limiter for Kernel {
    #[inline(always)]
    fn line(&self, number: u32) -> Option<&Line> {
        const { assert!(size_of::<Line>() == size_of::<[u64; 8]>()) };
        let line = LIMITS.get_ptr(number)?;
        // SAFETY: a line is eight words that change by single stores; the map's values begin at a page.
        Some(unsafe { &*line.cast::<Line>() })
    }

    #[inline(always)]
    fn listed(&self, version: u32, address: [u64; 2]) -> u32 {
        let data = limit::listed::key(version, address);
        LISTED.get(&Key::new(128, data)).copied().unwrap_or(0)
    }

    // Functions of their own, which the verifier looks at once.
    #[inline(always)]
    fn find(&self, source: u64, kind: u32, now: u32) -> u32 {
        steps::responder_find(source, kind, now)
    }

    #[inline(always)]
    fn place(&self, number: u32, tag: u16, now: u32) -> u32 {
        steps::responder_place(number, u32::from(tag), now)
    }

    #[inline(always)]
    fn charge(&self, _: &mut Scratch, class: u32) -> bool {
        steps::responder_charge(class) != 0
    }

    #[inline(always)]
    fn count_over(&self, verdict: Verdict) {
        count(OVER, verdict);
    }
}

/// [`Platform::repeat`], for a loop that needs nothing of the platform.
#[inline(always)]
pub fn repeat<F: FnMut(u32) -> bool>(times: u32, mut step: F) {
    // SAFETY: the callback's type agrees with its context, which outlives the call.
    unsafe {
        bpf_loop(times, call::<F> as *mut c_void, (&raw mut step).cast(), 0);
    }
}

/// The callback of a loop: zero goes on, one ends it.
unsafe extern "C" fn call<F: FnMut(u32) -> bool>(index: u64, step: *mut c_void) -> i64 {
    // SAFETY: `repeat` passed a pointer to an `F`.
    let step = unsafe { &mut *step.cast::<F>() };
    i64::from(!step(index as u32))
}
