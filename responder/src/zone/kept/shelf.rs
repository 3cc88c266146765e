//! Where a zone's archive is found by those who read it while the zone is loaded anew.

use std::sync::{Arc, PoisonError, RwLock};

use super::LIFE;
use crate::zone::{
    archive::{Archive, Error},
    life::Life,
};

/// Where a zone's archive is found by those who read it while the zone is loaded anew.
#[derive(Clone, Default)]
pub struct Shelf(Arc<RwLock<Option<Arc<Archive>>>>);

impl Shelf {
    /// The archive, if there is one. Its contents may be those of the version before or, for a moment, of
    /// the next one.
    pub fn archive(&self) -> Option<Arc<Archive>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes that the contents are good for longer.
    ///
    /// # Errors
    /// What the archive says.
    pub fn confirm(&self, life: &Life) -> Result<(), Error> {
        let Some(archive) = self.archive() else { return Ok(()) };
        let mut writer = archive.writer()?;
        let mut edit = writer.begin()?;
        edit.put_stamp(LIFE, &life.octets())?;
        edit.commit(false)
    }

    /// For how long the contents are good, and the data of their SOA; none where that is not known.
    pub fn life(&self) -> Option<(Life, Vec<u8>)> {
        let found = self.archive()?.newest(|contents| {
            let life = contents.stamp(LIFE)?.and_then(Life::of);
            Ok(life.zip(contents.soa()?.map(<[u8]>::to_vec)))
        });
        found.ok()?
    }

    /// Why the archive lacks what is served, if it does for longer than a commit takes: one line.
    pub fn trouble(&self) -> Option<&'static str> {
        self.archive()?.is_stuck().then_some(
            "DEGRADED: the last version is in the archive's log alone, since there is no room for more: no \
             other can follow and none be transferred until there is room on the disk",
        )
    }

    pub(super) fn put(&self, archive: Option<Arc<Archive>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = archive;
    }
}
