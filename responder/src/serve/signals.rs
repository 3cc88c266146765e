//! The signals that the daemon heeds.

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that the daemon heeds.
pub struct Signals {
    /// Looks for changes.
    pub hangup: Signal,
    /// Ends it.
    pub end: EndSignals,
}

/// The signals that end it.
pub struct EndSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Heeds them from now on.
    pub fn new() -> Result<Self> {
        let heed = |kind| signal(kind).context("cannot heed signals");
        Ok(Self {
            hangup: heed(SignalKind::hangup())?,
            end: EndSignals {
                terminate: heed(SignalKind::terminate())?,
                interrupt: heed(SignalKind::interrupt())?,
            },
        })
    }
}

impl EndSignals {
    /// Waits for one, and names it.
    pub async fn recv(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
