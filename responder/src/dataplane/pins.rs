//! What outlives the daemon: links and counters pinned in a folder of bpffs, one folder for each node.
//!
//! A link holds its program, and the program its maps; so with the links pinned the kernel goes on
//! answering, whatever becomes of the process. The next daemon puts its own programs in the place of the old
//! ones by an atomic update of the links. The store's maps are pinned too, in a folder of their own: the next
//! daemon goes on with them, or builds its own beside where it cannot (`store::adopt`): then a layout of
//! another version, newer or older, is nothing to it.
//!
//! While the links are updated to another store's programs, none is pinned: what is pinned is what is
//! answered from.

use std::{
    ffi::CString,
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{DirBuilderExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow, bail};
use aya::{
    programs::links::{FdLink, LinkError, PinnedLink},
    sys::SyscallError,
};
use nix::unistd::Uid;
use responder_common::verdict::{ROWS, Verdict};

/// Where Linux has its bpffs.
pub const BPFFS: &str = "/sys/fs/bpf";

/// The folder of the store's maps, in that of a node's pins.
const STORE: &str = "store";

/// A hook's part of a pin's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinnedHook {
    /// The driver's hook.
    Xdp,
    /// The tc hook, as a tcx link.
    Tc,
}

/// The folder of one node's pins.
#[derive(Debug)]
pub struct Pins {
    folder: PathBuf,
    /// Whether what is attached is to outlive the process.
    lasting: bool,
    /// Links of this data plane, by the names of their pins.
    used: Vec<String>,
    /// Those of `used` that were not there before.
    made: Vec<String>,
}

impl Pins {
    /// The folder, made if need be; and bpffs mounted if there is none.
    ///
    /// # Errors
    /// One line with the remedy: no permission, or a file system that is no bpffs.
    pub fn open(folder: &Path) -> Result<Self> {
        make(folder).with_context(|| {
            format!(
                "cannot pin the kernel programs in {}: run as root, mount bpffs (`mount -t bpf bpf \
                 {BPFFS}`), or set xdp.pins",
                folder.display()
            )
        })?;
        Ok(Self { lasting: true, ..Self::found(folder) })
    }

    /// What is found there; nothing will be added.
    pub fn found(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), lasting: false, used: Vec::new(), made: Vec::new() }
    }

    /// Whether what is attached outlives the process.
    pub fn is_lasting(&self) -> bool {
        self.lasting
    }

    /// The link of a hook of an interface, if an earlier daemon left one.
    ///
    /// # Errors
    /// When it is there and cannot be had.
    pub fn take(&self, hook: PinnedHook, interface: u32) -> Result<Option<FdLink>> {
        let path = self.folder.join(name(hook, interface));
        match PinnedLink::from_pin(&path) {
            Ok(link) => Ok(Some(link.into())),
            Err(LinkError::SyscallError(SyscallError { io_error, .. }))
                if io_error.kind() == io::ErrorKind::NotFound =>
            {
                Ok(None)
            }
            Err(error) => Err(anyhow!(error).context(path.display().to_string())),
        }
    }

    /// Notes that a link taken from here is ours now.
    pub fn adopted(&mut self, hook: PinnedHook, interface: u32) {
        self.used.push(name(hook, interface));
    }

    /// Pins a new link, if it is to last.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn pin(&mut self, link: FdLink, hook: PinnedHook, interface: u32) -> Result<FdLink> {
        if !self.lasting {
            return Ok(link);
        }
        let name = name(hook, interface);
        let path = self.folder.join(&name);
        // What is there has no interface any more: else it had been adopted.
        remove(&path)?;
        let link = link.pin(&path).with_context(|| path.display().to_string())?.into();
        restrict(&path, 0o600)?;
        self.made.push(name.clone());
        self.used.push(name);
        Ok(link)
    }

    /// Where the counters of these programs are pinned, if they are to last. The name tells the verdicts,
    /// their order and rows, so a program that counts others takes a new map.
    pub fn counters(&self) -> Option<PathBuf> {
        self.lasting.then(|| self.folder.join(counters_name()))
    }

    /// Lets everybody read the counters; writing is for the owner.
    ///
    /// # Errors
    /// When the mode cannot be set.
    pub fn open_counters(&self) -> Result<()> {
        self.counters().map_or(Ok(()), |path| restrict(&path, 0o644))
    }

    /// Where the store's maps are pinned, if they are to last.
    pub fn store(&self) -> Option<PathBuf> {
        self.lasting.then(|| self.folder.join(STORE))
    }

    /// Has nobody go on with the store that is pinned.
    ///
    /// # Errors
    /// When the pins cannot be removed.
    pub fn forget_store(&self) -> Result<()> {
        remove_store(&self.folder.join(STORE))
    }

    /// Removes whatever this data plane does not use: pins of interfaces that are not served any more,
    /// and everything if nothing is to last. How many there were.
    ///
    /// # Errors
    /// When one cannot be removed.
    pub fn settle(&mut self) -> Result<usize> {
        // Pins of an interface that is gone hold nothing but a program.
        self.used.retain(|name| is_there(name));
        if self.lasting {
            let counters = counters_name();
            sweep(&self.folder, |name| {
                name == counters || self.used.iter().any(|used| used == name)
            })
        } else {
            self.forget_store()?;
            sweep(&self.folder, |_| false)
        }
    }

    /// Removes what this data plane has added: what was there before goes on, as it was.
    pub fn undo(&mut self) {
        for name in self.made.drain(..) {
            if let Err(error) = remove(&self.folder.join(name)) {
                tracing::warn!("{error:#}");
            }
        }
    }
}

/// Removes every pin of a folder, and the folder. How many links there were.
///
/// # Errors
/// When one cannot be removed.
pub fn remove_all(folder: &Path) -> Result<usize> {
    let links = sweep(folder, |_| false)?;
    remove_store(&folder.join(STORE))?;
    match fs::remove_dir(folder) {
        Ok(()) => {}
        // Where bpffs was mounted on the very folder, the mount stays; it is empty.
        Err(error) if [Some(libc::EBUSY), Some(libc::ENOENT)].contains(&error.raw_os_error()) => {}
        Err(_) if links == 0 && !Uid::effective().is_root() => {}
        Err(error) => return Err(error).with_context(|| folder.display().to_string()),
    }
    Ok(links)
}

/// The folder of a node that is configured with none. A name on bpffs has no dots, an identity may have.
pub fn default_folder(id: &str) -> PathBuf {
    let mut name = String::new();
    for octet in id.bytes() {
        match octet {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'_' => name.push(octet.into()),
            _ => name.push_str(&format!("%{octet:02X}")),
        }
    }
    Path::new(BPFFS).join("responder").join(name)
}

/// The pin of a hook of an interface, by its number: its name may change.
fn name(hook: PinnedHook, interface: u32) -> String {
    match hook {
        PinnedHook::Xdp => format!("xdp-{interface}"),
        PinnedHook::Tc => format!("tc-{interface}"),
    }
}

/// Whether the interface of a pin is there.
fn is_there(name: &str) -> bool {
    let number = name.split_once('-').and_then(|(_, number)| number.parse().ok()).unwrap_or(0);
    let mut buffer = [0; libc::IF_NAMESIZE];
    // SAFETY: the buffer has as many octets as the longest name.
    !unsafe { libc::if_indextoname(number, buffer.as_mut_ptr()) }.is_null()
}

fn counters_name() -> String {
    let labels: Vec<&str> = Verdict::ALL.iter().map(|verdict| verdict.label()).collect();
    format!("counters-{:08x}", crc32fast::hash(format!("{ROWS} {}", labels.join(" ")).as_bytes()))
}

/// Removes the pins of a folder that are ours by name and not spared. How many links there were.
fn sweep(folder: &Path, spared: impl Fn(&str) -> bool) -> Result<usize> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        // bpffs is root's: who may not even look has pinned nothing there.
        Err(error)
            if error.kind() == io::ErrorKind::PermissionDenied && !Uid::effective().is_root() =>
        {
            return Ok(0);
        }
        entries => entries.with_context(|| folder.display().to_string())?,
    };
    let mut links = 0;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_link = ["xdp-", "tc-"].iter().any(|start| name.starts_with(start));
        if (is_link || name.starts_with("counters-")) && !spared(&name) {
            remove(&entry.path())?;
            links += usize::from(is_link);
        }
    }
    Ok(links)
}

/// Makes a folder for a store's maps, for the owner alone.
///
/// # Errors
/// When it cannot be made, or is there already.
pub(super) fn folder(path: &Path) -> Result<()> {
    DirBuilder::new().mode(0o700).create(path).with_context(|| path.display().to_string())
}

/// Removes a store's pins and their folder.
///
/// # Errors
/// When one cannot be removed.
pub(super) fn remove_store(folder: &Path) -> Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(|| folder.display().to_string())?,
    };
    // Whoever finds a store without its root finds none.
    remove(&folder.join("root"))?;
    for entry in entries {
        remove(&entry?.path())?;
    }
    fs::remove_dir(folder).with_context(|| folder.display().to_string())
}

/// Has only the owner read and write what is in a folder.
///
/// # Errors
/// When a mode cannot be set.
pub(super) fn restrict_all(folder: &Path) -> Result<()> {
    fs::read_dir(folder)?.try_for_each(|entry| restrict(&entry?.path(), 0o600))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| path.display().to_string())
        }
        _ => Ok(()),
    }
}

pub(super) fn restrict(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
        .with_context(|| path.display().to_string())
}

/// Makes the folder on a bpffs.
fn make(folder: &Path) -> Result<()> {
    if folder.starts_with(BPFFS) && !is_bpffs(Path::new(BPFFS))? {
        mount(Path::new(BPFFS))?;
    }
    // Who watches the node may look in; what is in there has modes of its own.
    DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    if !is_bpffs(folder)? {
        mount(folder)?;
    }
    if is_bpffs(folder)? {
        return Ok(());
    }
    bail!("it is not on a bpffs")
}

fn is_bpffs(path: &Path) -> Result<bool> {
    let text = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: zeros are a valid value of this structure of numbers.
    let mut about: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are valid for the call, and the text ends with a zero.
    if unsafe { libc::statfs(text.as_ptr(), &raw mut about) } != 0 {
        return Err(io::Error::last_os_error()).with_context(|| path.display().to_string());
    }
    Ok(about.f_type == libc::BPF_FS_MAGIC)
}

fn mount(path: &Path) -> Result<()> {
    let target = CString::new(path.as_os_str().as_bytes())?;
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    // SAFETY: the strings end with zeros and outlive the call; the last argument is text or nothing.
    let done = unsafe {
        let data = c"mode=0755".as_ptr().cast();
        libc::mount(c"bpf".as_ptr(), target.as_ptr(), c"bpf".as_ptr(), flags, data)
    };
    if done != 0 {
        let error = io::Error::last_os_error();
        return Err(error).with_context(|| format!("mounting bpffs on {}", path.display()));
    }
    tracing::info!("mounted bpffs on {}", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_make_different_names_without_dots() {
        let name = |id: &str| default_folder(id).file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(name("scl1"), "scl1");
        assert_eq!(name("scl1.example"), "scl1%2Eexample");
        assert_eq!(name("../x"), "%2E%2E%2Fx");
        assert_ne!(name("a.b"), name("a_b"));
    }

    #[test]
    fn what_is_not_ours_stays() {
        // 1 is the loopback's number.
        let folder = tempfile::tempdir().unwrap();
        for name in ["xdp-1", "tc-1", "tc-4", &counters_name(), "counters-0", "other"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let mut pins = Pins { lasting: true, ..Pins::found(folder.path()) };
        pins.adopted(PinnedHook::Xdp, 1);
        pins.adopted(PinnedHook::Tc, 1);
        assert_eq!(pins.settle().unwrap(), 1);
        let left = || {
            let entries = fs::read_dir(folder.path()).unwrap();
            let mut names: Vec<String> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        assert_eq!(left(), [counters_name(), "other".into(), "tc-1".into(), "xdp-1".into()]);
        assert_eq!(Pins::found(folder.path()).settle().unwrap(), 2);
        assert_eq!(left(), ["other"]);
    }

    #[test]
    fn a_folder_that_is_not_there_has_no_pins() {
        assert_eq!(remove_all(Path::new("/nowhere/at/all")).unwrap(), 0);
    }
}
