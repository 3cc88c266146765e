//! What a load takes: time of the processors, memory of processes.

use std::{fs, io};

use anyhow::Context as _;

/// The time that all processors together have been busy since the machine started, in microseconds.
/// The kernel counts in hundredths of a second.
///
/// # Errors
/// When `/proc/stat` is not as it should be.
pub fn busy() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().context("/proc/stat is empty")?;
    let ticks: Vec<u64> = line.split_whitespace().skip(1).flat_map(str::parse).collect();
    // user, nice, system; then idle and waiting for disks; then interrupts, hard and soft.
    let busy = ticks.get(..3).zip(ticks.get(5..7)).context("/proc/stat is too short")?;
    Ok(busy.0.iter().chain(busy.1).sum::<u64>() * 10_000)
}

/// The time that processors have spent on a process, those of its threads that have ended included, in
/// microseconds. The kernel counts in hundredths of a second.
///
/// # Errors
/// When the process is gone.
pub fn of_process(process: u32) -> anyhow::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, in parentheses, may have spaces. User and system time are fields 14 and 15 of all.
    let (_, fields) = text.rsplit_once(')').context("no name in /proc/…/stat")?;
    let ticks = fields.split_whitespace().skip(11).take(2).flat_map(str::parse::<u64>);
    Ok(ticks.sum::<u64>() * 10_000)
}

/// Memory of a process and its children, in octets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// Resident, what several of them share counted for each.
    pub resident: u64,
    /// Resident, what they share counted once: the sum of proportional shares.
    pub proportional: u64,
}

impl Memory {
    /// Of a process and its children, at this moment.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn of(process: u32) -> io::Result<Self> {
        let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
        let field = |name: &str| {
            let line = rollup.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
            kibibytes.unwrap_or(0_u64) * 1024
        };
        let mut all = Self { resident: field("Rss"), proportional: field("Pss") };
        for thread in fs::read_dir(format!("/proc/{process}/task"))? {
            let children = fs::read_to_string(thread?.path().join("children"))?;
            for child in children.split_whitespace().flat_map(str::parse) {
                // A child may end meanwhile.
                let child = Self::of(child).unwrap_or_default();
                all.resident += child.resident;
                all.proportional += child.proportional;
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_are_somewhere_in_memory() {
        let memory = Memory::of(std::process::id()).expect("we run");
        assert!(memory.proportional > 100_000 && memory.resident >= memory.proportional);
    }

    #[test]
    fn our_own_time_goes_on() {
        let before = of_process(std::process::id()).expect("we run");
        let start = std::time::Instant::now();
        while of_process(std::process::id()).expect("we run") < before + 50_000 {
            assert!(start.elapsed().as_secs() < 60, "it stands still");
        }
    }

    #[test]
    fn the_processors_have_been_busy() {
        assert!(busy().expect("/proc/stat") > 0);
    }
}
