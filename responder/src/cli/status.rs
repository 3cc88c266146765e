//! `responder status`.

use std::{
    collections::BTreeMap,
    fmt::Write,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use clap::Args;

use super::{
    Target,
    ask::{SOON, print, print_json, unexpected},
};
use crate::{
    control::{Reply, Request, SecondaryStatus, ShadowStatus, Status, ZoneStatus},
    serve::mode_label,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    target: Target,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let Reply::Status(status) = arguments.target.ask(&Request::Status, SOON)? else {
        return Err(unexpected());
    };
    if arguments.json { print_json(&status) } else { print(&show(&status)?) }
}

fn show(status: &Status) -> Result<String> {
    let mut text = String::new();
    let node = &status.node;
    let ready = if node.ready { "ready" } else { "not ready" };
    let (id, version, pid, up) = (&node.id, &node.version, node.pid, age(node.uptime));
    writeln!(text, "{id}: responder {version}, process {pid}, up {up}, {ready}")?;
    write_data_plane(&mut text, status)?;
    write_replies(&mut text, status)?;
    write_reasons(&mut text, status)?;
    text += &show_zones(&status.zones)?;
    write_services(&mut text, status)?;
    write_peers(&mut text, status)?;
    write_transfers(&mut text, status)?;
    let (held, limit, segments) = (status.store_bytes, status.store_limit, status.store_segments);
    writeln!(text, "\nstore: {held} octets in {segments} segments, {limit} allowed")?;
    Ok(text)
}

fn write_data_plane(text: &mut String, status: &Status) -> Result<()> {
    let plane = &status.data_plane;
    writeln!(text, "\nxdp.mode {}", mode_label(plane.configured))?;
    if let Some(reason) = &plane.degraded {
        writeln!(text, "  DEGRADED, only sockets answer: {reason}")?;
    }
    if plane.switched_off.all {
        writeln!(text, "  SWITCHED OFF, only sockets answer: `responder xdp on`")?;
    }
    for zone in &plane.switched_off.zones {
        writeln!(text, "  switched off for {zone}: `responder xdp on --zone {zone}`")?;
    }
    if let Some(ShadowStatus { one_of, equal, different, skipped }) = plane.shadow {
        let loud = if different > 0 { "WRONG ANSWERS: " } else { "" };
        writeln!(
            text,
            "  {loud}shadow, one of {one_of}: {equal} as the host answers, {different} different, \
             {skipped} not judged"
        )?;
    }
    for attachment in &plane.attachments {
        let warning = attachment.warning.as_ref().map_or(String::new(), |w| format!(": {w}"));
        let spread = if attachment.receive_scaling { ", spread over the processors" } else { "" };
        let (interface, mode) = (&attachment.interface, mode_label(attachment.mode));
        let tc = attachment.tc.map_or(String::new(), |tc| format!(", tc by {}", tc.label()));
        let tags = if attachment.hides_tags { ", VLAN tags taken off before" } else { "" };
        writeln!(text, "  {interface} {mode}{tc}{spread}{tags}{warning}")?;
    }
    Ok(())
}

fn write_replies(text: &mut String, status: &Status) -> Result<()> {
    let (plane, rates) = (&status.data_plane, &status.rates);
    let replies = |counters: &BTreeMap<String, u64>| counters.get("reply").copied().unwrap_or(0);
    let (udp, tcp) = (replies(&status.sockets.udp), replies(&status.sockets.tcp));
    let (xdp, tc) = (plane.xdp.answered, plane.tc.answered);
    writeln!(text, "\n{:<16}{:>16}{:>14}", "replies", "total", "per second")?;
    let rows = [
        ("by XDP", xdp, rates.xdp),
        ("by tc", tc, rates.tc),
        ("passed, UDP", udp, rates.udp),
        ("passed, TCP", tcp, rates.tcp),
    ];
    for (name, total, rate) in rows {
        writeln!(text, "  {name:<14}{total:>16}{rate:>14.0}")?;
    }
    let datagrams = xdp + tc + udp;
    if xdp + tc > 0 {
        let share = 100.0 * (xdp + tc) as f64 / datagrams as f64;
        writeln!(text, "  {share:.3} % of the replies over UDP came from the kernel")?;
    }
    Ok(())
}

/// Every counter that tells why a packet was not answered where it arrived.
fn write_reasons(text: &mut String, status: &Status) -> Result<()> {
    let plane = &status.data_plane;
    let lists = [
        ("passed by XDP", &plane.xdp.passed),
        ("dropped by XDP", &plane.xdp.dropped),
        ("passed by tc", &plane.tc.passed),
        ("dropped by tc", &plane.tc.dropped),
        ("over the rate", &plane.over_rate),
        ("UDP sockets", &status.sockets.udp),
        ("TCP sockets", &status.sockets.tcp),
    ];
    for (title, counters) in lists {
        let seen: Vec<String> = counters
            .iter()
            .filter(|(_, count)| **count > 0)
            .map(|(label, count)| format!("{label} {count}"))
            .collect();
        if !seen.is_empty() {
            writeln!(text, "  {title}: {}", seen.join(", "))?;
        }
    }
    Ok(())
}

/// Other nodes, as they are seen from here.
fn write_peers(text: &mut String, status: &Status) -> Result<()> {
    if !status.peers.is_empty() {
        writeln!(text, "\npeers")?;
    }
    for peer in &status.peers {
        let (id, address) = (&peer.id, peer.address);
        match (&peer.fault, peer.milliseconds) {
            (Some(fault), _) => writeln!(text, "  {id} at {address}: {fault}")?,
            (None, took) => {
                writeln!(text, "  {id} at {address}: answers in {} ms", took.unwrap_or(0))?;
            }
        }
    }
    Ok(())
}

/// What is announced, and why not.
fn write_services(text: &mut String, status: &Status) -> Result<()> {
    for service in &status.services {
        let prefixes: Vec<String> = service.prefixes.iter().map(ToString::to_string).collect();
        writeln!(
            text,
            "\nservice {} by {}: {}",
            service.name,
            service.announcer,
            prefixes.join(", ")
        )?;
        for family in &service.families {
            let since = age(family.since);
            write!(text, "  {} {} for {since}", family.family, family.route.label())?;
            if !family.cause.is_empty() {
                write!(text, ", {}", family.cause)?;
            }
            if family.held > 0 {
                write!(text, ", held down for {}", age(family.held))?;
            }
            writeln!(text)?;
            for fault in &family.faults {
                writeln!(text, "    FAULT: {fault}")?;
            }
            for note in &family.notes {
                writeln!(text, "    {note}")?;
            }
        }
        if let Some(veto) = &service.veto {
            writeln!(text, "  the watchdog forbids it: {veto}")?;
        }
        if let Some(fault) = &service.fault {
            writeln!(text, "  NOT DONE: {fault}")?;
        }
        for origin in &service.drained_by {
            writeln!(text, "  drained by the {}", origin.label())?;
        }
    }
    Ok(())
}

fn write_transfers(text: &mut String, status: &Status) -> Result<()> {
    let seen: Vec<String> =
        status.transfers.iter().map(|(label, count)| format!("{label} {count}")).collect();
    if !seen.is_empty() {
        writeln!(text, "\ntransfers: {}", seen.join(", "))?;
    }
    Ok(())
}

/// A table of zones, with what is to be known of each.
pub(super) fn show_zones(zones: &[ZoneStatus]) -> Result<String> {
    let mut text = String::new();
    let width = zones.iter().map(|zone| zone.name.len()).max().unwrap_or(0).max(4);
    writeln!(
        text,
        "\n{:<width$}  {:<10}  {:>10}  {:>10}  {:>10}  {:>13}  {:>8}",
        "zone", "state", "serial", "records", "names", "octets", "age"
    )?;
    for zone in zones {
        let ZoneStatus { name, state, records, names, bytes, .. } = zone;
        let state = state.label();
        match zone.serial {
            Some(serial) => writeln!(
                text,
                "{name:<width$}  {state:<10}  {serial:>10}  {records:>10}  {names:>10}  \
                 {bytes:>13}  {:>8}",
                zone.loaded_at.map_or_else(String::new, since)
            )?,
            None => writeln!(text, "{name:<width$}  {state:<10}")?,
        }
        if let Some(commit) = &zone.last_commit {
            let (owners, written) = (commit.owners, commit.written);
            let milliseconds = commit.microseconds as f64 / 1e3;
            writeln!(
                text,
                "  last change: {owners} owners, {written} names written, {milliseconds:.1} ms; \
                 {} octets free for the next",
                zone.dead_bytes
            )?;
        }
        if let Some(secondary) = &zone.secondary {
            write_secondary(&mut text, secondary)?;
        }
        if let Some(error) = &zone.last_error {
            writeln!(text, "  {error}")?;
        }
        for warning in &zone.warnings {
            writeln!(text, "  warning: {warning}")?;
        }
    }
    Ok(text)
}

fn write_secondary(text: &mut String, secondary: &SecondaryStatus) -> Result<()> {
    match (&secondary.primary, secondary.age) {
        (Some(primary), Some(since)) => {
            write!(text, "  confirmed by {primary} {} ago", age(since))?;
        }
        _ => write!(text, "  from {}", secondary.primaries.join(", "))?,
    }
    write!(text, ", next refresh in {}", age(secondary.next_refresh))?;
    match secondary.expiry {
        Some(_) if secondary.expired => write!(text, ", EXPIRED")?,
        Some(expiry) => write!(text, ", expires in {}", age(expiry))?,
        None => {}
    }
    writeln!(text)?;
    Ok(())
}

/// The time since a moment in seconds since 1970.
fn since(moment: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    age(now.saturating_sub(moment))
}

/// Seconds in the two largest units that matter.
fn age(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match () {
        () if days > 0 => format!("{days}d {}h", hours % 24),
        () if hours > 0 => format!("{hours}h {}m", minutes % 60),
        () if minutes > 0 => format!("{minutes}m {}s", seconds % 60),
        () => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::age;

    #[test]
    fn an_age_has_two_units() {
        assert_eq!(age(59), "59s");
        assert_eq!(age(61), "1m 1s");
        assert_eq!(age(7_260), "2h 1m");
        assert_eq!(age(90_000), "1d 1h");
    }
}
