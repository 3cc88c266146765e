//! A scratch node: a folder with a configuration and zones, and the daemon that runs there.

use std::{
    fs::{self, DirEntry},
    io::{self, ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::unix::{fs::PermissionsExt as _, net::UnixDatagram, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    str::FromStr,
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query},
    rr::{Name, RecordType},
};
use serde_json::Value;
use tempfile::TempDir;

/// The longest that anything here may take, on a machine that is busy otherwise.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with a configuration.
pub struct Node {
    folder: TempDir,
    pub port: u16,
}

/// What a command left: exit code, standard output, standard error.
#[derive(Debug, PartialEq, Eq)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Node {
    /// A node on a free port of 127.0.0.1 without XDP, with `more` in its configuration.
    pub fn new(more: &str) -> Self {
        let port = free_port();
        let node = Self { folder: tempfile::tempdir().unwrap(), port };
        node.configure(more);
        node
    }

    /// Writes the configuration anew.
    pub fn configure(&self, more: &str) {
        let port = self.port;
        self.write(
            "r.toml",
            &format!(
                "[node]\nid = \"test-node\"\nstate = \"state\"\n[listen]\naddresses = \
                 [\"127.0.0.1\"]\nport = {port}\n[xdp]\nmode = \"off\"\n{more}"
            ),
        );
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        // Secrets are among them.
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o640)).unwrap();
    }

    /// Runs a command of the program, in the folder, to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        run(self.command().args(arguments))
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_responder"));
        command.current_dir(self.folder.path()).stdin(Stdio::null()).env_remove("RESPONDER_LOG");
        command.env_remove("NOTIFY_SOCKET");
        command
    }

    /// Starts the daemon and waits until it says that it is ready.
    pub fn serve(&self) -> Daemon<'_> {
        self.serve_with(|_| ())
    }

    /// The same, with something done to its command.
    pub fn serve_with(&self, prepare: impl FnOnce(&mut Command)) -> Daemon<'_> {
        let daemon = self.launch(prepare);
        assert_eq!(daemon.notification(), "READY=1", "{}", daemon.log());
        daemon
    }

    /// Starts the daemon, and waits for nothing.
    pub fn launch(&self, prepare: impl FnOnce(&mut Command)) -> Daemon<'_> {
        let socket = self.path("notify");
        let _ = fs::remove_file(&socket);
        let notify = UnixDatagram::bind(&socket).unwrap();
        // The daemon may have become another user.
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o777)).unwrap();
        let log = fs::File::create(self.path("log")).unwrap();
        let mut command = self.command();
        command.args(["serve", "--config", "r.toml"]).env("NOTIFY_SOCKET", &socket);
        command.stdout(log.try_clone().unwrap()).stderr(log);
        // SAFETY: prctl may be called between fork and exec. The daemon goes with the test.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        prepare(&mut command);
        let child = command.spawn().unwrap();
        Daemon { node: self, child, notify }
    }
}

/// A daemon that runs; killed when dropped.
pub struct Daemon<'a> {
    pub node: &'a Node,
    child: Child,
    notify: UnixDatagram,
}

impl Daemon<'_> {
    /// What the daemon tells the service manager next.
    pub fn notification(&self) -> String {
        self.notify.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut buffer = [0; 256];
        let length = self.notify.recv(&mut buffer).unwrap_or_else(|error| {
            panic!("no word from the daemon: {error}\n{}", self.log());
        });
        String::from_utf8_lossy(&buffer[..length]).trim_end().to_owned()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.node.path("log")).unwrap()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: no memory is involved; the child has not been waited for, so its id is its own.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0);
    }

    /// Halts all of its threads. A signal is on its way for a while: what is done before it arrived, some
    /// of them may still see.
    pub fn halt(&self) {
        self.signal(libc::SIGSTOP);
        let threads = format!("/proc/{}/task", self.child.id());
        let halted = |entry: io::Result<DirEntry>| {
            // The state stands behind the name, which is in parentheses (proc(5)).
            match fs::read_to_string(entry.unwrap().path().join("stat")) {
                Ok(stat) => stat.rsplit_once(") ").unwrap().1.starts_with('T'),
                // It has ended meanwhile.
                Err(_) => true,
            }
        };
        self.until("halted", || fs::read_dir(&threads).unwrap().all(halted));
    }

    /// Waits for the end, and gives the exit code.
    pub fn wait(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the daemon does not end\n{}", self.log());
    }

    pub fn status(&self) -> Value {
        let ran = self.node.run(&["status", "--json", "--config", "r.toml"]);
        assert_eq!(ran.code, Some(0), "{ran:?}\n{}", self.log());
        serde_json::from_str(&ran.out).unwrap()
    }

    /// The status of one zone.
    pub fn zone(&self, name: &str) -> Value {
        let status = self.status();
        let zones = status["zones"].as_array().unwrap();
        zones.iter().find(|zone| zone["name"] == name).cloned().unwrap_or(Value::Null)
    }

    pub fn udp(&self) -> UdpSocket {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.connect(self.address()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    pub fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.node.port))
    }

    /// Asks over UDP.
    pub fn ask(&self, query: &[u8]) -> Vec<u8> {
        let socket = self.udp();
        socket.send(query).unwrap();
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).unwrap_or_else(|error| {
            panic!("the daemon does not answer: {error}\n{}", self.log());
        });
        buffer[..length].to_vec()
    }

    /// Waits until something holds.
    pub fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < deadline, "not seen: {what}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn run(command: &mut Command) -> Ran {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |octets| String::from_utf8(octets).unwrap();
    Ran { code: status.code(), out: text(stdout), err: text(stderr) }
}

/// A port of 127.0.0.1 that neither UDP nor TCP uses. No two tests get the same, and none lies in the
/// range (32768 and up) from which the kernel takes ports for other sockets in the meantime.
pub fn free_port() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    // Test programs that run at the same time begin in different places.
    let start = (std::process::id() % 600) as u16 * 32;
    loop {
        let port = 12_000 + (start + TAKEN.fetch_add(1, Ordering::Relaxed)) % 20_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
            && UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
        {
            return port;
        }
    }
}

/// A query with EDNS, without RD.
pub fn query(id: u16, name: &str, record_type: RecordType) -> Vec<u8> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_str(name).unwrap(), record_type));
    let mut edns = Edns::new();
    edns.set_max_payload(1232).set_version(0);
    message.set_edns(edns);
    message.to_vec().unwrap()
}

/// The serial of the SOA record in an answer.
pub fn serial(reply: &[u8]) -> u32 {
    let message = Message::from_vec(reply).unwrap();
    let hickory_proto::rr::RData::SOA(soa) = &message.answers[0].data else {
        panic!("no SOA in {message}");
    };
    soa.serial
}

/// Writes a message with its length before it.
pub fn send(stream: &mut TcpStream, message: &[u8]) {
    let length = u16::try_from(message.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length, message].concat()).unwrap();
}

/// Reads a message; `None` when the other side closed.
pub fn receive(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    match stream.read_exact(&mut length) {
        Ok(()) => {}
        Err(error)
            if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) =>
        {
            return None;
        }
        Err(error) => panic!("the daemon neither answers nor closes: {error}"),
    }
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).unwrap();
    Some(message)
}

/// A zone of a few names.
pub fn small_zone(serial: u32) -> String {
    format!(
        "$TTL 3600\n@ SOA ns1 hostmaster {serial} 7200 3600 1209600 300\n@ NS ns1\nns1 A \
         192.0.2.1\nwww A 192.0.2.80\n"
    )
}

/// The part of a configuration that names zones with their files.
pub fn zones(names: &[(&str, &str)]) -> String {
    names
        .iter()
        .map(|(name, file)| format!("[[zone]]\nname = \"{name}\"\nfile = \"{file}\"\n"))
        .collect()
}

/// A path as the program shows it.
pub fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// The status line and the body of a request's answer.
pub fn fetch(port: u16, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let request = format!("{request} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}
