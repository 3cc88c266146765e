//! Our own daemons: nodes with the kernel programs, distributors with sockets alone, each with the
//! configuration that `examples/cloud/` shows.

use std::{
    fs::{self, File},
    net::IpAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use super::{
    addresses::{self, Segment},
    examples::{fill, repeat},
    primary, routing,
    topology::{Node, Topology},
    world::{self, UP, World},
};
use crate::{
    daemon::Daemon,
    process::{self, Running},
};

/// The name of the catalog.
pub const CATALOG: &str = "catalog.cloud.";
const NODE: &str = include_str!("../../../examples/cloud/node.toml");
const DISTRIBUTOR: &str = include_str!("../../../examples/cloud/distributor.toml");
/// The secret between distributors and nodes.
const NODES_SECRET: &str = "bm9kZXMgbm9kZXMgbm9kZXMgbm9kZXMgbm9kZXMgbm8=";
/// So many of the nodes, the one that joins later among them, stay in the routing.
pub const FLOOR: usize = 6;
/// For how long the kernel answers without a daemon.
pub const LEASE: Duration = Duration::from_secs(10);
/// How long a daemon may take to be ready, on a machine that is busy otherwise.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node's surroundings.
pub struct NodeHome {
    /// Its row in the topology.
    pub node: &'static Node,
    folder: PathBuf,
    config: PathBuf,
    program: PathBuf,
    /// Its daemon, while it runs.
    pub daemon: Option<Daemon>,
    /// Its routing daemons, while they run.
    pub routing: Vec<Running>,
    /// What withdraws when the daemon cannot.
    watchdog: Option<Running>,
}

/// The nodes' key, as `dig` and `kdig` take it.
pub fn nodes_key() -> String {
    format!("hmac-sha256:nodes.cloud.:{NODES_SECRET}")
}

/// The addresses by which one node is asked and no other.
pub fn unicast(topology: &Topology, node: &Node) -> [IpAddr; 2] {
    addresses::of(topology.number(node.place), Segment::Node)
}

/// The addresses of all distributors.
pub fn distributors(topology: &Topology) -> Vec<IpAddr> {
    let of = |place: &&str| addresses::of(topology.number(place), Segment::Distributor)[0];
    topology.distributors.iter().map(of).collect()
}

impl NodeHome {
    /// Writes a node's configuration.
    ///
    /// # Errors
    /// When an example lacks what is to be filled in, or the folder cannot be written.
    pub fn prepare(
        world: &World,
        node: &'static Node,
        program: &Path,
        bpffs: &Path,
    ) -> anyhow::Result<Self> {
        let folder = world.folder(node.id)?;
        fs::create_dir_all(folder.join("state"))?;
        fs::create_dir_all(folder.join("run"))?;
        write_secret(&folder.join("nodes.key"), NODES_SECRET)?;
        let topology = world.topology;
        let [v4, v6] = unicast(topology, node).map(|address| address.to_string());
        let above = distributors(topology);
        let path = |name: &str| folder.join(name).display().to_string();
        let mut text = fill(
            NODE,
            &[
                ("\"scl1\"", &format!("\"{}\"", node.id)),
                ("/var/lib/responder", &path("state")),
                ("/etc/responder/keys/nodes", &path("nodes.key")),
                ("\"198.51.100.2\"", &format!("\"{v4}\"")),
                ("\"2001:db8:100::2\"", &format!("\"{v6}\"")),
                ("\"eth0\"", &format!("\"{UP}\"")),
                ("203.0.113.1", &above[0].to_string()),
                ("203.0.113.2", &above[1].to_string()),
            ],
        )?;
        // What only many nodes on one small machine need, and times that a play can wait for.
        let pins = bpffs.join(node.id).display().to_string();
        text = text.replace(
            "[xdp]\n",
            &format!(
                "[xdp]\nreceive-scaling = \"off\"\npins = \"{pins}\"\nlease = \"{}s\"\n",
                LEASE.as_secs()
            ),
        );
        text = text.replace("[transfer]\n", "[transfer]\nexpire-min = \"3s\"\n");
        text += &routing::service(node.routing, &folder)?;
        text = text.replace("[limits]\n", "[limits]\nudp-threads = 1\n");
        let config = folder.join("responder.toml");
        fs::write(&config, text)?;
        Ok(Self {
            node,
            folder,
            config,
            program: program.to_owned(),
            daemon: None,
            routing: Vec::new(),
            watchdog: None,
        })
    }

    /// Starts its routing daemons.
    ///
    /// # Errors
    /// When they cannot be configured or started.
    pub fn start_routing(&mut self, world: &World) -> anyhow::Result<()> {
        self.routing.clear();
        self.routing = routing::start(world, self.node, &self.folder, &self.program)?;
        Ok(())
    }

    /// Kills its routing daemons.
    pub fn kill_routing(&mut self) {
        for running in &self.routing {
            running.signal(libc::SIGKILL);
        }
        self.routing.clear();
    }

    /// Runs a command of `responder` about this node.
    ///
    /// # Errors
    /// When it fails.
    pub fn run(&self, world: &World, words: &[&str]) -> anyhow::Result<String> {
        let mut command = world.space(self.node.id).command(&self.program);
        process::output(command.args(words).arg("--config").arg(&self.config))
    }

    /// A command of `responder` about this node, as one would type it.
    pub fn command(&self, words: &str) -> String {
        format!("{} {words} --config {}", self.program.display(), self.config.display())
    }

    /// Starts what does not run.
    ///
    /// # Errors
    /// As [`NodeHome::start`] and [`NodeHome::start_routing`].
    pub fn revive(&mut self, world: &World) -> anyhow::Result<()> {
        if !is_alive(&mut self.daemon) {
            self.start(world)?;
        }
        let runs = |running: &mut Running| matches!(running.ended(), Ok(None));
        if self.routing.is_empty() || !self.routing.iter_mut().all(runs) {
            self.start_routing(world)?;
        }
        Ok(())
    }

    /// Starts its daemon and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn start(&mut self, world: &World) -> anyhow::Result<()> {
        let space = world.space(self.node.id);
        let arguments = ["--on-stop", "keep"];
        self.daemon = Some(Daemon::start_with(
            space,
            &self.program,
            &self.config,
            &arguments,
            &self.folder,
            PATIENCE,
        )?);
        if self.watchdog.is_none() {
            let log = File::create(self.folder.join("watchdog.log"))?;
            let mut watchdog = space.command(&self.program);
            watchdog.args(["watchdog", "--config"]).arg(&self.config);
            watchdog.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
            self.watchdog = Some(Running::start(&mut watchdog)?);
        }
        Ok(())
    }
}

/// A distributor.
pub struct Distributor {
    index: usize,
    folder: PathBuf,
    config: PathBuf,
    program: PathBuf,
    /// Its daemon, while it runs.
    pub daemon: Option<Daemon>,
}

impl Distributor {
    /// Writes a distributor's keys and configuration.
    ///
    /// # Errors
    /// As [`NodeHome::prepare`].
    pub fn prepare(world: &World, index: usize, program: &Path) -> anyhow::Result<Self> {
        let folder = world.folder(&world::distributor(index))?;
        fs::create_dir_all(folder.join("state"))?;
        write_secret(&folder.join("nodes.key"), NODES_SECRET)?;
        for zone in world.topology.primaries.iter().flat_map(|primary| primary.zones) {
            write_secret(&folder.join(format!("{zone}key")), &primary::secret(zone))?;
        }
        let config = folder.join("responder.toml");
        let home = Self { index, folder, config, program: program.to_owned(), daemon: None };
        home.configure(world.topology, &world.topology.zones().collect::<Vec<_>>())?;
        Ok(home)
    }

    /// Writes a configuration that lists these zones.
    ///
    /// # Errors
    /// As [`NodeHome::prepare`].
    pub fn configure(&self, topology: &Topology, zones: &[&str]) -> anyhow::Result<()> {
        let own =
            addresses::of(topology.number(topology.distributors[self.index]), Segment::Distributor);
        let path = |name: &str| self.folder.join(name).display().to_string();
        let (head, client) = DISTRIBUTOR
            .split_at(DISTRIBUTOR.find("# A client.").ok_or_else(|| anyhow::anyhow!("no client"))?);
        let nodes = || {
            let of = |node: &Node| unicast(topology, node)[0].to_string();
            topology.nodes.iter().map(move |node| vec![("198.51.100.2", of(node))])
        };
        let (inventory, head) = head
            .split_at(head.find("transfer-to").ok_or_else(|| anyhow::anyhow!("no transfer-to"))?);
        let inventory = repeat(
            inventory,
            "  { id = \"scl1\"",
            "]\n",
            topology.nodes.iter().map(|node| {
                let address = unicast(topology, node)[0].to_string();
                vec![("\"scl1\"", format!("\"{}\"", node.id)), ("198.51.100.2", address)]
            }),
        )?
        .replace("drain-floor = 1 ", &format!("drain-floor = {FLOOR} "));
        // The lines of the lists of nodes.
        let feed = |text: &str| -> anyhow::Result<String> {
            let (line, end) = ("  { address = \"198.51.100.2\"", "]\n");
            let split = text.find("notify-to").ok_or_else(|| anyhow::anyhow!("no notify-to"))?;
            let (before, after) = text.split_at(split);
            Ok(repeat(before, line, end, nodes())? + &repeat(after, line, end, nodes())?)
        };
        let mut text = fill(
            &(inventory + &feed(head)?),
            &[
                ("\"dist1\"", &format!("\"{}\"", world::distributor(self.index))),
                ("/var/lib/responder", &path("state")),
                ("/etc/responder/keys/nodes", &path("nodes.key")),
                ("\"203.0.113.1\"", &format!("\"{}\"", own[0])),
            ],
        )?;
        for primary in topology.primaries {
            let address = addresses::of(topology.number(primary.place), Segment::Primary)[0];
            for zone in primary.zones.iter().filter(|zone| zones.contains(zone)) {
                text += &fill(
                    &feed(client)?,
                    &[
                        ("\"client.cr.\"", &format!("\"{}\"", primary::key(zone))),
                        ("/etc/responder/keys/cr", &path(&format!("{zone}key"))),
                        ("\"cr.\"", &format!("\"{zone}\"")),
                        ("192.0.2.129", &address.to_string()),
                    ],
                )?;
            }
        }
        fs::write(&self.config, text)?;
        Ok(())
    }

    /// Runs a command of `responder` about this distributor.
    ///
    /// # Errors
    /// When it fails, with what it complains of.
    pub fn run(&self, world: &World, words: &[&str]) -> anyhow::Result<String> {
        let mut command = world.space(&world::distributor(self.index)).command(&self.program);
        process::output(command.args(words).arg("--config").arg(&self.config))
    }

    /// Where the catalog stands that it produces.
    pub fn catalog(&self) -> PathBuf {
        self.folder.join("state/catalogs").join(format!("{CATALOG}zone"))
    }

    /// Starts its daemon if it does not run.
    ///
    /// # Errors
    /// As [`Distributor::start`].
    pub fn revive(&mut self, world: &World) -> anyhow::Result<()> {
        if is_alive(&mut self.daemon) { Ok(()) } else { self.start(world) }
    }

    /// Starts its daemon and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn start(&mut self, world: &World) -> anyhow::Result<()> {
        let space = world.space(&world::distributor(self.index));
        let daemon = Daemon::start(space, &self.program, &self.config, &self.folder, PATIENCE)?;
        self.daemon = Some(daemon);
        Ok(())
    }
}

fn is_alive(daemon: &mut Option<Daemon>) -> bool {
    daemon.as_mut().is_some_and(|daemon| daemon.ensure_alive().is_ok())
}

fn write_secret(path: &Path, secret: &str) -> anyhow::Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    Ok(file.write_all(secret.as_bytes())?)
}
