//! Knot, BIND, NSD and PowerDNS as primaries.

use std::{fs, path::Path, process::Command, time::Duration};

pub use crate::servers::{Kind, SECRET};
use crate::{
    harness::free_port,
    servers::{Server, find, powerdns},
};

/// A primary that runs, of one zone.
pub struct Primary(Server);

/// What a primary is to do.
pub struct Plan<'a> {
    pub kind: Kind,
    /// The zone.
    pub zone: &'a str,
    pub text: &'a str,
    /// The algorithm of the key `k.` that transfers and NOTIFY are signed with.
    pub algorithm: Option<&'a str>,
    /// Where NOTIFY goes.
    pub notify: Option<u16>,
}

impl Primary {
    pub fn start(plan: &Plan<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        fs::write(folder.path().join("zone"), plan.text).unwrap();
        let config = match plan.kind {
            Kind::Knot => knot(plan, port, folder.path()),
            Kind::Bind => bind(plan, port, folder.path()),
            Kind::Nsd => nsd(plan, port, folder.path()),
            Kind::PowerDns => powerdns(plan, port, folder.path()),
        };
        let mut server = Server::start(plan.kind, port, folder, &config);
        server.until_up(plan.zone);
        Self(server)
    }

    /// Serves another version of the zone, and says so.
    pub fn update(&self, zone: &str, text: &str) {
        let file = self.folder.path().join("zone");
        fs::write(&file, text).unwrap();
        // Some look at the time of change, in whole seconds.
        let later = std::time::SystemTime::now() + Duration::from_secs(2);
        fs::File::open(&file).unwrap().set_modified(later).unwrap();
        let config = self.folder.path().join("config");
        let mut command = match self.kind {
            Kind::Knot => {
                let mut command = Command::new(find("knotc"));
                command.arg("-c").arg(config).args(["zone-reload", zone]);
                command
            }
            // It looks into its database for every query.
            Kind::PowerDns => return load(self.folder.path(), zone),
            Kind::Bind | Kind::Nsd => {
                let mut command = Command::new("kill");
                command.args(["-HUP", &self.pid().to_string()]);
                command
            }
        };
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}\n{}", self.log());
    }
}

impl std::ops::Deref for Primary {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

/// PowerDNS with the zone in its database.
fn powerdns(plan: &Plan<'_>, port: u16, folder: &Path) -> String {
    let allowed = if plan.algorithm.is_some() { "" } else { "127.0.0.0/8" };
    let config = powerdns::prepare(
        port,
        folder,
        &format!("primary=yes\nallow-axfr-ips={allowed}\nonly-notify=\n"),
    );
    load(folder, plan.zone);
    if let Some(algorithm) = plan.algorithm {
        powerdns::util(folder, &["import-tsig-key", "k", algorithm, SECRET]);
        powerdns::util(folder, &["activate-tsig-key", plan.zone, "k", "primary"]);
    }
    config
}

/// Has PowerDNS read the zone's file.
fn load(folder: &Path, zone: &str) {
    powerdns::util(folder, &["load-zone", zone, &folder.join("zone").display().to_string()]);
}

fn knot(plan: &Plan<'_>, port: u16, folder: &Path) -> String {
    // Where it keeps the differences.
    fs::create_dir(folder.join("db")).unwrap();
    let folder = folder.display();
    let mut text = format!(
        "server:\n  listen: 127.0.0.1@{port}\n  rundir: {folder}\nlog:\n  - target: stderr\n    any: \
         info\ndatabase:\n  storage: {folder}/db\n"
    );
    let mut key = String::new();
    if let Some(algorithm) = plan.algorithm {
        text += &format!("key:\n  - id: k\n    algorithm: {algorithm}\n    secret: {SECRET}\n");
        key += "    key: k\n";
    }
    let mut notify = String::new();
    if let Some(port) = plan.notify {
        text += &format!("remote:\n  - id: r\n    address: 127.0.0.1@{port}\n{key}");
        notify += "    notify: r\n";
    }
    text += &format!("acl:\n  - id: a\n    address: 127.0.0.0/8\n    action: transfer\n{key}");
    text += &format!(
        "zone:\n  - domain: {}\n    file: {folder}/zone\n    zonefile-sync: -1\n    zonefile-load: \
         difference\n    acl: a\n{notify}",
        plan.zone
    );
    text
}

fn bind(plan: &Plan<'_>, port: u16, folder: &Path) -> String {
    let folder = folder.display();
    let mut text = format!(
        "options {{ directory \"{folder}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 \
         {{ none; }}; pid-file \"{folder}/pid\"; session-keyfile \"{folder}/session\"; recursion no; \
         notify explicit; dnssec-validation no; notify-delay 0; ixfr-from-differences yes; }};\ncontrols {{ }};\n"
    );
    let mut allow = "any;".to_owned();
    let mut key = "";
    if let Some(algorithm) = plan.algorithm {
        text += &format!("key \"k\" {{ algorithm {algorithm}; secret \"{SECRET}\"; }};\n");
        allow = "key \"k\";".to_owned();
        key = " key \"k\"";
    }
    let notify = plan
        .notify
        .map(|port| format!("also-notify {{ 127.0.0.1 port {port}{key}; }};"))
        .unwrap_or_default();
    text + &format!(
        "zone \"{}\" {{ type primary; file \"zone\"; allow-transfer {{ {allow} }}; {notify} }};\n",
        plan.zone
    )
}

fn nsd(plan: &Plan<'_>, port: u16, folder: &Path) -> String {
    let folder = folder.display();
    let mut text = format!(
        "server:\n  ip-address: 127.0.0.1@{port}\n  username: \"\"\n  database: \"\"\n  zonesdir: {folder}\n  pidfile: \
         {folder}/pid\n  xfrdfile: {folder}/xfrd\n  zonelistfile: {folder}/list\n  xfrdir: {folder}\n  \
         server-count: 1\n  rrl-ratelimit: 0\nremote-control:\n  control-enable: no\n"
    );
    let mut key = "NOKEY";
    if let Some(algorithm) = plan.algorithm {
        text += &format!("key:\n  name: k\n  algorithm: {algorithm}\n  secret: \"{SECRET}\"\n");
        key = "k";
    }
    text += &format!(
        "zone:\n  name: {}\n  zonefile: {folder}/zone\n  store-ixfr: yes\n  create-ixfr: yes\n  \
         provide-xfr: 127.0.0.0/8 {key}\n",
        plan.zone
    );
    if let Some(port) = plan.notify {
        text += &format!("  notify: 127.0.0.1@{port} {key}\n");
    }
    text
}
