//! What befalls zones on their way from the primaries to the nodes.

use std::{
    collections::BTreeMap,
    net::UdpSocket,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{PATIENCE, Report, SECOND, TIMES, nodes, observe};
use crate::{
    lab::{ask, cloud::Cloud, daemons, world, zones},
    process,
};

/// A zone of each make of primary.
const ONE_EACH: [&str; 4] = ["cr.", "sv.", "ni.", "py."];

pub fn update(cloud: &mut Cloud, report: &mut Report) -> anyhow::Result<()> {
    let before = cloud.rest()?;
    let start = Instant::now();
    for zone in ONE_EACH {
        let published = Instant::now();
        let serial = publish(cloud, zone)?;
        let members: Vec<&str> = cloud.members.iter().copied().collect();
        let served = await_serial(cloud, zone, serial, &members, published, PATIENCE)?;
        served.judge(report, &format!("{zone} at every node"), 2 * SECOND);
    }
    observe(cloud, report, ("meanwhile", start), (&before, &before), None)?;
    Ok(())
}

pub fn new_client(cloud: &mut Cloud, report: &mut Report) -> anyhow::Result<()> {
    let before = cloud.rest()?;
    let topology = cloud.topology();
    let (zone, serial) = (topology.later_zone, zones::FIRST);
    let all: Vec<&str> = topology.zones().collect();
    let members: Vec<&str> = cloud.members.iter().copied().collect();
    let start = Instant::now();
    list(cloud, &[&all[..], &[zone]].concat())?;
    let served = await_serial(cloud, zone, serial, &members, start, PATIENCE)?;
    served.judge(report, &format!("{zone} at every node"), 10 * SECOND);
    let dropped = Instant::now();
    list(cloud, &all)?;
    let gone = await_gone(cloud, zone, &members, dropped, PATIENCE)?;
    gone.judge(report, &format!("{zone} gone from every node"), 10 * SECOND);
    observe(cloud, report, ("meanwhile", start), (&before, &before), None)?;
    Ok(())
}

pub fn one_dies(cloud: &mut Cloud, report: &mut Report) -> anyhow::Result<()> {
    let before = cloud.rest()?;
    let members: Vec<&str> = cloud.members.iter().copied().collect();
    let start = Instant::now();
    for (victim, zone) in [(0, "do."), (1, "gt.")] {
        end_distributor(cloud, victim)?;
        let published = Instant::now();
        let serial = publish(cloud, zone)?;
        let served = await_serial(cloud, zone, serial, &members, published, PATIENCE)?;
        let role = world::distributor(victim);
        served.judge(report, &format!("{zone} at every node without {role}"), 2 * SECOND);
        cloud.heal()?;
    }
    observe(cloud, report, ("meanwhile", start), (&before, &before), None)?;
    Ok(())
}

pub fn cold_boot(cloud: &mut Cloud, report: &mut Report) -> anyhow::Result<()> {
    const NODE: &str = "eze1";
    let before = cloud.rest()?;
    let without = cloud.expected(&cloud.without(NODE), &[]);
    let start = Instant::now();
    for distributor in 0..cloud.distributors.len() {
        end_distributor(cloud, distributor)?;
    }
    report.touch(NODE);
    nodes::end_daemon(cloud, NODE, libc::SIGKILL)?;
    // As after a loss of power: no program hangs anywhere, no route is announced.
    cloud.nodes.get(NODE).context("the node")?.run(&cloud.world, &["detach"])?;
    nodes::node(cloud, NODE)?.kill_routing();
    observe(cloud, report, ("it goes", start), (&before, &without), Some(NODE))?;
    let start = Instant::now();
    // Not all that is dead: only this node.
    let Cloud { nodes, world, .. } = cloud;
    nodes.get_mut(NODE).context("the node")?.revive(world)?;
    report.figure("ready after milliseconds", start.elapsed().as_millis() as u64);
    let outcome = observe(cloud, report, ("it boots", start), (&without, &before), None)?;
    report.within("it boots", &outcome, 10 * SECOND);
    for zone in cloud.topology().zones() {
        let serial = serial(cloud, NODE, zone)?;
        report.check(format!("{zone} is served from disk"), serial.is_some());
    }
    cloud.heal()?;
    Ok(())
}

/// Has a zone's primary publish its next version.
pub fn publish(cloud: &mut Cloud, zone: &str) -> anyhow::Result<u32> {
    let serial = cloud.next_serial(zone);
    cloud.primary_of(zone)?.1.publish(zone, &zones::text(zone, serial))?;
    Ok(serial)
}

/// Has both distributors list these zones.
pub fn list(cloud: &mut Cloud, zones: &[&str]) -> anyhow::Result<()> {
    for distributor in &cloud.distributors {
        distributor.configure(cloud.topology(), zones)?;
        if let Some(daemon) = &distributor.daemon {
            process::send(daemon.process(), libc::SIGHUP);
        }
    }
    Ok(())
}

pub fn end_distributor(cloud: &mut Cloud, index: usize) -> anyhow::Result<()> {
    if let Some(mut daemon) = cloud.distributors[index].daemon.take() {
        daemon.end(libc::SIGKILL, Duration::from_secs(10))?;
    }
    Ok(())
}

/// When each node did something, counted from an event; nothing where it did not in time.
pub struct Times(BTreeMap<String, Option<Duration>>);

impl Times {
    /// Whether no node did it in time.
    pub fn is_empty(&self) -> bool {
        self.0.values().all(Option::is_none)
    }

    /// Notes the times, and that each must be within a bound.
    pub fn judge(&self, report: &mut Report, what: &str, bound: Duration) {
        let of = |time: &Option<Duration>| -> Value {
            time.map_or(Value::Null, |time| json!(time.as_millis() as u64))
        };
        let times: serde_json::Map<String, Value> =
            self.0.iter().map(|(node, time)| (node.clone(), of(time))).collect();
        let worst = self.0.values().max_by_key(|time| time.unwrap_or(Duration::MAX));
        let holds = self.0.values().all(|time| time.is_some_and(|time| time <= bound));
        let told = worst
            .copied()
            .flatten()
            .map_or("never".to_owned(), |worst| format!("{} ms at the slowest", worst.as_millis()));
        report.check(format!("{what} within {} ms ({told})", bound.as_millis()), holds);
        report.figure(&format!("{what}{TIMES}"), Value::Object(times));
    }
}

/// Asks the nodes themselves, over and over, until each serves a serial or newer.
pub fn await_serial(
    cloud: &Cloud,
    zone: &str,
    serial: u32,
    members: &[&str],
    start: Instant,
    patience: Duration,
) -> anyhow::Result<Times> {
    await_each(cloud, zone, members, start, patience, &|found| {
        found.is_some_and(|found| found.wrapping_sub(serial) < 1 << 31)
    })
}

/// As [`await_serial`], until each does not serve the zone.
fn await_gone(
    cloud: &Cloud,
    zone: &str,
    members: &[&str],
    start: Instant,
    patience: Duration,
) -> anyhow::Result<Times> {
    await_each(cloud, zone, members, start, patience, &|found| found.is_none())
}

fn await_each(
    cloud: &Cloud,
    zone: &str,
    members: &[&str],
    start: Instant,
    patience: Duration,
    is_done: &dyn Fn(Option<u32>) -> bool,
) -> anyhow::Result<Times> {
    let mut sockets = BTreeMap::new();
    for id in members {
        sockets.insert(*id, asker(cloud, id)?);
    }
    let mut times: BTreeMap<String, Option<Duration>> =
        members.iter().map(|id| ((*id).to_owned(), None)).collect();
    while start.elapsed() < patience && times.values().any(Option::is_none) {
        for (id, time) in times.iter_mut().filter(|(_, time)| time.is_none()) {
            let Some(socket) = sockets.get(&id[..]) else { continue };
            // No answer at all says nothing.
            if let Ok(found) = ask::serial(socket, zone)
                && is_done(found)
            {
                *time = Some(start.elapsed());
            }
        }
        thread::sleep(Duration::from_millis(3));
    }
    Ok(Times(times))
}

/// The serial that a node serves now, if it serves the zone.
pub fn serial(cloud: &Cloud, id: &str, zone: &str) -> anyhow::Result<Option<u32>> {
    let socket = asker(cloud, id)?;
    let mut last = None;
    for _ in 0..5 {
        match ask::serial(&socket, zone) {
            Ok(found) => return Ok(found),
            Err(error) => last = Some(error),
        }
    }
    Err(last.context("not asked")?).with_context(|| format!("{id} does not answer for {zone}"))
}

/// A socket that asks one node by its own address, from a resolver beside it: a split does not come between.
fn asker(cloud: &Cloud, id: &str) -> anyhow::Result<UdpSocket> {
    let node = cloud.topology().node(id).with_context(|| format!("no node {id}"))?;
    let address = daemons::unicast(cloud.topology(), node)[0];
    let open = || ask::socket(address);
    Ok(cloud.world.space(&format!("{}-r", node.place)).enter(open)??)
}

/// Asks by `dig` or `kdig` from a namespace; what it says, whether it fails or not.
pub fn ask_by(
    cloud: &Cloud,
    role: &str,
    program: &str,
    arguments: &[&str],
) -> anyhow::Result<String> {
    let mut command: Command = cloud.world.space(role).command(program);
    command.args(["+retry=0", "+timeout=3"]).args(arguments);
    let output = process::tie(&mut command).output().with_context(|| program.to_owned())?;
    let text = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&text).into_owned())
}
