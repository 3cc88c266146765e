//! The pieces: what each is for, how it is found, where it comes from.

use std::{env, path::Path, process::Command};

use crate::toolchain;

/// What a piece is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Building the daemon and the kernel programs.
    Build,
    /// The demo.
    Run,
    /// Tests, comparisons with other servers, benches.
    Test,
    /// Another kernel in a virtual machine.
    Vm,
    /// libFuzzer: only for `cargo xtask fuzz`, which asks for it.
    Fuzz,
    /// perf: only for `cargo xtask bench peers --profile`, which asks for it.
    Profile,
}

/// Where a missing piece comes from.
#[derive(Debug)]
pub enum Remedy {
    /// Debian packages.
    Packages(&'static [&'static str]),
    /// A crate, built with the help of Debian packages.
    Cargo {
        /// What building it needs.
        packages: &'static [&'static str],
        /// A variable of its build, if it needs one.
        environment: Option<(&'static str, &'static str)>,
        /// Arguments to `cargo install`.
        arguments: &'static [&'static str],
    },
    /// A component of the toolchain in use.
    Rustup(&'static str),
}

impl Remedy {
    /// What a person would type.
    pub fn describe(&self) -> String {
        let apt = |names: &[&str]| format!("sudo apt-get install {}", names.join(" "));
        match self {
            Self::Packages(names) => format!("remedy: `{}`", apt(names)),
            Self::Cargo { packages, environment, arguments } => format!(
                "remedy: `{} && {}cargo install {}`",
                apt(packages),
                environment.map_or(String::new(), |(name, value)| format!("{name}={value} ")),
                arguments.join(" ")
            ),
            Self::Rustup(component) => format!("remedy: `rustup component add {component}`"),
        }
    }
}

/// Something that a chore needs.
#[derive(Debug)]
pub struct Piece {
    /// What it is.
    pub what: &'static str,
    /// What it is for.
    pub purpose: Purpose,
    /// Finds it, or says what is wrong.
    pub check: fn() -> Result<(), String>,
    /// Where it comes from.
    pub remedy: Remedy,
}

/// Every piece, in the order in which they are reported.
pub fn all() -> Vec<Piece> {
    use Purpose::{Build, Fuzz, Profile, Run, Test, Vm};
    use Remedy::{Cargo, Packages, Rustup};
    let piece = |what, purpose, check, remedy| Piece { what, purpose, check, remedy };
    vec![
        piece(
            "compiler for the kernel programs",
            Build,
            || toolchain::find().map(drop).map_err(|missing| missing.to_string()),
            Packages(&["rustc-web", "rust-web-src", "cargo-web"]),
        ),
        piece(
            "bpf-linker",
            Build,
            || toolchain::bpf_linker().map(drop).ok_or("not in PATH or cargo's bin folder".into()),
            Cargo {
                packages: &[
                    "llvm-22-dev",
                    "libpolly-22-dev",
                    "zlib1g-dev",
                    "libzstd-dev",
                    "libxml2-dev",
                    "g++",
                ],
                environment: Some(("LLVM_PREFIX", "/usr/lib/llvm-22")),
                arguments: &[
                    "bpf-linker@0.13.0",
                    "--no-default-features",
                    "--features",
                    "llvm-22",
                    "--locked",
                ],
            },
        ),
        piece("ip", Run, || program("ip"), Packages(&["iproute2"])),
        piece("ethtool", Run, || program("ethtool"), Packages(&["ethtool"])),
        piece("dig", Run, || program("dig"), Packages(&["bind9-dnsutils"])),
        piece("rustfmt", Test, || component("rustfmt"), Rustup("rustfmt")),
        piece("clippy", Test, || component("cargo-clippy"), Rustup("clippy")),
        piece("NSD", Test, || program("nsd"), Packages(&["nsd"])),
        piece("Knot DNS", Test, || program("knotd"), Packages(&["knot"])),
        piece("BIND", Test, || program("named"), Packages(&["bind9"])),
        piece(
            "PowerDNS", // a secondary and a primary that keeps its zones in a database
            Test,
            || program("pdns_server"),
            Packages(&["pdns-server", "pdns-backend-sqlite3"]),
        ),
        piece("sqlite3", Test, || program("sqlite3"), Packages(&["sqlite3"])), // makes PowerDNS's
        piece("Unbound", Test, || program("unbound"), Packages(&["unbound"])), // validates our replies
        piece("kdig", Test, || program("kdig"), Packages(&["knot-dnsutils"])),
        piece("kzonesign", Test, || program("kzonesign"), Packages(&["knot-dnssecutils"])),
        piece("kxdpgun", Test, || program("kxdpgun"), Packages(&["knot-dnsutils"])),
        piece("dnsperf", Test, || program("dnsperf"), Packages(&["dnsperf"])),
        piece("ldns-signzone", Test, || program("ldns-signzone"), Packages(&["ldnsutils"])),
        piece("bpftool", Test, || program("bpftool"), Packages(&["bpftool"])),
        piece("clang", Test, || program("clang"), Packages(&["clang"])),
        // The routing daemons that announce a node's services, and of which the laboratory's internet is made.
        piece("BIRD", Test, || program("bird"), Packages(&["bird2"])),
        piece("FRR", Test, || file("/usr/lib/frr/bgpd"), Packages(&["frr"])),
        piece("ExaBGP", Test, || program("exabgp"), Packages(&["exabgp"])),
        // What reads the unit in packaging/.
        piece("systemd-analyze", Test, || program("systemd-analyze"), Packages(&["systemd"])),
        piece("ps", Test, || program("ps"), Packages(&["procps"])),
        piece(
            "libbpf's headers",
            Test,
            || file("/usr/include/bpf/bpf_helpers.h"),
            Packages(&["libbpf-dev"]),
        ),
        piece("qemu", Vm, || program("qemu-system-x86_64"), Packages(&["qemu-system-x86"])),
        // The guest's image: programs without their debug information, and the libraries they name.
        piece("strip", Vm, || program("strip"), Packages(&["binutils"])),
        piece("ldd", Vm, || program("ldd"), Packages(&["libc-bin"])),
        piece("perf", Profile, || program("perf"), Packages(&["linux-perf"])),
        piece(
            "cargo-fuzz",
            Fuzz,
            cargo_fuzz,
            Cargo {
                packages: &["g++"], // libFuzzer itself is built with the targets
                environment: None,
                arguments: &["cargo-fuzz", "--locked"],
            },
        ),
    ]
}

/// A program in `PATH`.
fn program(name: &str) -> Result<(), String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).any(|folder| folder.join(name).is_file());
    if found { Ok(()) } else { Err("not in PATH".into()) }
}

/// cargo finds its subcommands in its own folder too.
fn cargo_fuzz() -> Result<(), String> {
    let help = Command::new(super::cargo()).args(["fuzz", "--version"]).output();
    let runs = help.is_ok_and(|out| out.status.success());
    if runs { Ok(()) } else { Err("`cargo fuzz` does not run".into()) }
}

/// A rustup proxy exists even when its component does not, so it must run.
fn component(name: &str) -> Result<(), String> {
    let runs = Command::new(name).arg("--version").output().is_ok_and(|out| out.status.success());
    if runs { Ok(()) } else { Err("does not run".into()) }
}

fn file(path: &str) -> Result<(), String> {
    if Path::new(path).exists() { Ok(()) } else { Err(format!("no {path}")) }
}
