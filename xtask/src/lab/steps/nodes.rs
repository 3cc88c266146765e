//! What befalls nodes.

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use super::{PATIENCE, Report, SECOND, distribution, observe};
use crate::lab::{cloud::Cloud, daemons, zones};

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
    node(cloud, "scl1")?.routing.clear();
    let event = "routing daemon ended";
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
