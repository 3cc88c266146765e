//! Installing: Debian's packages, crates, components. Everything is announced before it is done.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};

use super::pieces::Remedy;
use crate::process;

/// Debian asks this file whether a package may start its service.
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// The line by which we know our own.
const MARK: &str = "# made by cargo xtask setup, and removed by it";

/// Installs packages so that no server starts, now or at the next boot.
///
/// The script runs as root in one piece, so that what it adds goes away however it ends: a policy
/// file that forbids services to start. An administrator's own policy file is left alone.
const SCRIPT: &str = r#"
set -eu
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
policy=$1 mark=$2
shift 2
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM HUP
    printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >"$policy"
    chmod 755 "$policy"
fi
for unit in nsd knot named unbound pdns bird frr exabgp; do
    # Only servers that come with this installation are kept from starting at boot.
    [ -e "/lib/systemd/system/$unit.service" ] || new="${new:-} $unit"
done
apt-get update -q
apt-get install -y -q --no-install-recommends --no-remove "$@"
for unit in ${new:-}; do
    [ -e "/lib/systemd/system/$unit.service" ] || continue
    update-rc.d "$unit" disable || :
    if command -v systemctl >/dev/null; then systemctl disable --quiet "$unit" || :; fi
done
"#;

/// Installs Debian packages; nothing is done for none.
///
/// # Errors
/// With the line to run by hand, where there is no apt-get or no way to be root, or it fails.
pub fn packages(names: &[&str]) -> anyhow::Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let by_hand = format!("sudo apt-get install {}", names.join(" "));
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!(
            "this is not a Debian system, so these cannot be installed for you: {}. For the kernel \
             programs a rustup nightly with rust-src (`rustup toolchain install nightly --component \
             rust-src`) and a released bpf-linker serve as well",
            names.join(" ")
        );
    }
    if let Some(fault) = policy_fault() {
        bail!("{fault}; then run `{by_hand}` yourself");
    }
    // SAFETY: a plain system call.
    let root = unsafe { libc::geteuid() } == 0;
    let mut command = if root {
        Command::new("sh")
    } else if sudo_works() {
        let mut command = Command::new("sudo");
        command.arg("sh");
        command
    } else {
        bail!("packages are missing and neither root nor sudo is at hand; run `{by_hand}`");
    };
    println!("installing from Debian, without starting any service: {}", names.join(" "));
    command.args(["-c", SCRIPT, "setup", POLICY, MARK]).args(names);
    // Killing a package manager half-way helps nobody, so it is not tied to our life.
    process::run_untied(&mut command, "apt-get install")
        .with_context(|| format!("to see why, run `{by_hand}`"))
}

/// Does one step that is not a Debian package.
///
/// # Errors
/// When it fails, with the line to run by hand.
pub fn step(remedy: &Remedy) -> anyhow::Result<()> {
    let mut command = match remedy {
        Remedy::Packages(_) => return Ok(()),
        Remedy::Cargo { environment, arguments, .. } => {
            println!("building from crates.io: cargo install {}", arguments.join(" "));
            let mut command = Command::new(cargo());
            command.envs(*environment).arg("install").args(*arguments);
            command
        }
        Remedy::Rustup(component) => {
            println!("adding to the toolchain: {component}");
            let mut command = Command::new("rustup");
            command.args(["component", "add", component]);
            command
        }
    };
    process::run(&mut command).with_context(|| remedy.describe())
}

/// The cargo that runs us.
pub fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Removes a policy file that a killed setup left.
pub fn remove_leftovers() {
    if ours(POLICY) && !apt_is_running() {
        _ = fs::remove_file(POLICY);
    }
}

/// An administrator's policy file that lets services start.
fn policy_fault() -> Option<String> {
    if !Path::new(POLICY).exists() || ours(POLICY) {
        return None;
    }
    let verdict = Command::new(POLICY).args(["nsd", "start"]).stdout(Stdio::null()).status();
    match verdict.ok().and_then(|status| status.code()) {
        Some(101) => None,
        _ => Some(format!("{POLICY} lets new services start: make it say no (exit 101)")),
    }
}

fn ours(path: &str) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.contains(MARK))
}

/// Another setup may be at work.
fn apt_is_running() -> bool {
    let processes = Path::new("/proc").read_dir().into_iter().flatten().flatten();
    processes
        .filter_map(|entry| fs::read_to_string(entry.path().join("comm")).ok())
        .any(|name| name.trim() == "apt-get")
}

fn sudo_works() -> bool {
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stdin());
    let without_password = Command::new("sudo").args(["-n", "true"]).stderr(Stdio::null()).status();
    match without_password {
        Ok(status) => status.success() || terminal,
        Err(_) => false,
    }
}
