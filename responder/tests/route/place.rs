//! A network of the test's own, and the routers in it.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write as _},
    os::unix::{net::UnixStream, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// The longest that anything here may take.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Where the router beside the node speaks BGP.
pub const EDGE: &str = "10.0.0.1";
/// Where the rest of the world does.
pub const WORLD: &str = "10.0.0.2";

/// A namespace of this thread's, and a folder; children are started in it.
pub struct Place {
    pub folder: TempDir,
}

impl Place {
    /// Makes it, with the service's addresses on the loopback, or without.
    pub fn new(with_service: bool) -> Self {
        // SAFETY: only this thread changes its namespace.
        let done = unsafe { libc::unshare(libc::CLONE_NEWNET) };
        assert_eq!(done, 0, "network namespaces need root: {}", std::io::Error::last_os_error());
        let place = Self { folder: tempfile::tempdir().unwrap() };
        watch_logs(place.folder.path());
        place.ip("link set lo up");
        for address in [EDGE, WORLD] {
            place.ip(&format!("address add {address}/32 dev lo"));
        }
        if with_service {
            place.ip("address add 192.0.2.53/32 dev lo");
            place.ip("address add 2001:db8::53/128 dev lo");
        }
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn ip(&self, arguments: &str) {
        run("ip", arguments);
    }

    /// Starts a program that dies with its handle; what it says goes to `NAME.log`.
    pub fn start(&self, name: &str, command: &mut Command) -> Running {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.path(&format!("{name}.log")))
            .unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        // SAFETY: prctl may be called between fork and exec.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        Running(command.spawn().unwrap_or_else(|error| panic!("{name}: {error}")))
    }

    /// Starts a BIRD with this configuration, and waits until it listens for commands.
    pub fn bird(&self, name: &str, config: &str) -> Bird {
        let (file, socket) =
            (self.path(&format!("{name}.conf")), self.path(&format!("{name}.ctl")));
        fs::write(&file, config).unwrap();
        let _ = fs::remove_file(&socket);
        let mut command = Command::new(found("bird"));
        command.arg("-f").arg("-c").arg(&file).arg("-s").arg(&socket);
        command.arg("-P").arg(self.path(&format!("{name}.pid")));
        let bird = Bird { running: self.start(name, &mut command), socket };
        until(&format!("{name} listens"), || bird.try_ask("show status").is_some());
        bird
    }

    /// The rest of the world: it takes what the edge announces, and tells what it has heard.
    pub fn world(&self) -> Bird {
        let channels = "ipv4 { import all; export none; }; ipv6 { import all; export none; };";
        self.bird(
            "world",
            &format!(
                "log stderr all;\nrouter id {WORLD};\nprotocol device {{}}\nprotocol bgp edge {{\n  \
                 local {WORLD} as 65000;\n  neighbor {EDGE} as 65001;\n  strict bind yes;\n  \
                 multihop;\n  graceful restart off;\n  passive yes;\n  connect retry time 1;\n  error wait time 1, 2;\n  \
                 {channels}\n}}\n"
            ),
        )
    }
}

/// A process that dies with its handle.
pub struct Running(Child);

impl Running {
    /// Kills it.
    pub fn end(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// A BIRD that runs.
pub struct Bird {
    pub running: Running,
    socket: PathBuf,
}

impl Bird {
    fn try_ask(&self, command: &str) -> Option<String> {
        let stream = UnixStream::connect(&self.socket).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let mut reader = BufReader::new(stream);
        read_answer(&mut reader)?;
        reader.get_mut().write_all(format!("{command}\n").as_bytes()).ok()?;
        read_answer(&mut reader)
    }

    pub fn ask(&self, command: &str) -> String {
        self.try_ask(command).unwrap_or_else(|| panic!("no answer to {command}"))
    }

    /// What it has heard by BGP: each prefix with its attributes, as BIRD shows them.
    pub fn heard(&self) -> BTreeMap<String, String> {
        let mut routes = BTreeMap::new();
        let mut last = None;
        for line in self.ask("show route protocol edge all").lines() {
            // A code stands before the first line of each kind, a blank before the others.
            let has_code = line.starts_with(|c: char| c.is_ascii_digit());
            let line = line.get(if has_code { 5 } else { 1 }..).unwrap_or("");
            match line.split_whitespace().next() {
                Some(word) if word.contains('/') && !line.starts_with('\t') => {
                    routes.insert(word.to_owned(), String::new());
                    last = Some(word.to_owned());
                }
                _ => {
                    if let Some(text) = last.as_ref().and_then(|prefix| routes.get_mut(prefix)) {
                        *text += &format!("{}\n", line.trim());
                    }
                }
            }
        }
        routes
    }

    /// The prefixes alone.
    pub fn prefixes(&self) -> Vec<String> {
        self.heard().into_keys().collect()
    }
}

/// BIRD's answer to one command: its last line has a blank behind its code.
fn read_answer(reader: &mut impl BufRead) -> Option<String> {
    let mut text = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        text += &line;
        if line.get(..5).is_some_and(|code| {
            code.ends_with(' ') && code.starts_with(|c: char| c.is_ascii_digit())
        }) {
            return Some(text);
        }
    }
}

thread_local! {
    /// Where this test's processes tell what they do.
    static LOGS: RefCell<Vec<PathBuf>> = const { RefCell::new(Vec::new()) };
}

/// Has the logs of a folder shown if the test fails.
pub fn watch_logs(folder: &Path) {
    LOGS.with_borrow_mut(|folders| folders.push(folder.to_owned()));
}

fn show_logs(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().ends_with("log") {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            println!("--- {}\n{text}", entry.path().display());
        }
    }
}

/// Waits until something holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        if Instant::now() > deadline {
            LOGS.with_borrow(|folders| folders.iter().for_each(|folder| show_logs(folder)));
            panic!("not seen: {what}");
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Runs a program to its end.
pub fn run(program: &str, arguments: &str) {
    let output = Command::new(program).args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "{program} {arguments}: {output:?}");
}

/// Where Debian has a program that is not in everybody's path.
pub fn found(program: &str) -> PathBuf {
    let places = ["/usr/sbin", "/usr/bin", "/usr/lib/frr"];
    places
        .iter()
        .map(|place| Path::new(place).join(program))
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("no {program}: `cargo xtask setup` installs it"))
}
