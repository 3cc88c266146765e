//! How the work of an interface with a lone receive queue is spread over the processors.
//!
//! Such an interface has all of its packets received, answered and sent by the one processor that takes
//! its interrupts, while the others look on. Linux can spread that work in two ways (its
//! `Documentation/networking/scaling.rst` and `napi.rst`): threaded NAPI (Linux 5.12) gives the polling,
//! and XDP with it, to a kernel thread that the scheduler puts where there is time; receive packet
//! steering (RPS) gives each flow that XDP leaves to tc to one of the processors.

use std::{
    ffi::CString,
    fs,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// `xdp.receive-scaling` of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReceiveScaling {
    /// Spread the work where the interface has one receive queue and the machine several processors.
    Auto,
    /// Spread it.
    On,
    /// As the interface is found.
    Off,
}

/// An interface whose work the daemon has spread; as it was found when dropped, unless another one has its name
/// by then.
///
/// A killed daemon leaves it spread: that changes who does the work, not what is done, and goes with
/// `echo 0 > /sys/class/net/INTERFACE/threaded` and the same for `queues/rx-*/rps_cpus` there.
#[derive(Debug)]
pub struct Scaling {
    interface: String,
    /// Another number is another interface, whatever its name.
    index: u32,
    switches: Vec<Switch>,
}

impl Scaling {
    /// Spreads the work of an interface, if `wanted` says so. What was set by others stays as it is.
    ///
    /// # Errors
    /// When the interface cannot be asked or changed: it has no NAPI, `/sys` is read-only or of another
    /// network namespace. Nothing is lost but speed.
    pub fn arrange(interface: &str, wanted: ReceiveScaling) -> Result<Option<Self>> {
        if wanted == ReceiveScaling::Off {
            return Ok(None);
        }
        let folder = Path::new("/sys/class/net").join(interface);
        let index = index(interface);
        if read(&folder.join("ifindex"))? != index.to_string() {
            bail!("/sys shows another network namespace's {interface}");
        }
        let queues = receive_queues(&folder)?;
        let several = thread::available_parallelism().is_ok_and(|count| count.get() > 1);
        if wanted == ReceiveScaling::Auto && !(queues.len() == 1 && several) {
            return Ok(None);
        }
        let mut switches = Vec::from_iter(Switch::set(folder.join("threaded"), "1")?);
        if !switches.is_empty() {
            prefer_pollers(interface);
        }
        let everyone = mask(&read(Path::new("/sys/devices/system/cpu/online"))?);
        for queue in queues {
            switches.extend(Switch::set(queue.join("rps_cpus"), &everyone)?);
        }
        let interface = interface.to_owned();
        Ok((!switches.is_empty()).then_some(Self { interface, index, switches }))
    }

    /// The interface.
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// Whether its interface is gone: one that has come back by its name is another, and what was found on the
    /// former is of no use to it.
    pub fn is_former(&self) -> bool {
        self.index != index(&self.interface)
    }
}

impl Drop for Scaling {
    fn drop(&mut self) {
        if self.is_former() {
            return;
        }
        for Switch { file, found } in &self.switches {
            if let Err(error) = fs::write(file, found) {
                tracing::debug!("{}: {error}", file.display());
            }
        }
    }
}

/// Lets the threads that poll an interface go before whatever else wants a processor, as interrupts do:
/// a zone that is being compiled must not cost a query. Without the right to, they stay as they are.
fn prefer_pollers(interface: &str) {
    let name = format!("napi/{interface}-");
    let Ok(processes) = fs::read_dir("/proc") else { return };
    for process in processes.filter_map(Result::ok) {
        let Ok(number) = process.file_name().to_string_lossy().parse::<libc::id_t>() else {
            continue;
        };
        if read(&process.path().join("comm")).is_ok_and(|comm| comm.starts_with(&name)) {
            // SAFETY: a plain system call.
            let failed = unsafe { libc::setpriority(libc::PRIO_PROCESS, number, -20) } != 0;
            if failed {
                tracing::debug!("{name}: {}", std::io::Error::last_os_error());
            }
        }
    }
}

/// A file of the kernel's that was changed.
#[derive(Debug)]
struct Switch {
    file: PathBuf,
    found: String,
}

impl Switch {
    /// Writes `value`, unless something else than zero stands there already.
    fn set(file: PathBuf, value: &str) -> Result<Option<Self>> {
        let found = read(&file)?;
        if found.contains(|digit| digit != '0' && digit != ',') {
            return Ok(None);
        }
        fs::write(&file, value).with_context(|| file.display().to_string())?;
        Ok(Some(Self { file, found }))
    }
}

fn receive_queues(folder: &Path) -> Result<Vec<PathBuf>> {
    let queues = folder.join("queues");
    let entries = fs::read_dir(&queues).with_context(|| queues.display().to_string())?;
    let receives = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("rx-"))
    };
    Ok(entries.filter_map(|entry| Some(entry.ok()?.path())).filter(receives).collect())
}

/// The kernel's mask of processors (hexadecimal, by 32, the highest first) for its list, such as `0-3,8`.
fn mask(list: &str) -> String {
    let mut groups = Vec::new();
    for range in list.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) else {
            continue;
        };
        for processor in first..=last {
            let group = processor / 32;
            groups.resize(groups.len().max(group + 1), 0_u32);
            groups[group] |= 1 << (processor % 32);
        }
    }
    let groups: Vec<String> = groups.iter().rev().map(|group| format!("{group:08x}")).collect();
    groups.join(",")
}

fn read(file: &Path) -> Result<String> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    Ok(text.trim().to_owned())
}

fn index(interface: &str) -> u32 {
    let Ok(name) = CString::new(interface) else { return 0 };
    // SAFETY: the name is a zero-terminated string that outlives the call.
    unsafe { libc::if_nametoindex(name.as_ptr()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_stay_as_found_is_not_looked_at() {
        assert!(Scaling::arrange("no such interface", ReceiveScaling::Off).unwrap().is_none());
    }

    #[test]
    fn a_missing_interface_is_named() {
        let error = Scaling::arrange("nowhere0", ReceiveScaling::On).unwrap_err();
        assert!(format!("{error:#}").contains("/sys/class/net/nowhere0"), "{error:#}");
    }

    #[test]
    fn masks_of_processors() {
        assert_eq!(mask("0"), "00000001");
        assert_eq!(mask("0-1"), "00000003");
        assert_eq!(mask("1,3-4,33"), "00000002,0000001a");
    }
}
