//! `[rate-limit]`, the rates of single zones, and `[cookies]`.

use std::{ops::RangeInclusive, path::Path, time::Duration};

use super::{RateLimit, read::resolve, table::Table, zones::parse_prefix};
use crate::limits::{Cookies, Mode, Rates, ZoneRates};

/// Replies a second, at the most: below one tick of the limiter's clock for each.
const RATE_MAX: u64 = 900_000;
/// Octets a second: with fewer a source saves up for its next reply for seconds, with more 256 octets cost
/// less than a tick.
const OCTETS: RangeInclusive<u64> = 1000..=200_000_000;

pub(super) fn read_rate_limit(table: Table<'_>) -> RateLimit {
    let default = RateLimit::default();
    let mode = table.parsed("mode", |mode| match mode {
        "off" => Ok(Mode::Off),
        "log" => Ok(Mode::Log),
        "on" => Ok(Mode::On),
        _ => Err("the modes are \"off\", \"log\" and \"on\"".to_owned()),
    });
    let rate = |key, default| rate(&table, key).unwrap_or(default);
    let rates = Rates {
        positive: rate("positive", default.rates.positive),
        referral: rate("referral", default.rates.referral),
        nxdomain: rate("nxdomain", default.rates.nxdomain),
        error: rate("error", default.rates.error),
    };
    // Clocks tick every few milliseconds, and a burst is to be much longer.
    let burst = table.duration("burst", Duration::from_millis(100)..=Duration::from_secs(60));
    let bits = |key, range, default| {
        table.integer(key, range).and_then(|bits| u8::try_from(bits).ok()).unwrap_or(default)
    };
    let settings = RateLimit {
        mode: mode.map_or(default.mode, |(mode, _)| mode),
        rates,
        octets: octets(&table, "octets").unwrap_or(default.octets),
        octets_wide: octets(&table, "octets-wide").unwrap_or(default.octets_wide),
        burst: burst.unwrap_or(default.burst),
        slip: table.integer("slip", 0..=10).map_or(default.slip, |slip| slip as u32),
        ipv4_prefix: bits("ipv4-prefix", 8..=32, default.ipv4_prefix),
        ipv6_prefix: bits("ipv6-prefix", 16..=64, default.ipv6_prefix),
        ipv4_prefix_wide: bits("ipv4-prefix-wide", 8..=32, default.ipv4_prefix_wide),
        ipv6_prefix_wide: bits("ipv6-prefix-wide", 16..=64, default.ipv6_prefix_wide),
        exempt: table.distinct("exempt", parse_prefix),
    };
    table.finish();
    settings
}

fn rate(table: &Table<'_>, key: &'static str) -> Option<u32> {
    table.integer(key, 0..=RATE_MAX).and_then(|rate| u32::try_from(rate).ok())
}

/// A number of octets a second; zero is no limit.
fn octets(table: &Table<'_>, key: &'static str) -> Option<u32> {
    let octets = table.integer(key, 0..=*OCTETS.end())?;
    if octets != 0 && !OCTETS.contains(&octets) {
        let told = format!("{key} {octets} is too little: 0 is no limit, else it is at least 1000");
        table.reader().fault(&table.span_of(key), told);
        return None;
    }
    u32::try_from(octets).ok()
}

/// The rates that a zone has of its own.
pub(super) fn read_zone_rates(zone: &Table<'_>) -> Option<ZoneRates> {
    if !zone.has("rate-limit") {
        zone.known("rate-limit");
        return None;
    }
    let table = zone.section("rate-limit");
    let rates = ZoneRates {
        positive: rate(&table, "positive"),
        referral: rate(&table, "referral"),
        nxdomain: rate(&table, "nxdomain"),
    };
    table.finish();
    Some(rates)
}

pub(super) fn read_cookies(table: Table<'_>, directory: &Path) -> Cookies {
    table.forbid(
        "secret",
        "secrets never stand in the configuration: put it into a file of its own, readable by the \
         daemon only, and name that with secret-file",
    );
    let file = table.parsed("secret-file", |path| resolve(directory, path));
    table.finish();
    Cookies { secret_file: file.map(|(file, _)| file) }
}
