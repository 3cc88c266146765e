//! Who asks most: the limiter's accounts, looked at twice.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, Ipv6Addr},
    thread,
    time::{Duration, Instant},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use responder_common::limit::{self, Class, TICK};
use serde::{Deserialize, Serialize};

use crate::{
    config::RateLimit,
    store::{Store, clock, limiter::Account},
};

/// A source and what it asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Talker {
    /// The prefix; none: all sources together.
    pub source: Option<IpNet>,
    /// The class of answers, or `passed`: messages for the daemon; or `octets`, `octets-wide`: replies longer
    /// than their queries.
    pub class: String,
    /// The zone, for names that do not exist.
    pub zone: Option<String>,
    /// Messages a second, within a few percent.
    pub per_second: f64,
    /// Messages since the source has its account, within a few percent.
    pub seen: u64,
    /// Whether it is over its rate.
    pub limited: bool,
}

/// The sources that ask most, watched for `interval`; `zones` are the apexes that may be named.
pub fn watch(
    store: &Store,
    settings: &RateLimit,
    zones: &[String],
    count: usize,
    interval: Duration,
) -> Vec<Talker> {
    let key = |account: &Account| (account.source, account.tag);
    let before: HashMap<_, _> =
        store.accounts().map(|account| (key(&account), account.bucket.seen())).collect();
    let start = Instant::now();
    thread::sleep(interval);
    let seconds = start.elapsed().as_secs_f64();
    // An account that was not there has seen all that it has within the interval.
    let more = |account: &Account| {
        let before = before.get(&key(account)).copied().unwrap_or(0);
        account.bucket.seen().saturating_sub(before)
    };
    let mut busy: Vec<_> = store.accounts().map(|account| (more(&account), account)).collect();
    busy.retain(|(more, _)| *more > 0);
    busy.sort_by_key(|(more, account)| (std::cmp::Reverse(*more), account.source));
    busy.truncate(count);
    let names: HashMap<u16, &String> = zones
        .iter()
        .filter_map(|zone| {
            let apex = crate::zone::name::from_text_lower(zone).ok()?;
            Some((store.zone_tag(&apex), zone))
        })
        .collect();
    let (now, burst) = ((clock::now() / TICK) as u32, store.burst());
    let tell = |(more, account): (u64, Account)| Talker {
        source: source(settings, account),
        class: class(account.tag).to_owned(),
        zone: names.get(&account.tag).map(|zone| (*zone).clone()),
        per_second: more as f64 / seconds,
        seen: account.bucket.seen(),
        // Whoever is over is kept near the end of the burst.
        limited: account.bucket.ahead(now, burst) > (burst / 8 * 7) as i32,
    };
    busy.into_iter().map(tell).collect()
}

/// The prefix that an account's source stands for.
fn source(settings: &RateLimit, account: Account) -> Option<IpNet> {
    let source = account.source;
    if source == limit::EVERYBODY {
        return None;
    }
    let wide = u32::from(account.tag >> 13) == limit::OCTETS_WIDE;
    let choose = |narrow, around| if wide { around } else { narrow };
    match u32::try_from(source) {
        Ok(v4) => {
            let bits = choose(settings.ipv4_prefix, settings.ipv4_prefix_wide);
            Ipv4Net::new(Ipv4Addr::from(v4), bits).ok().map(IpNet::V4)
        }
        Err(_) => {
            let address = Ipv6Addr::from(u128::from(source) << 64);
            let bits = choose(settings.ipv6_prefix, settings.ipv6_prefix_wide);
            Ipv6Net::new(address, bits).ok().map(IpNet::V6)
        }
    }
}

fn class(tag: u16) -> &'static str {
    match u32::from(tag >> 13) {
        limit::OCTETS => "octets",
        limit::OCTETS_WIDE => "octets-wide",
        class => Class::ALL.get(class as usize).map_or("passed", |class| class.label()),
    }
}
