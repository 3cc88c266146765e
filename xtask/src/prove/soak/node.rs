//! A node with a zone from a file, one from a Knot primary, a service that is probed, and what happens to it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::{
    holdings::{Holdings, Seen},
    packets::Packets,
};
use crate::{
    cleanup::Scratch,
    daemon::Daemon,
    gen_zone,
    net::{CLIENT, Pair, SERVER, SERVER_INTERFACE},
    process,
    prove::{
        Args,
        ixfr_million::primary::{self, Primary},
        servers,
    },
    refereeing::ask,
    strict::Name,
};

/// Delegations of each zone.
const NAMES: usize = 10_000;
/// Delegations that a version of the transferred zone changes.
const CHANGED: usize = 100;
/// How long a version may take to be served, and a daemon to start or to end, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// The address that a service announces.
const SERVICE: &str = "192.0.2.53";

/// What happens in each half of a cycle; the check is none if one of them never did.
const HAPPENINGS: [&str; 6] = [
    "zones read from their file",
    "versions transferred in",
    "transfers out",
    "kill -9",
    "stops with keep",
    "starts",
];

/// The files of a trial.
pub struct Files {
    folder: PathBuf,
    /// What the flood asks.
    pub queries: PathBuf,
    zone: String,
    file: PathBuf,
    /// The transferred zone, as its primary begins with it.
    pub transferred: PathBuf,
    pins: PathBuf,
}

impl Files {
    /// Makes the zones and the queries.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn prepare(args: &Args, scratch: &Scratch) -> anyhow::Result<Self> {
        let folder = scratch.path().join("node");
        fs::create_dir(&folder)?;
        let queries = folder.join("queries");
        let zone = |apex, queries| {
            gen_zone::unsigned(&folder, apex, args.count.unwrap_or(NAMES), args.seed, queries)
        };
        let file = zone("lac.", Some(queries.clone()))?;
        let transferred = zone("sv.", None)?;
        let pins = scratch.mount_bpffs()?.join("node");
        Ok(Self { zone: fs::read_to_string(&file)?, folder, queries, file, transferred, pins })
    }

    /// The folder for what a run leaves.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// The node, and who it has to do with.
pub struct Node<'p> {
    program: PathBuf,
    pair: &'p Pair,
    primary: &'p Primary<'p>,
    files: &'p Files,
    config: PathBuf,
    daemon: Daemon,
    labels: Vec<String>,
    happened: BTreeMap<&'static str, u64>,
}

impl<'p> Node<'p> {
    /// Starts it, and waits until both zones are served.
    ///
    /// # Errors
    /// When it does not come to that.
    pub fn start(
        args: &Args,
        pair: &'p Pair,
        primary: &'p Primary<'p>,
        files: &'p Files,
    ) -> anyhow::Result<Self> {
        let program = servers::program(args)?;
        let config = files.folder.join("responder.toml");
        fs::write(&config, configuration(files, false))?;
        let labels = gen_zone::labels(args.seed).take(args.count.unwrap_or(NAMES));
        let labels = labels.filter(|label| label.len() <= primary::LABEL).take(CHANGED).collect();
        let daemon = serve(pair, &program, &config, &files.folder)?;
        let happened = HAPPENINGS.map(|what| (what, 0)).into();
        let (program, files) = (program, files);
        let node = Self { program, pair, primary, files, config, daemon, labels, happened };
        node.await_version()?;
        Ok(node)
    }

    /// Switches the limits; they follow the configuration.
    ///
    /// # Errors
    /// When the daemon does not take it.
    pub fn limit(&self, on: bool) -> anyhow::Result<()> {
        fs::write(&self.config, configuration(self.files, on))?;
        process::send(self.daemon.process(), libc::SIGHUP);
        Ok(())
    }

    /// What comes and is counted, at a quiet moment.
    ///
    /// # Errors
    /// When there is none.
    pub fn packets(&self) -> anyhow::Result<Packets> {
        Packets::count(&self.daemon, &self.pair.server)
    }

    /// What the daemon holds.
    ///
    /// # Errors
    /// When it is gone.
    pub fn held(&self) -> anyhow::Result<Holdings> {
        Holdings::of(self.daemon.process(), Some(&self.files.pins))
    }

    /// How often what happened.
    pub fn happened(&self) -> BTreeMap<&'static str, u64> {
        self.happened.clone()
    }

    /// What happens under each flood.
    ///
    /// # Errors
    /// When the node does not get over it.
    pub fn happen(&mut self, seen: &mut Seen) -> anyhow::Result<()> {
        self.change()?;
        seen.add(&self.held()?);
        self.daemon.end(libc::SIGKILL, PATIENCE)?;
        self.note("kill -9");
        // The kernel answers alone for a while.
        thread::sleep(Duration::from_millis(300));
        self.restart()?;
        self.change()?;
        seen.add(&self.held()?);
        self.daemon.end(libc::SIGTERM, PATIENCE)?;
        self.note("stops with keep");
        self.restart()?;
        self.change()
    }

    /// Ends it as `systemctl stop` does: nothing stays attached.
    ///
    /// # Errors
    /// When it does not end.
    pub fn end(mut self) -> anyhow::Result<()> {
        // It was started to be kept.
        self.daemon.end(libc::SIGTERM, PATIENCE)?;
        let mut detach = self.pair.server.command(&self.program);
        process::output(detach.args(["detach", "--config"]).arg(&self.config)).map(drop)
    }

    fn restart(&mut self) -> anyhow::Result<()> {
        self.daemon = serve(self.pair, &self.program, &self.config, &self.files.folder)?;
        self.note("starts");
        Ok(())
    }

    /// New versions of both zones; both are transferred.
    fn change(&mut self) -> anyhow::Result<()> {
        let number = self.happened["zones read from their file"];
        let text = format!("{}soak.lac. 60 IN TXT \"{number}\"\n", self.files.zone);
        // At once: a daemon that starts must not see half of it.
        let fresh = self.files.file.with_extension("new");
        fs::write(&fresh, text)?;
        fs::rename(&fresh, &self.files.file)?;
        let mut reload = Command::new(&self.program);
        reload.args(["zone", "reload", "lac.", "--config"]).arg(&self.config);
        process::output(&mut reload)?;
        self.note("zones read from their file");

        let server = Name::from_text(&format!("s{number}.changed.example."))?;
        self.primary.change(&self.labels, &server)?;
        self.await_version()?;
        self.note("versions transferred in");

        for apex in ["lac.", "sv."] {
            let apex = Name::from_text(apex)?;
            let records = self.pair.client.enter(|| ask::transfer(servers::address(), &apex))??;
            ensure!(records.len() > NAMES / 100, "{} records of {apex}", records.len());
            self.note("transfers out");
        }
        Ok(())
    }

    /// Waits until the primary's version is served.
    fn await_version(&self) -> anyhow::Result<()> {
        let (newest, deadline) = (self.primary.serial()?, Instant::now() + PATIENCE);
        loop {
            let status = self.daemon.status()?;
            let zones = status["zones"].as_array().context("no zones in the status")?;
            let zone = zones.iter().find(|zone| zone["name"] == "sv.").unwrap_or(&Value::Null);
            if zone["serial"] == newest {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{newest} is not served: {zone}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn note(&mut self, what: &'static str) {
        *self.happened.entry(what).or_default() += 1;
    }
}

/// Whether all that should happen did.
pub fn enough(happened: &BTreeMap<&'static str, u64>) -> bool {
    happened.values().all(|count| *count > 0)
}

fn serve(pair: &Pair, program: &Path, config: &Path, folder: &Path) -> anyhow::Result<Daemon> {
    let arguments = ["--on-stop", "keep"];
    Daemon::start_with(&pair.server, program, config, &arguments, folder, PATIENCE)
}

fn configuration(files: &Files, limits: bool) -> String {
    let (here, client, above) = (SERVER[0], CLIENT[0], primary::address());
    let (folder, file, pins) = (files.folder.display(), files.file.display(), files.pins.display());
    let (ip, port, mode) = (above.ip(), above.port(), if limits { "on" } else { "off" });
    let give = format!("transfer-to = [{{ address = \"{client}\" }}]\n");
    // Probes every 0.2 s: runs of the programs by the daemon itself.
    format!(
        "[node]\nid = \"soak\"\nstate = \"{folder}/state\"\n[listen]\naddresses = [\"{here}\", \
         \"{SERVICE}\"]\n[xdp]\nmode = \"native\"\ninterfaces = [\"{SERVER_INTERFACE}\"]\npins = \
         \"{pins}\"\nreceive-scaling = \"off\"\n[transfer]\nsource = [\"{here}\"]\n[rate-limit]\nmode = \
         \"{mode}\"\n[[zone]]\nname = \"lac.\"\nfile = \"{file}\"\n{give}[[zone]]\nname = \"sv.\"\nprimaries \
         = [{{ address = \"{ip}\", port = {port} }}]\n{give}[[service]]\nname = \"any\"\nprefixes = \
         [\"192.0.2.0/24\"]\naddress = {{ interface = \"lo\" }}\nhealth = {{ interval = \"200ms\" }}\n"
    )
}
