//! Control traffic under a flood: NOTIFY and a transfer in, transfers out, and the routing daemon beside.
//!
//! The flood comes in on one interface, at the generator's limit. Over the other one Knot is the primary
//! of a zone, another Knot follows us, and two BIRDs, one beside the daemon, have a session with BFD. The
//! flood that XDP answers is of random sources; the other one is of datagrams that are passed to the
//! daemon (IXFR), as far as their bound lets them.

use std::{
    fs::{self, File},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use super::{
    LIMITED, UNBOUNDED,
    field::{self, EVERYWHERE},
};
use crate::{
    cleanup::Scratch,
    daemon::Daemon,
    gen_zone,
    lab::bird,
    load::{
        frames::{Flooded, Frames},
        resolvers,
    },
    net::{CLIENT, Namespace, Pair, SERVER, SERVER_INTERFACE},
    process::{self, Running},
    prove::{
        Args, Outcome,
        ixfr_million::{
            primary::{self, Primary},
            questions,
        },
        servers,
    },
    refereeing::ask,
    strict::{Name, rtype},
};

/// The zone that comes from the primary, and goes on from us to the follower.
const MOVING: &str = "sv.";
/// The zone that is flooded, and is given out as a whole.
const FLOODED: &str = "lac.";
/// Delegations of each.
const NAMES: usize = 10_000;
/// Of these a version changes so many.
const CHANGED: usize = 100;
/// How long anything may take, on two processors that a flood wants for itself.
const BOUND: Duration = Duration::from_secs(5);
/// How long it is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// The routing daemons' own addresses.
const ROUTERS: [&str; 2] = ["10.99.0.1", "10.99.0.2"];

/// The follower, beside the primary.
fn follower() -> SocketAddr {
    SocketAddr::new(CLIENT[0], 5400)
}

/// What is timed.
const TIMED: [&str; 3] = [
    "from the update at the primary until we serve it",
    "from there until the follower serves it",
    "a zone of 10,000 delegations given to the follower",
];

/// The check.
///
/// # Errors
/// When something cannot be built, started or measured.
pub fn control(args: &Args) -> anyhow::Result<Outcome> {
    let scratch = Scratch::create()?;
    let folder = scratch.path();
    let program = servers::program(args)?;
    let [answered, passed] = ["answered", "passed"].map(|name| folder.join(name));
    let flooded = gen_zone::unsigned(folder, FLOODED, NAMES, args.seed, Some(answered.clone()))?;
    let moving = gen_zone::unsigned(folder, MOVING, NAMES, args.seed, None)?;
    fs::write(&passed, format!("{FLOODED} TYPE251\n"))?;

    let pair = Pair::create()?;
    let _hears = resolvers::connect(&pair, field::server()?)?;
    equip(&pair)?;
    let primary = Primary::start(&pair, &Name::from_text(MOVING)?, &moving, folder)?;
    let config = folder.join("responder.toml");
    fs::write(&config, configuration(folder, &flooded))?;
    let node = Daemon::start(&pair.server, &program, &config, folder, PATIENCE)?;
    let routers =
        [Router::start(&pair.server, 0, folder)?, Router::start(&pair.client, 1, folder)?];
    let labels = gen_zone::labels(args.seed).take(NAMES);
    let labels = labels.filter(|label| label.len() <= primary::LABEL).take(CHANGED).collect();
    let follower = Follower::start(&pair, folder)?;
    let place = Place { node, primary: &primary, follower, routers, pair: &pair, labels };
    // Once before anything is timed.
    place.round()?;
    for router in &place.routers {
        router.await_session()?;
    }

    let (mut told, mut holds) = (Vec::new(), true);
    for (kind, queries) in
        [("none", None), ("answered", Some(&answered)), ("passed", Some(&passed))]
    {
        let (before, changes) = (place.node.status()?, place.changes()?);
        let (times, flooded) = match queries {
            None => (place.rounds(args.rounds)?, None),
            Some(queries) => {
                let (times, flooded) = pair.with_free_client_interface(|| {
                    let mut frames = Frames::attach(&pair, queries, folder)?;
                    frames.spoof(&EVERYWHERE);
                    place.under(&mut frames, args.rounds)
                })??;
                (times, Some(flooded))
            }
        };
        let changes = place.changes()? - changes;
        let (now, hook) = (place.node.status()?, "xdp");
        let counted =
            servers::since(&servers::counters(&now, hook), &servers::counters(&before, hook));
        let rows: Vec<_> =
            times.iter().map(|times| times.map(|time| time.as_secs_f64() * 1e3)).collect();
        println!("flood {kind}: {rows:.0?} ms; sessions of BGP and BFD changed {changes} times");
        let flood = flooded.map(|flooded| {
            let rate = |count: u64| count as f64 / flooded.time.as_secs_f64();
            let [sent, taken] = [flooded.sent, flooded.taken].map(rate);
            println!(
                "  {sent:.0} queries/s sent, {taken:.0} taken, {:.0} answered",
                flooded.rate()
            );
            json!({ "sent per second": sent, "taken": taken, "answered": flooded.rate() })
        });
        holds &= changes == 0 && times.iter().flatten().all(|time| *time <= BOUND);
        told.push(json!({
            "flood": kind, "queries": flood, "timed": TIMED, "milliseconds": rows,
            "changes of sessions": changes, "counted by XDP": counted,
        }));
    }
    Ok(Outcome { holds, figures: Value::Array(told) })
}

/// Everybody at their place.
struct Place<'p> {
    node: Daemon,
    primary: &'p Primary<'p>,
    follower: Follower<'p>,
    routers: [Router; 2],
    pair: &'p Pair,
    labels: Vec<String>,
}

impl Place<'_> {
    /// Changes the zone at the primary and gives the other one out, so often.
    fn rounds(&self, rounds: usize) -> anyhow::Result<Vec<[Duration; 3]>> {
        (0..rounds.max(1)).map(|_| self.round()).collect()
    }

    fn round(&self) -> anyhow::Result<[Duration; 3]> {
        let serial = self.primary.serial()?.wrapping_add(1);
        let server = Name::from_text(&format!("s{serial}.changed.example."))?;
        let begin = Instant::now();
        self.primary.change(&self.labels, &server)?;
        self.await_serial(servers::address(), serial)?;
        let ours = Instant::now();
        self.await_serial(follower(), serial)?;
        let theirs = Instant::now();
        self.follower.says(&["-b", "zone-retransfer", FLOODED])?;
        Ok([ours - begin, theirs - ours, theirs.elapsed()])
    }

    /// Waits until a server answers with a version.
    fn await_serial(&self, server: SocketAddr, serial: u32) -> anyhow::Result<()> {
        let (apex, deadline) = (Name::from_text(MOVING)?, Instant::now() + PATIENCE);
        loop {
            let query = questions::query(&apex, rtype::SOA);
            let reply = self.pair.client.enter(|| ask::exchange_datagram(server, &query))??;
            if reply.is_some_and(|reply| primary::serial_of(&reply).is_ok_and(|now| now == serial))
            {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{server} does not come to serve version {serial}");
            // Half as often as one source may ask.
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The same under a flood, which begins before and ends after.
    fn under(
        &self,
        frames: &mut Frames,
        rounds: usize,
    ) -> anyhow::Result<(Vec<[Duration; 3]>, Flooded)> {
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            let flood = scope.spawn(|| {
                let mut all: Option<Flooded> = None;
                // In pieces, so that it goes on for just as long as the rounds take.
                while !ended.load(Ordering::Relaxed) {
                    let piece = frames.flood(self.pair, UNBOUNDED, Duration::from_secs(1))?;
                    all = Some(all.map_or(piece, |all| all.and(&piece)));
                }
                all.context("the flood never began")
            });
            // It is at its height before anything is timed.
            thread::sleep(Duration::from_secs(1));
            let times = self.rounds(rounds);
            ended.store(true, Ordering::Relaxed);
            let Ok(flooded) = flood.join() else { bail!("the flood's thread failed") };
            Ok((times?, flooded?))
        })
    }

    /// How often a session has changed its state so far.
    fn changes(&self) -> anyhow::Result<usize> {
        let changes = self.routers.iter().map(Router::changes);
        changes.sum()
    }
}

/// Knot as a secondary of ours.
struct Follower<'p> {
    pair: &'p Pair,
    config: PathBuf,
    _running: Running,
}

impl<'p> Follower<'p> {
    fn start(pair: &'p Pair, folder: &Path) -> anyhow::Result<Self> {
        let folder = folder.join("follower");
        fs::create_dir_all(folder.join("db"))?;
        let (here, node, config) = (follower(), SERVER[0], folder.join("knot.conf"));
        let (ip, port, path) = (here.ip(), here.port(), folder.display());
        let zone = |apex| {
            format!(
                "  - domain: {apex}\n    master: node\n    acl: node\n    semantic-checks: off\n    \
                 zonefile-sync: -1\n    zonefile-load: none\n    journal-content: all\n"
            )
        };
        let text = format!(
            "server:\n  listen: {ip}@{port}\n  rundir: {path}\n  udp-workers: 1\n  tcp-workers: 1\n  \
             background-workers: 1\nlog:\n  - target: stderr\n    any: info\ndatabase:\n  storage: {path}/db\n\
             remote:\n  - id: node\n    address: {node}@53\nacl:\n  - id: node\n    address: {node}\n    \
             action: notify\nzone:\n{}{}",
            zone(FLOODED),
            zone(MOVING)
        );
        fs::write(&config, text)?;
        let log = File::create(folder.join("knot.log"))?;
        let mut knot = pair.client.command("knotd");
        knot.arg("-c").arg(&config).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let _running = Running::start(&mut knot).context("remedy: cargo xtask setup")?;
        Ok(Self { pair, config, _running })
    }

    /// What it answers to a command.
    fn says(&self, words: &[&str]) -> anyhow::Result<String> {
        let mut knotc = self.pair.client.command("knotc");
        process::output(knotc.arg("-c").arg(&self.config).args(["-t", "60"]).args(words))
    }
}

/// BIRD with one session.
struct Router {
    folder: PathBuf,
    _running: Running,
}

impl Router {
    /// Starts one of the two at an end of the second link.
    fn start(space: &Namespace, number: usize, folder: &Path) -> anyhow::Result<Self> {
        let folder = folder.join(format!("bird{number}"));
        fs::create_dir(&folder)?;
        let (here, there) = (ROUTERS[number], ROUTERS[1 - number]);
        let (own, other) = (65001 + number, 65002 - number);
        // As examples/cloud/bird has it: 3 x 100 ms.
        let text = format!(
            "log stderr all;\nrouter id {here};\nprotocol device {{}}\nprotocol bfd {{ debug {{ states, \
             events }}; interface \"*\" {{ interval 100 ms; multiplier 3; }}; }}\nprotocol bgp peer {{ \
             debug {{ states }}; local {here} as {own}; neighbor {there} as {other}; bfd on; hold time 9; \
             connect delay time 1; connect retry time 1; ipv4 {{ import all; export all; }}; }}\n"
        );
        let config = folder.join("bird.conf");
        fs::write(&config, text)?;
        let _running = bird::start(space, &config, &folder)?;
        Ok(Self { folder, _running })
    }

    /// Waits for its session, and that of BFD.
    fn await_session(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let socket = self.folder.join(bird::SOCKET);
        let is_up =
            |command, word| bird::ask(&socket, command).is_ok_and(|said| said.contains(word));
        while !is_up("show protocols peer", "Established") || !is_up("show bfd sessions", " Up ") {
            ensure!(Instant::now() < deadline, "no session of {}", self.folder.display());
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Lines of its log about a session that came or went.
    fn changes(&self) -> anyhow::Result<usize> {
        let log = fs::read_to_string(self.folder.join("bird.log"))?;
        let told = ["State changed", "changed state", "session closed", "BFD session"];
        Ok(log.lines().filter(|line| told.iter().any(|words| line.contains(words))).count())
    }
}

/// Gives the second link what only this check needs: the routing daemons' addresses, and the way back to
/// the client's own address.
fn equip(pair: &Pair) -> anyhow::Result<()> {
    let [IpAddr::V4(client), _] = CLIENT else { bail!("the pair has IPv4 first") };
    let (client, [here, there]) =
        (format!("{client}/32"), ROUTERS.map(|address| format!("{address}/30")));
    let ip = |space: &Namespace, words: &[&str]| {
        process::output(Command::new("ip").args(["-n", space.name()]).args(words)).map(drop)
    };
    ip(&pair.server, &["address", "add", &here, "dev", resolvers::INTERFACE])?;
    ip(&pair.client, &["address", "add", &there, "dev", resolvers::OTHER_END])?;
    ip(&pair.server, &["route", "add", &client, "dev", resolvers::INTERFACE])
}

fn configuration(folder: &Path, flooded: &Path) -> String {
    let (here, client, near) = (SERVER[0], CLIENT[0], resolvers::address(0));
    let (above, port, folder) = (primary::address(), follower().port(), folder.display());
    let (primary, primary_port) = (above.ip(), above.port());
    let interfaces = [SERVER_INTERFACE, resolvers::INTERFACE];
    let give = format!(
        "transfer-to = [{{ address = \"{near}\" }}, {{ address = \"{client}\" }}]\nnotify-to = [{{ address = \
         \"{client}\", port = {port} }}]\n"
    );
    format!(
        "[node]\nid = \"control\"\nstate = \"{folder}/state\"\n[listen]\naddresses = [\"{here}\"]\n[xdp]\n\
         mode = \"native\"\ninterfaces = {interfaces:?}\n[transfer]\nsource = [\"{here}\"]\n{LIMITED}\
         [[zone]]\nname = \"{FLOODED}\"\nfile = \"{}\"\n{give}[[zone]]\nname = \"{MOVING}\"\nprimaries = [{{ \
         address = \"{primary}\", port = {primary_port} }}]\nnotify-from = [\"{near}/32\"]\n{give}",
        flooded.display()
    )
}
