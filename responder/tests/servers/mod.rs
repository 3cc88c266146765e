//! The servers that others run, as children that die with their handle.

pub mod powerdns;

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

use crate::harness::{query, send};

/// The secret of every key here, in base64.
pub const SECRET: &str = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3I=";

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Knot,
    Bind,
    Nsd,
    PowerDns,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Knot, Self::Bind, Self::Nsd, Self::PowerDns];
    /// Those that read zone files by themselves.
    pub const OF_FILES: [Self; 3] = [Self::Knot, Self::Bind, Self::Nsd];
}

/// A server that runs.
pub struct Server {
    pub kind: Kind,
    pub port: u16,
    pub folder: TempDir,
    child: Child,
}

impl Server {
    /// Starts a server in a folder that has what its configuration names.
    pub fn start(kind: Kind, port: u16, folder: TempDir, config: &str) -> Self {
        let file = folder.path().join(match kind {
            Kind::PowerDns => "pdns.conf",
            _ => "config",
        });
        fs::write(&file, config).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let (program, arguments): (_, &[&str]) = match kind {
            Kind::Knot => ("knotd", &["-c"]),
            Kind::Bind => ("named", &["-f", "-n", "1", "-c"]),
            Kind::Nsd => ("nsd", &["-d", "-c"]),
            Kind::PowerDns => ("pdns_server", &[]),
        };
        let child = Command::new(find(program))
            .args(arguments)
            .arg(match kind {
                Kind::PowerDns => format!("--config-dir={}", folder.path().display()).into(),
                _ => file.into_os_string(),
            })
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}: run `cargo xtask setup`"));
        Self { kind, port, folder, child }
    }

    /// Waits until it answers for a zone.
    pub fn until_up(&mut self, zone: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.is_up(zone) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether it answers over TCP: a port may be open before anybody listens to it.
    fn is_up(&self, zone: &str) -> bool {
        let ask = || -> std::io::Result<bool> {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
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

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
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

/// A program of the system, also of those folders that are not in everybody's path.
pub fn find(program: &str) -> PathBuf {
    for folder in ["/usr/sbin", "/usr/bin", "/sbin", "/bin"] {
        let path = Path::new(folder).join(program);
        if path.exists() {
            return path;
        }
    }
    PathBuf::from(program)
}
