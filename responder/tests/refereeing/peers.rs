//! Name servers to compare, ours among them, as children that die with their handle.

use std::{
    env,
    ffi::OsString,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::{
    ask::{self, Pace},
    configs,
    contest::{Side, Within},
    queries::{Dress, Query},
    sign::Denial,
};
use crate::strict::{Name, rtype};

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// NLnet Labs' NSD.
    Nsd,
    /// CZ.NIC's Knot DNS.
    Knot,
    /// ISC's BIND.
    Bind,
    /// NLnet Labs' Unbound: a resolver that asks the upstream of its plan, and validates.
    Unbound,
    /// Ours, without the kernel programs.
    Responder,
}

impl Kind {
    /// The name of its program.
    pub fn program(self) -> &'static str {
        match self {
            Self::Nsd => "nsd",
            Self::Knot => "knotd",
            Self::Bind => "named",
            Self::Unbound => "unbound",
            Self::Responder => "responder",
        }
    }

    /// The arguments after which the configuration's path comes.
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Nsd => &["-d", "-c"],
            Self::Knot => &["-c"],
            Self::Bind => &["-f", "-n", "2", "-c"],
            Self::Unbound => &["-d", "-c"],
            Self::Responder => &["serve", "--config"],
        }
    }
}

/// A zone to serve.
#[derive(Debug, Clone)]
pub struct Zone {
    /// The apex.
    pub apex: Name,
    /// The master file.
    pub file: PathBuf,
}

impl Zone {
    /// The zones of a folder: each file `APEX.zone`, in the order of their names.
    ///
    /// # Errors
    /// When the folder cannot be read or a file's name is no domain name.
    pub fn all_in(folder: &Path) -> io::Result<Vec<Self>> {
        let mut zones = Vec::new();
        for entry in fs::read_dir(folder)? {
            let file = entry?.path();
            if file.extension().is_some_and(|extension| extension == "zone") {
                let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
                let apex = Name::from_text(stem).map_err(io::Error::other)?;
                zones.push(Self { apex, file });
            }
        }
        zones.sort_by(|one, other| one.file.cmp(&other.file));
        Ok(zones)
    }

    /// Whether we can read what kzonesign makes of a sample zone: it writes LOC and URI as text, which
    /// our reader takes in the form of RFC 3597 only.
    pub fn is_signable(&self) -> bool {
        self.apex.to_string() != "rare.example."
    }

    /// Whether NSD cannot serve a sample zone once signed: NSD 4.6 cannot read names with every octet as
    /// kzonesign writes them, and falls while it hashes the names of 255 octets in the zone `d.`, below
    /// which no wildcard fits.
    pub fn is_beyond_nsd(&self, denial: Denial) -> bool {
        match self.apex.to_string().as_str() {
            "octets.example." => true,
            "d." => denial != Denial::Nsec,
            _ => false,
        }
    }
}

/// A server to start.
pub struct Plan<'a> {
    /// Which.
    pub kind: Kind,
    /// Its program, where it is not looked for on the PATH.
    pub program: Option<&'a Path>,
    /// Where it is to answer.
    pub address: SocketAddr,
    /// What it serves.
    pub zones: &'a [Zone],
    /// No reply over UDP is to be larger, in octets.
    pub udp_size: u16,
    /// Processes or threads that answer.
    pub workers: usize,
    /// Its configuration, state and log go here.
    pub folder: &'a Path,
    /// Goes before the command, to run it in another network namespace.
    pub wrap: &'a [String],
    /// From where it can be asked.
    pub within: Within<'a>,
    /// Of a resolver: whom it asks.
    pub upstream: Option<Upstream>,
    /// Of Knot: the interface whose queries it takes by AF_XDP; none: by sockets.
    pub interface: Option<&'a str>,
    /// Replies a second to one source, what is over being truncated; none: no limit.
    pub limit: u32,
}

/// Whom a resolver asks for the zones of its plan.
#[derive(Debug, Clone, Copy)]
pub struct Upstream {
    /// The server of the zones.
    pub address: SocketAddr,
    /// The time at which signatures are to be valid, as RRSIG writes it; none: now.
    pub date: Option<&'static str>,
}

/// A running server; ended when dropped.
pub struct Peer {
    /// Which server it is.
    pub kind: Kind,
    /// Where it answers.
    pub address: SocketAddr,
    /// How long it took until it answered for every zone.
    pub started_in: Duration,
    child: Child,
}

impl Peer {
    /// Starts a server and waits until it answers for every zone.
    ///
    /// # Errors
    /// When the program is missing (with the remedy) or does not come to answer.
    pub fn start(plan: &Plan<'_>) -> io::Result<Self> {
        let name = plan.kind.program();
        let program = match plan.program {
            Some(program) => program.to_owned(),
            None => find(name)?,
        };
        fs::create_dir_all(plan.folder)?;
        let config = plan.folder.join(format!("{name}.conf"));
        fs::write(&config, configs::text(plan)?)?;
        let log = plan.folder.join(format!("{name}.log"));
        let words: Vec<OsString> = plan
            .wrap
            .iter()
            .map(OsString::from)
            .chain([program.into_os_string()])
            .chain(plan.kind.arguments().iter().map(OsString::from))
            .collect();
        let begin = Instant::now();
        let child = Command::new(&words[0])
            .args(&words[1..])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(fs::File::create(&log)?)
            .stderr(fs::File::options().append(true).open(&log)?)
            .spawn()?;
        let mut peer =
            Self { kind: plan.kind, address: plan.address, started_in: Duration::ZERO, child };
        peer.wait(plan).map_err(|error| {
            let said = fs::read_to_string(&log).unwrap_or_default();
            io::Error::other(format!("{name} at {}: {error}\n{said}", plan.address))
        })?;
        peer.started_in = begin.elapsed();
        Ok(peer)
    }

    fn wait(&mut self, plan: &Plan<'_>) -> io::Result<()> {
        let zones = plan.zones;
        let soa = |(number, zone): (usize, &Zone)| {
            // A resolver answers nothing without RD.
            let dress = Dress { recursion_desired: true, ..Dress::default() };
            Query::new(number, zone.apex.clone(), rtype::SOA, dress)
        };
        let queries: Vec<Query> = zones.iter().enumerate().map(soa).collect();
        let pace = Pace { sockets: 1, patience: Duration::from_millis(100), tries: 2, window: 8 };
        let side = Side { address: plan.address, within: plan.within };
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("ended with {status}")));
            }
            let asked = side.reach(|address| ask::datagrams(address, &queries, pace))?;
            let answers = |reply: &Option<Vec<u8>>| {
                reply.as_ref().is_some_and(|reply| reply.len() > 12 && reply[7] == 1)
            };
            match asked.replies.iter().position(|reply| !answers(reply)) {
                None => return Ok(()),
                Some(first) if Instant::now() > until => {
                    let zone = &zones[first].apex;
                    return Err(io::Error::other(format!("does not answer for {zone}")));
                }
                Some(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    /// The process, to measure it.
    pub fn process(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // NSD's master reaps its servers on SIGTERM; SIGKILL would orphan them.
        let process = self.child.id().to_string();
        let _ = Command::new("kill").arg(&process).status();
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The path of a server's program: Debian keeps them in `/usr/sbin`, which is not on every PATH.
///
/// # Errors
/// When it is nowhere, with the remedy.
pub fn find(program: &str) -> io::Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join(program)).find(|file| file.is_file()).ok_or_else(|| {
        io::Error::other(format!("{program} is not installed; remedy: cargo xtask setup"))
    })
}
