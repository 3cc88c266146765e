//! For how long the kernel answers without a daemon.
//!
//! The daemon writes a deadline into the store's root every second; once it has passed, the programs pass
//! everything. The clock is the kernel's monotonic one, the coarse kind, which costs a program 3 ns: no
//! step of the wall clock moves it. Time that the machine is suspended does not count.

use std::time::Duration;

use crate::store::Store;

/// How often the lease is renewed.
pub const RENEWAL: Duration = Duration::from_secs(1);

/// Lets the programs answer for so long from now on.
pub fn renew(store: &Store, lease: Duration) {
    store.set_lease(now().saturating_add(u64::try_from(lease.as_nanos()).unwrap_or(u64::MAX)));
}

/// The clock of `bpf_ktime_get_coarse_ns`, in nanoseconds.
fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for the call, which cannot fail for this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
