//! For how long the data of a zone with primaries are good, in a form that outlives the process.

use std::{
    fs,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// When a primary last confirmed a zone, and for how long it is good from then on.
///
/// Within one boot of the machine time is told by the boot clock, so that a step of the wall clock
/// expires nothing; over a restart of the machine by the wall clock, since there is no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// Which boot of the machine it was.
    boot: [u8; BOOT],
    /// Seconds since then.
    uptime: u64,
    /// Seconds since 1970.
    wall: u64,
    /// Seconds for which the data were good at that moment.
    good: u64,
}

/// Octets of a boot's identifier: a UUID as text.
const BOOT: usize = 36;

impl Life {
    /// Confirmed now, and good for so long.
    pub fn now(good: Duration) -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self { boot: boot(), uptime: uptime(), wall, good: good.as_secs() }
    }

    /// How long ago that was.
    pub fn age(&self) -> Duration {
        self.age_at(&Self::now(Duration::ZERO))
    }

    /// How much longer the data are good.
    pub fn rest(&self) -> Duration {
        Duration::from_secs(self.good).saturating_sub(self.age())
    }

    fn age_at(&self, now: &Self) -> Duration {
        Duration::from_secs(if self.boot == now.boot {
            now.uptime.saturating_sub(self.uptime)
        } else {
            // A wall clock that went back says nothing: the data count as confirmed just now.
            now.wall.saturating_sub(self.wall)
        })
    }

    /// As octets for an archive.
    pub fn octets(&self) -> Vec<u8> {
        let numbers = [self.uptime, self.wall, self.good].map(u64::to_be_bytes).concat();
        [&self.boot[..], &numbers].concat()
    }

    /// From an archive; none where these are not such octets.
    pub fn of(octets: &[u8]) -> Option<Self> {
        let (boot, numbers) = octets.split_first_chunk::<BOOT>()?;
        let numbers: &[u8; 24] = numbers.try_into().ok()?;
        let number = |at: usize| {
            let octets = numbers[at..].first_chunk().expect("three numbers of eight octets");
            u64::from_be_bytes(*octets)
        };
        Some(Self { boot: *boot, uptime: number(0), wall: number(8), good: number(16) })
    }
}

/// This boot of the machine; zeros where the system does not say.
fn boot() -> [u8; BOOT] {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().as_bytes().try_into().unwrap_or([0; BOOT])
}

/// Seconds since the machine started, time asleep included.
fn uptime() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for the call.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    u64::try_from(time.tv_sec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{BOOT, Life};
    use std::time::Duration;

    fn life(boot: u8, uptime: u64, wall: u64) -> Life {
        Life { boot: [boot; BOOT], uptime, wall, good: 100 }
    }

    #[test]
    fn within_a_boot_a_step_of_the_wall_clock_changes_nothing() {
        let then = life(1, 500, 10_000);
        assert_eq!(then.age_at(&life(1, 530, 9_000_000)), Duration::from_secs(30));
        assert_eq!(then.age_at(&life(1, 530, 3)), Duration::from_secs(30));
    }

    #[test]
    fn over_a_boot_the_wall_clock_counts_and_never_backwards() {
        let then = life(1, 500, 10_000);
        assert_eq!(then.age_at(&life(2, 3, 10_050)), Duration::from_secs(50));
        assert_eq!(then.age_at(&life(2, 3, 9_000)), Duration::ZERO);
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let then = life(7, 1, 2);
        assert_eq!(Life::of(&then.octets()), Some(then));
        assert_eq!(Life::of(&then.octets()[1..]), None);
        let now = Life::now(Duration::from_secs(60));
        assert!(now.rest() > Duration::from_secs(50), "{now:?}");
        assert_ne!(now.boot, [0; BOOT]);
    }
}
