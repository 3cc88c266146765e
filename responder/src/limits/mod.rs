//! Limits of the packet path, as an operator sees them: rates, cookies, and who is served at all.
//!
//! What they do is the engine's (`responder_common::limit`), where they stand the store's
//! (`store::limiter`).

pub mod acl;
pub mod cookies;
pub mod top;

use std::{collections::HashMap, path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use ipnet::IpNet;
use responder_common::limit::{CLASSES, Class, TICK, listed, switch};
use serde::{Deserialize, Serialize};

use crate::{
    config::{Config, Zone, ZoneSource},
    store::{Store, limiter::Settings},
};

/// `[rate-limit]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// Whether replies are limited.
    pub mode: Mode,
    /// How many a second, to one source.
    pub rates: Rates,
    /// Octets a second beyond those of its queries, to one source; zero is no limit.
    pub octets: u32,
    /// The same, to all that lies around a source.
    pub octets_wide: u32,
    /// For how long a source may save up.
    pub burst: Duration,
    /// Of so many replies over the rate one is sent, cut short; 0: none.
    pub slip: u32,
    /// Bits of an IPv4 address that make a source.
    pub ipv4_prefix: u8,
    /// Bits of an IPv6 address that make a source, at most 64.
    pub ipv6_prefix: u8,
    /// Bits of an IPv4 address that make what lies around a source.
    pub ipv4_prefix_wide: u8,
    /// Bits of an IPv6 address that do, at most 64.
    pub ipv6_prefix_wide: u8,
    /// Prefixes to which no reply is limited.
    pub exempt: Vec<IpNet>,
}

/// Whether replies are limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// They are not.
    Off,
    /// What would be limited is counted, and sent.
    Log,
    /// They are.
    On,
}

/// Replies a second to one source, by class of answer; zero is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Data, or that a name has none of the type.
    pub positive: u32,
    /// Referrals.
    pub referral: u32,
    /// Names that do not exist, for each zone by itself.
    pub nxdomain: u32,
    /// Errors.
    pub error: u32,
}

impl Rates {
    /// By number of the class.
    pub fn by_class(self) -> [u32; CLASSES] {
        Class::ALL.map(|class| match class {
            Class::Positive => self.positive,
            Class::Referral => self.referral,
            Class::NxDomain => self.nxdomain,
            Class::Error => self.error,
        })
    }
}

/// A rate that a zone has of its own; the others are the node's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ZoneRates {
    /// See [`Rates::positive`].
    pub positive: Option<u32>,
    /// See [`Rates::referral`].
    pub referral: Option<u32>,
    /// See [`Rates::nxdomain`].
    pub nxdomain: Option<u32>,
}

impl ZoneRates {
    /// All rates of the zone.
    pub fn over(self, node: Rates) -> Rates {
        Rates {
            positive: self.positive.unwrap_or(node.positive),
            referral: self.referral.unwrap_or(node.referral),
            nxdomain: self.nxdomain.unwrap_or(node.nxdomain),
            error: node.error,
        }
    }
}

/// `[cookies]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cookies {
    /// The file with the secrets; without it there are no cookies.
    pub secret_file: Option<PathBuf>,
}

impl Default for RateLimit {
    /// Off: a limit that does not know its resolvers hurts them, since many stand behind one prefix. What
    /// it would do is seen with `mode = "log"` and `responder limits top`; then it is switched on.
    ///
    /// The rates are those of a busy resolver farm behind one /24 with room to spare, and far below what a
    /// reflection attack needs of one. The octets are some 120 replies of a signed zone: a mixture of kinds,
    /// each below its rate, has no more. Each reply over the rate is sent, cut short: it is no longer than
    /// its query, so nobody gains by it, and a resolver that shares its prefix with a victim comes back over
    /// TCP at once instead of waiting for a reply that was dropped.
    fn default() -> Self {
        Self {
            mode: Mode::Off,
            rates: Rates { positive: 200, referral: 200, nxdomain: 200, error: 50 },
            octets: 50_000,
            octets_wide: 500_000,
            burst: Duration::from_millis(500),
            slip: 1,
            ipv4_prefix: 24,
            ipv6_prefix: 56,
            ipv4_prefix_wide: 16,
            ipv6_prefix_wide: 40,
            exempt: Vec::new(),
        }
    }
}

/// Has the store follow the configuration and the access list.
///
/// # Errors
/// The secrets cannot be read, or something is too much: one line with the remedy. The rest is followed.
pub fn follow(store: &Store, config: &Config, acl: &acl::List) -> Result<()> {
    store.set_limits(&settings(config));
    let rates = config.zones.iter().filter_map(|zone| {
        let apex = crate::zone::name::from_text_lower(&zone.name).ok()?;
        zone.rates.map(|rates| (apex, rates.over(config.rate_limit.rates)))
    });
    let rates: HashMap<Vec<u8>, Rates> = rates.collect();
    let zones = store.set_zone_rates(&rates).context("rate-limit of zones");
    let listing = list(store, config, acl);
    let secrets = match &config.cookies.secret_file {
        Some(file) => cookies::read(file),
        None => Ok(Vec::new()),
    };
    store.set_wall_clock();
    let secrets = secrets.map(|secrets| store.set_cookie_secrets(&secrets));
    zones.and(listing).and(secrets)
}

/// Lists who is denied, exempt, or a peer.
///
/// # Errors
/// Too many prefixes, or the kernel refuses one.
pub fn list(store: &Store, config: &Config, acl: &acl::List) -> Result<()> {
    let exempt = config.rate_limit.exempt.iter().map(|prefix| (*prefix, listed::EXEMPT));
    let peers = config.zones.iter().chain(&config.templates).flat_map(peers);
    let peers = peers.map(|prefix| (prefix, listed::PEER));
    let mut entries: Vec<_> =
        exempt.chain(peers).map(|(prefix, bits)| (prefix, bits, bits)).collect();
    entries.extend(acl.entries().map(|(prefix, action)| {
        (prefix, listed::DENIED, if action == acl::Action::Deny { listed::DENIED } else { 0 })
    }));
    store
        .set_listing(&entries)
        .context("the prefixes of [rate-limit], of zones and of the access list")
}

/// Whoever has business with the daemon for a zone.
fn peers(zone: &Zone) -> Vec<IpNet> {
    let mut peers = zone.notify_from.clone();
    peers.extend(zone.transfer_to.iter().map(|peers| peers.prefix));
    peers.extend(zone.notify_to.iter().map(|downstream| IpNet::from(downstream.address.ip())));
    if let ZoneSource::Primaries(primaries) = &zone.source {
        peers.extend(primaries.iter().map(|primary| IpNet::from(primary.address.ip())));
    }
    peers
}

fn settings(config: &Config) -> Settings {
    let limits = &config.rate_limit;
    let switches = match limits.mode {
        Mode::Off => 0,
        Mode::Log => switch::REPLIES,
        Mode::On => switch::REPLIES | switch::ENFORCE,
    };
    Settings {
        switches,
        rates: limits.rates,
        octets: limits.octets,
        octets_wide: limits.octets_wide,
        burst: (limits.burst.as_nanos() / u128::from(TICK)) as u32,
        slip: limits.slip,
        ipv4_prefix: limits.ipv4_prefix,
        ipv6_prefix: limits.ipv6_prefix,
        ipv4_prefix_wide: limits.ipv4_prefix_wide,
        ipv6_prefix_wide: limits.ipv6_prefix_wide,
        passed_per_source: config.limits.passed_per_source,
        passed: config.limits.passed,
    }
}
