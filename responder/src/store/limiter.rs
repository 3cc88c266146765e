//! The limiter's table: what the kernel programs and the daemon's sockets share.
//!
//! | module | what |
//! |---|---|
//! | [`listing`] | prefixes that are denied, exempt, or peers |
//! | [`settings`] | rates, sizes of sources, cookie secrets, the time |

mod listing;
mod settings;

pub use listing::mapped;
pub use settings::Settings;

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use memmap2::MmapRaw;
use responder_common::{
    limit::{self, Limiter, Line, bucket::Bucket},
    platform::Platform as _,
    verdict::{COUNTERS, Verdict},
};

use super::Store;
use listing::Listed;

/// Octets of the table.
pub const TABLE: usize = limit::TABLE * size_of::<Line>();

/// The limiter's memory, and what the host knows of it.
pub struct State {
    table: MmapRaw,
    listed: RwLock<Arc<Listed>>,
    /// Replies over the rate that the daemon's sockets were about to send, by what they were to be.
    over: [AtomicU64; COUNTERS],
    /// The number of the rates of each zone that has its own, by apex.
    profiles: Mutex<HashMap<Vec<u8>, u32>>,
}

/// An account as it stood at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Account {
    /// Whose it is: [`limit::source`].
    pub source: u64,
    /// What it is for: [`limit::tag`].
    pub tag: u16,
    /// How it stands.
    pub bucket: Bucket,
}

impl State {
    /// A limiter without limits over its table's memory.
    pub fn new(table: MmapRaw) -> Self {
        assert!(table.len() >= TABLE, "the table's memory holds the table");
        Self {
            table,
            listed: RwLock::default(),
            over: std::array::from_fn(|_| AtomicU64::new(0)),
            profiles: Mutex::default(),
        }
    }

    fn line(&self, number: u32) -> Option<&Line> {
        if number as usize >= limit::TABLE {
            return None;
        }
        // SAFETY: inside the table, whose memory begins at a page and lives as long as `self`; a line's
        // words change by single stores.
        Some(unsafe { &*self.table.as_ptr().cast::<Line>().add(number as usize) })
    }

    /// The number of a zone's rates.
    pub(super) fn profile(&self, apex: &[u8]) -> u32 {
        let profiles = self.profiles.lock().unwrap_or_else(PoisonError::into_inner);
        profiles.get(apex).copied().unwrap_or(0)
    }
}

impl Store {
    /// Replies over the rate that the sockets were about to send, by what they were to be.
    pub fn over_rate(&self) -> BTreeMap<String, u64> {
        let count =
            |verdict: &Verdict| self.limiter.over[*verdict as usize].load(Ordering::Relaxed);
        Verdict::ALL
            .iter()
            .map(|verdict| (verdict.label().to_owned(), count(verdict)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    /// Every account that was charged since it belongs to its source.
    pub fn accounts(&self) -> impl Iterator<Item = Account> {
        let lines = (0..limit::LINES as u32).filter_map(|number| self.limiter.line(number));
        lines.flat_map(|line| {
            let source = line.source();
            line.accounts().map(move |(tag, bucket)| Account { source, tag, bucket })
        })
    }

    /// How far ahead of its rate an account may be, in ticks.
    pub fn burst(&self) -> u32 {
        self.root().limits.burst
    }
}

impl Limiter for Store {
    #[inline(always)]
    fn line(&self, number: u32) -> Option<&Line> {
        self.limiter.line(number)
    }

    fn listed(&self, version: u32, address: [u64; 2]) -> u32 {
        let address = match version {
            4 => IpAddr::from((address[0] as u32).to_ne_bytes()),
            _ => {
                let [high, low] = address.map(u64::from_be);
                IpAddr::from((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
            }
        };
        self.bits(address)
    }

    fn count_over(&self, verdict: Verdict) {
        self.limiter.over[verdict as usize].fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use responder_common::{message, scratch::Scratch};
    use zerocopy::FromZeros as _;

    use super::{Limiter as _, Store, limit};
    use crate::store::StoreOptions;

    #[test]
    fn a_reply_that_was_not_charged_is_not_paid_back() {
        let store = Store::in_memory(&StoreOptions { udp_size: 1232, id: "test".into() }).unwrap();
        let mut s = Box::new(Scratch::new_zeroed());
        // What the query before was charged.
        s.charged[1].set(5);
        s.charge[1].set(7);
        let query = b"\0\x01\0\0\0\x01\0\0\0\0\0\0\0\0\x06\0\x01";
        s.message[..query.len()].copy_from_slice(query);
        s.query_length.set(query.len() as u32);
        message::parse(&store, &mut s, 1232, false);
        limit::refund(&store, &s);
        let line = store.line(0).unwrap();
        assert!((1..8).all(|place| line.bucket(place).word() == 0));
    }
}
