//! What befalls nodes.

use std::{
    collections::BTreeSet,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde_json::Value;

use super::{PATIENCE, Report, SECOND, distribution, observe};
use crate::{
    daemon::Daemon,
    lab::{addresses, ask, cloud::Cloud, daemons, world::UP, zones},
    process,
};

/// How long a daemon is left dead.
const DEAD: Duration = Duration::from_secs(2);

pub fn nearest(cloud: &mut Cloud, report: &mut Report) -> anyhow::Result<()> {
    let expected = cloud.rest()?;
    let start = Instant::now();
    thread::sleep(Duration::from_secs(3));
    observe(cloud, report, ("at rest", start), (&expected, &expected), None)?;
    let santo_domingo = cloud.topology().number("sdq");
    let is_san_jose = expected[santo_domingo] == [cloud.index("sjo1"); 2];
    report.check("Santo Domingo is answered from San José", is_san_jose);
    report.maps.push(("at rest", expected));
    Ok(())
}

pub fn kill(cloud: &mut Cloud, report: &mut Report) -> anyhow::Result<()> {
    let before = cloud.rest()?;
    let start = Instant::now();
    end_daemon(cloud, "sjo1", libc::SIGKILL)?;
    thread::sleep(DEAD);
    observe(cloud, report, ("kill -9", start), (&before, &before), None)?;
    let start = Instant::now();
    cloud.heal()?;
    report.figure("ready again after milliseconds", start.elapsed().as_millis() as u64);
    observe(cloud, report, ("its restart", start), (&before, &before), None)?;
    Ok(())
}

pub fn routing_stops(cloud: &mut Cloud, report: &mut Report) -> anyhow::Result<()> {
    let before = cloud.rest()?;
    let after = cloud.expected(&cloud.without("scl1"), &[]);
    let start = Instant::now();
    report.touch("scl1");
    node(cloud, "scl1")?.kill_routing();
    let event = "routing daemon killed";
    let outcome = observe(cloud, report, (event, start), (&before, &after), Some("scl1"))?;
    report.within(event, &outcome, SECOND);
    report.maps.extend([("before", before.clone()), ("without scl1", after.clone())]);
    let start = Instant::now();
    cloud.heal()?;
    observe(cloud, report, ("back", start), (&after, &before), None)?;
    Ok(())
}

pub fn seventh(cloud: &mut Cloud, report: &mut Report) -> anyhow::Result<()> {
    const NODE: &str = "bog1";
    let before = cloud.rest()?;
    let Cloud { nodes, world, .. } = cloud;
    nodes.get_mut(NODE).context("the node")?.start(world)?;
    for zone in cloud.topology().zones() {
        let start = Instant::now();
        let served =
            distribution::await_serial(cloud, zone, zones::FIRST, &[NODE], start, PATIENCE)?;
        served.judge(report, &format!("{zone} at {NODE}"), PATIENCE);
    }
    cloud.members.insert(NODE);
    let start = Instant::now();
    let after = cloud.heal()?;
    observe(cloud, report, ("a seventh node joins", start), (&before, &after), None)?;
    report.check("it takes places", after != before);
    report.maps.extend([("six nodes", before.clone()), ("seven nodes", after.clone())]);
    cloud.members.remove(NODE);
    let start = Instant::now();
    let home = node(cloud, NODE)?;
    home.routing.clear();
    let outcome = observe(cloud, report, ("it leaves", start), (&after, &before), Some(NODE))?;
    report.within("it leaves", &outcome, SECOND);
    end_daemon(cloud, NODE, libc::SIGTERM)
}

pub fn last_one(cloud: &mut Cloud, report: &mut Report) -> anyhow::Result<()> {
    const LAST: &str = "mvd1";
    let before = cloud.rest()?;
    let only = BTreeSet::from([LAST]);
    let after = cloud.expected(&only, &[]);
    let others: Vec<&str> = cloud.without(LAST).into_iter().collect();
    let start = Instant::now();
    for id in &others {
        report.touch(id);
        node(cloud, id)?.routing.clear();
    }
    let outcome = cloud.settle(start, &after, PATIENCE)?;
    // Every other node is gone: only the last one's own places may not lose anything.
    let last = cloud.index(LAST);
    let own =
        |(place, family): &(u8, u8)| before[usize::from(*place)][usize::from(*family)] == last;
    let lost: usize = outcome.lost.iter().filter(|(key, _)| own(key)).map(|(_, count)| count).sum();
    report.check(format!("places of {LAST} lose nothing (lost: {lost})"), lost == 0);
    report.lost += outcome.lost();
    report.lost_unduly += lost;
    report.converged = Some(outcome.converged);
    report.within("all but one gone", &outcome, 2 * SECOND);
    report.figure("lost while five nodes leave", outcome.lost());
    let start = Instant::now();
    thread::sleep(Duration::from_secs(3));
    observe(cloud, report, ("one node for all", start), (&after, &after), None)?;
    report.maps.extend([("six nodes", before.clone()), ("one node", after.clone())]);
    report.moved.push(format!("everybody → {LAST}"));
    let start = Instant::now();
    cloud.heal()?;
    observe(cloud, report, ("all back", start), (&after, &before), None)?;
    Ok(())
}

pub fn drain(cloud: &mut Cloud, report: &mut Report) -> anyhow::Result<()> {
    // One of each routing daemon.
    for (id, restarts) in [("scl1", true), ("eze1", false), ("mvd1", false)] {
        let drained = drain_one(cloud, report, id, restarts);
        let before = cloud.expected(&cloud.without(id), &[]);
        let start = Instant::now();
        cloud.nodes[id].run(&cloud.world, &["undrain"])?;
        drained?;
        let after = cloud.rest()?;
        observe(cloud, report, (&format!("{id} undrained"), start), (&before, &after), None)?;
    }
    Ok(())
}

fn drain_one(
    cloud: &mut Cloud,
    report: &mut Report,
    id: &str,
    restarts: bool,
) -> anyhow::Result<()> {
    let before = cloud.rest()?;
    let after = cloud.expected(&cloud.without(id), &[]);
    let start = Instant::now();
    cloud.nodes[id].run(&cloud.world, &["drain"])?;
    let event = format!("{id} drained");
    let outcome = observe(cloud, report, (&event, start), (&before, &after), None)?;
    report.within(&event, &outcome, 2 * SECOND);
    if restarts {
        let start = Instant::now();
        end_daemon(cloud, id, libc::SIGTERM)?;
        let Cloud { nodes, world, .. } = cloud;
        nodes.get_mut(id).context("the node")?.start(world)?;
        thread::sleep(3 * SECOND);
        let event = format!("{id} restarted while drained");
        observe(cloud, report, (&event, start), (&after, &after), None)?;
    }
    Ok(())
}

pub fn detached(cloud: &mut Cloud, report: &mut Report) -> anyhow::Result<()> {
    const NODE: &str = "gru1";
    let before = cloud.rest()?;
    let after = cloud.expected(&cloud.without(NODE), &[]);
    let link = xdp_link(cloud, NODE)?;
    let start = Instant::now();
    let mut detach = Command::new("bpftool");
    process::output(detach.args(["link", "detach", "id", &link.to_string()]))?;
    let event = "program detached";
    let outcome = observe(cloud, report, (event, start), (&before, &after), Some(NODE))?;
    report.within(event, &outcome, 2 * SECOND);
    end_daemon(cloud, NODE, libc::SIGTERM)?;
    let start = Instant::now();
    let back = cloud.heal()?;
    observe(cloud, report, ("attached again", start), (&after, &back), None)?;
    Ok(())
}

pub fn frozen(cloud: &mut Cloud, report: &mut Report) -> anyhow::Result<()> {
    const NODE: &str = "mia1";
    // Three looks, each half a second after the one before, and a second's wait for the silent daemon in each.
    const DETECTION: Duration = Duration::from_millis(3 * (500 + 1000) + 500);
    let before = cloud.rest()?;
    let after = cloud.expected(&cloud.without(NODE), &[]);
    let process = |cloud: &Cloud| cloud.nodes[NODE].daemon.as_ref().map(Daemon::process);
    let frozen = process(cloud).context("no daemon")?;
    let start = Instant::now();
    process::send(frozen, libc::SIGSTOP);
    let played = observe(cloud, report, ("daemon frozen", start), (&before, &after), None);
    let thawed = Instant::now();
    process::send(frozen, libc::SIGCONT);
    let outcome = played?;
    report.converged = Some(outcome.converged);
    report.within("daemon frozen", &outcome, DETECTION);
    observe(cloud, report, ("daemon thawed", thawed), (&after, &before), None)?;
    Ok(())
}

/// The link that holds a node's XDP program in its interface.
fn xdp_link(cloud: &Cloud, id: &str) -> anyhow::Result<u64> {
    let mut show = cloud.world.space(id).command("bpftool");
    let shown = process::output(show.args(["-j", "net", "show", "dev", UP]))?;
    let shown: Value = serde_json::from_str(&shown)?;
    let program = shown[0]["xdp"][0]["id"].as_u64().context("no XDP program")?;
    let links = process::output(Command::new("bpftool").args(["-j", "link", "show"]))?;
    let links: Value = serde_json::from_str(&links)?;
    let of = |link: &Value| (link["prog_id"] == program).then(|| link["id"].as_u64()).flatten();
    links.as_array().into_iter().flatten().find_map(of).context("no link holds the program")
}

pub fn lease_ends(cloud: &mut Cloud, report: &mut Report) -> anyhow::Result<()> {
    const NODE: &str = "gru1";
    let before = cloud.rest()?;
    let after = cloud.expected(&cloud.without(NODE), &[]);
    let start = Instant::now();
    end_daemon(cloud, NODE, libc::SIGKILL)?;
    let event = "killed, and nobody starts it";
    // The kernel answers until the routes have gone.
    let outcome = observe(cloud, report, (event, start), (&before, &after), None)?;
    report.converged = Some(outcome.converged);
    report.within(event, &outcome, daemons::LEASE);
    let lasted = outcome.converged > daemons::LEASE / 2;
    report.check("the kernel has answered for it meanwhile", lasted);
    let start = Instant::now();
    let back = cloud.heal()?;
    observe(cloud, report, ("started again", start), (&after, &back), None)?;
    Ok(())
}

pub fn flood(cloud: &mut Cloud, report: &mut Report) -> anyhow::Result<()> {
    const NODE: &str = "sjo1";
    let before = cloud.rest()?;
    let socket = cloud.world.space("bog-r").enter(|| ask::socket(addresses::SERVICE[0]))??;
    let start = Instant::now();
    report.figure("queries of the flood", ask::flood(&socket, 30, Duration::from_secs(3)));
    observe(cloud, report, ("flood from Bogotá", start), (&before, &before), Some(NODE))?;
    report.converged = None;
    Ok(())
}

/// A node's home.
pub fn node<'a>(cloud: &'a mut Cloud, id: &str) -> anyhow::Result<&'a mut daemons::NodeHome> {
    cloud.nodes.get_mut(id).with_context(|| format!("no node {id}"))
}

/// Ends a node's daemon by a signal.
pub fn end_daemon(cloud: &mut Cloud, id: &str, signal: libc::c_int) -> anyhow::Result<()> {
    let home = node(cloud, id)?;
    if let Some(mut daemon) = home.daemon.take() {
        daemon.end(signal, Duration::from_secs(10))?;
    }
    Ok(())
}
