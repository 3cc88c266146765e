//! Work that others wait for goes before theirs.
//!
//! Threads that answer or poll keep a processor busy for as long as there are queries. A commit of
//! differences takes some 30 ms of a processor; under a flood it had a third of one, and the new version was
//! seen after 180 ms now and then.

/// The nice value of work in haste: behind the threads that poll (-20), before everything else.
const HASTE: libc::c_int = -15;

/// Does short work ahead of other threads, where the system lets us (`CAP_SYS_NICE`, `RLIMIT_NICE`); else
/// in turn with them.
pub(super) fn ahead<T>(work: impl FnOnce() -> T) -> T {
    let _hurried = Hurried::begin();
    work()
}

/// The calling thread in haste; as before when dropped.
struct Hurried(Option<libc::c_int>);

impl Hurried {
    fn begin() -> Self {
        // SAFETY: plain system calls; on Linux they mean the calling thread.
        let changed = unsafe {
            let before = libc::getpriority(libc::PRIO_PROCESS, 0);
            (before > HASTE && libc::setpriority(libc::PRIO_PROCESS, 0, HASTE) == 0)
                .then_some(before)
        };
        Self(changed)
    }
}

impl Drop for Hurried {
    fn drop(&mut self) {
        if let Some(before) = self.0 {
            // SAFETY: a plain system call. To stand back is always allowed.
            unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, before) };
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn haste_ends_with_the_work() {
        // SAFETY: a plain system call.
        let now = || unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
        let before = now();
        let during = super::ahead(now);
        assert!(during == super::HASTE || during == before, "{during}");
        assert_eq!(now(), before);
    }
}
