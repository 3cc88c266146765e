//! What happened to a zone lately.

use serde::{Deserialize, Serialize};

/// Something that made, or did not make, a new version of a zone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ZoneEvent {
    /// When it ended, in seconds since 1970.
    pub at: u64,
    /// What it was: `file`, `disk` (a start), `axfr`, `ixfr`, `axfr-for-ixfr` (the zone in answer to a
    /// question for changes), `axfr-after-ixfr` (the zone because its changes failed), `transfer` (one
    /// that failed).
    pub what: String,
    /// The primary.
    pub primary: Option<String>,
    /// The serial that was served before.
    pub from: Option<u32>,
    /// The serial that came of it.
    pub serial: Option<u32>,
    /// Records of the new version.
    pub records: Option<u64>,
    /// Octets that came over the wire.
    pub octets: Option<u64>,
    /// How long it took, the commit included.
    pub milliseconds: u64,
    /// Why there is no new version; then what was served before went on being served.
    pub error: Option<String>,
}
