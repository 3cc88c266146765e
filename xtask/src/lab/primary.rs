//! The clients' hidden primaries: Knot, BIND, NSD and PowerDNS.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::Write as _,
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, ensure};

use super::{
    topology::{Make, Primary},
    zones,
};
use crate::{
    net::Namespace,
    process::{self, Running},
};

/// The secret of a client's key, in base64: each its own.
pub fn secret(zone: &str) -> String {
    // The digits of base64 hold any letters: four of them make three octets.
    let letters: String = zone.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("{letters:A<4.4}").repeat(11)
}

/// The name of a client's key.
pub fn key(zone: &str) -> String {
    format!("client.{zone}")
}

/// A primary that runs; stopped on drop.
pub struct Server {
    make: Make,
    folder: PathBuf,
    running: Running,
}

/// Where a primary is and whom it serves.
pub struct Plan<'a> {
    /// What it is.
    pub primary: &'static Primary,
    /// Its addresses.
    pub addresses: [IpAddr; 2],
    /// The distributors' IPv4 addresses.
    pub distributors: &'a [IpAddr],
    /// Where it runs.
    pub space: &'a Namespace,
    /// A folder of its own.
    pub folder: &'a Path,
}

impl Server {
    /// Starts one with the first version of its zones.
    ///
    /// # Errors
    /// When it cannot be configured or started.
    pub fn start(plan: &Plan<'_>) -> anyhow::Result<Self> {
        let folder = plan.folder;
        for zone in plan.primary.zones {
            fs::write(file(folder, zone), zones::text(zone, zones::FIRST))?;
        }
        fs::create_dir_all(folder.join("db"))?;
        let config = folder.join("config");
        let mut command = match plan.primary.make {
            Make::Knot => {
                fs::write(&config, knot(plan))?;
                let mut command = plan.space.command("knotd");
                command.arg("-c").arg(&config);
                command
            }
            Make::Bind => {
                fs::write(&config, bind(plan))?;
                let mut command = plan.space.command("named");
                command.args(["-f", "-n", "1", "-c"]).arg(&config);
                command
            }
            Make::Nsd => {
                fs::write(&config, nsd(plan))?;
                let mut command = plan.space.command("nsd");
                command.args(["-d", "-c"]).arg(&config);
                command
            }
            Make::PowerDns => {
                powerdns(plan)?;
                let mut command = plan.space.command("pdns_server");
                command.arg(format!("--config-dir={}", folder.display()));
                command
            }
        };
        let log = File::create(folder.join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let running = Running::start(&mut command)?;
        Ok(Self { make: plan.primary.make, folder: folder.to_owned(), running })
    }

    /// Publishes another version of a zone, with NOTIFY to the distributors.
    ///
    /// # Errors
    /// When it cannot be told to.
    pub fn publish(&self, zone: &str, text: &str) -> anyhow::Result<()> {
        let path = file(&self.folder, zone);
        fs::write(&path, text)?;
        // Some look at the time of change, in whole seconds.
        File::open(&path)?.set_modified(SystemTime::now() + Duration::from_secs(2))?;
        let folder = self.folder.display();
        match self.make {
            Make::Knot => {
                let mut command = Command::new("knotc");
                command.arg("-c").arg(self.folder.join("config")).args(["zone-reload", zone]);
                process::output(&mut command).map(drop)
            }
            Make::Bind | Make::Nsd => {
                self.running.signal(libc::SIGHUP);
                Ok(())
            }
            Make::PowerDns => {
                util(&self.folder, &["load-zone", zone, &path.display().to_string()])?;
                let mut command = Command::new("pdns_control");
                command.arg(format!("--socket-dir={folder}")).args(["notify", zone]);
                process::output(&mut command).map(drop)
            }
        }
    }
}

fn file(folder: &Path, zone: &str) -> PathBuf {
    folder.join(format!("{zone}zone"))
}

fn knot(plan: &Plan<'_>) -> String {
    let folder = plan.folder.display();
    let [v4, v6] = plan.addresses;
    let mut text = format!(
        "server:\n  listen: [ {v4}, {v6} ]\n  rundir: {folder}\nlog:\n  - target: stderr\n    any: info\n\
         database:\n  storage: {folder}/db\n"
    );
    let zones = plan.primary.zones;
    let mut section = |name: &str, part: &dyn Fn(&str, &mut String)| {
        text += &format!("{name}:\n");
        for zone in zones {
            part(zone, &mut text);
        }
    };
    // Writing to a String cannot fail, here and below.
    section("key", &|zone, text| {
        let (id, secret) = (key(zone), secret(zone));
        _ = writeln!(text, "  - id: {id}\n    algorithm: hmac-sha256\n    secret: {secret}");
    });
    section("remote", &|zone, text| {
        for (number, address) in plan.distributors.iter().enumerate() {
            let key = key(zone);
            _ = writeln!(text, "  - id: {zone}{number}\n    address: {address}\n    key: {key}");
        }
    });
    section("acl", &|zone, text| {
        let key = key(zone);
        _ = writeln!(text, "  - id: {zone}\n    action: transfer\n    key: {key}");
    });
    section("zone", &|zone, text| {
        let remotes: Vec<String> =
            (0..plan.distributors.len()).map(|number| format!("{zone}{number}")).collect();
        _ = writeln!(
            text,
            "  - domain: {zone}\n    file: {folder}/{zone}zone\n    zonefile-sync: -1\n    \
             zonefile-load: difference\n    acl: {zone}\n    notify: [ {} ]",
            remotes.join(", ")
        );
    });
    text
}

fn bind(plan: &Plan<'_>) -> String {
    let folder = plan.folder.display();
    let [v4, v6] = plan.addresses;
    let mut text = format!(
        "options {{ directory \"{folder}\"; listen-on {{ {v4}; }}; listen-on-v6 {{ {v6}; }}; pid-file \
         \"{folder}/pid\"; session-keyfile \"{folder}/session\"; recursion no; notify explicit; \
         dnssec-validation no; notify-delay 0; ixfr-from-differences yes; }};\ncontrols {{ }};\n"
    );
    for zone in plan.primary.zones {
        let (key, secret) = (key(zone), secret(zone));
        let also: String =
            plan.distributors.iter().map(|address| format!("{address} key \"{key}\"; ")).collect();
        _ = writeln!(
            text,
            "key \"{key}\" {{ algorithm hmac-sha256; secret \"{secret}\"; }};\nzone \"{zone}\" {{ type \
             primary; file \"{zone}zone\"; allow-transfer {{ key \"{key}\"; }}; also-notify {{ {also}}}; }};"
        );
    }
    text
}

fn nsd(plan: &Plan<'_>) -> String {
    let folder = plan.folder.display();
    let [v4, v6] = plan.addresses;
    let mut text = format!(
        "server:\n  ip-address: {v4}\n  ip-address: {v6}\n  username: \"\"\n  database: \"\"\n  zonesdir: \
         {folder}\n  pidfile: {folder}/pid\n  xfrdfile: {folder}/xfrd\n  zonelistfile: {folder}/list\n  \
         xfrdir: {folder}\n  server-count: 1\n  rrl-ratelimit: 0\nremote-control:\n  control-enable: no\n"
    );
    for zone in plan.primary.zones {
        let (key, secret) = (key(zone), secret(zone));
        _ = writeln!(
            text,
            "key:\n  name: {key}\n  algorithm: hmac-sha256\n  secret: \"{secret}\"\nzone:\n  name: {zone}\n  \
             zonefile: {folder}/{zone}zone\n  store-ixfr: yes\n  create-ixfr: yes"
        );
        for address in plan.distributors {
            _ = writeln!(text, "  provide-xfr: {address} {key}\n  notify: {address} {key}");
        }
    }
    text
}

/// PowerDNS keeps its zones and keys in a database.
fn powerdns(plan: &Plan<'_>) -> anyhow::Result<()> {
    let folder = plan.folder;
    let database = folder.join("database");
    let [v4, v6] = plan.addresses;
    let config = format!(
        "local-address={v4},{v6}\nlaunch=gsqlite3\ngsqlite3-database={}\nsocket-dir={}\nguardian=no\n\
         daemon=no\nsetuid=\nsetgid=\nloglevel=6\nzone-cache-refresh-interval=0\nquery-cache-ttl=0\n\
         cache-ttl=0\nnegquery-cache-ttl=0\ndisable-syslog=yes\nprimary=yes\nallow-axfr-ips=\n\
         only-notify=\n",
        database.display(),
        folder.display()
    );
    fs::write(folder.join("pdns.conf"), config)?;
    let schema = "/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql";
    let schema = fs::read_to_string(schema).with_context(|| schema.to_owned())?;
    let mut sqlite = Command::new("sqlite3");
    let mut sqlite =
        process::tie(sqlite.arg(&database).stdin(Stdio::piped()).stdout(Stdio::null()))
            .spawn()
            .context("sqlite3")?;
    let text = format!("PRAGMA journal_mode=WAL;\n{schema}");
    sqlite.stdin.take().context("its input")?.write_all(text.as_bytes())?;
    ensure!(sqlite.wait()?.success(), "sqlite3 does not make PowerDNS's database");
    for zone in plan.primary.zones {
        util(folder, &["load-zone", zone, &file(folder, zone).display().to_string()])?;
        util(folder, &["set-kind", zone, "primary"])?;
        let key = key(zone);
        util(folder, &["import-tsig-key", &key, "hmac-sha256", &secret(zone)])?;
        util(folder, &["activate-tsig-key", zone, &key, "primary"])?;
        let mut also = vec!["set-meta".to_owned(), (*zone).to_owned(), "ALSO-NOTIFY".to_owned()];
        also.extend(plan.distributors.iter().map(ToString::to_string));
        util(folder, &also)?;
    }
    Ok(())
}

/// Runs `pdnsutil` on the database of a folder.
fn util(folder: &Path, arguments: &[impl AsRef<std::ffi::OsStr>]) -> anyhow::Result<()> {
    let mut command = Command::new("pdnsutil");
    command.arg(format!("--config-dir={}", folder.display())).args(arguments);
    process::output(&mut command).map(drop)
}
