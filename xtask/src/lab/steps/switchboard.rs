//! The cloud's switches, worked by those who may and by those who may not.

use std::time::Instant;

use anyhow::Context as _;
use serde_json::Value;

use super::{Report, SECOND, distribution, observe};
use crate::lab::{
    cloud::Cloud,
    daemons::{self, CATALOG, FLOOR},
};

/// How long a switch may take from the distributor to the routes, in which the route is marked first.
const SWITCHED: std::time::Duration = super::PATIENCE;

pub fn drain_and_rollback(cloud: &mut Cloud, report: &mut Report) -> anyhow::Result<()> {
    const NODE: &str = "gru1";
    let before = cloud.rest()?;
    let after = cloud.expected(&cloud.without(NODE), &[]);
    let former = history(cloud)?;
    let start = Instant::now();
    switch(cloud, &["drain", NODE])?;
    let event = "drained by the switchboard";
    let outcome = observe(cloud, report, (event, start), (&before, &after), None);
    let told = status(cloud, report, NODE, false, start);
    // Back to what was published before, at each distributor.
    let start = Instant::now();
    for (distributor, former) in cloud.distributors.iter().zip(&former) {
        distributor.run(&cloud.world, &["cloud", "rollback", former])?;
    }
    observe(cloud, report, ("rolled back", start), (&after, &before), None)?;
    status(cloud, report, NODE, true, start)?;
    switch(cloud, &["rollback", "--release"])?;
    report.converged = Some(outcome?.converged);
    report.maps.extend([("before", before), ("gru1 is drained", after)]);
    told
}

pub fn drain_floor(cloud: &mut Cloud, report: &mut Report) -> anyhow::Result<()> {
    let before = cloud.rest()?;
    let start = Instant::now();
    let nodes: Vec<&str> = cloud.topology().nodes.iter().map(|node| node.id).collect();
    let spare = nodes.len() - FLOOR;
    // One that is not there yet can be spared.
    let (spared, others) = (&nodes[FLOOR..], &nodes[..FLOOR]);
    for id in spared.iter().take(spare) {
        switch(cloud, &["drain", id])?;
    }
    for (index, distributor) in cloud.distributors.iter().enumerate() {
        let refused = distributor.run(&cloud.world, &["cloud", "drain", others[index]]);
        let says = refused.is_err_and(|fault| format!("{fault:#}").contains("drain-floor"));
        report.check(format!("distributor {} does not drain another one", index + 1), says);
    }
    let played = observe(cloud, report, ("meanwhile", start), (&before, &before), None);
    for id in spared {
        switch(cloud, &["undrain", id])?;
    }
    played.map(drop)
}

pub fn member(cloud: &mut Cloud, report: &mut Report) -> anyhow::Result<()> {
    // The member who runs the first has its machine and its configuration, and with it the nodes' key.
    const OWN: &str = "eze1";
    const OTHER: &str = "mia1";
    let before = cloud.rest()?;
    let start = Instant::now();
    let topology = cloud.topology();
    let home = &cloud.nodes[OWN];
    for words in [["drain", OTHER], ["undrain", OTHER]] {
        let said = home.run(&cloud.world, &[&["cloud"], &words[..]].concat());
        let says = said.is_err_and(|fault| format!("{fault:#}").contains("on the distributor"));
        report.check(format!("{OWN} cannot {} {OTHER}", words[0]), says);
    }
    let key = daemons::nodes_key();
    let other = topology.node(OTHER).context("the node")?;
    let others =
        daemons::distributors(topology).into_iter().chain([daemons::unicast(topology, other)[0]]);
    for target in others {
        let at = format!("@{target}");
        for (what, opcode) in [("NOTIFY", "+opcode=notify"), ("UPDATE", "+opcode=update")] {
            let words = ["-y", &key, opcode, "+norecurse", &at, CATALOG, "SOA"];
            let said = distribution::ask_by(cloud, OWN, "dig", &words)?;
            let refused = ["REFUSED", "NOTAUTH", "NOTIMP"].iter().any(|word| said.contains(word));
            report.check(format!("{target} refuses {OWN}'s {what} for the catalog"), refused);
        }
    }
    // A catalog is not taken from, nor given by, another node.
    let at = format!("@{}", daemons::unicast(topology, other)[0]);
    let said = distribution::ask_by(cloud, OWN, "kdig", &["-y", &key, &at, CATALOG, "AXFR"])?;
    report.check(format!("{OTHER} gives {OWN} no catalog"), !said.contains("PTR"));
    observe(cloud, report, ("what is another's", start), (&before, &before), None)?;
    let after = cloud.expected(&cloud.without(OWN), &[]);
    let start = Instant::now();
    cloud.nodes[OWN].run(&cloud.world, &["drain"])?;
    let drained = observe(cloud, report, ("its own drained", start), (&before, &after), None);
    let told = status(cloud, report, OWN, false, start);
    let start = Instant::now();
    cloud.nodes[OWN].run(&cloud.world, &["undrain"])?;
    drained?;
    observe(cloud, report, ("its own undrained", start), (&after, &before), None)?;
    told
}

/// Switches at both distributors, as their operator does.
fn switch(cloud: &Cloud, words: &[&str]) -> anyhow::Result<()> {
    for distributor in &cloud.distributors {
        distributor.run(&cloud.world, &[&["cloud"], words].concat())?;
    }
    Ok(())
}

/// The serial that each distributor published last.
fn history(cloud: &Cloud) -> anyhow::Result<Vec<String>> {
    let last = |distributor: &daemons::Distributor| {
        let said = distributor.run(&cloud.world, &["cloud", "history", "--json"])?;
        let versions: Value = serde_json::from_str(&said)?;
        versions[0]["serial"].as_u64().map(|serial| serial.to_string()).context("no version")
    };
    cloud.distributors.iter().map(last).collect()
}

/// Checks that `cloud status` comes to show one node as it is to be, and all other members announced.
fn status(
    cloud: &Cloud,
    report: &mut Report,
    node: &str,
    announced: bool,
    start: Instant,
) -> anyhow::Result<()> {
    for (index, distributor) in cloud.distributors.iter().enumerate() {
        let wrong = loop {
            let said = distributor.run(&cloud.world, &["cloud", "status", "--json"])?;
            let wrong = amiss(cloud, &serde_json::from_str(&said)?, (node, announced));
            if wrong.is_empty() || start.elapsed() > SWITCHED {
                break wrong;
            }
            std::thread::sleep(SECOND / 10);
        };
        let told = if announced { "announced" } else { "withdrawn" };
        report.check(
            format!("distributor {} shows {node} {told}, others announced ({wrong:?})", index + 1),
            wrong.is_empty(),
        );
    }
    Ok(())
}

/// The members that `cloud status` does not show as they should be.
fn amiss(cloud: &Cloud, status: &Value, (node, announced): (&str, bool)) -> Vec<String> {
    let nodes: Vec<&Value> = status["nodes"].as_array().into_iter().flatten().collect();
    let is_fine = |id: &str| {
        let wanted = if id == node && !announced { "withdrawn" } else { "announced" };
        nodes.iter().any(|look| {
            let services = look["services"].as_array().map_or(&[][..], Vec::as_slice);
            look["id"] == id
                && look["nsid"] == id
                && services.len() == 2
                && services.iter().all(|one| one["route"] == wanted && one["confirmed"] == true)
                && look["zones"].as_array().is_some_and(|zones| {
                    zones.len() > 1 && zones.iter().all(|zone| zone["fault"].is_null())
                })
        })
    };
    cloud.members.iter().filter(|id| !is_fine(id)).map(|id| (*id).to_owned()).collect()
}
