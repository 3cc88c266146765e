//! What the daemon may do once it runs: as little as serving needs.
//!
//! With `node.user` there are two processes:
//!
//! | process | user | capabilities | system calls | files |
//! |---|---|---|---|---|
//! | the daemon: sockets, zones, transfers, commands | `node.user` | none; `CAP_NET_BIND_SERVICE` until its sockets are bound | [`calls`]; of `bpf` only what reads and writes maps that it was handed | [`reach`]: its state to write; configuration, zones and keys to read; programs of the system to run |
//! | the helper: maps, programs, pins ([`crate::dataplane::helper`]) | as started | `CAP_BPF`, `CAP_PERFMON`, `CAP_NET_ADMIN`, `CAP_SYS_NICE` | [`calls`] and `bpf` | pins, `/sys`; to read `/proc` |
//!
//! Both have `no_new_privs`, and empty ambient, inheritable and bounding sets. What
//! the daemon runs (`check-command`) inherits all of it. A daemon that is not started as root gives up
//! whatever it was granted in the same way, and stays who it is. Started as root without `node.user` it
//! keeps everything, and says so.

mod calls;
mod capabilities;
mod reach;
mod secret;

use std::path::Path;

use anyhow::{Context, Result, bail};
use caps::{CapSet, Capability};
use nix::unistd::{Gid, Uid, User, setgroups, setresgid, setresuid};
use tracing::{info, warn};

pub use calls::Calls;
pub use secret::read as read_secret;

use crate::config::Config;

/// What the helper keeps: maps and programs; hooks of interfaces; the pollers' priority.
const HELPER: [Capability; 4] = [
    Capability::CAP_BPF,
    Capability::CAP_PERFMON,
    Capability::CAP_NET_ADMIN,
    Capability::CAP_SYS_NICE,
];

/// Whether the daemon of this configuration gives its privileges up.
pub fn is_separate(config: &Config) -> bool {
    config.node.user.is_some() || !Uid::effective().is_root()
}

/// Tells the operator of a daemon that gives nothing up.
pub fn advise(config: &Config) {
    if !is_separate(config) {
        warn!("running as root with all of its power: set node.user, such as user = \"responder\"");
    }
}

/// Whether there are privileges that a helper would have to keep in the daemon's place.
pub fn are_worth_keeping() -> bool {
    caps::has_cap(None, CapSet::Permitted, Capability::CAP_BPF).unwrap_or(false)
        || caps::has_cap(None, CapSet::Permitted, Capability::CAP_NET_ADMIN).unwrap_or(false)
}

/// Becomes the daemon's user. Of all capabilities only that for the ports below 1024 is left. To be called
/// while there is one thread.
///
/// # Errors
/// The user is unknown, or this process may not become it: one line with the remedy.
pub fn become_user(config: &Config) -> Result<()> {
    let keep = [Capability::CAP_NET_BIND_SERVICE];
    let Some(name) = &config.node.user else {
        return if is_separate(config) { capabilities::keep(&keep) } else { Ok(()) };
    };
    let user = User::from_name(name).ok().flatten().with_context(|| {
        format!(
            "node.user: there is no user \"{name}\": make it (`useradd --system --shell \
             /usr/sbin/nologin {name}`), or name another"
        )
    })?;
    if !Uid::effective().is_root() {
        if user.uid == Uid::effective() {
            return capabilities::keep(&keep);
        }
        bail!(
            "node.user = \"{name}\": only root can become another user: start as root or as {name}"
        );
    }
    if user.uid.is_root() {
        bail!("node.user = \"{name}\" is root: name another user, or leave the key out");
    }
    capabilities::survive_the_user(|| switch(user.uid, user.gid))
        .with_context(|| format!("cannot become user \"{name}\""))?;
    capabilities::keep(&keep)
}

/// Becomes another user, for good.
fn switch(user: Uid, group: Gid) -> nix::Result<()> {
    setgroups(&[group])?;
    setresgid(group, group, group)?;
    setresuid(user, user, user)
}

/// Shuts the daemon in: no capability, its own files, the system calls that it makes. To be called while
/// there is one thread, when all sockets are bound.
///
/// # Errors
/// The kernel refuses what it has; what it lacks is only told.
pub fn confine(config: &Config, file: &Path) -> Result<()> {
    if !is_separate(config) {
        return Ok(());
    }
    capabilities::keep(&[])?;
    let enforced = reach::confine(&reach::of_daemon(config, file))?;
    calls::confine(Calls::Daemon)?;
    let user = Uid::current();
    info!(user = user.as_raw(), landlock = enforced, seccomp = true, "privileges given up");
    Ok(())
}

/// Shuts the helper in; see [`confine`].
///
/// # Errors
/// As [`confine`].
pub fn confine_helper(pins: &Path) -> Result<()> {
    capabilities::keep(&HELPER)?;
    reach::confine(&reach::of_helper(pins))?;
    calls::confine(Calls::Helper)
}
