//! What transfers need of the place where zones are served.

use std::net::SocketAddr;

use crate::{
    control::ZoneEvent,
    zone::{Arrivals, Life, Loaded, Refusal, difference::Difference},
};

/// Where transferred zones are served. Its methods may block.
pub trait Home: Send + Sync {
    /// Serves what came from these primaries as the zone's new version, not expired.
    ///
    /// # Errors
    /// It cannot be served, or the zone no longer comes from these primaries: one line. What was served
    /// goes on being served.
    fn serve(
        &self,
        zone: &str,
        primaries: &[SocketAddr],
        arrivals: Arrivals,
        life: Life,
    ) -> Result<Loaded, Refusal>;

    /// Serves what differences from these primaries make of the version that is served; not expired.
    ///
    /// # Errors
    /// As [`Home::serve`]; the whole zone may still be had.
    fn apply(
        &self,
        zone: &str,
        primaries: &[SocketAddr],
        differences: &[Difference],
        life: Life,
    ) -> Result<Loaded, Refusal>;

    /// Notes for the next start that the served version is good for longer.
    ///
    /// # Errors
    /// It cannot be noted: one line.
    fn confirm(&self, zone: &str, life: Life) -> Result<(), String>;

    /// Notes an attempt that has just ended, for whoever asks what happened.
    fn note(&self, zone: &str, event: ZoneEvent);

    /// The version that is served and on disk.
    fn standing(&self, zone: &str) -> Option<Standing>;

    /// Has the served zone answered with SERVFAIL, or from its data again.
    ///
    /// # Errors
    /// There is no memory for that: one line.
    fn set_expired(&self, zone: &str, expired: bool) -> Result<(), String>;
}

/// A version that is served and on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The data of its SOA.
    pub soa: Vec<u8>,
    /// For how long it is good.
    pub life: Life,
}
