//! What befalls links.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{Report, SECOND, distribution, observe};
use crate::{
    lab::{addresses::Segment, cloud::Cloud, topology::Link},
    net::Blocked,
};

pub fn cut(cloud: &mut Cloud, report: &mut Report) -> anyhow::Result<()> {
    const NODE: &str = "sjo1";
    let before = cloud.rest()?;
    let after = cloud.expected(&cloud.without(NODE), &[]);
    report.touch(NODE);
    let start = Instant::now();
    let cut = cloud.world.cut_segment("sjo", Segment::Node, Blocked::Everything)?;
    let outcome = observe(cloud, report, ("link cut", start), (&before, &after), Some(NODE))?;
    report.within("link cut", &outcome, SECOND);
    let santo_domingo = cloud.topology().number("sdq");
    let is_miami = after[santo_domingo] == [cloud.index("mia1"); 2];
    report.check("Santo Domingo is answered by the next nearest, Miami", is_miami);
    report.maps.extend([("before", before.clone()), ("San José's link is cut", after.clone())]);
    let start = Instant::now();
    drop(cut);
    observe(cloud, report, ("link back", start), (&after, &before), None)?;
    Ok(())
}

pub fn v6_fails(cloud: &mut Cloud, report: &mut Report) -> anyhow::Result<()> {
    const NODE: &str = "gru1";
    let before = cloud.rest()?;
    let after = cloud.expected_each([&cloud.members, &cloud.without(NODE)], &[]);
    report.touch(NODE);
    let start = Instant::now();
    let cut = cloud.world.cut_segment("gru", Segment::Node, Blocked::V6)?;
    let outcome = observe(cloud, report, ("IPv6 cut", start), (&before, &after), Some(NODE))?;
    report.within("IPv6 cut", &outcome, SECOND);
    let v4: usize =
        outcome.lost.iter().filter(|((_, family), _)| *family == 0).map(|(_, lost)| lost).sum();
    report.check(format!("IPv4 loses nothing (lost: {v4})"), v4 == 0);
    report.maps.extend([("before", before.clone()), ("São Paulo without IPv6", after.clone())]);
    let start = Instant::now();
    drop(cut);
    observe(cloud, report, ("IPv6 back", start), (&after, &before), None)?;
    Ok(())
}

pub fn split(cloud: &mut Cloud, report: &mut Report) -> anyhow::Result<()> {
    const SOUTH: [&str; 4] = ["scl1", "gru1", "eze1", "mvd1"];
    const ZONE: &str = "hn.";
    let before = cloud.rest()?;
    // The south hangs on the rest by these two.
    let links: Vec<Link> = cloud
        .topology()
        .links
        .iter()
        .filter(|link| matches!(link.ends, ("scl", "lim") | ("gru", "mia")))
        .copied()
        .collect();
    report.check("two links join the south to the north", links.len() == 2);
    let start = Instant::now();
    let mut cuts = Vec::new();
    for link in &links {
        // The names of sessions over a link are those of the other place.
        report.touch(&format!("{}4", link.ends.0));
        report.touch(&format!("{}6", link.ends.0));
        report.touch(&format!("{}4", link.ends.1));
        report.touch(&format!("{}6", link.ends.1));
        cuts.push(cloud.world.cut_link(link)?);
    }
    let after = cloud.expected(&cloud.members, &links);
    observe(cloud, report, ("split", start), (&before, &after), None)?;
    let start = Instant::now();
    let serial = distribution::publish(cloud, ZONE)?;
    let north: Vec<&str> = cloud.members.iter().copied().filter(|id| !SOUTH.contains(id)).collect();
    let served =
        distribution::await_serial(cloud, ZONE, serial, &north, start, Duration::from_secs(10))?;
    served.judge(report, "update during the split, north", 2 * SECOND);
    thread::sleep(SECOND);
    observe(cloud, report, ("during the split", start), (&after, &after), None)?;
    let start = Instant::now();
    drop(cuts);
    let served =
        distribution::await_serial(cloud, ZONE, serial, &SOUTH, start, Duration::from_secs(30))?;
    served.judge(report, "after the split, south", Duration::from_secs(15));
    observe(cloud, report, ("healed", start), (&after, &before), None)?;
    Ok(())
}
