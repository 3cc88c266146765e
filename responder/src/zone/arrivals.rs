//! Records that come from elsewhere than a file, until there are all of them.

use responder_common::wire::rtype;

use super::{
    Kept, Loaded, Progress, Refusal,
    archive::{Archive, Error, OwnerRef},
    collect::{Collector, Rows, Sorted},
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
}

impl Arrivals {
    /// None yet of the zone at `apex` (lower-case wire form).
    pub fn new(apex: &[u8]) -> Self {
        let mut rows = Rows::default();
        rows.begin(apex);
        let apex = apex.to_owned();
        Self { apex, collector: Collector::default(), rows, gathered: 0, records: 0 }
    }

    /// Takes a record of the zone.
    ///
    /// # Errors
    /// An RRset has more records than a message can count.
    pub fn add(&mut self, record: RecordRef<'_>) -> Result<(), String> {
        self.rows.add(record);
        self.records += 1;
        self.gathered += 1;
        if self.gathered == GATHER { self.gather() } else { Ok(()) }
    }

    /// Everything that an archive holds.
    ///
    /// # Errors
    /// What the archive says.
    pub fn of_archive(archive: &Archive) -> Result<Self, Error> {
        let mut arrivals = Self::new(archive.apex());
        archive.newest(|contents| {
            for owner in contents.all()? {
                arrivals.add_owner(owner?)?;
            }
            Ok(())
        })?;
        Ok(arrivals)
    }

    fn add_owner(&mut self, owner: OwnerRef<'_>) -> Result<(), Error> {
        for set in owner.rrsets() {
            let record = |rtype, rdata| RecordRef {
                owner: owner.wire,
                rtype,
                ttl: set.ttl,
                rdata,
                file: 0,
                line: 0,
            };
            // They were in an archive: no RRset is too large.
            for rdata in set.rdata {
                self.add(record(set.rtype, rdata)).map_err(|_| Error::Order)?;
            }
            for rdata in set.signatures {
                self.add(record(rtype::RRSIG, rdata)).map_err(|_| Error::Order)?;
            }
        }
        Ok(())
    }

    /// Octets of memory that they take.
    pub fn memory(&self) -> u64 {
        (self.collector.memory() + self.rows.memory()) as u64
    }

    /// Serves the zone in place of what was served before: commits what has changed if `kept` knows that,
    /// or compiles everything.
    ///
    /// # Errors
    /// It is no zone that can be served; what was served before goes on being served.
    pub fn serve(mut self, store: &Store, kept: &mut Kept) -> Result<Loaded, Refusal> {
        self.gather()?;
        serve(store, &self.apex, self.collector, self.records, &Progress::default(), kept)
    }

    /// Everything in canonical order.
    pub(super) fn sorted(mut self) -> Result<Sorted, String> {
        self.gather()?;
        self.collector.sort(&Progress::default())
    }

    /// How many records came.
    pub fn records(&self) -> u64 {
        self.records
    }

    fn gather(&mut self) -> Result<(), String> {
        self.rows.finish();
        self.collector.add(&self.rows).map_err(|(_, message)| message)?;
        self.rows.begin(&self.apex);
        self.gathered = 0;
        Ok(())
    }
}
