//! The store: the memory from which both the kernel and the daemon answer.

use std::io;

/// Options that every reply depends on.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// `limits.udp-size`: no UDP reply is larger, in octets (512 to 4096).
    pub udp_size: u16,
    /// The node's identity: NSID and CHAOS names (at most 64 octets).
    pub id: String,
}

/// The store.
pub struct Store {}

impl Store {
    /// A store in ordinary memory, for `xdp.mode = "off"`, the CLI and tests.
    ///
    /// # Errors
    /// When the memory cannot be had.
    pub fn in_memory(options: &StoreOptions) -> io::Result<Self> {
        let _ = options;
        Ok(Self {})
    }

    /// Takes a zone out of service; what it held is freed.
    pub fn remove_zone(&self, name: &str) -> bool {
        let _ = name;
        false
    }

    /// Memory held by the store, in octets.
    pub fn bytes(&self) -> u64 {
        0
    }
}
