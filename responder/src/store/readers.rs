//! The daemon's readers, so that the writer knows when memory may be used again.

use std::sync::{
    Arc, Mutex, Weak,
    atomic::{AtomicU64, Ordering, fence},
};

/// Every reader's mark: odd while it reads.
#[derive(Default)]
pub struct Readers {
    marks: Mutex<Vec<Weak<AtomicU64>>>,
}

/// One reader's mark.
pub struct Reader {
    mark: Arc<AtomicU64>,
}

/// While it lives, nothing that was published when it began is used again.
pub struct Reading<'a> {
    mark: &'a AtomicU64,
}

impl Readers {
    /// A new reader.
    pub fn register(&self) -> Reader {
        let mark = Arc::new(AtomicU64::new(0));
        let mut marks = self.marks.lock().expect("no panic under this lock");
        marks.retain(|mark| mark.strong_count() > 0);
        marks.push(Arc::downgrade(&mark));
        Reader { mark }
    }

    /// Waits until every reading that had begun before has ended.
    pub fn wait(&self) {
        fence(Ordering::SeqCst);
        let marks: Vec<_> = self
            .marks
            .lock()
            .expect("no panic under this lock")
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        for mark in marks {
            let before = mark.load(Ordering::SeqCst);
            while before % 2 == 1 && mark.load(Ordering::SeqCst) == before {
                std::thread::yield_now();
            }
        }
    }
}

impl Reader {
    /// Begins to read. A reader reads one thing at a time.
    pub fn begin(&mut self) -> Reading<'_> {
        self.mark.fetch_add(1, Ordering::SeqCst);
        Reading { mark: &self.mark }
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.mark.fetch_add(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_writer_waits_for_a_reading_and_not_for_a_reader() {
        let readers = Arc::new(Readers::default());
        let mut reader = readers.register();
        readers.wait();
        let reading = reader.begin();
        let (told, hears) = std::sync::mpsc::channel();
        let waiting = Arc::clone(&readers);
        let thread = std::thread::spawn(move || {
            waiting.wait();
            told.send(()).expect("the test listens");
        });
        let early = hears.recv_timeout(std::time::Duration::from_millis(50));
        assert!(early.is_err(), "the wait ended during the reading");
        drop(reading);
        hears.recv_timeout(std::time::Duration::from_secs(10)).expect("the wait ends");
        thread.join().expect("no panic");
    }
}
