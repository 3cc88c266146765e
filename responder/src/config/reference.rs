//! `docs/configuration.md` names every key, and says what the program believes.

use std::{collections::BTreeMap, path::Path};

use super::{Config, Reading, ZoneSource};

/// What an operator reads.
const PAGE: &str = include_str!("../../../docs/configuration.md");

/// A key that there is none of: who meets it tells all that there are.
const NONE: &str = "zzzzzzzz = 0";

fn parse(text: &str) -> Reading {
    Config::parse(Path::new("/etc/responder/r.toml"), text)
}

/// The configuration on the page.
fn text() -> &'static str {
    let (_, rest) = PAGE.split_once("```toml\n").expect("a block of TOML");
    rest.split_once("```").expect("its end").0
}

/// The sections by their headings, those of the same heading joined.
fn sections() -> BTreeMap<&'static str, String> {
    let mut sections: BTreeMap<&str, String> = BTreeMap::new();
    let mut heading = "";
    for line in text().lines() {
        if line.starts_with('[') {
            heading = line.split_whitespace().next().expect("a word");
        }
        *sections.entry(heading).or_default() += &format!("{line}\n");
    }
    sections
}

/// The keys that the table knows in which there is [`NONE`].
fn known(text: &str) -> Vec<String> {
    let faults = parse(text).faults;
    let told = faults.iter().find_map(|fault| {
        let fault = fault.to_string();
        Some(fault.split_once("known here: ")?.1.to_owned())
    });
    let told = told.unwrap_or_else(|| panic!("nobody minds {NONE}: {faults:?}"));
    told.split(", ").map(str::to_owned).collect()
}

/// Every text that comes of the page by [`NONE`] in one of its tables, and the heading of that.
fn with_another_key() -> Vec<(&'static str, String)> {
    let (mut texts, mut heading, mut start) = (Vec::new(), "", 0);
    for line in text().split_inclusive('\n') {
        let end = start + line.len();
        if line.starts_with('[') {
            heading = line.split_whitespace().next().expect("a word");
            texts.push((heading, format!("{}{NONE}\n{}", &text()[..end], &text()[end..])));
        }
        let code = line.split('#').next().expect("something");
        for (at, _) in code.match_indices("{ ") {
            let (before, behind) = text().split_at(start + at + 2);
            texts.push((heading, format!("{before}{NONE}, {behind}")));
        }
        start = end;
    }
    texts
}

#[test]
fn the_page_is_a_configuration_without_fault() {
    let Reading { faults, warnings, .. } = parse(text());
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(warnings.is_empty(), "{warnings:#?}");
}

#[test]
fn every_key_that_there_is_stands_on_the_page() {
    let (sections, texts) = (sections(), with_another_key());
    assert!(texts.len() > 30, "only {} tables", texts.len());
    for (heading, text) in texts {
        // A template has the keys of a zone.
        let section = &sections[if heading == "[[template]]" { "[[zone]]" } else { heading }];
        for key in known(&text) {
            let is_there = section.match_indices(&key).any(|(at, _)| {
                let before = section[..at].chars().next_back();
                let is_whole = before.is_none_or(|c| c.is_whitespace());
                is_whole && section[at + key.len()..].trim_start().starts_with('=')
            });
            let has_table = self::sections().contains_key(format!("[service.{key}]").as_str());
            assert!(is_there || has_table, "{key} of {heading} is not on the page");
        }
    }
}

#[test]
fn what_the_page_calls_a_default_is_one() {
    let config = parse(text()).config;
    // What stands there as an example, or depends on the machine.
    let limits = crate::config::Limits {
        udp_threads: config.limits.udp_threads,
        store_octets: config.limits.store_octets,
        ..Default::default()
    };
    assert_eq!(config.limits, limits);
    let rate_limit =
        crate::config::RateLimit { exempt: config.rate_limit.exempt.clone(), ..Default::default() };
    assert_eq!(config.rate_limit, rate_limit);
    let transfer = crate::config::Transfer {
        source: config.transfer.source.clone(),
        tls: config.transfer.tls.clone(),
        ..Default::default()
    };
    assert_eq!(config.transfer, transfer);
    assert_eq!(config.watchdog, Default::default());
    let default = Config::default();
    let xdp = crate::config::Xdp {
        interfaces: config.xdp.interfaces.clone(),
        pins: config.xdp.pins.clone(),
        ..default.xdp
    };
    assert_eq!(config.xdp, xdp);
    assert_eq!(config.listen.port, default.listen.port);
    // Those of a list are what the same entry without them has.
    let plain = parse(
        "[listen]\naddresses = [\"192.0.2.53\"]\n[[zone]]\nname = \"lac.\"\nfile = \"zones/lac.zone\"\n\
         [[service]]\nname = \"anycast\"\nprefixes = [\"192.0.2.0/24\"]\n[[peer]]\nid = \
         \"gru1\"\naddresses = [\"203.0.113.9\"]\n",
    )
    .config;
    assert_eq!(config.zones[0].journal, plain.zones[0].journal);
    assert!(matches!(config.zones[1].source, ZoneSource::Primaries(_)));
    assert_eq!(config.zones[1].guards.zonemd, plain.zones[0].guards.zonemd);
    assert_eq!(config.peers, plain.peers);
    let health = crate::config::Health {
        max_age: config.services[0].health.max_age,
        ..plain.services[0].health.clone()
    };
    assert_eq!(config.services[0].health, health);
}
