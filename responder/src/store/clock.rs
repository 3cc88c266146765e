//! The clock of `bpf_ktime_get_coarse_ns`: the kernel's monotonic one, the coarse kind. No step of the wall
//! clock moves it, and time that the machine is suspended does not count.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nanoseconds.
#[inline]
pub fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for the call, which cannot fail for this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The moment that is so far from now, the end of time at the most; never zero.
pub fn after(time: Duration) -> u64 {
    now().saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)).max(1)
}

/// What to add to it for nanoseconds since 1970, as wrapping arithmetic.
pub fn wall_offset() -> u64 {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    (wall as u64).wrapping_sub(now())
}
