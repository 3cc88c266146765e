//! Knot, BIND, NSD and PowerDNS as secondaries of ours: what they serve is what we serve.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    ask::{axfr, notifying, zone},
    harness::{Daemon, free_port},
    servers::{Kind, SECRET, Server, powerdns},
};

/// What a secondary is to do.
pub struct Plan {
    pub kind: Kind,
    /// Our port.
    pub primary: u16,
    pub signed: bool,
}

impl Plan {
    /// Starts it on a port of its own.
    pub fn start(&self, port: u16) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let config = match self.kind {
            Kind::Knot => self.knot(port, folder.path()),
            Kind::Bind => self.bind(port, folder.path()),
            Kind::Nsd => self.nsd(port, folder.path()),
            Kind::PowerDns => self.powerdns(port, &folder),
        };
        let mut server = Server::start(self.kind, port, folder, &config);
        server.until_up("tld.test.");
        server
    }

    fn knot(&self, port: u16, folder: &Path) -> String {
        let (folder, primary) = (folder.display(), self.primary);
        let (mut keys, mut key) = (String::new(), "");
        if self.signed {
            keys = format!("key:\n  - id: k\n    algorithm: hmac-sha256\n    secret: {SECRET}\n");
            key = "    key: k\n";
        }
        format!(
            "server:\n  listen: 127.0.0.1@{port}\n  rundir: {folder}\nlog:\n  - target: stderr\n    \
             any: info\ndatabase:\n  storage: {folder}/db\n{keys}remote:\n  - id: r\n    address: \
             127.0.0.1@{primary}\n{key}acl:\n  - id: n\n    address: 127.0.0.0/8\n    action: \
             notify\n{key}  - id: t\n    address: 127.0.0.0/8\n    action: transfer\nzone:\n  - \
             domain: tld.test.\n    file: {folder}/zone\n    master: r\n    acl: [n, t]\n"
        )
    }

    fn bind(&self, port: u16, folder: &Path) -> String {
        let (folder, primary) = (folder.display(), self.primary);
        let (mut keys, mut key) = (String::new(), "");
        if self.signed {
            keys = format!("key \"k.\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};\n");
            key = " key \"k.\"";
        }
        format!(
            "options {{ directory \"{folder}\"; listen-on port {port} {{ 127.0.0.1; }}; \
             listen-on-v6 {{ none; }}; pid-file \"{folder}/pid\"; session-keyfile \
             \"{folder}/session\"; recursion no; notify no; dnssec-validation no; allow-transfer {{ \
             any; }}; }};\ncontrols {{ }};\n{keys}zone \"tld.test.\" {{ type secondary; file \
             \"zone\"; primaries {{ 127.0.0.1 port {primary}{key}; }}; }};\n"
        )
    }

    fn nsd(&self, port: u16, folder: &Path) -> String {
        let (folder, primary) = (folder.display(), self.primary);
        let (mut keys, mut key) = (String::new(), "NOKEY");
        if self.signed {
            keys = format!("key:\n  name: k\n  algorithm: hmac-sha256\n  secret: \"{SECRET}\"\n");
            key = "k";
        }
        format!(
            "server:\n  ip-address: 127.0.0.1@{port}\n  username: \"\"\n  database: \"\"\n  zonesdir: {folder}\n  \
             pidfile: {folder}/pid\n  xfrdfile: {folder}/xfrd\n  zonelistfile: {folder}/list\n  \
             xfrdir: {folder}\n  server-count: 1\n  verbosity: 2\nremote-control:\n  control-enable: \
             no\n{keys}zone:\n  name: tld.test.\n  zonefile: {folder}/zone\n  request-xfr: \
             127.0.0.1@{primary} {key}\n  allow-notify: 127.0.0.0/8 {key}\n  provide-xfr: \
             127.0.0.0/8 NOKEY\n"
        )
    }

    fn powerdns(&self, port: u16, folder: &TempDir) -> String {
        let folder = folder.path();
        let more = "secondary=yes\nallow-axfr-ips=127.0.0.0/8\nxfr-cycle-interval=1\n\
                    allow-notify-from=127.0.0.0/8\n";
        let config = powerdns::prepare(port, folder, more);
        let util = |arguments: &[&str]| powerdns::util(folder, arguments);
        let primary = format!("127.0.0.1:{}", self.primary);
        util(&["create-secondary-zone", "tld.test", &primary]);
        util(&["set-meta", "tld.test", "IXFR", "1"]);
        if self.signed {
            util(&["import-tsig-key", "k", "hmac-sha256", SECRET]);
            util(&["activate-tsig-key", "tld.test", "k", "secondary"]);
        }
        config
    }
}

/// The zone as a server gives it; Knot, NSD and PowerDNS keep names in lower case.
fn contents(kind: Kind, port: u16) -> Vec<String> {
    let (records, _) = axfr(port, "tld.test", None);
    let lower = |text: &String| {
        if kind == Kind::Bind { text.clone() } else { text.to_lowercase() }
    };
    let mut records: Vec<String> = records.iter().map(lower).collect();
    records.sort_unstable();
    records
}

fn until_equal(daemon: &Daemon<'_>, server: &Server, serial: u32) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let ours = contents(server.kind, daemon.node.port);
        let theirs = contents(server.kind, server.port);
        if ours == theirs {
            let said = format!(" {serial} 7200");
            assert!(ours.iter().any(|record| record.contains(&said)), "{serial}");
            return;
        }
        let kind = server.kind;
        assert!(
            Instant::now() < deadline,
            "{kind:?} differs at serial {serial}: {} and {} records\n{}\n{}",
            ours.len(),
            theirs.len(),
            daemon.log(),
            server.log()
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The zone as it was, but for its serial and one name in five hundred.
fn changed(serial: u32) -> String {
    let text = zone(serial, 3000);
    let lines = text.lines().enumerate().map(|(number, line)| match number % 500 {
        499 => format!("New{number} TXT \"{serial}\"\n"),
        _ => format!("{line}\n"),
    });
    lines.collect()
}

/// A secondary starts without data and follows two changes.
fn follows(kind: Kind, signed: bool) {
    let port = free_port();
    let key = if signed { ", key = \"k.\"" } else { "" };
    // dig asks without a key.
    let node = notifying(
        3000,
        &format!("{{ address = \"127.0.0.0/8\"{key} }}, {{ address = \"127.0.0.1\" }}"),
        &format!("{{ address = \"127.0.0.1\", port = {port}{key} }}"),
        "[transfer]\nsource = [\"127.0.0.1\"]\n",
    );
    let daemon = node.serve();
    let server = Plan { kind, primary: node.port, signed }.start(port);
    until_equal(&daemon, &server, 5);
    for serial in [6, 7] {
        node.write("zone", &changed(serial));
        let ran = node.run(&["zone", "reload", "tld.test.", "--config", "r.toml"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        until_equal(&daemon, &server, serial);
    }
    let log = daemon.log();
    let given: Vec<&str> = log.lines().filter(|line| line.contains("zone given")).collect();
    let by_key = given.iter().filter(|line| line.contains("key=\"k.\"")).count();
    assert_eq!(by_key > 0, signed, "{kind:?}\n{log}");
    let changes = given.iter().filter(|line| line.contains("kind=\"IXFR\"")).count();
    assert!(changes >= 2, "{kind:?} got no changes\n{log}");
}

#[test]
fn knot_follows_us() {
    follows(Kind::Knot, false);
    follows(Kind::Knot, true);
}

#[test]
fn bind_follows_us() {
    follows(Kind::Bind, false);
    follows(Kind::Bind, true);
}

#[test]
fn nsd_follows_us() {
    follows(Kind::Nsd, false);
    follows(Kind::Nsd, true);
}

#[test]
fn powerdns_follows_us() {
    follows(Kind::PowerDns, false);
    follows(Kind::PowerDns, true);
}
