//! Signs of life between processes: until when the kernel may answer without the daemon, and the
//! watchdog's veto. Each is a line in a small file of the state directory: the boot of the machine, a
//! moment of its monotonic clock, and a reason.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;

use super::files;
use crate::store::clock;

/// A file whose content holds until a moment.
#[derive(Debug, Clone)]
pub struct Sign(PathBuf);

impl Sign {
    /// The lease: until it runs out, the kernel answers whether the daemon lives or not.
    pub fn lease(state: &Path) -> Self {
        Self(state.join("lease"))
    }

    /// The veto: while it holds, the daemon announces nothing.
    pub fn veto(state: &Path) -> Self {
        Self(state.join("veto"))
    }

    /// Lets it hold for so long from now on.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn hold(&self, time: Duration, reason: &str) -> Result<()> {
        let until = now() + time;
        let line = format!("{} {} {reason}\n", boot(), until.as_nanos());
        files::replace(&self.0, line.as_bytes(), 0o644)
    }

    /// Ends it.
    pub fn end(&self) {
        // It may never have been there.
        let _ = fs::remove_file(&self.0);
    }

    /// The reason, if it holds now.
    pub fn holds(&self) -> Option<String> {
        self.read().map(|(_, reason)| reason)
    }

    /// For how long it still holds, if it does.
    pub fn left(&self) -> Option<Duration> {
        self.read().map(|(left, _)| left)
    }

    fn read(&self) -> Option<(Duration, String)> {
        let text = fs::read_to_string(&self.0).ok()?;
        let mut words = text.trim_end().splitn(3, ' ');
        let (boot_then, until) = (words.next()?, words.next()?.parse::<u64>().ok()?);
        let left = Duration::from_nanos(until).checked_sub(now()).filter(|left| !left.is_zero())?;
        (boot_then == boot()).then(|| (left, words.next().unwrap_or("").to_owned()))
    }
}

/// The clock of the lease: the kernel's monotonic one.
pub fn now() -> Duration {
    Duration::from_nanos(clock::now())
}

/// This boot of the machine.
pub fn boot() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_holds_for_its_time_and_in_its_boot() {
        let folder = tempfile::tempdir().unwrap();
        let veto = Sign::veto(folder.path());
        assert_eq!(veto.holds(), None);
        veto.hold(Duration::from_secs(60), "TCP is dead").unwrap();
        assert_eq!(veto.holds().as_deref(), Some("TCP is dead"));
        assert!(veto.left().is_some_and(|left| left > Duration::from_secs(50)));
        let path = folder.path().join("veto");
        let other = fs::read_to_string(&path).unwrap().replace(&boot(), "another-boot");
        fs::write(&path, other).unwrap();
        assert_eq!(veto.holds(), None);
        veto.hold(Duration::ZERO, "").unwrap();
        assert_eq!(veto.holds(), None);
    }
}
