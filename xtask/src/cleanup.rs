//! What must not outlive xtask: namespaces, their processes and scratch folders.
//!
//! A guard removes its own on drop, so also when a panic unwinds. For SIGINT, SIGTERM and SIGHUP a
//! thread removes whatever is registered and exits. After a SIGKILL nobody is left to do it: names
//! carry the process id, and the next start sweeps what belongs to no living xtask.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI32, AtomicU32, Ordering},
    },
    thread,
};

use anyhow::Context as _;

use crate::net;

/// Everything temporary is called `responder-<pid>-<number>`, plus a role where there are several.
pub const PREFIX: &str = "responder-";

/// The folder in a scratch folder on which [`Scratch::mount_bpffs`] mounts one.
const BPFFS: &str = "bpf";

/// Something to remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A network namespace, and the processes inside.
    Namespace(String),
    /// A folder with what it holds.
    Folder(PathBuf),
}

impl Item {
    fn remove(&self) {
        match self {
            Self::Namespace(name) => net::destroy(name),
            Self::Folder(path) => {
                unmount(&path.join(BPFFS));
                _ = fs::remove_dir_all(path);
            }
        }
    }
}

/// A scratch folder that only this user may enter; removed on drop.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes the folder.
    ///
    /// # Errors
    /// When the temporary folder of the system cannot be written.
    pub fn create() -> anyhow::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let path = std::env::temp_dir().join(unique_name());
        create(Item::Folder(path.clone()), || {
            fs::DirBuilder::new()
                .mode(0o700)
                .create(&path)
                .with_context(|| path.display().to_string())
        })?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Mounts a bpffs in the folder. What is pinned there outlives its process, and goes with the folder.
    ///
    /// # Errors
    /// When not root.
    pub fn mount_bpffs(&self) -> anyhow::Result<PathBuf> {
        let path = self.0.join(BPFFS);
        fs::create_dir(&path).with_context(|| path.display().to_string())?;
        let mut mount = process::Command::new("mount");
        crate::process::output(mount.args(["-t", "bpf", "bpf"]).arg(&path))?;
        Ok(path)
    }
}

/// Unmounts, if there is a mount.
fn unmount(path: &Path) {
    use std::os::unix::ffi::OsStrExt as _;
    let Ok(path) = std::ffi::CString::new(path.as_os_str().as_bytes()) else { return };
    // SAFETY: the string ends with a zero and outlives the call.
    unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH | libc::UMOUNT_NOFOLLOW) };
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&Item::Folder(self.0.clone()));
    }
}

static REGISTERED: Mutex<Vec<Item>> = Mutex::new(Vec::new());
static NUMBER: AtomicU32 = AtomicU32::new(1);
static PIPE: AtomicI32 = AtomicI32::new(-1);
static EXIT_CODE: AtomicI32 = AtomicI32::new(-1);

/// A name that no living xtask uses.
pub fn unique_name() -> String {
    format!("{PREFIX}{}-{}", process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// Registers an item, then makes it. A signal waits until it is made, or comes first and nothing is.
///
/// # Errors
/// Those of `make`; what it left is removed.
pub fn create(item: Item, make: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut registered = registered();
    registered.push(item);
    let made = make();
    if made.is_err()
        && let Some(item) = registered.pop()
    {
        item.remove();
    }
    made
}

/// Removes an item that was registered.
pub fn remove(item: &Item) {
    let mut registered = registered();
    if let Some(index) = registered.iter().position(|other| other == item) {
        registered.swap_remove(index).remove();
    }
}

/// From now on a signal means the regular end: exit code 0.
pub fn interruption_is_success() {
    EXIT_CODE.store(0, Ordering::Relaxed);
}

/// Waits for the removal that a signal has begun, if one has: then the process ends there. To be
/// called last in `main`.
pub fn finish() {
    drop(registered());
}

/// Removes what earlier, killed runs left behind.
pub fn sweep() {
    let left = registered();
    let in_use = |item: &Item| left.contains(item);
    for item in leftovers() {
        if !in_use(&item) {
            item.remove();
        }
    }
}

/// Makes SIGINT, SIGTERM and SIGHUP remove what is registered. Children are not affected: a handler
/// ends with `exec`.
///
/// # Errors
/// When the kernel refuses a pipe or a handler.
pub fn on_signals() -> io::Result<()> {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for the two descriptors.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    PIPE.store(ends[1], Ordering::SeqCst);
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: all zeros is a valid sigaction, and the handler does only what a handler may.
        let result = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = note_signal as *const () as libc::sighandler_t;
            action.sa_flags = libc::SA_RESTART;
            libc::sigaction(signal, &action, std::ptr::null_mut())
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    let reader = ends[0];
    thread::spawn(move || {
        let mut signal = 0_u8;
        // SAFETY: one octet is read into one octet; the descriptor is never closed.
        while unsafe { libc::read(reader, (&raw mut signal).cast(), 1) } != 1 {}
        let mut registered = registered(); // never released: nothing new is made
        for item in registered.drain(..).rev() {
            item.remove();
        }
        let code = EXIT_CODE.load(Ordering::Relaxed);
        if code == 0 {
            println!("\nended");
        }
        process::exit(if code >= 0 { code } else { 128 + i32::from(signal) });
    });
    Ok(())
}

extern "C" fn note_signal(signal: libc::c_int) {
    let octet = signal as u8;
    // SAFETY: write is async-signal-safe, and one octet is read from one octet.
    unsafe { libc::write(PIPE.load(Ordering::SeqCst), (&raw const octet).cast(), 1) };
}

fn registered() -> MutexGuard<'static, Vec<Item>> {
    REGISTERED.lock().unwrap_or_else(PoisonError::into_inner)
}

fn leftovers() -> Vec<Item> {
    let names = |folder: &Path| -> Vec<String> {
        let entries = folder.read_dir().into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| owner(name).is_some_and(|pid| !is_living_xtask(pid))).collect()
    };
    let temporary = std::env::temp_dir();
    let folders = names(&temporary).into_iter().map(|name| Item::Folder(temporary.join(name)));
    names(Path::new(net::NAMESPACES)).into_iter().map(Item::Namespace).chain(folders).collect()
}

/// The process that made what carries this name.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

/// Our own id counts as dead: what we made ourselves is registered.
fn is_living_xtask(pid: u32) -> bool {
    pid != process::id()
        && fs::read_to_string(format!("/proc/{pid}/comm"))
            .is_ok_and(|name| name.starts_with("xtask"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_their_owner() {
        assert_eq!(owner(&unique_name()), Some(process::id()));
        assert_eq!(owner("responder-17-3-client"), Some(17));
        assert_eq!(owner("responder-state"), None);
        assert_eq!(owner("somebody-17-3"), None);
    }

    #[test]
    fn scratch_goes_with_its_guard_and_stays_until_then() {
        let scratch = Scratch::create().expect("a folder");
        let path = scratch.path().to_owned();
        fs::write(path.join("file"), "x").expect("writable");
        sweep();
        assert!(path.join("file").exists(), "a sweep spares what is in use");
        drop(scratch);
        assert!(!path.exists());
    }

    #[test]
    fn a_sweep_removes_what_a_dead_process_left() {
        // Process ids stay below 2^22, so this one never lives.
        let left = std::env::temp_dir().join(format!("{PREFIX}4999999-1"));
        fs::create_dir_all(&left).expect("a folder");
        sweep();
        assert!(!left.exists());
    }
}
