//! Builds the kernel programs (`responder-ebpf`) and leaves the object at `$OUT_DIR/responder-ebpf`.
//!
//! aya-build would do nearly this, but it sets the compiler's flags by itself, and ours matter: the
//! v3 instruction set, misaligned loads and BTF.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use toolchain::Toolchain;

#[path = "../xtask/src/toolchain.rs"]
mod toolchain;

const PACKAGE: &str = "responder-ebpf";
const TARGET: &str = "bpfel-unknown-none";

fn main() -> ExitCode {
    let Err(fault) = build() else { return ExitCode::SUCCESS };
    let (message, code) = match fault {
        // Cargo fails the build by this line and shows nothing else.
        Fault::Missing(message) => (message, ExitCode::SUCCESS),
        // Cargo shows what the compiler said.
        Fault::Compiler(message) => (message, ExitCode::FAILURE),
    };
    println!("cargo::error=the kernel programs cannot be built: {message}");
    code
}

/// Why there is no object.
enum Fault {
    /// Something is not there.
    Missing(String),
    /// The compiler ran and failed.
    Compiler(String),
}

impl From<String> for Fault {
    fn from(message: String) -> Self {
        Self::Missing(message)
    }
}

fn build() -> Result<(), Fault> {
    // Asked for at run time: two checkouts may share the folder in which this script was compiled.
    let manifest =
        env::var_os("CARGO_MANIFEST_DIR").ok_or("CARGO_MANIFEST_DIR is not set".to_owned())?;
    let workspace = Path::new(&manifest).join("..");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set".to_owned())?);

    for name in ["RESPONDER_EBPF_CARGO", "RESPONDER_EBPF_RUSTC"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let sources =
        ["responder-ebpf", "responder-common/src", "responder-common/Cargo.toml", "Cargo.toml"];
    for source in sources.into_iter().chain(["Cargo.lock", "xtask/src/toolchain.rs"]) {
        println!("cargo::rerun-if-changed={}", workspace.join(source).display());
    }
    println!("cargo::rerun-if-changed=build.rs");

    let remedy = "run `cargo xtask setup`";
    let toolchain = toolchain::find()
        .map_err(|missing| format!("no compiler for the BPF target ({missing}): {remedy}"))?;
    let linker = toolchain::bpf_linker().ok_or(format!("bpf-linker is missing: {remedy}"))?;
    // A new compiler or linker makes a new object.
    println!("cargo::rerun-if-changed={}", toolchain.rustc.display());
    println!("cargo::rerun-if-changed={}", linker.display());

    println!("cargo::rustc-env=RESPONDER_COMPILER={}", compiler(&workspace)?);

    let target_dir = out.join("ebpf-target");
    compile(&toolchain, &linker, &workspace, &target_dir)?;
    let object = target_dir.join(TARGET).join("release").join(PACKAGE);
    fs::copy(&object, out.join(PACKAGE))
        .map_err(|error| format!("{}: {error}", object.display()))?;
    Ok(())
}

/// A sum (FNV-1a) of all that decides what is made of a zone: two programs with the same may go on with each
/// other's stores.
fn compiler(workspace: &Path) -> Result<u64, String> {
    let mut files = vec![workspace.join("Cargo.lock")];
    let mut folders: Vec<PathBuf> =
        ["responder/src/zone", "responder/src/store", "responder-common/src"]
            .map(|folder| workspace.join(folder))
            .into();
    let failed = |path: &Path, error| format!("{}: {error}", path.display());
    while let Some(folder) = folders.pop() {
        println!("cargo::rerun-if-changed={}", folder.display());
        for entry in fs::read_dir(&folder).map_err(|error| failed(&folder, error))? {
            let path = entry.map_err(|error| failed(&folder, error))?.path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    for file in files {
        for octet in fs::read(&file).map_err(|error| failed(&file, error))? {
            sum = (sum ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    Ok(sum)
}

fn compile(
    toolchain: &Toolchain,
    linker: &Path,
    workspace: &Path,
    target_dir: &Path,
) -> Result<(), Fault> {
    let mut cargo = Command::new(&toolchain.cargo);
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(belongs_to_outer_build) {
            cargo.env_remove(name);
        }
    }
    cargo
        .current_dir(workspace)
        .args(["build", "--release", "--locked", "-Z", "build-std=core"])
        .args(["--package", PACKAGE, "--bin", PACKAGE, "--target", TARGET, "--target-dir"])
        .arg(target_dir)
        .env("RUSTC", &toolchain.rustc)
        .env("CARGO_ENCODED_RUSTFLAGS", flags(linker).join("\x1f"));
    if env::var_os("CARGO_FEATURE_OTHER_LAYOUT").is_some() {
        cargo.args(["--features", "other-layout"]);
    }
    if toolchain.bootstrap {
        cargo.env("RUSTC_BOOTSTRAP", "1");
    }
    let status =
        cargo.status().map_err(|error| format!("{}: {error}", toolchain.cargo.display()))?;
    if status.success() {
        Ok(())
    } else {
        Err(Fault::Compiler(format!("{PACKAGE} does not compile; the reasons stand below")))
    }
}

fn flags(linker: &Path) -> [String; 6] {
    [
        // What aya-ebpf looks at to know the registers of the kernel's processor.
        "--cfg=bpf_target_arch=\"x86_64\"".into(),
        "-Cdebuginfo=2".into(),
        format!("-Clinker={}", linker.display()),
        "-Clink-arg=--btf".into(),
        // rustc passes `--cpu generic` on; without these a copy costs 1.7 times as much.
        "-Ctarget-cpu=v3".into(),
        "-Clink-arg=--cpu-features=+alu32,+allows-misaligned-mem-access".into(),
    ]
}

/// Variables by which the outer cargo, rustup or clippy would reach into the inner build. What says
/// where to download from, and the job server, stay.
fn belongs_to_outer_build(name: &str) -> bool {
    let kept = ["CARGO_HOME", "CARGO_MAKEFLAGS"].contains(&name)
        || ["CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR", "CARGO_SOURCE_", "CARGO_TERM_"]
            .iter()
            .any(|prefix| name.starts_with(prefix));
    let foreign = ["CARGO", "RUSTC", "RUSTDOC", "RUSTFLAGS", "RUSTUP_TOOLCHAIN", "CLIPPY_"]
        .iter()
        .any(|prefix| name.starts_with(prefix));
    let build_script = ["TARGET", "HOST", "OUT_DIR", "PROFILE", "OPT_LEVEL", "DEBUG", "NUM_JOBS"];
    (foreign && !kept) || build_script.contains(&name)
}
