//! What the guest finds in its memory: our programs, the system's that they call, libraries, modules,
//! zones. Paths of this checkout are kept, since the tests look for the sample zones there.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};

use super::{cpio::Archive, debian::Kernel, guest};
use crate::{
    process,
    refereeing::{
        peers::Zone,
        sign::{Denial, sign},
    },
};

/// What was built for the guest.
#[derive(Debug)]
pub struct Programs {
    /// `responder`.
    pub daemon: PathBuf,
    /// Tests, by name.
    pub tests: BTreeMap<String, PathBuf>,
}

/// Programs of this system that are needed inside.
const TOOLS: [&str; 4] = ["ip", "tc", "ethtool", "kzonesign"];

/// Makes the initramfs in `folder`.
///
/// # Errors
/// When something is missing, or cannot be read or written.
pub fn make(folder: &Path, kernel: &Kernel, programs: &Programs) -> anyhow::Result<PathBuf> {
    let file = folder.join("initramfs");
    let mut archive = Archive::create(&file).with_context(|| file.display().to_string())?;
    for empty in ["/proc", "/sys", "/dev", "/run", "/tmp"] {
        archive.folder(Path::new(empty))?;
    }
    // The first process's input and output, before /dev is mounted.
    archive.device(Path::new("/dev/console"), 5, 1)?;

    let mut ours = vec![(guest::FIRST.into(), env::current_exe()?)];
    ours.push((guest::DAEMON.into(), programs.daemon.clone()));
    for (name, path) in &programs.tests {
        ours.push((guest::test(name), path.clone()));
    }
    for (to, from) in ours {
        let to: PathBuf = to;
        let stripped = folder.join(to.file_name().context("a program has a name")?);
        process::output(Command::new("strip").arg("-o").arg(&stripped).arg(&from))?;
        archive.copy(&stripped, &to)?;
        libraries(&mut archive, &from)?;
    }
    for name in TOOLS {
        let path = find(name)?;
        archive.copy(&path, &Path::new("/bin").join(name))?;
        libraries(&mut archive, &path)?;
    }
    for path in guest::MODULES {
        let file = kernel.module(path)?;
        archive.copy(&file, &guest::module(path))?;
    }
    zones(&mut archive, folder)?;
    archive.finish()?;
    Ok(file)
}

/// The sample zones where they are here, and signed in each way.
fn zones(archive: &mut Archive<std::io::BufWriter<fs::File>>, folder: &Path) -> anyhow::Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.join("..").canonicalize()?;
    archive.copy_all(&root.join("zones"), &root.join("zones"))?;
    let fixtures = root.join("responder/tests/fuzz/fixtures");
    archive.copy_all(&fixtures, &fixtures)?;
    // Tests go up from the folders of their crates.
    archive.folder(here)?;

    for zone in Zone::all_in(&root.join("zones"))? {
        for denial in [Denial::Nsec, Denial::Nsec3, Denial::Nsec3OptOut] {
            // kzonesign writes LOC and URI as text, which our reader takes in the form of RFC 3597 only.
            let plain = zone.apex.to_string() == "rare.example.";
            let signed = if plain { zone.clone() } else { sign(&zone, denial, folder)? };
            let name = signed.file.file_name().context("a zone file has a name")?;
            archive.copy(&signed.file, &guest::zones(denial).join(name))?;
        }
    }
    Ok(())
}

/// Adds the libraries of a program, and its loader.
fn libraries(
    archive: &mut Archive<std::io::BufWriter<fs::File>>,
    program: &Path,
) -> anyhow::Result<()> {
    let list = process::output(Command::new("ldd").arg(program))?;
    for line in list.lines() {
        ensure!(!line.contains("not found"), "{}: {}", program.display(), line.trim());
        if let Some(path) = line.split_whitespace().find(|word| word.starts_with('/')) {
            archive.copy(Path::new(path), Path::new(path))?;
        }
    }
    Ok(())
}

fn find(name: &str) -> anyhow::Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut candidates = env::split_paths(&path).map(|folder| folder.join(name));
    candidates
        .find(|file| file.is_file())
        .with_context(|| format!("{name} is not in PATH: run `cargo xtask setup`"))
}
