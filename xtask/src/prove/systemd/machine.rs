//! A systemd that boots beside this machine's: processes, mounts and control groups of its own, in the network
//! namespace of a pair's server.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};

use crate::{
    cleanup::{self, Scratch},
    net::Pair,
    process::{self, Running},
};

/// How long it may take to boot, or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running systemd; gone on drop, with all that it started.
pub struct Machine {
    running: Running,
    /// Its first process, as this machine counts them.
    leader: u32,
    group: Group,
    _folder: Scratch,
}

impl Machine {
    /// Boots it, with the package installed and a folder of files as `/etc/responder`.
    ///
    /// # Errors
    /// When this machine has no systemd or no control groups of version 2, or it does not boot.
    pub fn boot(pair: &Pair, program: &Path, configuration: &Path) -> anyhow::Result<Self> {
        ensure!(
            Path::new("/usr/lib/systemd/systemd").exists(),
            "no systemd on this machine: `apt-get install systemd`"
        );
        let folder = Scratch::create()?;
        let (script, root) = (folder.path().join("boot.sh"), folder.path().join("root"));
        fs::create_dir(&root)?;
        fs::write(&script, include_str!("boot.sh"))?;
        let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging");
        let group = Group::create()?;
        // Joined before: a network namespace's /sys shows no control groups.
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ > \"$0\"/cgroup.procs && exec \"$@\""]).arg(&group.0);
        command.args(["ip", "netns", "exec", pair.server.name()]);
        let own = ["--mount", "--pid", "--fork", "--uts", "--ipc", "--cgroup", "--kill-child"];
        command.arg("unshare").args(own).arg("sh").arg(&script).arg(&root).arg(program);
        command.arg(fs::canonicalize(package)?).arg(configuration);
        let log = fs::File::create(folder.path().join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut machine =
            Self { running: Running::start(&mut command)?, leader: 0, group, _folder: folder };
        machine.await_boot()?;
        Ok(machine)
    }

    fn await_boot(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let first = self.running.id();
        loop {
            if let Some(status) = self.running.ended()? {
                let log = fs::read_to_string(self._folder.path().join("log"))?;
                bail!("systemd does not boot ({status}): {log}");
            }
            let children = fs::read_to_string(format!("/proc/{first}/task/{first}/children"));
            let leader = children.ok().and_then(|all| all.split_whitespace().next()?.parse().ok());
            self.leader = leader.unwrap_or(0);
            // Until it has become systemd, the names of this machine's may be asked: none has this one.
            if self.leader != 0 && self.systemctl(&["is-active", "proof.target"]).is_ok() {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "systemd does not come to its target");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// A command inside.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.leader.to_string()]);
        command.args(["--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup", "--", program]);
        command
    }

    /// What `systemctl` says.
    ///
    /// # Errors
    /// When it fails.
    pub fn systemctl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        process::output(self.command("systemctl").args(arguments))
    }

    /// A property of the unit.
    ///
    /// # Errors
    /// When systemd does not answer.
    pub fn property(&self, name: &str) -> anyhow::Result<String> {
        let said = self.systemctl(&["show", "responder", "--value", "--property", name])?;
        Ok(said.trim().to_owned())
    }

    /// The end of the journal of the unit.
    pub fn journal(&self) -> String {
        let mut journal = self.command("journalctl");
        journal.args(["--unit", "responder", "--no-pager", "--lines", "60", "--output", "cat"]);
        process::output(&mut journal).unwrap_or_else(|error| format!("{error:#}"))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // `unshare` heeds no other; its child, the first process inside, goes with it, and all others with that.
        self.running.signal(libc::SIGKILL);
        let deadline = Instant::now() + PATIENCE;
        while !self.group.is_empty() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A control group; removed on drop, with those below.
struct Group(PathBuf);

impl Group {
    fn create() -> anyhow::Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let place = mounts.lines().find_map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            (words.get(2) == Some(&"cgroup2")).then(|| words[1].to_owned())
        });
        let place =
            place.context("no cgroup2 is mounted: mount -t cgroup2 cgroup2 /sys/fs/cgroup")?;
        let path = Path::new(&place).join(cleanup::unique_name());
        fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }

    /// Whether no process is in it.
    fn is_empty(&self) -> bool {
        let events = fs::read_to_string(self.0.join("cgroup.events"));
        events.is_ok_and(|events| events.contains("populated 0"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// Removes a control group and those below: none of them can be removed while it has others.
fn remove(path: &Path) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    _ = fs::remove_dir(path);
}
