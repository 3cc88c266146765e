//! Records that come from elsewhere than a file, until there are all of them.

use super::{
    Kept, Loaded, Progress,
    collect::{Collector, Rows},
    read::{Batch as _, RecordRef},
    serve,
};
use crate::store::Store;

/// Records gathered before they go to the collector.
const GATHER: usize = 4096;

/// The records of a zone on their way.
pub struct Arrivals {
    apex: Vec<u8>,
    collector: Collector,
    rows: Rows,
    gathered: usize,
    records: u64,
    octets: u64,
}

impl Arrivals {
    /// None yet of the zone at `apex` (lower-case wire form).
    pub fn new(apex: &[u8]) -> Self {
        let mut rows = Rows::default();
        rows.begin(apex);
        let apex = apex.to_owned();
        Self { apex, collector: Collector::default(), rows, gathered: 0, records: 0, octets: 0 }
    }

    /// Takes a record of the zone.
    ///
    /// # Errors
    /// An RRset has more records than a message can count.
    pub fn add(&mut self, record: RecordRef<'_>) -> Result<(), String> {
        self.rows.add(record);
        self.records += 1;
        self.octets += (record.owner.len() + record.rdata.len()) as u64;
        self.gathered += 1;
        if self.gathered == GATHER { self.gather() } else { Ok(()) }
    }

    /// Octets of owners and data taken so far, uncompressed.
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// Serves the zone in place of what was served before: commits what has changed if `kept` knows that,
    /// or compiles everything.
    ///
    /// # Errors
    /// It is no zone that can be served; what was served before goes on being served.
    pub fn serve(mut self, store: &Store, kept: &mut Kept) -> Result<Loaded, String> {
        self.gather()?;
        serve(store, &self.apex, self.collector, self.records, &Progress::default(), kept)
    }

    fn gather(&mut self) -> Result<(), String> {
        self.rows.finish();
        self.collector.add(&self.rows).map_err(|(_, message)| message)?;
        self.rows.begin(&self.apex);
        self.gathered = 0;
        Ok(())
    }
}
