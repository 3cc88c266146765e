//! Where the compiler of the kernel programs is: the one place that knows.
//!
//! The programs need `-Z build-std=core`, so a compiler with its library's sources that accepts
//! unstable flags, and `bpf-linker`. This file uses nothing but the standard library: it is a module
//! of xtask, and `responder/build.rs` includes it by path.

use std::{
    env,
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    process::Command,
};

/// The LLVM of the `bpf-linker` that `cargo xtask setup` builds. It reads the bitcode of compilers
/// with this LLVM or an older one.
pub const LLVM: u32 = 22;

/// The oldest compiler that the workspace accepts (`rust-version` in `Cargo.toml`): 1.this.
const OLDEST_MINOR: u32 = 95;

/// A cargo and a rustc that can build `core` for the BPF target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// The cargo.
    pub cargo: PathBuf,
    /// The rustc.
    pub rustc: PathBuf,
    /// Whether the compiler takes unstable flags only with `RUSTC_BOOTSTRAP=1`.
    pub bootstrap: bool,
}

/// Why there is no toolchain: what was looked at and what each lacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing(Vec<String>);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

/// Finds the toolchain: the one that `RESPONDER_EBPF_CARGO` and `RESPONDER_EBPF_RUSTC` name, else a
/// rustup nightly with `rust-src`, else Debian's `rustc-web`.
///
/// # Errors
/// What was looked at and what each lacked.
pub fn find() -> Result<Toolchain, Missing> {
    if let Some(chosen) = from_environment() {
        return chosen.map_err(|fault| Missing(vec![fault]));
    }
    let mut faults = Vec::new();
    for candidate in nightlies().into_iter().chain([debian()]) {
        match examine(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(fault) => faults.push(format!("{}: {fault}", candidate.rustc.display())),
        }
    }
    Err(Missing(faults))
}

/// Finds `bpf-linker` in `PATH`, else where `cargo install` puts it.
pub fn bpf_linker() -> Option<PathBuf> {
    let installed = cargo_home().map(|home| home.join("bin"));
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(installed)
        .map(|folder| folder.join("bpf-linker"))
        .find(|file| file.is_file() && runs(file))
}

/// Both variables name files: the choice is taken as it is. One alone is a mistake.
fn from_environment() -> Option<Result<Toolchain, String>> {
    let (cargo, rustc) =
        (file_variable("RESPONDER_EBPF_CARGO"), file_variable("RESPONDER_EBPF_RUSTC"));
    match (cargo, rustc) {
        (None, None) => None,
        (Some(cargo), Some(rustc)) => Some(version(&rustc).map(|version| Toolchain {
            cargo,
            rustc,
            bootstrap: !version.nightly,
        })),
        _ => Some(Err("RESPONDER_EBPF_CARGO and RESPONDER_EBPF_RUSTC go together".into())),
    }
}

fn file_variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Every rustup toolchain called nightly, the plain one first, then the dated ones from the newest.
fn nightlies() -> Vec<Toolchain> {
    let home = env::var_os("RUSTUP_HOME").map(PathBuf::from).or_else(|| home(".rustup"));
    let Some(entries) = home.and_then(|home| home.join("toolchains").read_dir().ok()) else {
        return Vec::new();
    };
    let mut names: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    names.retain(|path| file_name(path).starts_with("nightly"));
    // A dated one has a digit after the dash; `nightly-x86_64…` sorts above every digit.
    names.sort_by(|a, b| b.cmp(a));
    names
        .into_iter()
        .map(|path| Toolchain {
            cargo: path.join("bin/cargo"),
            rustc: path.join("bin/rustc"),
            bootstrap: false,
        })
        .collect()
}

fn debian() -> Toolchain {
    Toolchain { cargo: "/usr/bin/cargo".into(), rustc: "/usr/bin/rustc".into(), bootstrap: true }
}

/// Whether a candidate will do.
fn examine(candidate: &Toolchain) -> Result<(), String> {
    if !candidate.cargo.is_file() || !candidate.rustc.is_file() {
        return Err("not installed".into());
    }
    // <sysroot>/bin/rustc stands beside <sysroot>/lib/rustlib.
    let sysroot = candidate.rustc.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
    if !sysroot.join("lib/rustlib/src/rust/library/core/src/lib.rs").is_file() {
        return Err("the library's sources are missing (rust-src, or Debian's rust-web-src)".into());
    }
    let version = version(&candidate.rustc)?;
    if version.minor < OLDEST_MINOR {
        return Err(format!("1.{} is older than 1.{OLDEST_MINOR}", version.minor));
    }
    if version.llvm > LLVM {
        return Err(format!("its LLVM {} is newer than bpf-linker's {LLVM}", version.llvm));
    }
    Ok(())
}

struct Version {
    minor: u32,
    llvm: u32,
    nightly: bool,
}

fn version(rustc: &Path) -> Result<Version, String> {
    let output = Command::new(rustc)
        .arg("-vV")
        // Inside a build script these speak of the outer compiler.
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("RUSTC_BOOTSTRAP")
        .output()
        .map_err(|error| format!("{} does not start: {error}", rustc.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let number = |text: &str, part: usize| text.split('.').nth(part)?.parse().ok();
    let unclear = || format!("{} -vV is not understood", rustc.display());
    let release = field("release: ").ok_or_else(unclear)?;
    Ok(Version {
        minor: number(release, 1).ok_or_else(unclear)?,
        llvm: field("LLVM version: ").and_then(|llvm| number(llvm, 0)).ok_or_else(unclear)?,
        nightly: release.contains("nightly") || release.contains("dev"),
    })
}

fn runs(program: &Path) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

fn cargo_home() -> Option<PathBuf> {
    env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| home(".cargo"))
}

fn home(folder: &str) -> Option<PathBuf> {
    env::var_os("HOME")
        .filter(|home: &OsString| !home.is_empty())
        .map(|h| Path::new(&h).join(folder))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
