//! For how long the kernel answers without a daemon.
//!
//! The daemon writes a deadline into the store's root every second; once it has passed, the programs pass
//! everything. The clock is the kernel's monotonic one, the coarse kind, which costs a program 3 ns: no
//! step of the wall clock moves it. Time that the machine is suspended does not count.

use std::time::Duration;

use crate::store::{Store, clock};

/// How often the lease is renewed.
pub const RENEWAL: Duration = Duration::from_secs(1);

/// Lets the programs answer for so long from now on.
pub fn renew(store: &Store, lease: Duration) {
    store.set_lease(clock::after(lease));
}
