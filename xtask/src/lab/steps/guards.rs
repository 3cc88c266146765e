//! Catalogs that would take zones away: nothing of the kind happens until somebody says that it is meant.

use std::{fs, thread, time::Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::{PATIENCE, Report, SECOND, distribution, observe};
use crate::lab::{
    cloud::{Catchment, Cloud},
    daemons::CATALOG,
};

pub fn empty_catalog(cloud: &mut Cloud, report: &mut Report) -> anyhow::Result<()> {
    held_back(cloud, report, &[], "lists no zone any more")
}

pub fn mass_removal(cloud: &mut Cloud, report: &mut Report) -> anyhow::Result<()> {
    let all: Vec<&str> = cloud.topology().zones().collect();
    held_back(cloud, report, &all[..all.len() / 2], "max-removal = 25")
}

/// Has both distributors list so few zones, which the nodes refuse to follow.
fn held_back(
    cloud: &mut Cloud,
    report: &mut Report,
    zones: &[&str],
    why: &str,
) -> anyhow::Result<()> {
    let before = cloud.rest()?;
    let all: Vec<&str> = cloud.topology().zones().collect();
    let start = Instant::now();
    distribution::list(cloud, zones)?;
    let held = await_nodes(cloud, &format!("hold it back: {why}"), &|cloud, id| {
        Ok(catalog(cloud, id)?["held"].as_str().is_some_and(|held| held.contains(why)))
    });
    report.check(format!("every node holds it back: {why}"), held.is_ok());
    let served = served_on(cloud, report, (&before, start));
    distribution::list(cloud, &all)?;
    await_followed(cloud)?;
    held.and(served)?;
    let start = Instant::now();
    let serial = distribution::publish(cloud, all[0])?;
    let members: Vec<&str> = cloud.members.iter().copied().collect();
    let served = distribution::await_serial(cloud, all[0], serial, &members, start, PATIENCE)?;
    served.judge(report, "an update after the catalog is back, at every node", 10 * SECOND);
    Ok(())
}

pub fn broken_catalog(cloud: &mut Cloud, report: &mut Report) -> anyhow::Result<()> {
    let before = cloud.rest()?;
    let start = Instant::now();
    // Without its version it is none (RFC 9432, section 4.2.1).
    let sound = rewrite(cloud, &|soa, rest| {
        let rest = rest.lines().filter(|line| !line.starts_with("version."));
        format!("{soa}\n{}\n", rest.collect::<Vec<_>>().join("\n"))
    })?;
    let refused = await_nodes(cloud, "refuse it", &|cloud, id| {
        Ok(catalog(cloud, id)?["held"].as_str().is_some_and(|held| held.contains("version")))
    });
    report.check("every node refuses it, and says that it has no version", refused.is_ok());
    let served = served_on(cloud, report, (&before, start));
    rewrite(cloud, &|soa, _| format!("{soa}\n{sound}"))?;
    await_followed(cloud)?;
    refused.and(served)
}

pub fn expired_catalog(cloud: &mut Cloud, report: &mut Report) -> anyhow::Result<()> {
    let before = cloud.rest()?;
    let start = Instant::now();
    let (all, short) = ("60 60 1209600", "1 1 3");
    rewrite(cloud, &|soa, rest| format!("{}\n{rest}", soa.replace(all, short)))?;
    let serial = serial_here(cloud)?;
    await_nodes(cloud, "have it", &|cloud, id| Ok(catalog(cloud, id)?["serial"] == serial))?;
    for index in 0..cloud.distributors.len() {
        distribution::end_distributor(cloud, index)?;
    }
    let expired = await_nodes(cloud, "find it expired", &|cloud, id| {
        let status: Value =
            serde_json::from_str(&cloud.nodes[id].run(&cloud.world, &["status", "--json"])?)?;
        let zones = status["zones"].as_array().context("zones")?;
        Ok(zones.iter().any(|zone| zone["name"] == CATALOG && zone["state"] == "expired"))
    });
    report.check("it expires at every node", expired.is_ok());
    let served = served_on(cloud, report, (&before, start));
    cloud.heal()?;
    rewrite(cloud, &|soa, rest| format!("{}\n{rest}", soa.replace(short, all)))?;
    await_followed(cloud)?;
    expired.and(served)
}

/// Checks that nothing was lost, no route moved, and every node serves every zone.
fn served_on(
    cloud: &Cloud,
    report: &mut Report,
    (before, start): (&Catchment, Instant),
) -> anyhow::Result<()> {
    observe(cloud, report, ("meanwhile", start), (before, before), None)?;
    let mut missing = Vec::new();
    for id in &cloud.members {
        for zone in cloud.topology().zones() {
            if distribution::serial(cloud, id, zone)?.is_none() {
                missing.push(format!("{id}: {zone}"));
            }
        }
    }
    report.check(
        format!("every node serves every zone on (missing: {missing:?})"),
        missing.is_empty(),
    );
    Ok(())
}

/// What a node says of the catalog.
fn catalog(cloud: &Cloud, id: &str) -> anyhow::Result<Value> {
    let said = cloud.nodes[id].run(&cloud.world, &["catalog", "status", "--json"])?;
    let all: Value = serde_json::from_str(&said)?;
    Ok(all[0].clone())
}

/// The serial of the catalog at the first distributor.
fn serial_here(cloud: &Cloud) -> anyhow::Result<u32> {
    let text = fs::read_to_string(cloud.distributors[0].catalog()).context("the catalog")?;
    let serial = text.split_whitespace().nth(5).and_then(|serial| serial.parse().ok());
    serial.context("the catalog has no serial")
}

/// Waits until every node follows the catalog as both distributors publish it.
fn await_followed(cloud: &Cloud) -> anyhow::Result<()> {
    await_nodes(cloud, "follow it again", &|cloud, id| {
        let catalog = catalog(cloud, id)?;
        let zones = cloud.topology().zones().count();
        Ok(catalog["held"].is_null() && catalog["members"] == zones)
    })?;
    // Both distributors have every zone again: either is asked next.
    let deadline = Instant::now() + PATIENCE;
    for distributor in &cloud.distributors {
        loop {
            let said = distributor.run(&cloud.world, &["status", "--json"])?;
            let status: Value = serde_json::from_str(&said)?;
            let zones = status["zones"].as_array().context("zones")?;
            if zones.iter().all(|zone| zone["state"] == "serving") {
                break;
            }
            ensure!(Instant::now() < deadline, "a distributor has not all zones again: {said}");
            thread::sleep(SECOND / 10);
        }
    }
    Ok(())
}

/// Waits until something holds at each member.
fn await_nodes(
    cloud: &Cloud,
    what: &str,
    holds: &dyn Fn(&Cloud, &str) -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    for id in &cloud.members {
        while !holds(cloud, id)? {
            ensure!(Instant::now() < deadline, "{id} does not {what}: {}", catalog(cloud, id)?);
            thread::sleep(SECOND / 10);
        }
    }
    Ok(())
}

/// Has both distributors publish the catalog in another form, by hand, under the next serial; `form` makes it of
/// the SOA record and the rest. What the rest was before.
fn rewrite(cloud: &Cloud, form: &dyn Fn(&str, &str) -> String) -> anyhow::Result<String> {
    let serial = serial_here(cloud)?;
    let text = fs::read_to_string(cloud.distributors[0].catalog())?;
    let (soa, rest) = text.split_once('\n').context("one line")?;
    let soa = soa.replacen(&serial.to_string(), &(serial + 1).to_string(), 1);
    let text = form(&soa, rest);
    for distributor in &cloud.distributors {
        fs::write(distributor.catalog(), &text)?;
        distributor.run(&cloud.world, &["zone", "reload", CATALOG])?;
    }
    Ok(rest.to_owned())
}
