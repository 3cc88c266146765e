//! The kernel, from Debian's package: fetched and unpacked, not installed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail, ensure};

use crate::process;

/// The package that depends on Debian's newest kernel for virtual machines.
const META: &str = "linux-image-cloud-amd64";
/// How the packages of Debian 12's kernel begin.
const SERIES: &str = "linux-image-6.1.0-";

/// A kernel and its modules.
#[derive(Debug)]
pub struct Kernel {
    /// What a boot loader loads.
    pub image: PathBuf,
    modules: PathBuf,
}

impl Kernel {
    /// A module's file.
    ///
    /// # Errors
    /// When the package has none of that name, plain: a compressed one is for another loader.
    pub fn module(&self, path: &str) -> anyhow::Result<PathBuf> {
        let file = self.modules.join("kernel").join(path);
        ensure!(file.is_file(), "the kernel's package has no {}", file.display());
        Ok(file)
    }
}

/// The kernel of a package, unpacked into the cache: the package given, else Debian 12's newest, which
/// is fetched if it is not there yet. apt checks its signature.
///
/// # Errors
/// When there is no such package or it is not one of a kernel.
pub fn kernel(cache: &Path, given: Option<&Path>) -> anyhow::Result<Kernel> {
    let package = match given {
        Some(package) => package.to_owned(),
        None => fetch(cache)?,
    };
    let name = package.file_stem().context("a package has a name")?;
    let folder = cache.join(name);
    if !folder.is_dir() {
        // Unpacked beside and renamed, so that what is there is whole.
        let half = cache.join("unpacking");
        _ = fs::remove_dir_all(&half);
        process::output(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&half))?;
        fs::rename(&half, &folder)?;
    }
    let only = |folder: PathBuf, prefix: &str| -> anyhow::Result<PathBuf> {
        let entries = folder.read_dir().with_context(|| folder.display().to_string())?;
        let mut paths = entries.flatten().map(|entry| entry.path()).filter(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
        });
        paths.next().with_context(|| format!("{} holds no {prefix}", folder.display()))
    };
    let modules = match only(folder.join("lib/modules"), "") {
        Ok(modules) => modules,
        // Where /lib is /usr/lib, packages came to say so.
        Err(_) => only(folder.join("usr/lib/modules"), "")?,
    };
    Ok(Kernel { image: only(folder.join("boot"), "vmlinuz-")?, modules })
}

/// Fetches the package unless it is there.
fn fetch(cache: &Path) -> anyhow::Result<PathBuf> {
    let remedy = "`apt-get update`, or give a package: --kernel FILE.deb (from \
                  https://packages.debian.org/bookworm/linux-image-cloud-amd64)";
    let depends = process::output(Command::new("apt-cache").args(["depends", META]));
    let depends = depends.context(remedy)?;
    let found = depends.split_whitespace().find(|word| word.starts_with(SERIES));
    let Some(name) = found else {
        bail!("this system's {META} is not Debian 12's ({SERIES}…): {remedy}");
    };
    let version =
        process::output(Command::new("apt-cache").args(["show", "--no-all-versions", name]));
    let version = version.context(remedy)?;
    let version = version.lines().find_map(|line| line.strip_prefix("Version: "));
    let version = version.with_context(|| format!("apt does not know {name}: {remedy}"))?;
    let package = cache.join(format!("{name}_{version}_amd64.deb"));
    if !package.is_file() {
        println!("fetching {name} {version} from Debian");
        let mut download = Command::new("apt-get");
        download.current_dir(cache).args(["download", "-q", &format!("{name}={version}")]);
        process::output(&mut download).context(remedy)?;
        ensure!(package.is_file(), "apt-get download left no {}", package.display());
    }
    Ok(package)
}
