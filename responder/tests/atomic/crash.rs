//! Killed in the middle of a commit: who still answers from the maps shows one version, and who starts
//! again shows the last one, both whole.

use std::{
    fs,
    net::{TcpListener, UdpSocket},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use responder::{dataplane::DataPlane, store::StoreOptions};
use serde_json::json;

use super::{
    number, tell,
    template::{self, Template},
    versions,
    writer::Writer,
};

/// Delays that differ and repeat: xorshift.
struct Delays(u64);

impl Delays {
    fn below(&mut self, most: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Duration::from_micros(self.0 % most.as_micros() as u64)
    }
}

/// The version that every reply shows.
fn version_of(templates: &[Template], mut ask: impl FnMut(&Template) -> Vec<u8>) -> u32 {
    let mut version = None;
    for template in templates {
        let reply = ask(template);
        let told = template.version_of(&reply).unwrap_or_else(|fault| {
            panic!("{}: {fault}: {}", template.asked, reply.escape_ascii())
        });
        let first = *version.get_or_insert(told);
        assert_eq!(told, first, "{}", template.asked);
    }
    version.expect("something was asked")
}

#[test]
fn a_killed_writer_leaves_one_version_whole_to_the_programs() {
    let kills = number("RESPONDER_ATOMIC_KILLS", 6);
    let mut delays = Delays(0x9e37_79b9_7f4a_7c15);
    let (mut amid, mut unseen, mut seen, mut commits) = (0_u64, 0_u64, 0_u64, 0_u64);
    for _ in 0..kills {
        // What the last writer half did is nobody's any more: maps and programs are new.
        let options = StoreOptions { udp_size: 1232, id: "crash".into() };
        let (plane, store) = DataPlane::load(&options)
            .unwrap_or_else(|error| panic!("this test needs root and BPF: {error:#}"));
        let mut writer = Writer::new(store);
        let templates = template::of_kernel(&mut writer, &plane);
        let first = writer.next();
        let shared = Progress::new();
        // SAFETY: the child uses what it inherits of this thread alone, and ends without returning.
        let child = unsafe { libc::fork() };
        assert!(child >= 0, "{}", std::io::Error::last_os_error());
        if child == 0 {
            // SAFETY: a system call without pointers. The writer ends with the test, however that does.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            writer.begin_anew();
            loop {
                shared.handed.store(writer.next(), Ordering::SeqCst);
                writer.commit_next();
                shared.done.store(writer.next() - 1, Ordering::SeqCst);
            }
        }
        let ask = |template: &Template| template::ask(&plane, &template.query, &template.asked);
        let started = Instant::now();
        while shared.done.load(Ordering::SeqCst) < first + 2 {
            assert!(started.elapsed() < Duration::from_secs(60), "the writer writes nothing");
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(delays.below(Duration::from_millis(60)));
        // SAFETY: the child has not been waited for, so its number is its own.
        unsafe {
            libc::kill(child, libc::SIGKILL);
            assert_eq!(libc::waitpid(child, std::ptr::null_mut(), 0), child);
        }
        let version = version_of(&templates, ask);
        let done = shared.done.load(Ordering::SeqCst);
        let handed = shared.handed.load(Ordering::SeqCst);
        assert!((done..=handed).contains(&version), "{version}: {done} was done, {handed} begun");
        amid += u64::from(done != handed);
        unseen += u64::from(done != handed && version == done);
        seen += u64::from(done != handed && version == handed);
        commits += u64::from(done + 1 - first);
    }
    tell(&json!({
        "writers killed": kills,
        "amid a commit": amid,
        "of those before it was visible": unseen,
        "of those when it was visible": seen,
        "commits": commits,
    }));
    assert!(amid > 0, "no writer was killed amid a commit");
}

/// How far the writer is, seen from both processes.
struct Progress {
    handed: &'static AtomicU32,
    done: &'static AtomicU32,
}

impl Progress {
    fn new() -> Self {
        // SAFETY: fresh memory of a page, zeroed, which nobody gives back; two aligned words of it.
        unsafe {
            let page = libc::mmap(
                std::ptr::null_mut(),
                4096,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            assert_ne!(page, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
            let words: *mut u32 = page.cast();
            Self { handed: AtomicU32::from_ptr(words), done: AtomicU32::from_ptr(words.add(1)) }
        }
    }
}

/// A daemon without XDP, in a folder of its own.
struct Node {
    folder: tempfile::TempDir,
    port: u16,
}

impl Node {
    fn new() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port();
        let node = Self { folder: tempfile::tempdir().expect("a folder"), port };
        let config = format!(
            "[node]\nstate = \"state\"\n[listen]\naddresses = [\"127.0.0.1\"]\nport = {port}\n[xdp]\n\
             mode = \"off\"\n[[zone]]\nname = \"lac.\"\nfile = \"lac.zone\"\n\
             transfer-to = [{{ address = \"192.0.2.0/24\" }}]\n"
        );
        fs::write(node.path("r.toml"), config).expect("written");
        node
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a version in place of the file, as a whole.
    fn put(&self, version: u32) {
        fs::write(self.path("new"), versions::file(version)).expect("written");
        fs::rename(self.path("new"), self.path("lac.zone")).expect("renamed");
    }

    fn start(&self) -> Child {
        let log = fs::File::create(self.path("log")).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_responder"));
        command.current_dir(self.folder.path()).args(["serve", "--config", "r.toml"]);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log);
        command.spawn().expect("it starts")
    }

    /// Asks until there is a reply that is no refusal: the daemon is there and has read its zone.
    fn ask(&self, query: &[u8]) -> Vec<u8> {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a socket");
        let started = Instant::now();
        let mut reply = [0; 1500];
        loop {
            let sent = socket.send_to(query, ("127.0.0.1", self.port));
            if let Ok(length) = sent.and_then(|_| socket.recv(&mut reply))
                && reply[3] & 15 != 5
            {
                return reply[..length].to_vec();
            }
            let log = || fs::read_to_string(self.path("log")).unwrap_or_default();
            assert!(started.elapsed() < Duration::from_secs(60), "no reply\n{}", log());
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Ends a daemon at once.
fn kill(mut daemon: Child) {
    daemon.kill().expect("it ran");
    daemon.wait().expect("it ended");
}

#[test]
fn a_killed_daemon_serves_the_last_version_whole_after_its_restart() {
    let kills = number("RESPONDER_ATOMIC_KILLS", 6);
    let mut delays = Delays(0x2545_f491_4f6c_dd1d);
    let node = Node::new();
    let mut running: Option<(u32, Child)> = None;
    let templates = Template::all(|query, _, version| {
        if running.as_ref().is_none_or(|(served, _)| *served != version) {
            running.take().into_iter().for_each(|(_, daemon)| kill(daemon));
            node.put(version);
            running = Some((version, node.start()));
        }
        node.ask(query)
    });
    let mut daemon = running.expect("it was asked").1;
    for kill_number in 0..kills as u32 {
        let version = 90_000_000 + kill_number;
        node.put(version);
        // SAFETY: the child has not been waited for, so its number is its own.
        unsafe { libc::kill(daemon.id() as i32, libc::SIGHUP) };
        thread::sleep(delays.below(Duration::from_millis(80)));
        kill(daemon);
        daemon = node.start();
        let served = version_of(&templates, |template| node.ask(&template.query));
        assert_eq!(served, version, "the file that stood there when the daemon was killed");
    }
    kill(daemon);
    tell(&json!({ "daemons killed": kills }));
}
