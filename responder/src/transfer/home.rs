//! What transfers need of the place where zones are served.

use std::net::SocketAddr;

use crate::{
    control::ZoneEvent,
    zone::{Arrivals, Life, Loaded, Refusal, difference::Difference},
};

/// Where transferred zones are served. Its methods may block.
pub trait Home: Send + Sync {
    /// Serves what came from these primaries as the zone's new version. Once its life is over, the zone is
    /// answered with SERVFAIL.
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

    /// Serves what differences from these primaries make of the version that is served.
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

    /// The served version is good for longer; that is noted for the next start too.
    ///
    /// # Errors
    /// It cannot be noted: one line.
    fn confirm(&self, zone: &str, life: Life) -> Result<(), String>;

    /// Notes an attempt that has just ended, for whoever asks what happened.
    fn note(&self, zone: &str, event: ZoneEvent);

    /// The version that is served and on disk.
    fn standing(&self, zone: &str) -> Option<Standing>;
}

/// A version that is served and on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The data of its SOA.
    pub soa: Vec<u8>,
    /// For how long it is good.
    pub life: Life,
}
