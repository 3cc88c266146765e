//! Who polls an interface: the processor that its interrupt came to, or a kernel thread.
//!
//! An interface with one receive queue has all of its packets received, answered and sent by the one
//! processor that takes its interrupts, while the others look on. With threaded NAPI (Linux 5.12) a
//! kernel thread does that work, and the scheduler puts it where there is time.

use std::{
    ffi::CString,
    fs,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// `xdp.threaded-napi` of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ThreadedNapi {
    /// A thread where the interface has one receive queue and the machine several processors.
    Auto,
    /// A thread.
    On,
    /// As the interface is found.
    Off,
}

/// An interface whose polling was given to a thread; as it was found when dropped.
///
/// A killed daemon leaves the thread: it changes who does the work, not what is done, and goes with
/// `echo 0 > /sys/class/net/INTERFACE/threaded`.
#[derive(Debug)]
pub struct Polling {
    switch: PathBuf,
}

impl Polling {
    /// Gives the polling of an interface to a thread, if `wanted` says so and it is not so already.
    ///
    /// # Errors
    /// When the interface cannot be asked or changed: it has no NAPI, `/sys` is read-only or of another
    /// network namespace. Nothing is lost but speed.
    pub fn arrange(interface: &str, wanted: ThreadedNapi) -> Result<Option<Self>> {
        if wanted == ThreadedNapi::Off {
            return Ok(None);
        }
        let folder = Path::new("/sys/class/net").join(interface);
        if read(&folder.join("ifindex"))? != index(interface).to_string() {
            bail!("/sys shows another network namespace's {interface}");
        }
        if wanted == ThreadedNapi::Auto && !alone(&folder)? {
            return Ok(None);
        }
        let switch = folder.join("threaded");
        if read(&switch)? != "0" {
            return Ok(None);
        }
        fs::write(&switch, "1").with_context(|| switch.display().to_string())?;
        Ok(Some(Self { switch }))
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        // The interface may be gone, and the switch with it.
        if let Err(error) = fs::write(&self.switch, "0") {
            tracing::debug!("{}: {error}", self.switch.display());
        }
    }
}

/// Whether one processor of several would receive everything.
fn alone(folder: &Path) -> Result<bool> {
    let queues = folder.join("queues");
    let entries = fs::read_dir(&queues).with_context(|| queues.display().to_string())?;
    let receiving = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("rx-"))
        .count();
    Ok(receiving == 1 && thread::available_parallelism().is_ok_and(|count| count.get() > 1))
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
        assert!(Polling::arrange("no such interface", ThreadedNapi::Off).unwrap().is_none());
    }

    #[test]
    fn a_missing_interface_is_named() {
        let error = Polling::arrange("nowhere0", ThreadedNapi::On).unwrap_err();
        assert!(format!("{error:#}").contains("/sys/class/net/nowhere0"), "{error:#}");
    }
}
