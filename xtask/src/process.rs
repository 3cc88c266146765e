//! Child processes: tied to our life, stopped politely, and run with an error that says what failed.

use std::{
    io,
    os::unix::process::CommandExt as _,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

/// A child that is stopped on drop: SIGTERM, and SIGKILL two seconds later.
#[derive(Debug)]
pub struct Running(Child);

impl Running {
    /// Starts a command, tied to our life as [`tie`] does.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        let name = describe(command);
        Ok(Self(tie(command).spawn().with_context(|| name)?))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.0.try_wait()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: libc::c_int) {
        send(self.0.id(), signal);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !matches!(self.0.try_wait(), Ok(None)) {
            return;
        }
        self.signal(libc::SIGTERM);
        let deadline = Instant::now() + Duration::from_secs(2);
        while matches!(self.0.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                _ = self.0.kill();
                _ = self.0.wait();
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Makes the kernel kill the child when the thread that starts it ends, however that comes about.
/// So start children from the main thread, or from one that outlives them.
pub fn tie(command: &mut Command) -> &mut Command {
    let parent = std::process::id();
    // SAFETY: between fork and exec only system calls are made.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            // The parent may have died before the call.
            if libc::getppid() as u32 == parent { Ok(()) } else { Err(io::ErrorKind::Other.into()) }
        })
    }
}

/// Makes the child go before all others that want a processor: for what would be judged by when it answers.
/// Without the privilege nothing changes.
pub fn hurry(command: &mut Command) -> &mut Command {
    // SAFETY: between fork and exec only system calls are made, with a structure that outlives them.
    unsafe {
        command.pre_exec(|| {
            let parameters = libc::sched_param { sched_priority: 10 };
            // Some groups of processes are given no time of the first kind.
            if libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) != 0 {
                libc::setpriority(libc::PRIO_PROCESS, 0, -20);
            }
            Ok(())
        })
    }
}

/// Runs a command to its end, with our own output.
///
/// # Errors
/// When it cannot be started, or fails.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let name = describe(command);
    run_untied(tie(command), &name)
}

/// As [`run`], for a command that finishes by itself if we are killed; errors call it `name`.
///
/// # Errors
/// When it cannot be started, or fails.
pub fn run_untied(command: &mut Command, name: &str) -> anyhow::Result<()> {
    let status = command.status().with_context(|| name.to_owned())?;
    if !status.success() {
        bail!("`{name}` failed ({status})");
    }
    Ok(())
}

/// Runs a command to its end and returns what it wrote to its standard output.
///
/// # Errors
/// When it cannot be started, or fails; with what it wrote to its standard error.
pub fn output(command: &mut Command) -> anyhow::Result<String> {
    let name = describe(command);
    let output = tie(command).stdin(Stdio::null()).output().with_context(|| name.clone())?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("`{name}` failed ({}): {}", output.status, complaint.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The command as one would type it.
pub fn describe(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Sends a signal to a process; one that is gone does not matter.
pub fn send(pid: u32, signal: libc::c_int) {
    if let Ok(pid) = libc::pid_t::try_from(pid) {
        // SAFETY: a plain system call.
        unsafe { libc::kill(pid, signal) };
    }
}
