//! Where floods against the limits are played: a zone, a server on a pair, and resolvers behind a second
//! interface.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    os::fd::OwnedFd,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::{
    bench::zones::{self, Wanted},
    cleanup::Scratch,
    daemon::Daemon,
    gen_zone::{self, Signed},
    load::{
        frames::{Flooded, Frames, Sources},
        resolvers::{self, Asked},
    },
    net::{CLIENT, Pair, SERVER, SERVER_INTERFACE},
    process,
    prove::{Args, servers},
    refereeing::peers::{Kind, Peer, Zone},
    strict::Name,
};

/// Delegations of the zone.
const NAMES: usize = 10_000;
/// Its apex.
const APEX: &str = "lac.";
/// Queries of the flood's file.
const QUERIES: usize = 50_000;
/// Where the forged sources are that no resolver shares: the first of 2^24 addresses.
pub const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(20, 0, 0, 0);
/// Questions a second of all resolvers together: five of each.
const ORDINARY: u32 = 5_000;

/// A zone, its queries, and whom ordinary resolvers ask for.
pub struct Field {
    pub folder: Scratch,
    pub program: PathBuf,
    pub zones: [Zone; 1],
    pub queries: PathBuf,
    ordinary: Vec<Name>,
}

/// A server at work, and two interfaces that lead to it.
pub struct Node {
    pub server: Server,
    _hears: OwnedFd,
    pub pair: Pair,
    /// Our daemon's configuration, and what stands in it besides limits.
    config: Option<(PathBuf, String)>,
}

/// Whose server it is.
pub enum Server {
    /// Ours.
    Ours(Daemon),
    /// A peer's; ended when dropped.
    Peer(#[expect(dead_code, reason = "held until the end")] Peer),
}

/// A flood with ordinary resolvers beside it.
pub struct Flood {
    pub flooded: Flooded,
    pub asked: Asked,
}

impl Field {
    /// Makes the zone and a registry's mix of queries.
    pub fn prepare(args: &Args) -> anyhow::Result<Self> {
        let folder = Scratch::create()?;
        let (file, queries) = (folder.path().join("lac.zone"), folder.path().join("queries"));
        gen_zone::generate(&gen_zone::Args {
            names: NAMES,
            signed: Some(Signed::Nsec3Optout),
            seed: args.seed,
            apex: APEX.into(),
            out: file.clone(),
            queries: Some(queries.clone()),
            count: QUERIES,
        })?;
        Self::new(args, folder, file, queries, args.seed)
    }

    /// A zone of so many names, made once and kept, and queries for names that it does not have.
    pub fn absent(args: &Args, names: usize) -> anyhow::Result<Self> {
        let signed = Some(Signed::Nsec3Optout);
        let wanted = Wanted { apex: APEX, names, signed, count: QUERIES };
        let kept = zones::folder("peers")?;
        let file = match names {
            1_000_000 => kept.join("1m-signed.zone"),
            _ => kept.join(format!("{names}-signed.zone")),
        };
        zones::make(&wanted, &file, None)?;
        let folder = Scratch::create()?;
        let queries = folder.path().join("queries");
        zones::absent(&wanted, &queries)?;
        Self::new(args, folder, file, queries, zones::SEED)
    }

    fn new(
        args: &Args,
        folder: Scratch,
        file: PathBuf,
        queries: PathBuf,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let program = servers::program(args)?;
        let ordinary = gen_zone::labels(seed).take(1000);
        let ordinary = ordinary.map(|label| Name::from_text(&format!("{label}.{APEX}")));
        let ordinary = ordinary.collect::<Result<_, _>>().context("a name")?;
        let zones = [Zone { apex: Name::from_text(APEX)?, file }];
        Ok(Self { folder, program, zones, queries, ordinary })
    }

    /// Starts our daemon on both interfaces with these lines in its configuration.
    pub fn start(&self, lines: &str) -> anyhow::Result<Node> {
        let (pair, _hears) = self.connect()?;
        let folder = self.folder.path().join("node");
        let both = [SERVER_INTERFACE, resolvers::INTERFACE];
        let config = servers::configure_ours_on(&pair, &self.zones, "native", &both, "", &folder)?;
        let text = fs::read_to_string(&config)? + "\n";
        fs::write(&config, text.clone() + lines)?;
        let patience = Duration::from_secs(120);
        let daemon = Daemon::start(&pair.server, &self.program, &config, &folder, patience)?;
        Ok(Node { server: Server::Ours(daemon), _hears, pair, config: Some((config, text)) })
    }

    /// Starts a peer that limits to so many replies a second, if any.
    pub fn start_peer(&self, kind: Kind, limit: u32) -> anyhow::Result<Node> {
        let (pair, _hears) = self.connect()?;
        let folder = self.folder.path().join(format!("limit-{limit}"));
        // A server of the system's sockets sends nothing where no route leads.
        let [IpAddr::V4(client), _] = CLIENT else { bail!("the pair has IPv4 first") };
        let client = client.to_string();
        let forged = format!("{ELSEWHERE}/8");
        let route = ["route", "add", &forged, "via", &client, "dev", SERVER_INTERFACE];
        process::output(&mut pair.server.ip(route))?;
        let peer = servers::start_limited_peer(kind, &pair, &self.zones, limit, &folder)?;
        Ok(Node { server: Server::Peer(peer), _hears, pair, config: None })
    }

    fn connect(&self) -> anyhow::Result<(Pair, OwnedFd)> {
        let pair = Pair::create()?;
        let hears = resolvers::connect(&pair, server()?)?;
        Ok((pair, hears))
    }

    /// Has the resolvers ask for so long, so many questions a second.
    pub fn ask(&self, node: &Node, rate: u32, time: Duration) -> anyhow::Result<Asked> {
        resolvers::ask(&node.pair, servers::address(), &self.ordinary, rate, time)
    }

    /// A generator on the node's first interface, to be used by `work` alone.
    pub fn with_frames<T>(
        &self,
        node: &Node,
        work: impl FnOnce(&mut Frames) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        node.pair.with_free_client_interface(|| {
            work(&mut Frames::attach(&node.pair, &self.queries, self.folder.path())?)
        })?
    }

    /// Floods for so long, while the ordinary resolvers ask.
    pub fn flood(
        &self,
        node: &Node,
        frames: &mut Frames,
        window: u64,
        time: Duration,
    ) -> anyhow::Result<Flood> {
        thread::scope(|scope| -> anyhow::Result<_> {
            let asking = scope.spawn(|| self.ask(node, ORDINARY, time));
            let flooded = frames.flood(&node.pair, window, time)?;
            let Ok(asked) = asking.join() else { bail!("the resolvers' thread failed") };
            Ok(Flood { flooded, asked: asked? })
        })
    }
}

impl Node {
    /// Has our daemon, which started without limits, follow these lines in the place of those before, and waits
    /// until it does.
    ///
    /// # Errors
    /// When it is not our daemon, or does not follow.
    pub fn limit(&self, lines: &str) -> anyhow::Result<()> {
        let (config, text) = self.config.as_ref().context("not our daemon")?;
        fs::write(config, text.clone() + lines)?;
        let daemon = self.ours()?;
        process::send(daemon.process(), libc::SIGHUP);
        let (deadline, on) = (Instant::now() + Duration::from_secs(20), !lines.is_empty());
        // Off until the log says otherwise.
        let is_on = |log: &str| {
            let change = log.lines().rfind(|line| line.contains("the limits have changed"));
            change.is_some_and(|line| line.contains("mode=On"))
        };
        while is_on(&daemon.log()) != on {
            anyhow::ensure!(Instant::now() < deadline, "limits do not follow the configuration");
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Our daemon.
    pub fn ours(&self) -> anyhow::Result<&Daemon> {
        match &self.server {
            Server::Ours(daemon) => Ok(daemon),
            Server::Peer(_) => bail!("not our daemon"),
        }
    }

    /// What an interface on the server's side has counted: packets received, and dropped by receiver or
    /// sender.
    pub fn interface(&self, name: &str) -> anyhow::Result<Value> {
        let text = process::output(
            self.pair.server.command("ip").args(["-json", "-s", "link", "show", "dev", name]),
        )?;
        let links: Value = serde_json::from_str(&text)?;
        let [received, sent] = ["rx", "tx"].map(|way| &links[0]["stats64"][way]);
        Ok(json!({
            "received": received["packets"],
            "dropped on receipt": received["dropped"],
            "sent": sent["packets"],
            "dropped on sending": sent["dropped"],
        }))
    }
}

/// Where the servers answer.
pub fn server() -> anyhow::Result<Ipv4Addr> {
    match SERVER[0] {
        IpAddr::V4(address) => Ok(address),
        IpAddr::V6(_) => bail!("the pair has IPv4 first"),
    }
}

/// As figures.
pub fn asked(asked: &Asked) -> Value {
    json!({
        "questions": asked.sent,
        "answered over UDP": asked.whole,
        "truncated": asked.truncated,
        "of these answered over TCP": asked.over_tcp,
        "lost": asked.lost(),
    })
}

/// Half a million networks /24 and all their addresses.
pub const EVERYWHERE: Sources =
    Sources { networks: 1 << 19, first: Ipv4Addr::new(16, 0, 0, 0), stride: 1 << 8, hosts: 0xff };
