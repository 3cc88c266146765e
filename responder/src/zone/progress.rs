//! How far the loading of a zone has come, for those who wait for it.

use std::{
    fmt,
    sync::{
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Files are read; counted in octets.
    Reading,
    /// Names are put in canonical order.
    Sorting,
    /// Names are compiled into the store; counted in owners.
    Compiling,
}

/// Shared by the thread that loads and the one that tells; each figure by itself is right, and that
/// is enough.
#[derive(Debug, Default)]
pub struct Progress {
    phase: AtomicU8,
    done: AtomicU64,
    total: AtomicU64,
}

impl Progress {
    /// The phase, what of it is done, and the total as far as it is known (an included file adds to
    /// it when it is opened; 0 where nothing is counted).
    pub fn get(&self) -> (Phase, u64, u64) {
        let phase = match self.phase.load(Relaxed) {
            0 => Phase::Reading,
            1 => Phase::Sorting,
            _ => Phase::Compiling,
        };
        (phase, self.done.load(Relaxed), self.total.load(Relaxed))
    }

    /// So much more is to be done in this phase.
    pub fn expect(&self, more: u64) {
        self.total.fetch_add(more, Relaxed);
    }

    /// So much more is done.
    pub fn add(&self, more: u64) {
        self.done.fetch_add(more, Relaxed);
    }

    /// Goes on to a phase of which nothing is done.
    pub fn enter(&self, phase: Phase, total: u64) {
        self.done.store(0, Relaxed);
        self.total.store(total, Relaxed);
        self.phase.store(phase as u8, Relaxed);
    }
}

impl fmt::Display for Progress {
    /// Such as `reading: 45 %`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (phase, done, total) = self.get();
        formatter.write_str(match phase {
            Phase::Reading => "reading",
            Phase::Sorting => "sorting",
            Phase::Compiling => "compiling",
        })?;
        match done.saturating_mul(100).checked_div(total) {
            Some(share) => write!(formatter, ": {} %", share.min(100)),
            None => Ok(()),
        }
    }
}

/// Does work, and tells at this interval how far it has come; never when it takes less.
pub fn watched<T>(
    interval: Duration,
    tell: impl Fn(&Progress) + Send,
    work: impl FnOnce(&Progress) -> T,
) -> T {
    let progress = Progress::default();
    thread::scope(|scope| {
        let (working, ended) = mpsc::channel::<()>();
        let watched = &progress;
        scope.spawn(move || {
            while ended.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                tell(watched);
            }
        });
        let result = work(&progress);
        drop(working);
        result
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn progress_is_told_while_work_goes_on() {
        let told = Mutex::new(Vec::new());
        let tell = |progress: &Progress| told.lock().expect("a list").push(progress.to_string());
        let said = |text: &str| told.lock().expect("a list").iter().any(|told| told == text);
        let wait_for = |text: &str| {
            for _ in 0..10_000 {
                if said(text) {
                    return;
                }
                thread::sleep(Duration::from_millis(1));
            }
            panic!("{text:?} is not told");
        };
        let result = watched(Duration::from_millis(1), tell, |progress| {
            progress.expect(200);
            progress.add(90);
            wait_for("reading: 45 %");
            progress.enter(Phase::Sorting, 0);
            wait_for("sorting");
            progress.enter(Phase::Compiling, 3);
            progress.add(3);
            wait_for("compiling: 100 %");
            7
        });
        assert_eq!(result, 7);
        let told = told.into_inner().expect("a list").len();
        assert!(told >= 3);
    }
}
