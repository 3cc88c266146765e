//! The files that a process reaches, whatever its user may (landlock(7)).

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use landlock::{
    ABI, Access, AccessFs, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetStatus, Scope,
};
use tracing::debug;

use crate::config::{AnnouncedBy, Config, Trust, Zone, ZoneSource};

/// What is asked of the kernel; one that knows less gives what it has.
const KNOWN: ABI = ABI::V6;

/// What may be done below a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Use {
    /// Read files and folders.
    Read,
    /// And run programs.
    Run,
    /// Read and change files that are there.
    Change,
    /// Make and remove them too, and folders and sockets.
    Own,
}

impl Use {
    fn rights(self) -> BitFlags<AccessFs> {
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        match self {
            Self::Read => read,
            Self::Run => read | AccessFs::Execute,
            Self::Change => read | AccessFs::WriteFile | AccessFs::Truncate,
            Self::Own => AccessFs::from_all(KNOWN) & !(AccessFs::Execute | AccessFs::MakeBlock),
        }
    }
}

/// Paths, and what may be done below each.
pub(super) type Reach = BTreeSet<(PathBuf, Use)>;

/// Where the system has programs, and what these read to start.
const PROGRAMS: [&str; 6] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64"];
const SYSTEM: [&str; 11] = [
    "/etc/alternatives",
    "/etc/group",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/resolv.conf",
    "/etc/ssl",
    "/proc",
    "/sys",
];
const DEVICES: [&str; 2] = ["/dev/null", "/dev/urandom"];

/// What the daemon reaches: what its configuration names.
pub(super) fn of_daemon(config: &Config, file: &Path) -> Reach {
    let mut reach = Reach::new();
    reach.insert((config.node.state.clone(), Use::Own));
    reach.extend(PROGRAMS.map(|path| (path.into(), Use::Run)));
    reach.extend(SYSTEM.map(|path| (path.into(), Use::Read)));
    reach.extend(DEVICES.map(|path| (path.into(), Use::Change)));
    let mut read = vec![file];
    read.extend(config.keys.iter().map(|key| key.secret_file.as_path()));
    read.extend(config.cookies.secret_file.as_deref());
    for profile in &config.tls {
        if let Trust::Authorities(file) = &profile.trust {
            read.push(file);
        }
    }
    let listener = config.transfer.tls.as_ref();
    read.extend(listener.and_then(|tls| tls.client_ca.as_deref()));
    let profiles = config.tls.iter().filter_map(|profile| profile.identity.as_ref());
    for identity in profiles.chain(listener.map(|tls| &tls.identity)) {
        read.extend([identity.certificate.as_path(), identity.key.as_path()]);
    }
    for Zone { source, guards, .. } in config.zones.iter().chain(&config.templates) {
        if let ZoneSource::File(file) = source {
            read.push(file);
        }
        if let Some(check) = &guards.check {
            reach.insert((around(&check.program), Use::Run));
        }
    }
    for service in &config.services {
        match &service.announcer {
            AnnouncedBy::BirdInclude { file, .. } => {
                reach.insert((around(file), Use::Own));
            }
            AnnouncedBy::ExaBgp { folder, .. } => {
                reach.insert((folder.clone(), Use::Own));
            }
            AnnouncedBy::Nobody
            | AnnouncedBy::BirdProtocols { .. }
            | AnnouncedBy::Address { .. } => {}
        }
    }
    reach.extend(read.into_iter().map(|file| (around(file), Use::Read)));
    reach
}

/// What the helper reaches: pins, and the switches of interfaces.
pub(super) fn of_helper(pins: &Path) -> Reach {
    let mut reach = Reach::from([
        (pins.to_owned(), Use::Own),
        ("/proc".into(), Use::Read),
        ("/sys".into(), Use::Read),
        ("/sys/class/net".into(), Use::Change),
        ("/sys/devices".into(), Use::Change),
    ]);
    // The folder itself is removed when nothing is pinned any more.
    reach.extend(pins.parent().map(|parent| (parent.to_owned(), Use::Own)));
    reach
}

/// The folder of a file, since a file that is replaced is another one; the file alone where the folder is
/// the root.
fn around(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if folder.as_os_str().is_empty() => PathBuf::from("."),
        Some(folder) if folder.parent().is_some() => folder.to_owned(),
        _ => file.to_owned(),
    }
}

/// Confines this thread, and what it starts, to what it is to reach; sets `no_new_privs`. How much of it the
/// kernel enforces.
pub(super) fn confine(reach: &Reach) -> Result<&'static str> {
    let told = "the kernel refuses landlock's rules";
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))
        .and_then(|rules| rules.scope(Scope::Signal))
        .and_then(Ruleset::create)
        .context(told)?;
    for (path, usage) in reach {
        let Ok(open) = PathFd::new(path) else {
            debug!("{} cannot be reached", path.display());
            continue;
        };
        let mut rights = usage.rights();
        if !path.is_dir() {
            rights &= AccessFs::from_file(KNOWN);
        }
        rules = rules.add_rule(PathBeneath::new(open, rights)).context(told)?;
    }
    let status = rules.restrict_self().context(told)?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => "whole",
        RulesetStatus::PartiallyEnforced => "in part",
        RulesetStatus::NotEnforced => "no",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_reached_through_its_folder() {
        assert_eq!(around(Path::new("/etc/responder/keys/k")), Path::new("/etc/responder/keys"));
        assert_eq!(around(Path::new("r.toml")), Path::new("."));
        assert_eq!(around(Path::new("/r.toml")), Path::new("/r.toml"));
    }

    #[test]
    fn a_daemon_reaches_what_its_configuration_names() {
        let text = "[node]\nstate = \"/s\"\n[listen]\naddresses = [\"192.0.2.1\"]\n[xdp]\nmode = \
                    \"off\"\n[[key]]\nname = \"k.\"\nsecret-file = \"/k/one/k\"\n[[zone]]\nname = \
                    \"a.\"\nfile = \"/z/a/a.zone\"\n";
        let file = Path::new("/c/responder/r.toml");
        let reading = Config::parse(file, text);
        assert_eq!(reading.faults, []);
        let reach = of_daemon(&reading.config, file);
        let has = |path: &str, usage| reach.contains(&(path.into(), usage));
        assert!(has("/s", Use::Own) && has("/c/responder", Use::Read));
        assert!(has("/k/one", Use::Read) && has("/z/a", Use::Read));
        assert!(
            !reach
                .iter()
                .any(|(path, _)| ["/", "/etc", "/root"].map(Path::new).contains(&path.as_path()))
        );
    }
}
