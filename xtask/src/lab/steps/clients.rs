//! What clients do wrong, by accident or not.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{PATIENCE, Report, SECOND, distribution, observe};
use crate::lab::{cloud::Cloud, daemons, primary, world, zones};

pub fn broken_zone(cloud: &mut Cloud, report: &mut Report) -> anyhow::Result<()> {
    const ZONE: &str = "sv.";
    let before = cloud.rest()?;
    let members: Vec<&str> = cloud.members.iter().copied().collect();
    let start = Instant::now();
    let serial = cloud.next_serial(ZONE);
    cloud.primary_of(ZONE)?.1.publish(ZONE, &zones::emptied(ZONE, serial))?;
    // Long enough for the distributors to have seen it.
    let deadline = start + PATIENCE;
    let refused = |cloud: &Cloud| {
        (0..cloud.distributors.len()).all(|index| {
            let log = cloud.log(&world::distributor(index), "serve.log");
            log.lines().any(|line| line.contains(ZONE) && line.contains("max-shrink"))
        })
    };
    while !refused(cloud) && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(50));
    }
    report.check("both distributors refuse it, and their logs name zone and guard", refused(cloud));
    let served = distribution::await_serial(
        cloud,
        ZONE,
        serial,
        &members,
        Instant::now(),
        Duration::from_secs(2),
    )?;
    report.check("no node serves it", served.is_empty());
    // Each place asks for every zone, this one among them: each is answered on.
    observe(cloud, report, ("meanwhile", start), (&before, &before), None)?;
    let mended = Instant::now();
    let serial = distribution::publish(cloud, ZONE)?;
    let served = distribution::await_serial(cloud, ZONE, serial, &members, mended, PATIENCE)?;
    served.judge(report, "mended, at every node", 5 * SECOND);
    Ok(())
}

pub fn trespass(cloud: &mut Cloud, report: &mut Report) -> anyhow::Result<()> {
    // The client of cr. and its primary; sv. is another's, at another primary.
    const OWN: &str = "cr.";
    const OTHER: &str = "sv.";
    let before = cloud.rest()?;
    let start = Instant::now();
    let (index, _) = cloud.primary_of(OWN)?;
    let role = world::primary(index);
    let key = |zone: &str| format!("hmac-sha256:{}:{}", primary::key(zone), primary::secret(zone));
    let topology = cloud.topology();
    let node = topology.node("scl1").map(|node| daemons::unicast(topology, node)[0]);
    let targets = daemons::distributors(topology).into_iter().chain(node);
    for target in targets {
        let at = format!("@{target}");
        for (how, arguments) in [
            ("without a key", vec![&at[..], OTHER, "AXFR"]),
            ("by its own key", vec![&at[..], "-y", &key(OWN), OTHER, "AXFR"]),
            ("by the other's key", vec![&at[..], "-y", &key(OTHER), OTHER, "AXFR"]),
        ] {
            let said = distribution::ask_by(cloud, &role, "kdig", &arguments)?;
            let got = said.lines().any(|line| !line.starts_with(';') && line.contains("NS"));
            let refused = ["REFUSED", "NOTAUTH", "BADKEY"].iter().any(|word| said.contains(word));
            report.check(format!("{target} does not give {OTHER} {how}"), !got && refused);
        }
        for (what, opcode) in [("NOTIFY", "+opcode=notify"), ("UPDATE", "+opcode=update")] {
            let words = [opcode, "+norecurse", "+aaflag", &at, OTHER, "SOA"];
            let said = distribution::ask_by(cloud, &role, "dig", &words)?;
            let refused = ["REFUSED", "NOTAUTH", "NOTIMP"].iter().any(|word| said.contains(word));
            report.check(
                format!("{target} refuses {what} for {OTHER} from the primary of {OWN}"),
                refused,
            );
        }
    }
    observe(cloud, report, ("meanwhile", start), (&before, &before), None)?;
    Ok(())
}
