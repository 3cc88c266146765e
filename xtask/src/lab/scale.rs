//! `cargo xtask lab --scale`: what a distributor spends on each node and zone, at 1 to 12 nodes.
//!
//! One distributor with zones from files, and nodes that follow its catalog, all by sockets, joined by one
//! link whose octets are counted. Three things are measured: the nodes' first start (every zone as a whole),
//! a change of every zone (as differences), and rest (the SOA queries of the refresh timers).

use std::{
    fmt::Write as _,
    fs,
    net::{IpAddr, Ipv4Addr, UdpSocket},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::{ask, zones};
use crate::{
    cleanup::Scratch,
    daemon::Daemon,
    load::usage,
    net::{CLIENT_INTERFACE, Pair, SERVER, SERVER_INTERFACE},
    process,
};

/// How many nodes follow, one measurement after the other.
const NODES: [usize; 6] = [1, 2, 4, 6, 9, 12];
/// How many zones they follow.
const ZONES: usize = 100;
/// The nodes' refresh interval while they rest, and for how long they are watched.
const REFRESH: Duration = Duration::from_secs(5);
const WATCH: Duration = Duration::from_secs(15);
/// How long the nodes may take for anything.
const PATIENCE: Duration = Duration::from_secs(120);

/// Measures, prints a table, and writes `scale.json`.
///
/// # Errors
/// When something cannot be started or does not come about.
pub fn run(program: &Path, folder: &Path) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    println!(
        "{ZONES} zones of {} octets as files; what the distributor spends on each node and zone:\n\n\
         {:>5}  {:>22}  {:>22}  {:>22}\n{:>5}  {:>10} {:>11}  {:>10} {:>11}  {:>10} {:>11}  {:>9} {:>8}",
        zones::text("z.", 1).len(),
        "",
        "first start",
        "a change",
        "a refresh",
        "nodes",
        "µs",
        "octets",
        "µs",
        "octets",
        "µs",
        "octets",
        "change s",
        "MiB"
    );
    for nodes in NODES {
        let row = measure(program, nodes)?;
        let value = |phase: &str, what: &str| row[phase][what].as_f64().unwrap_or(f64::NAN);
        println!(
            "{nodes:>5}  {:>10.0} {:>11.0}  {:>10.0} {:>11.0}  {:>10.0} {:>11.0}  {:>9.2} {:>8.0}",
            value("first start", "microseconds"),
            value("first start", "octets"),
            value("change", "microseconds"),
            value("change", "octets"),
            value("refresh", "microseconds"),
            value("refresh", "octets"),
            value("change", "seconds until the last node serves the last zone"),
            value("memory", "MiB"),
        );
        rows.push(row);
    }
    fs::create_dir_all(folder)?;
    let file = folder.join("scale.json");
    let report = json!({ "zones": ZONES, "per node and zone": rows });
    fs::write(&file, serde_json::to_string_pretty(&report)? + "\n")?;
    println!("\nfigures: {}", file.display());
    Ok(())
}

/// One number of nodes.
fn measure(program: &Path, count: usize) -> anyhow::Result<Value> {
    let scratch = Scratch::create()?;
    let pair = Pair::create()?;
    let nodes: Vec<IpAddr> =
        (0..count).map(|node| Ipv4Addr::new(10, 53, 0, 100 + node as u8).into()).collect();
    for node in &nodes {
        let address = format!("{node}/24");
        let add = ["address", "add", &address, "dev", CLIENT_INTERFACE];
        process::output(&mut pair.client.ip(add))?;
    }
    let above = scratch.path().join("distributor");
    fs::create_dir_all(above.join("state"))?;
    write_zones(&above, 1)?;
    fs::write(above.join("responder.toml"), distributor(&nodes))?;
    let config = above.join("responder.toml");
    let distributor = Daemon::start(&pair.server, program, &config, &above, PATIENCE)?;
    let counter = Counter { pair: &pair, process: distributor.process() };
    let mut homes = Vec::new();
    for node in &nodes {
        homes.push(Home::prepare(scratch.path(), *node)?);
    }
    let sockets = pair.client.enter(|| -> std::io::Result<Vec<UdpSocket>> {
        nodes.iter().map(|node| ask::socket(*node)).collect()
    })??;

    let before = counter.read()?;
    let mut daemons = Vec::new();
    for home in &homes {
        home.configure(None)?;
        daemons.push(home.start(&pair, program)?);
    }
    await_all(&sockets, 1)?;
    let first = counter.since(&before, count)?;

    let before = counter.read()?;
    let start = Instant::now();
    write_zones(&above, 2)?;
    process::send(distributor.process(), libc::SIGHUP);
    await_all(&sockets, 2)?;
    let seconds = start.elapsed().as_secs_f64();
    let mut change = counter.since(&before, count)?;
    change["seconds until the last node serves the last zone"] = seconds.into();
    let memory = usage::Memory::of(distributor.process())?.proportional >> 20;

    daemons.clear();
    for home in &homes {
        home.configure(Some(REFRESH))?;
        daemons.push(home.start(&pair, program)?);
    }
    await_all(&sockets, 2)?;
    thread::sleep(REFRESH);
    let before = counter.read()?;
    thread::sleep(WATCH);
    let mut refresh = counter.since(&before, count)?;
    for what in ["microseconds", "octets"] {
        let rounds = WATCH.as_secs_f64() / REFRESH.as_secs_f64();
        refresh[what] = (refresh[what].as_f64().context("a number")? / rounds).into();
    }
    Ok(json!({
        "nodes": count,
        "first start": first,
        "change": change,
        "refresh": refresh,
        "memory": { "MiB": memory },
    }))
}

/// What the distributor has spent so far.
struct Counter<'a> {
    pair: &'a Pair,
    process: u32,
}

impl Counter<'_> {
    /// Microseconds of processors, octets on the link in both directions.
    fn read(&self) -> anyhow::Result<(u64, u64)> {
        let of = |direction: &str| -> anyhow::Result<u64> {
            let mut command = self.pair.server.command("cat");
            let file = format!("/sys/class/net/{SERVER_INTERFACE}/statistics/{direction}_bytes");
            Ok(process::output(command.arg(file))?.trim().parse()?)
        };
        Ok((usage::of_process(self.process)?, of("rx")? + of("tx")?))
    }

    /// What it has spent since, for each node and zone.
    fn since(&self, before: &(u64, u64), nodes: usize) -> anyhow::Result<Value> {
        let now = self.read()?;
        let each = |now: u64, before: u64| (now - before) as f64 / (nodes * ZONES) as f64;
        Ok(json!({
            "microseconds": each(now.0, before.0),
            "octets": each(now.1, before.1),
        }))
    }
}

/// A node's folder.
struct Home {
    node: IpAddr,
    folder: PathBuf,
}

impl Home {
    fn prepare(above: &Path, node: IpAddr) -> anyhow::Result<Self> {
        let folder = above.join(node.to_string());
        fs::create_dir_all(folder.join("state"))?;
        Ok(Self { node, folder })
    }

    /// Writes the configuration, with another refresh interval than the zones'.
    fn configure(&self, refresh: Option<Duration>) -> anyhow::Result<()> {
        let primaries = format!("primaries = [{{ address = \"{}\" }}]\n", SERVER[0]);
        let refresh = refresh.map_or(String::new(), |refresh| {
            format!("refresh-min = \"{0}s\"\nrefresh-max = \"{0}s\"\n", refresh.as_secs())
        });
        let text = format!(
            "[node]\nid = \"{0}\"\nstate = \"state\"\n[listen]\naddresses = [\"{0}\"]\n[xdp]\nmode = \
             \"off\"\n[limits]\nudp-threads = 1\n[transfer]\nsource = [\"{0}\"]\nretry-min = \
             \"1s\"\n{refresh}[[template]]\nname = \"member\"\n{primaries}[[zone]]\nname = \
             \"catalog.test.\"\n{primaries}members = \"member\"\n",
            self.node
        );
        Ok(fs::write(self.folder.join("responder.toml"), text)?)
    }

    fn start(&self, pair: &Pair, program: &Path) -> anyhow::Result<Daemon> {
        let config = self.folder.join("responder.toml");
        Daemon::start(&pair.client, program, &config, &self.folder, PATIENCE)
    }
}

/// Waits until every node serves every zone with this serial.
fn await_all(sockets: &[UdpSocket], serial: u32) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    for (node, socket) in sockets.iter().enumerate() {
        for zone in 0..ZONES {
            while !matches!(ask::serial(socket, &name(zone)), Ok(Some(found)) if found == serial) {
                let late = || format!("node {node} does not serve {} in time", name(zone));
                ensure!(Instant::now() < deadline, late());
                thread::sleep(Duration::from_millis(5));
            }
        }
    }
    Ok(())
}

fn name(zone: usize) -> String {
    format!("zone{zone:03}.")
}

fn write_zones(folder: &Path, serial: u32) -> anyhow::Result<()> {
    for zone in 0..ZONES {
        let name = name(zone);
        fs::write(folder.join(format!("{name}zone")), zones::text(&name, serial))?;
    }
    Ok(())
}

fn distributor(nodes: &[IpAddr]) -> String {
    let list: String = nodes.iter().map(|node| format!("{{ address = \"{node}\" }}, ")).collect();
    let to = format!("transfer-to = [{list}]\nnotify-to = [{list}]\n");
    let mut text = format!(
        "[node]\nid = \"distributor\"\nstate = \"state\"\n[listen]\naddresses = [\"{0}\"]\n[xdp]\nmode = \
         \"off\"\n[transfer]\nsource = [\"{0}\"]\n[[zone]]\nname = \"catalog.test.\"\nproduce-catalog = \
         true\n{to}",
        SERVER[0]
    );
    for zone in 0..ZONES {
        // Writing to a String cannot fail.
        _ = write!(
            text,
            "[[zone]]\nname = \"{0}\"\nfile = \"{0}zone\"\ncatalog = \"catalog.test.\"\n{to}",
            name(zone)
        );
    }
    text
}
