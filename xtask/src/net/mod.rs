//! A network of our own: two namespaces, `server` and `client`, joined by a veth pair.
//!
//! ```text
//!   responder-<pid>-<n>-server             responder-<pid>-<n>-client
//!   vs 10.53.0.1/24 fd53::1/64  ========  vc 10.53.0.2/24 fd53::2/64
//! ```
//!
//! A veth takes what its peer's program transmits (`XDP_TX`) only while an XDP program is attached to
//! itself: GRO gives it the queue for such frames, but nothing wakes the queue's reader (seen on 6.18).
//! So the client's side carries one that passes everything.
//!
//! Everything lives inside the namespaces, so deleting them leaves nothing. Needs root.

mod link;
mod program;

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsRawFd as _, OwnedFd},
    path::Path,
    process::Command,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

pub use link::{End, join};
use program::Verdict;

use crate::{
    cleanup::{self, Item},
    process,
};

/// Where `ip` keeps named namespaces.
pub const NAMESPACES: &str = "/run/netns";
/// The interface of the server's side.
pub const SERVER_INTERFACE: &str = "vs";
/// The interface of the client's side.
pub const CLIENT_INTERFACE: &str = "vc";
/// The server's addresses.
pub const SERVER: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 53, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0xfd53, 0, 0, 0, 0, 0, 0, 1)),
];
/// The client's addresses.
pub const CLIENT: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 53, 0, 2)),
    IpAddr::V6(Ipv6Addr::new(0xfd53, 0, 0, 0, 0, 0, 0, 2)),
];

/// Two namespaces joined by a veth pair; gone on drop, with every process inside.
#[derive(Debug)]
pub struct Pair {
    /// The side where the server under test listens.
    pub server: Namespace,
    /// The side from which it is asked.
    pub client: Namespace,
    /// Keeps the passing program on the client's interface.
    passing: Mutex<Option<OwnedFd>>,
}

impl Pair {
    /// Makes the pair, ready to carry packets both ways over IPv4 and IPv6. What killed runs left
    /// behind is removed first.
    ///
    /// # Errors
    /// When not root, or when a step of `ip` or `ethtool` fails.
    pub fn create() -> anyhow::Result<Self> {
        // SAFETY: a plain system call.
        let root = unsafe { libc::geteuid() } == 0;
        ensure!(
            root,
            "network namespaces need root: run it so: `sudo -E env PATH=\"$PATH\" cargo xtask …`"
        );
        cleanup::sweep();
        let name = cleanup::unique_name();
        let pair = Self {
            server: Namespace::create(&format!("{name}-server"))?,
            client: Namespace::create(&format!("{name}-client"))?,
            passing: Mutex::new(None),
        };
        pair.put_back()?;
        Ok(pair)
    }

    /// Joins the namespaces, after [`Pair::pull`] too.
    ///
    /// # Errors
    /// As [`Pair::create`].
    pub fn put_back(&self) -> anyhow::Result<()> {
        join(
            &End { space: &self.server, interface: SERVER_INTERFACE, addresses: SERVER },
            &End { space: &self.client, interface: CLIENT_INTERFACE, addresses: CLIENT },
        )?;
        for (side, interface) in
            [(&self.server, SERVER_INTERFACE), (&self.client, CLIENT_INTERFACE)]
        {
            // As on a network card, packets are taken by NAPI on both sides.
            process::output(side.command("ethtool").args(["-K", interface, "gro", "on"]))?;
        }
        self.pass_on_client_side()
    }

    /// Parts the namespaces: both interfaces are gone.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn pull(&self) -> anyhow::Result<()> {
        drop(self.passing.lock().unwrap_or_else(PoisonError::into_inner).take());
        process::output(&mut self.server.ip(["link", "delete", SERVER_INTERFACE])).map(drop)
    }

    /// `ip link set` on the server's side.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn set_server_link(&self, words: &[&str]) -> anyhow::Result<()> {
        let mut set = self.server.ip(["link", "set", "dev", SERVER_INTERFACE]);
        process::output(set.args(words)).map(drop)
    }

    /// Runs `work` while the client's interface is free for an XDP program of its own, as `kxdpgun`
    /// wants it.
    ///
    /// # Errors
    /// When the passing program cannot be attached again afterwards.
    pub fn with_free_client_interface<T>(&self, work: impl FnOnce() -> T) -> anyhow::Result<T> {
        drop(self.passing.lock().unwrap_or_else(PoisonError::into_inner).take());
        let result = work();
        // A child that another thread is starting holds every descriptor until it becomes its program.
        let deadline = Instant::now() + Duration::from_secs(20);
        while let Err(error) = self.pass_on_client_side() {
            ensure!(Instant::now() < deadline, error);
            thread::sleep(Duration::from_millis(10));
        }
        Ok(result)
    }

    fn pass_on_client_side(&self) -> anyhow::Result<()> {
        let link = self.client.enter(|| let_pass(CLIENT_INTERFACE))??;
        *self.passing.lock().unwrap_or_else(PoisonError::into_inner) = Some(link);
        Ok(())
    }
}

/// A network namespace of ours; gone on drop, with every process inside.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes an empty one with its loopback up and IPv6 ready without waiting.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn create(name: &str) -> anyhow::Result<Self> {
        cleanup::create(Item::Namespace(name.to_owned()), || {
            process::output(&mut ip(["netns", "add", name])).map(drop)
        })?;
        let namespace = Self { name: name.to_owned() };
        namespace.enter(|| -> io::Result<()> {
            // Addresses are usable at once, and nothing is sent that nobody asked for.
            for scope in ["all", "default"] {
                let folder = Path::new("/proc/sys/net/ipv6/conf").join(scope);
                fs::write(folder.join("accept_dad"), "0")?;
                fs::write(folder.join("router_solicitations"), "0")?;
            }
            Ok(())
        })??;
        process::output(&mut namespace.ip(["link", "set", "lo", "up"]))?;
        Ok(namespace)
    }

    /// Its name, as `ip netns` knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The hardware address of an interface inside.
    ///
    /// # Errors
    /// When there is no such interface.
    pub fn hardware(&self, interface: &str) -> anyhow::Result<[u8; 6]> {
        let said = process::output(&mut self.ip(["-brief", "link", "show", interface]))?;
        let address = said.split_whitespace().nth(2).with_context(|| said.clone())?;
        let octets: Vec<u8> = address
            .split(':')
            .map(|octet| u8::from_str_radix(octet, 16))
            .collect::<Result<_, _>>()?;
        octets.try_into().ok().with_context(|| format!("{interface} has the address {address}"))
    }

    /// A command that will run inside. It sees a `/sys` and mounts of its own: what it mounts or pins
    /// there ends with it.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = ip(["netns", "exec", &self.name]);
        command.arg(program);
        command
    }

    /// Runs `work` inside, on a thread of its own; sockets opened there stay in the namespace. Do not
    /// start lasting children from it: they would die with the thread (see [`process::tie`]).
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
        let path = Path::new(NAMESPACES).join(&self.name);
        let file = fs::File::open(&path).with_context(|| path.display().to_string())?;
        let inside = move || {
            // SAFETY: the descriptor is open, and only this thread changes its namespace.
            if unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) } != 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(work())
        };
        let result = thread::scope(|scope| scope.spawn(inside).join());
        match result {
            Ok(result) => result.with_context(|| format!("entering {}", self.name)),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Packets that an interface has received.
    ///
    /// # Errors
    /// When there is no such interface.
    pub fn received(&self, interface: &str) -> anyhow::Result<u64> {
        let text = self.enter(|| fs::read_to_string("/proc/thread-self/net/dev"))??;
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        let counts = lines.find(|(name, _)| name.trim() == interface).map(|(_, counts)| counts);
        let packets = counts.and_then(|counts| counts.split_whitespace().nth(1));
        Ok(packets.with_context(|| format!("no interface {interface}"))?.parse()?)
    }

    /// `ip -n NAME …`
    pub fn ip<const N: usize>(&self, arguments: [&str; N]) -> Command {
        let mut command = ip(["-n", &self.name]);
        command.args(arguments);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        cleanup::remove(&Item::Namespace(self.name.clone()));
    }
}

/// Lets everything pass an interface of the calling thread's namespace, so that it takes what its peer's
/// program transmits; until the descriptor is dropped.
///
/// # Errors
/// Without privilege, or where another program is attached.
pub fn let_pass(interface: &str) -> anyhow::Result<OwnedFd> {
    program::attach(interface, Verdict::Pass)
}

/// What [`block`] drops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocked {
    /// Every frame.
    Everything,
    /// Those of IPv6.
    V6,
}

/// Drops frames at an interface of the calling thread's namespace, in both directions, without a change of its
/// carrier; until the descriptors are dropped. Needs Linux 6.6.
///
/// # Errors
/// Without privilege, or on an older kernel.
pub fn block(interface: &str, what: Blocked) -> anyhow::Result<Vec<OwnedFd>> {
    let verdicts = match what {
        Blocked::Everything => [Verdict::DropIncoming, Verdict::DropOutgoing],
        Blocked::V6 => [Verdict::DropIncomingV6, Verdict::DropOutgoingV6],
    };
    verdicts.into_iter().map(|verdict| program::attach(interface, verdict)).collect()
}

/// How long a process may take to end by itself.
const POLITE: Duration = Duration::from_secs(2);
/// When those that are left are left alone.
const END: Duration = Duration::from_secs(20);

/// Ends every process inside a namespace, then deletes it. Faults are ignored: it may be gone.
pub fn destroy(name: &str) {
    let processes = || -> Vec<u32> {
        let list = process::output(&mut ip(["netns", "pids", name])).unwrap_or_default();
        list.lines().filter_map(|line| line.trim().parse().ok()).collect()
    };
    let begun = Instant::now();
    while begun.elapsed() < END {
        let left = processes();
        if left.is_empty() {
            break;
        }
        let signal = if begun.elapsed() < POLITE { libc::SIGTERM } else { libc::SIGKILL };
        for pid in left {
            process::send(pid, signal);
        }
        thread::sleep(Duration::from_millis(50));
    }
    _ = process::output(&mut ip(["netns", "del", name]));
}

fn ip<const N: usize>(arguments: [&str; N]) -> Command {
    let mut command = Command::new("ip");
    command.args(arguments);
    command
}

#[cfg(test)]
mod tests;
