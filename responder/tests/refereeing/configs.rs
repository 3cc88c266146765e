//! The servers' configurations: minimal responses, rates limited where wanted, transfers to anybody.

use std::{fmt::Write as _, io, path::Path};

use super::{
    peers::{Kind, Plan, Zone},
    resolver,
};

/// The configuration file of a server.
///
/// # Errors
/// When a resolver has nobody to ask, or a zone has no key for it to trust.
pub fn text(plan: &Plan<'_>) -> io::Result<String> {
    Ok(match plan.kind {
        Kind::Nsd => nsd(plan),
        Kind::Knot => knot(plan),
        Kind::Bind => bind(plan),
        Kind::Unbound => unbound(plan)?,
        Kind::Responder => responder(plan, "off", &[]),
    })
}

/// Our own configuration with the given `xdp.mode` and interfaces.
pub fn responder(plan: &Plan<'_>, mode: &str, interfaces: &[&str]) -> String {
    let (ip, port, folder) = (plan.address.ip(), plan.address.port(), plan.folder.display());
    let mut text = format!(
        "[node]\nid = \"referee\"\nstate = \"{folder}/state\"\n\n\
         [listen]\naddresses = [\"{ip}\"]\nport = {port}\n\n\
         [xdp]\nmode = \"{mode}\"\ninterfaces = {interfaces:?}\n\n\
         [limits]\nudp-size = {}\n",
        plan.udp_size
    );
    for Zone { apex, file } in plan.zones {
        let file = file.display();
        let _ = write!(text, "\n[[zone]]\nname = \"{apex}\"\nfile = \"{file}\"\n");
    }
    text
}

fn nsd(plan: &Plan<'_>) -> String {
    let Plan { udp_size, workers, limit, .. } = plan;
    let (ip, port, folder) = (plan.address.ip(), plan.address.port(), plan.folder.display());
    // NSD looks for included files here, not beside the file that includes them.
    let zones_folder = plan.zones.first().and_then(|zone| zone.file.parent());
    let zones_folder = zones_folder.unwrap_or(Path::new("/")).display();
    let mut text = format!(
        "server:\n  ip-address: {ip}@{port}\n  username: \"\"\n  zonesdir: \"{zones_folder}\"\n  \
         database: \"\"\n  pidfile: \"{folder}/nsd.pid\"\n  xfrdfile: \"{folder}/xfrd.state\"\n  \
         zonelistfile: \"{folder}/zone.list\"\n  xfrdir: \"{folder}\"\n  rrl-ratelimit: {limit}\n  rrl-slip: 1\n  \
         minimal-responses: yes\n  ipv4-edns-size: {udp_size}\n  ipv6-edns-size: {udp_size}\n  \
         server-count: {workers}\n  reuseport: yes\nremote-control:\n  control-enable: no\n"
    );
    for Zone { apex, file } in plan.zones {
        let file = file.display();
        let _ = write!(
            text,
            "zone:\n  name: \"{apex}\"\n  zonefile: \"{file}\"\n  \
             provide-xfr: 0.0.0.0/0 NOKEY\n"
        );
    }
    text
}

fn knot(plan: &Plan<'_>) -> String {
    let Plan { udp_size, workers, .. } = plan;
    let (ip, port, folder) = (plan.address.ip(), plan.address.port(), plan.folder.display());
    // The sockets must not have the port that AF_XDP takes.
    let (sockets, xdp) = match plan.interface {
        None => (port, String::new()),
        Some(interface) => (port + 5300, format!("xdp:\n    listen: {interface}@{port}\n")),
    };
    let (module, limited) = match plan.limit {
        0 => (String::new(), ""),
        limit => (
            format!("mod-rrl:\n  - id: limit\n    rate-limit: {limit}\n    slip: 1\n"),
            "    global-module: mod-rrl/limit\n",
        ),
    };
    let mut text = format!(
        "{xdp}{module}server:\n    listen: {ip}@{sockets}\n    rundir: {folder}\n    udp-workers: {workers}\n    \
         tcp-workers: 1\n    background-workers: 1\n    udp-max-payload: {udp_size}\n\
         log:\n  - target: stderr\n    any: warning\n\
         database:\n    storage: {folder}\n\
         acl:\n  - id: anybody\n    action: transfer\n\
         template:\n  - id: default\n    semantic-checks: off\n    acl: anybody\n    \
         zonefile-sync: -1\n    zonefile-load: whole\n    journal-content: none\n{limited}zone:\n"
    );
    for Zone { apex, file } in plan.zones {
        let _ = write!(text, "  - domain: {apex}\n    file: {}\n", file.display());
    }
    text
}

fn bind(plan: &Plan<'_>) -> String {
    let udp_size = plan.udp_size;
    let (ip, port, folder) = (plan.address.ip(), plan.address.port(), plan.folder.display());
    let limited = match plan.limit {
        0 => String::new(),
        limit => format!("  rate-limit {{ responses-per-second {limit}; slip 1; }};\n"),
    };
    let mut text = format!(
        "options {{\n{limited}  directory \"{folder}\";\n  listen-on port {port} {{ {ip}; }};\n  \
         listen-on-v6 {{ none; }};\n  recursion no;\n  minimal-responses yes;\n  pid-file none;\n  \
         session-keyfile none;\n  dnssec-validation no;\n  max-udp-size {udp_size};\n  \
         edns-udp-size {udp_size};\n}};\ncontrols {{}};\n"
    );
    for Zone { apex, file } in plan.zones {
        let file = file.display();
        let _ = writeln!(
            text,
            "zone \"{apex}\" {{ type primary; file \"{file}\"; check-integrity no; }};"
        );
    }
    text
}

/// Every question goes to the server, and every answer is proved from what the server says.
fn unbound(plan: &Plan<'_>) -> io::Result<String> {
    let upstream = plan.upstream.ok_or_else(|| io::Error::other("a resolver without upstream"))?;
    let (ip, port, folder) = (plan.address.ip(), plan.address.port(), plan.folder.display());
    let mut text = format!(
        "server:\n  interface: {ip}\n  port: {port}\n  do-daemonize: no\n  username: \"\"\n  \
         chroot: \"\"\n  directory: \"{folder}\"\n  pidfile: \"\"\n  use-syslog: no\n  \
         logfile: \"\"\n  verbosity: 1\n  log-servfail: yes\n  val-log-level: 2\n  \
         num-threads: {}\n  do-ip6: no\n  do-not-query-localhost: no\n  \
         access-control: 0.0.0.0/0 allow\n  module-config: \"validator iterator\"\n  \
         aggressive-nsec: no\n  harden-below-nxdomain: no\n  qname-minimisation: no\n  \
         target-fetch-policy: \"0 0 0 0 0\"\n  edns-buffer-size: {}\n  val-clean-additional: no\n",
        plan.workers, plan.udp_size
    );
    if let Some(date) = upstream.date {
        let _ = writeln!(text, "  val-override-date: \"{date}\"");
    }
    for zone in plan.zones {
        for anchor in resolver::anchors(zone)? {
            let _ = writeln!(text, "  trust-anchor: \"{anchor}\"");
        }
    }
    text += "remote-control:\n  control-enable: no\n";
    for Zone { apex, .. } in plan.zones {
        let (ip, port) = (upstream.address.ip(), upstream.address.port());
        let _ = write!(text, "stub-zone:\n  name: \"{apex}\"\n  stub-addr: {ip}@{port}\n");
    }
    Ok(text)
}
