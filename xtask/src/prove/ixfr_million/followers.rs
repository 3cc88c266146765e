//! Who follows the primary: we, NSD and Knot, each from the relay, each answering at the same address.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::Context as _;
use serde_json::Value;

use crate::{
    daemon::Daemon,
    net::{CLIENT, Pair, SERVER, SERVER_INTERFACE},
    process::Running,
    refereeing::peers::Kind,
    strict::Name,
};

/// Where the relay listens: what the followers take for the primary.
pub fn upstream() -> SocketAddr {
    SocketAddr::new(CLIENT[0], 5400)
}

/// A follower that runs.
pub enum Follower {
    /// Ours.
    Ours(Daemon),
    /// Another make.
    Peer(#[expect(dead_code, reason = "it runs as long as this is held")] Running),
}

impl Follower {
    /// Starts one; it may not have the zone yet.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(
        kind: Kind,
        pair: &Pair,
        apex: &Name,
        program: &Path,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let folder = folder.join(kind.program());
        fs::create_dir_all(folder.join("db"))?;
        let config = folder.join("config");
        let text = match kind {
            Kind::Responder => ours(apex),
            Kind::Nsd => nsd(apex, &folder),
            _ => knot(apex, &folder),
        };
        fs::write(&config, text)?;
        if kind == Kind::Responder {
            let patience = Duration::from_secs(60);
            return Daemon::start(&pair.server, program, &config, &folder, patience)
                .map(Self::Ours);
        }
        let log = fs::File::create(folder.join("log"))?;
        let mut command = pair.server.command(kind.program());
        if kind == Kind::Nsd {
            command.arg("-d");
        }
        command.arg("-c").arg(&config).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log);
        Ok(Self::Peer(Running::start(&mut command).context("remedy: cargo xtask setup")?))
    }

    /// What our hooks and sockets have counted, if it is ours.
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub fn status(&self) -> anyhow::Result<Option<Value>> {
        match self {
            Self::Ours(daemon) => daemon.status().map(Some),
            Self::Peer(_) => Ok(None),
        }
    }
}

fn ours(apex: &Name) -> String {
    let (here, above) = (SERVER[0], upstream());
    let (ip, port) = (above.ip(), above.port());
    format!(
        "[node]\nid = \"follower\"\nstate = \"state\"\n[listen]\naddresses = [\"{here}\"]\n[xdp]\nmode = \
         \"native\"\ninterfaces = [\"{SERVER_INTERFACE}\"]\n[transfer]\nsource = [\"{here}\"]\n[[zone]]\n\
         name = \"{apex}\"\nprimaries = [{{ address = \"{ip}\", port = {port} }}]\n"
    )
}

/// `xfrd-reload-timeout`: by default it gathers transfers for a second before it serves them.
fn nsd(apex: &Name, folder: &Path) -> String {
    let (here, above, folder) = (SERVER[0], upstream(), folder.display());
    let (ip, port) = (above.ip(), above.port());
    format!(
        "server:\n  ip-address: {here}@53\n  username: \"\"\n  database: \"\"\n  zonesdir: \"{folder}\"\n  \
         pidfile: \"{folder}/pid\"\n  xfrdfile: \"{folder}/xfrd\"\n  zonelistfile: \"{folder}/list\"\n  \
         xfrdir: \"{folder}\"\n  rrl-ratelimit: 0\n  minimal-responses: yes\n  server-count: 2\n  reuseport: \
         yes\n  xfrd-reload-timeout: 0\nremote-control:\n  control-enable: no\nzone:\n  name: \"{apex}\"\n  \
         zonefile: \"{folder}/zone\"\n  request-xfr: {ip}@{port} NOKEY\n  allow-notify: {ip} NOKEY\n"
    )
}

fn knot(apex: &Name, folder: &Path) -> String {
    let (here, above, folder) = (SERVER[0], upstream(), folder.display());
    let (ip, port) = (above.ip(), above.port());
    format!(
        "server:\n  listen: {here}@53\n  rundir: {folder}\n  udp-workers: 2\n  tcp-workers: 1\n  \
         background-workers: 1\nlog:\n  - target: stderr\n    any: info\ndatabase:\n  storage: {folder}/db\n\
         remote:\n  - id: above\n    address: {ip}@{port}\nacl:\n  - id: above\n    address: {ip}\n    \
         action: notify\nzone:\n  - domain: {apex}\n    file: {folder}/zone\n    semantic-checks: off\n    \
         zonefile-sync: -1\n    zonefile-load: none\n    journal-content: changes\n    master: above\n    \
         acl: above\n"
    )
}

/// Where our program keeps the log of a run.
pub fn log(folder: &Path) -> PathBuf {
    folder.join(Kind::Responder.program()).join("serve.log")
}
