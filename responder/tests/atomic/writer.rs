//! Commits versions, as a transfer does.

use std::{fs, path::Path, sync::Arc};

use responder::{
    store::{Store, Usage},
    zone::{Arrivals, Kept, Purpose, archive::JournalLimits, read::RecordRef},
};
use serde_json::{Value, json};

use super::versions::{records, wire};

/// The first of the versions that follow one another.
const FIRST: u32 = 90_000_000;
/// One version in so many is compiled as a whole.
const WHOLE: u64 = 271;

/// The only writer of the store.
pub struct Writer {
    store: Arc<Store>,
    apex: Vec<u8>,
    folder: tempfile::TempDir,
    kept: Kept,
    next: u32,
    /// Versions committed after the first two.
    pub commits: u64,
    /// Of those, compiled as a whole.
    pub whole: u64,
}

impl Writer {
    /// A writer of an empty store.
    pub fn new(store: Arc<Store>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = keep(folder.path(), "archive");
        let apex = wire("lac.");
        Self { store, apex, folder, kept, next: FIRST, commits: 0, whole: 0 }
    }

    /// Commits a version; whether as a change.
    pub fn commit(&mut self, version: u32) -> bool {
        let mut arrivals = Arrivals::new(&self.apex);
        for (owner, rtype, rdata) in &records(version) {
            let record = RecordRef { owner, rtype: *rtype, ttl: 60, rdata, file: 0, line: 0 };
            arrivals.add(record).expect("a record");
        }
        let loaded = arrivals.serve(&self.store, &mut self.kept).expect("a zone");
        assert_eq!(loaded.serial, version);
        loaded.committed.is_some()
    }

    /// Commits the next version.
    pub fn commit_next(&mut self) {
        let whole = self.commits % WHOLE == WHOLE - 1;
        if whole {
            std::mem::take(&mut self.kept).discard();
            self.kept = keep(self.folder.path(), "archive");
        }
        let version = self.next;
        let changed = self.commit(version);
        self.next += 1;
        self.commits += 1;
        self.whole += u64::from(!changed);
        assert!(changed || whole || self.commits < 3, "version {version} was compiled as a whole");
    }

    /// Goes on in another process: what is kept on disk is begun anew.
    pub fn begin_anew(&mut self) {
        // The file is this process's parent's, too.
        std::mem::forget(std::mem::replace(&mut self.kept, keep(self.folder.path(), "forked")));
    }

    /// The version that comes next.
    pub fn next(&self) -> u32 {
        self.next
    }

    /// What is held now.
    pub fn memory(&self) -> Memory {
        let status = fs::read_to_string("/proc/self/status").expect("this process");
        let field = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let words = field.and_then(|field| field.split_whitespace().next()).expect("a size");
        Memory {
            commits: self.commits,
            usage: self.store.usage(&self.apex).expect("served"),
            store: self.store.bytes(),
            resident: words.parse::<u64>().expect("a number") << 10,
        }
    }
}

fn keep(folder: &Path, name: &str) -> Kept {
    let mut kept = Kept::within(folder.join(name));
    kept.set_purpose(Purpose::Transfers, JournalLimits::default());
    kept
}

/// What was held after so many commits.
#[derive(Debug)]
pub struct Memory {
    commits: u64,
    usage: Usage,
    store: u64,
    /// Anonymous memory of the process, in octets.
    resident: u64,
}

impl Memory {
    /// The figures.
    pub fn figures(&self) -> Value {
        json!({
            "commits": self.commits,
            "live": self.usage.live,
            "dead": self.usage.dead,
            "reserved": self.usage.reserved,
            "index slots used": self.usage.index_used,
            "store": self.store,
            "resident (anonymous)": self.resident,
        })
    }

    /// Whether nothing has grown: neither the store nor the process, but for what an allocator keeps.
    pub fn is_no_larger_than(&self, before: &Self) -> bool {
        self.store <= before.store
            && self.usage.reserved <= before.usage.reserved * 11 / 10
            && self.usage.dead <= before.usage.dead * 2 + (1 << 20)
            && self.resident <= before.resident + (16 << 20)
    }
}
