//! Knot, BIND and NSD as primaries, as children that die with their handle.

use std::{
    fs,
    io::Read,
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use hickory_proto::rr::RecordType;
use tempfile::TempDir;

use crate::harness::{free_port, query, send};

/// The secret of every key here, in base64.
pub const SECRET: &str = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3I=";

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Knot,
    Bind,
    Nsd,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Knot, Self::Bind, Self::Nsd];
}

/// A primary that runs, of one zone.
pub struct Primary {
    pub kind: Kind,
    pub port: u16,
    folder: TempDir,
    child: Child,
}

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
        };
        let file = folder.path().join("config");
        fs::write(&file, config).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let (program, arguments): (_, &[&str]) = match plan.kind {
            Kind::Knot => ("knotd", &["-c"]),
            Kind::Bind => ("named", &["-f", "-n", "1", "-c"]),
            Kind::Nsd => ("nsd", &["-d", "-c"]),
        };
        let child = Command::new(find(program))
            .args(arguments)
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}: run `cargo xtask setup`"));
        let mut primary = Self { kind: plan.kind, port, folder, child };
        let deadline = Instant::now() + Duration::from_secs(20);
        while !primary.is_up(plan.zone) {
            let ended = primary.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "{}", primary.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        primary
    }

    /// Whether it answers over TCP: a port may be open before anybody listens to it.
    fn is_up(&self, zone: &str) -> bool {
        let ask = || -> std::io::Result<bool> {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
            stream.set_read_timeout(Some(Duration::from_millis(500)))?;
            send(&mut stream, &query(1, zone, RecordType::SOA));
            let mut header = [0; 6];
            stream.read_exact(&mut header)?;
            Ok(header[5] & 0x0f == 0)
        };
        ask().unwrap_or(false)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
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
            Kind::Bind | Kind::Nsd => {
                let mut command = Command::new("kill");
                command.args(["-HUP", &self.child.id().to_string()]);
                command
            }
        };
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}\n{}", self.log());
    }
}

impl Drop for Primary {
    fn drop(&mut self) {
        // SIGTERM, since NSD has children of its own.
        // SAFETY: no memory is involved; the child has not been waited for.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) };
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            if let Ok(Some(_)) = self.child.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn find(program: &str) -> PathBuf {
    for folder in ["/usr/sbin", "/usr/bin", "/sbin", "/bin"] {
        let path = Path::new(folder).join(program);
        if path.exists() {
            return path;
        }
    }
    PathBuf::from(program)
}

fn knot(plan: &Plan<'_>, port: u16, folder: &Path) -> String {
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
         whole\n    acl: a\n{notify}",
        plan.zone
    );
    text
}

fn bind(plan: &Plan<'_>, port: u16, folder: &Path) -> String {
    let folder = folder.display();
    let mut text = format!(
        "options {{ directory \"{folder}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 \
         {{ none; }}; pid-file \"{folder}/pid\"; session-keyfile \"{folder}/session\"; recursion no; \
         notify explicit; dnssec-validation no; notify-delay 0; }};\ncontrols {{ }};\n"
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
        "server:\n  ip-address: 127.0.0.1@{port}\n  username: \"\"\n  zonesdir: {folder}\n  pidfile: \
         {folder}/pid\n  xfrdfile: {folder}/xfrd\n  zonelistfile: {folder}/list\n  xfrdir: {folder}\n  \
         server-count: 1\nremote-control:\n  control-enable: no\n"
    );
    let mut key = "NOKEY";
    if let Some(algorithm) = plan.algorithm {
        text += &format!("key:\n  name: k\n  algorithm: {algorithm}\n  secret: \"{SECRET}\"\n");
        key = "k";
    }
    text += &format!(
        "zone:\n  name: {}\n  zonefile: {folder}/zone\n  provide-xfr: 127.0.0.0/8 {key}\n",
        plan.zone
    );
    if let Some(port) = plan.notify {
        text += &format!("  notify: 127.0.0.1@{port} {key}\n");
    }
    text
}
