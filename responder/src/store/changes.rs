//! When what replies depend on was last changed: whoever compares two answers must know whether they were
//! given by the same store.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use super::{Store, clock};

/// The clock's steps: a moment is known no better.
const STEP: Duration = Duration::from_millis(20);

/// The changes of a store.
#[derive(Default)]
pub struct Changes {
    under_way: AtomicU32,
    /// When one last ended, in nanoseconds of the store's clock.
    ended: AtomicU64,
}

/// A change that is being made: it ends when this is dropped.
pub struct Change<'a>(&'a Changes);

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.0.ended.fetch_max(clock::now(), Ordering::SeqCst);
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Store {
    /// To be held while something is stored that changes replies.
    pub(super) fn change(&self) -> Change<'_> {
        self.changes.under_way.fetch_add(1, Ordering::SeqCst);
        Change(&self.changes)
    }

    /// Whether something that changes replies was, or may have been, stored since a moment, in nanoseconds
    /// of the store's clock.
    pub fn has_changed_since(&self, moment: u64) -> bool {
        let Changes { under_way, ended } = &self.changes;
        // In this order: a change that ends meanwhile is seen by either.
        under_way.load(Ordering::SeqCst) > 0
            || ended.load(Ordering::SeqCst) + STEP.as_nanos() as u64 >= moment
    }
}

#[cfg(test)]
mod tests {
    use crate::store::StoreOptions;

    use super::*;

    #[test]
    fn what_changes_and_what_has_changed_is_told() {
        let options = StoreOptions { udp_size: 1232, id: String::new() };
        let store = Store::in_memory(&options).unwrap();
        let later = || clock::after(2 * STEP);
        assert!(!store.has_changed_since(later()));
        let change = store.change();
        assert!(store.has_changed_since(later()), "it is under way");
        let during = clock::now();
        drop(change);
        assert!(store.has_changed_since(during));
        assert!(!store.has_changed_since(later()));
        store.set_wall_clock();
        assert!(store.has_changed_since(clock::now()), "cookies tell the time");
    }
}
