//! The status in Prometheus' text format, version 0.0.4.

use std::{collections::BTreeMap, fmt::Write};

use crate::{
    control::{FamilyStatus, Hook, ServiceStatus, Status},
    serve::mode_label,
};

/// Every figure of a status, as one exposition; each series carries the node's identity.
pub fn exposition(status: &Status) -> String {
    let mut page = Page { node: escape(&status.node.id), text: String::new() };
    process(&mut page, status);
    zones(&mut page, status);
    services(&mut page, status);
    peers(&mut page, status);
    transfers(&mut page, status);
    queries(&mut page, status);
    page.text
}

/// What is written so far.
struct Page {
    node: String,
    text: String,
}

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn series(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        let _ = write!(self.text, "{name}{{node=\"{}\"", self.node);
        for (label, text) in labels {
            let _ = write!(self.text, ",{label}=\"{}\"", escape(text));
        }
        let _ = writeln!(self.text, "}} {value}");
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.family(name, kind, help);
        self.series(name, &[], value);
    }
}

fn process(page: &mut Page, status: &Status) {
    page.family("responder_info", "gauge", "The program that runs; always 1.");
    page.series("responder_info", &[("version", &status.node.version)], 1);
    let up = "Seconds since the daemon started.";
    page.single("responder_uptime_seconds", "gauge", up, status.node.uptime);
    let ready = "Whether the node answers.";
    page.single("responder_ready", "gauge", ready, u64::from(status.node.ready));
    let store = "Memory held by the store.";
    page.single("responder_store_bytes", "gauge", store, status.store_bytes);
    let limit = "Memory that the store may hold (limits.store-octets).";
    page.single("responder_store_limit_bytes", "gauge", limit, status.store_limit);
    let segments = "Segments of 64 MiB that the store has.";
    page.single("responder_store_segments", "gauge", segments, u64::from(status.store_segments));
    let plane = &status.data_plane;
    let degraded = "Whether the kernel does less than was configured.";
    let is_degraded = plane.degraded.is_some()
        || plane.attachments.iter().any(|attachment| attachment.warning.is_some());
    page.single("responder_degraded", "gauge", degraded, u64::from(is_degraded));
    let off = &plane.switched_off;
    let help = "Whether an operator has switched the kernel's answers off, for all zones.";
    page.single("responder_xdp_off", "gauge", help, u64::from(off.all));
    let help = "Zones for which an operator has switched the kernel's answers off.";
    page.single("responder_xdp_off_zones", "gauge", help, off.zones.len() as u64);
    if let Some(shadow) = &plane.shadow {
        let name = "responder_shadow_total";
        page.family(name, "counter", "Answers of the kernel compared with the host's, by outcome.");
        let outcomes =
            [("equal", shadow.equal), ("different", shadow.different), ("skipped", shadow.skipped)];
        for (outcome, count) in outcomes {
            page.series(name, &[("outcome", outcome)], count);
        }
    }
    page.family("responder_attached", "gauge", "How each interface is served; always 1.");
    for attachment in &plane.attachments {
        let labels =
            [("interface", attachment.interface.as_str()), ("mode", mode_label(attachment.mode))];
        page.series("responder_attached", &labels, 1);
    }
}

fn zones(page: &mut Page, status: &Status) {
    page.family("responder_zone_state", "gauge", "What each zone is doing; always 1.");
    for zone in &status.zones {
        let labels = [("zone", zone.name.as_str()), ("state", zone.state.label())];
        page.series("responder_zone_state", &labels, 1);
    }
    page.family("responder_zone_error", "gauge", "Whether the last load of the zone failed.");
    for zone in &status.zones {
        let failed = u64::from(zone.last_error.is_some());
        page.series("responder_zone_error", &[("zone", &zone.name)], failed);
    }
    type Figure = fn(&crate::control::ZoneStatus) -> Option<u64>;
    type Number = fn(&crate::control::ZoneStatus) -> u64;
    // Of a zone that is served.
    let served: [(&str, &str, Number); 7] = [
        ("responder_zone_records", "Records served.", |zone| zone.records),
        ("responder_zone_names", "Names served.", |zone| zone.names),
        ("responder_zone_bytes", "Octets in the store.", |zone| zone.bytes),
        ("responder_zone_dead_bytes", "Octets in the store that commits gave back.", |zone| {
            zone.dead_bytes
        }),
        ("responder_zone_reserved_bytes", "Octets of the store that the zone has.", |zone| {
            zone.reserved_bytes
        }),
        ("responder_zone_index_slots", "Places of the index of names.", |zone| zone.index_slots),
        ("responder_zone_index_slots_used", "Those in use.", |zone| zone.index_used),
    ];
    for (name, help, figure) in served {
        page.family(name, "gauge", help);
        for zone in status.zones.iter().filter(|zone| zone.serial.is_some()) {
            page.series(name, &[("zone", &zone.name)], figure(zone));
        }
    }
    let figures: [(&str, &str, Figure); 5] = [
        ("responder_zone_serial", "Serial served.", |zone| zone.serial.map(u64::from)),
        ("responder_zone_last_commit_owners", "Owners that the last commit changed.", |zone| {
            zone.last_commit.map(|commit| commit.owners)
        }),
        ("responder_zone_last_commit_names", "Names that it wrote anew.", |zone| {
            zone.last_commit.map(|commit| commit.written)
        }),
        ("responder_zone_last_commit_microseconds", "How long it took.", |zone| {
            zone.last_commit.map(|commit| commit.microseconds)
        }),
        ("responder_zone_loaded_timestamp_seconds", "When the zone was loaded.", |zone| {
            zone.loaded_at
        }),
    ];
    for (name, help, figure) in figures {
        page.family(name, "gauge", help);
        for zone in &status.zones {
            if let Some(value) = figure(zone) {
                page.series(name, &[("zone", &zone.name)], value);
            }
        }
    }
}

fn services(page: &mut Page, status: &Status) {
    type Figure = fn(&FamilyStatus) -> u64;
    let figures: [(&str, &str, Figure); 4] = [
        (
            "responder_service_route",
            "What is wanted of the routes: 0 withdrawn, 1 less preferred, 2 announced.",
            |family| family.route as u64,
        ),
        ("responder_service_healthy", "Whether the last look was good.", |family| {
            u64::from(family.healthy)
        }),
        ("responder_service_failures", "Failures that lengthen the next hold-down.", |family| {
            u64::from(family.failures)
        }),
        ("responder_service_held_seconds", "How long it is still held down.", |family| family.held),
    ];
    for (name, help, figure) in figures {
        page.family(name, "gauge", help);
        for service in &status.services {
            for family in &service.families {
                let labels =
                    [("service", service.name.as_str()), ("family", family.family.label())];
                page.series(name, &labels, figure(family));
            }
        }
    }
    type State = fn(&ServiceStatus) -> bool;
    let states: [(&str, &str, State); 3] = [
        ("responder_service_fault", "Whether the announcer has not done what is wanted.", |s| {
            s.fault.is_some()
        }),
        ("responder_service_drained", "Whether somebody wants it out of the routing.", |s| {
            !s.drained_by.is_empty()
        }),
        ("responder_service_vetoed", "Whether the watchdog forbids it.", |s| s.veto.is_some()),
    ];
    for (name, help, state) in states {
        page.family(name, "gauge", help);
        for service in &status.services {
            page.series(name, &[("service", &service.name)], u64::from(state(service)));
        }
    }
}

fn peers(page: &mut Page, status: &Status) {
    let up = "responder_peer_up";
    page.family(up, "gauge", "Whether the peer itself answers, seen from here.");
    for peer in &status.peers {
        let address = peer.address.to_string();
        let value = u64::from(peer.fault.is_none());
        page.series(up, &[("peer", &peer.id), ("address", &address)], value);
    }
}

fn transfers(page: &mut Page, status: &Status) {
    let name = "responder_transfers_total";
    page.family(name, "counter", "Refreshes, transfers and NOTIFY, by outcome.");
    for (outcome, count) in &status.transfers {
        page.series(name, &[("outcome", outcome)], *count);
    }
    type Figure = fn(&crate::control::SecondaryStatus) -> Option<u64>;
    let figures: [(&str, &str, Figure); 4] = [
        ("responder_zone_age_seconds", "Time since a primary confirmed the zone.", |zone| zone.age),
        ("responder_zone_next_refresh_seconds", "Time until its primaries are asked.", |zone| {
            Some(zone.next_refresh)
        }),
        ("responder_zone_expiry_seconds", "Time until it is too old to be served.", |zone| {
            zone.expiry
        }),
        ("responder_zone_refresh_failures", "Refreshes in a row that failed.", |zone| {
            Some(u64::from(zone.failures))
        }),
    ];
    for (name, help, figure) in figures {
        page.family(name, "gauge", help);
        for zone in &status.zones {
            if let Some(value) = zone.secondary.as_ref().and_then(figure) {
                page.series(name, &[("zone", &zone.name)], value);
            }
        }
    }
}

fn queries(page: &mut Page, status: &Status) {
    let hooks = [("xdp", &status.data_plane.xdp), ("tc", &status.data_plane.tc)];
    type Part = fn(&Hook) -> &BTreeMap<String, u64>;
    let parts: [(&str, &str, &str, Part); 3] = [
        ("responder_replies_total", "kind", "Replies sent by the kernel.", |hook| &hook.replies),
        ("responder_passed_total", "reason", "Packets that a hook left to the next.", |hook| {
            &hook.passed
        }),
        ("responder_dropped_total", "reason", "Packets that a hook dropped.", |hook| &hook.dropped),
    ];
    for (name, label, help, part) in parts {
        page.family(name, "counter", help);
        for (hook, counters) in hooks {
            for (text, count) in part(counters) {
                page.series(name, &[("hook", hook), (label, text)], *count);
            }
        }
    }
    let name = "responder_over_rate_total";
    page.family(name, "counter", "Replies over the rate of their source, by what they were to be.");
    for (kind, count) in &status.data_plane.over_rate {
        page.series(name, &[("kind", kind)], *count);
    }
    let name = "responder_socket_events_total";
    page.family(name, "counter", "Messages and connections of the daemon's sockets.");
    for (transport, counters) in [("udp", &status.sockets.udp), ("tcp", &status.sockets.tcp)] {
        for (event, count) in counters {
            page.series(name, &[("transport", transport), ("event", event)], *count);
        }
    }
}

/// A label's value: backslash, quote and newline are escaped.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
