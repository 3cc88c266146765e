//! The limiter's table, lists and settings: what the kernel programs and the daemon's sockets share.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use ipnet::{IpNet, Ipv6Net};
use memmap2::MmapRaw;
use responder_common::{
    layout::{LIMIT_PROFILES, SECRETS_MAX, Secrets},
    limit::{self, Limiter, Line, bucket::Bucket, listed, switch},
    platform::Platform as _,
    verdict::{COUNTERS, Verdict},
};

use super::{Store, clock};
use crate::limits::Rates;

/// The wall clock is told anew when it is off by as much; the store's clock has steps of a few milliseconds.
const WALL_STEP: Duration = Duration::from_millis(100);

/// Octets of the table.
pub const TABLE: usize = limit::LINES * size_of::<Line>();

/// What prefixes are listed as: [`listed`] bits. IPv4 prefixes stand behind ::ffff:0:0/96.
type Listing = BTreeMap<Ipv6Net, u32>;

/// A listing to look addresses up in.
#[derive(Default)]
struct Listed {
    listing: Listing,
    /// The lengths that occur, the longest first.
    lengths: Vec<u8>,
}

/// The limiter's memory, and what the host knows of it.
pub struct State {
    table: MmapRaw,
    listed: RwLock<Arc<Listed>>,
    /// Replies over the rate that the daemon's sockets were about to send, by what they were to be.
    over: [AtomicU64; COUNTERS],
    /// The number of the rates of each zone that has its own, by apex.
    profiles: Mutex<HashMap<Vec<u8>, u32>>,
}

/// What the limiter is to do; rates are replies or messages a second, zero is no limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// [`switch::REPLIES`] and [`switch::ENFORCE`]; the others follow from what there is.
    pub switches: u32,
    /// Rates of zones without their own.
    pub rates: Rates,
    /// How far ahead of its rate a source may be, in ticks.
    pub burst: u32,
    /// Of so many replies over the rate one is sent, cut short.
    pub slip: u32,
    /// Octets beyond those of its queries to one source.
    pub octets: u32,
    /// And to all that lies around it.
    pub octets_wide: u32,
    /// Bits of an IPv4 source.
    pub ipv4_prefix: u8,
    /// Bits of an IPv6 source, at most 64.
    pub ipv6_prefix: u8,
    /// Bits of what lies around it.
    pub ipv4_prefix_wide: u8,
    /// Bits of what lies around it, at most 64.
    pub ipv6_prefix_wide: u8,
    /// Messages for the daemon from one source.
    pub passed_per_source: u32,
    /// Messages for the daemon from all sources.
    pub passed: u32,
}

impl State {
    /// A limiter without limits over its table's memory.
    pub fn new(table: MmapRaw) -> Self {
        assert!(table.len() >= TABLE, "the table's memory holds the table");
        Self {
            table,
            listed: RwLock::default(),
            over: std::array::from_fn(|_| AtomicU64::new(0)),
            profiles: Mutex::default(),
        }
    }

    fn line(&self, number: u32) -> Option<&Line> {
        if number as usize >= limit::LINES {
            return None;
        }
        // SAFETY: inside the table, whose memory begins at a page and lives as long as `self`; a line's
        // words change by single stores.
        Some(unsafe { &*self.table.as_ptr().cast::<Line>().add(number as usize) })
    }

    /// The number of a zone's rates.
    pub(super) fn profile(&self, apex: &[u8]) -> u32 {
        let profiles = self.profiles.lock().unwrap_or_else(PoisonError::into_inner);
        profiles.get(apex).copied().unwrap_or(0)
    }
}

/// What one reply costs at so many a second, in ticks.
fn cost(rate: u32) -> u32 {
    match rate {
        0 => 0,
        rate => (1_000_000_000 / limit::TICK / u64::from(rate)).max(1) as u32,
    }
}

/// What 256 octets cost at so many a second, in ticks.
fn cost_octets(rate: u32) -> u32 {
    match rate {
        0 => 0,
        rate => (256 * 1_000_000_000 / limit::TICK / u64::from(rate)).clamp(1, 1 << 18) as u32,
    }
}

/// The upper bits of an IPv4 address.
fn mask4(bits: u8) -> u32 {
    (mask(bits.min(32)) >> 32) as u32
}

/// The upper bits of an address or of the upper half of one.
fn mask(bits: u8) -> u64 {
    u64::MAX.checked_shl(64 - u32::from(bits.min(64))).unwrap_or(0)
}

/// Stores to a word of the root that readers read meanwhile.
macro_rules! set {
    ($root:ident, $atomic:ident, $($field:tt)+) => {
        // SAFETY: an aligned word of the root's memory, which lives as long as the store; atomic, because
        // readers run.
        unsafe { $atomic::from_ptr(&raw mut (*$root).$($field)+) }
    };
}

impl Store {
    /// Has the limiter work so from now on.
    pub fn set_limits(&self, settings: &Settings) {
        let root = self.memory.root_mut();
        let word = Ordering::Relaxed;
        self.set_rates(0, settings.rates);
        set!(root, AtomicU64, limits.mask6).store(mask(settings.ipv6_prefix), word);
        set!(root, AtomicU64, limits.mask6_wide).store(mask(settings.ipv6_prefix_wide), word);
        set!(root, AtomicU32, limits.mask4).store(mask4(settings.ipv4_prefix), word);
        set!(root, AtomicU32, limits.mask4_wide).store(mask4(settings.ipv4_prefix_wide), word);
        set!(root, AtomicU32, limits.octets).store(cost_octets(settings.octets), word);
        set!(root, AtomicU32, limits.octets_wide).store(cost_octets(settings.octets_wide), word);
        set!(root, AtomicU32, limits.burst).store(settings.burst, word);
        set!(root, AtomicU32, limits.slip).store(settings.slip, word);
        set!(root, AtomicU32, limits.passed).store(cost(settings.passed_per_source), word);
        set!(root, AtomicU32, limits.passed_total).store(cost(settings.passed), word);
        let passed = settings.passed != 0 || settings.passed_per_source != 0;
        let on = settings.switches | if passed { switch::PASSED } else { 0 };
        self.switch(on, switch::REPLIES | switch::ENFORCE | switch::PASSED);
    }

    fn set_rates(&self, profile: usize, rates: Rates) {
        let root = self.memory.root_mut();
        for (class, rate) in rates.by_class().into_iter().enumerate() {
            set!(root, AtomicU32, limits.costs[profile][class])
                .store(cost(rate), Ordering::Relaxed);
        }
    }

    /// Switches those of `which` on that are in `on`, and the others of them off.
    fn switch(&self, on: u32, which: u32) {
        let _change = self.change();
        let root = self.memory.root_mut();
        let switches = set!(root, AtomicU32, limiting);
        let _ = switches.fetch_update(Ordering::Release, Ordering::Relaxed, |now| {
            Some(now & !which | on & which)
        });
    }

    /// Gives zones rates of their own, by apex in lower-case wire form; all others have the node's.
    ///
    /// # Errors
    /// More different sets of rates than there is room for; then nothing has changed.
    pub fn set_zone_rates(&self, zones: &HashMap<Vec<u8>, Rates>) -> io::Result<()> {
        let mut rates: Vec<Rates> = Vec::new();
        let mut numbers = HashMap::new();
        for (apex, own) in zones {
            let place = rates.iter().position(|known| known == own).unwrap_or_else(|| {
                rates.push(*own);
                rates.len() - 1
            });
            numbers.insert(apex.clone(), place as u32 + 1);
        }
        if rates.len() >= LIMIT_PROFILES {
            return Err(io::Error::other(format!(
                "zones have {} different sets of rates: at most {} are possible",
                rates.len(),
                LIMIT_PROFILES - 1
            )));
        }
        let writer = self.writer();
        for (place, rates) in rates.iter().enumerate() {
            self.set_rates(place + 1, *rates);
        }
        let mut profiles = self.limiter.profiles.lock().unwrap_or_else(PoisonError::into_inner);
        *profiles = numbers;
        for (apex, zone) in &writer.directory.zones {
            let number = profiles.get(apex).copied().unwrap_or(0);
            let off = writer.directory.switched_off.contains(apex);
            self.set_switch(zone.slot, off, number);
        }
        Ok(())
    }

    /// Makes server cookies with the first of these secrets, and believes those made with any; without one
    /// there are no cookies. More than three are ignored.
    pub fn set_cookie_secrets(&self, secrets: &[[u8; 16]]) {
        let root = self.memory.root_mut();
        let _change = self.change();
        let mut set =
            Secrets { length: secrets.len().min(SECRETS_MAX) as u64, ..Secrets::default() };
        for (key, secret) in set.keys.iter_mut().zip(secrets) {
            let half = |at| u64::from_le_bytes(std::array::from_fn(|octet| secret[at + octet]));
            *key = [half(0), half(8)];
        }
        let now = set!(root, AtomicU32, limits.secrets_now);
        let next = 1 - now.load(Ordering::Relaxed) % 2;
        // SAFETY: inside the root. No reader looks at this set but one that has been at a single query since
        // the set before was put in place, and all that it can do is to refuse a cookie.
        unsafe { (&raw mut (*root).limits.secrets[next as usize]).write_volatile(set) };
        now.store(next, Ordering::Release);
        self.switch(if set.length > 0 { switch::COOKIES } else { 0 }, switch::COOKIES);
    }

    /// Tells the kernel programs the time, by which they make cookies. To be called every now and then: the
    /// wall clock is adjusted, and may be set. Cookies tell whole seconds, so what is less than
    /// [`WALL_STEP`] changes nothing.
    pub fn set_wall_clock(&self) {
        let root = self.memory.root_mut();
        let told = set!(root, AtomicU64, limits.wall);
        let offset = clock::wall_offset();
        let step = offset.wrapping_sub(told.load(Ordering::Relaxed)).cast_signed();
        if step.unsigned_abs() >= WALL_STEP.as_nanos() as u64 {
            let _change = self.change();
            told.store(offset, Ordering::Relaxed);
        }
    }

    /// Lists prefixes: what each of the three [`listed`] bits says of an address is what the longest
    /// prefix says that says something of it. `entries`: prefix, bits that it is about, bits that it sets.
    ///
    /// # Errors
    /// The kernel refuses a prefix, or they are too many; then some may be listed and others not.
    pub fn set_listing(&self, entries: &[(IpNet, u32, u32)]) -> io::Result<()> {
        let listing = resolve(entries);
        if listing.len() > limit::LISTED_MAX {
            return Err(io::Error::other(format!(
                "{} prefixes: at most {} can be listed",
                listing.len(),
                limit::LISTED_MAX
            )));
        }
        let _change = self.change();
        let mut current = self.limiter.listed.write().unwrap_or_else(PoisonError::into_inner);
        for (prefix, bits) in &listing {
            if current.listing.get(prefix) != Some(bits) {
                self.memory.list(*prefix, Some(*bits))?;
            }
        }
        for prefix in current.listing.keys().filter(|prefix| !listing.contains_key(prefix)) {
            self.memory.list(*prefix, None)?;
        }
        let any = listing.values().fold(0, |any, bits| any | bits);
        let lengths: BTreeSet<u8> = listing.keys().map(Ipv6Net::prefix_len).collect();
        let lengths = lengths.into_iter().rev().collect();
        *current = Arc::new(Listed { listing, lengths });
        drop(current);
        let deny = if any & listed::DENIED != 0 { switch::DENY } else { 0 };
        let exempt = if any & (listed::EXEMPT | listed::PEER) != 0 { switch::EXEMPT } else { 0 };
        self.switch(deny | exempt, switch::DENY | switch::EXEMPT);
        Ok(())
    }

    /// Whether an address is not served.
    pub fn is_denied(&self, address: IpAddr) -> bool {
        self.root().limiting & switch::DENY != 0 && self.bits(address) & listed::DENIED != 0
    }

    fn bits(&self, address: IpAddr) -> u32 {
        let listed = {
            let listed = self.limiter.listed.read().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(&listed)
        };
        let address = match address {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        let prefixes = listed.lengths.iter().filter_map(|bits| Ipv6Net::new(address, *bits).ok());
        prefixes
            .map(|prefix| prefix.trunc())
            .find_map(|prefix| listed.listing.get(&prefix).copied())
            .unwrap_or(0)
    }

    /// Replies over the rate that the sockets were about to send, by what they were to be.
    pub fn over_rate(&self) -> BTreeMap<String, u64> {
        let count =
            |verdict: &Verdict| self.limiter.over[*verdict as usize].load(Ordering::Relaxed);
        Verdict::ALL
            .iter()
            .map(|verdict| (verdict.label().to_owned(), count(verdict)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    /// Every bucket in use, as it stands.
    pub fn buckets(&self) -> impl Iterator<Item = Bucket> {
        let lines = (0..limit::LINES as u32).filter_map(|number| self.limiter.line(number));
        lines
            .flat_map(|line| (0..limit::bucket::WAYS as u32).map(|way| line.bucket(way)))
            .filter(|bucket| !bucket.is_empty())
    }

    /// How far ahead of its rate a bucket may be, in ticks.
    pub fn burst(&self) -> u32 {
        self.root().limits.burst
    }
}

/// What each prefix says with all that those around it say.
fn resolve(entries: &[(IpNet, u32, u32)]) -> Listing {
    let mut own: BTreeMap<Ipv6Net, (u32, u32)> = BTreeMap::new();
    for (prefix, about, bits) in entries {
        let entry = own.entry(mapped(*prefix)).or_default();
        entry.0 |= about;
        entry.1 = entry.1 & !about | bits & about;
    }
    let mut listing = Listing::new();
    // A prefix sorts behind those that hold it: the open ones are a stack.
    let mut around: Vec<(Ipv6Net, u32)> = Vec::new();
    for (prefix, (about, bits)) in own {
        while around.last().is_some_and(|(outer, _)| !outer.contains(&prefix)) {
            around.pop();
        }
        let bits = around.last().map_or(0, |(_, outer)| *outer) & !about | bits;
        around.push((prefix, bits));
        listing.insert(prefix, bits);
    }
    listing
}

/// A prefix as the listing has it.
pub fn mapped(prefix: IpNet) -> Ipv6Net {
    match prefix {
        IpNet::V6(prefix) => prefix.trunc(),
        IpNet::V4(prefix) => {
            let address = prefix.network().to_ipv6_mapped();
            Ipv6Net::new(address, 96 + prefix.prefix_len()).expect("at most 128 bits")
        }
    }
}

impl Limiter for Store {
    #[inline(always)]
    fn line(&self, number: u32) -> Option<&Line> {
        self.limiter.line(number)
    }

    fn listed(&self, version: u32, address: [u64; 2]) -> u32 {
        let address = match version {
            4 => IpAddr::from((address[0] as u32).to_ne_bytes()),
            _ => {
                let [high, low] = address.map(u64::from_be);
                IpAddr::from((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
            }
        };
        self.bits(address)
    }

    fn count_over(&self, verdict: Verdict) {
        self.limiter.over[verdict as usize].fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use ipnet::IpNet;
    use responder_common::{
        limit::{self, Limiter as _},
        message,
        scratch::Scratch,
    };
    use zerocopy::FromZeros as _;

    use super::{Store, cost, cost_octets, listed, mask, mask4};
    use crate::store::StoreOptions;

    #[test]
    fn the_longest_prefix_that_says_something_decides() {
        let store = Store::in_memory(&StoreOptions { udp_size: 1232, id: "test".into() }).unwrap();
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        let entries = [
            (net("192.0.2.0/24"), listed::DENIED, listed::DENIED),
            (net("192.0.2.128/25"), listed::DENIED, 0),
            (net("192.0.2.130/32"), listed::DENIED, listed::DENIED),
            (net("192.0.2.0/28"), listed::EXEMPT, listed::EXEMPT),
            (net("2001:db8::/32"), listed::DENIED, listed::DENIED),
        ];
        store.set_listing(&entries).unwrap();
        let bits = |text: &str| store.bits(text.parse().unwrap());
        assert_eq!(bits("192.0.2.1"), listed::DENIED | listed::EXEMPT);
        assert_eq!(bits("192.0.2.16"), listed::DENIED);
        assert_eq!(bits("192.0.2.129"), 0);
        assert_eq!(bits("192.0.2.130"), listed::DENIED);
        assert_eq!(bits("192.0.3.1"), 0);
        assert_eq!(bits("2001:db8::1"), listed::DENIED);
        assert!(store.is_denied("192.0.2.1".parse().unwrap()));
        store.set_listing(&[]).unwrap();
        assert_eq!(bits("192.0.2.1"), 0);
        assert!(!store.is_denied("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn a_reply_that_was_not_charged_is_not_paid_back() {
        let store = Store::in_memory(&StoreOptions { udp_size: 1232, id: "test".into() }).unwrap();
        let mut s = Box::new(Scratch::new_zeroed());
        // What the query before was charged.
        s.charge[1].set(7);
        let query = b"\0\x01\0\0\0\x01\0\0\0\0\0\0\0\0\x06\0\x01";
        s.message[..query.len()].copy_from_slice(query);
        s.query_length.set(query.len() as u32);
        message::parse(&store, &mut s, 1232, false);
        limit::refund(&store, &s);
        assert!((0..4).all(|way| store.line(0).unwrap().bucket(way).is_empty()));
    }

    #[test]
    fn rates_and_prefixes_as_the_engine_wants_them() {
        assert_eq!((cost(0), cost(1), cost(1000), cost(u32::MAX)), (0, 976_562, 976, 1));
        assert_eq!((mask(0), mask(56), mask(64)), (0, !0xff, u64::MAX));
        assert_eq!((mask4(24), mask4(40), mask4(0)), (0xffff_ff00, u32::MAX, 0));
        assert_eq!((cost_octets(0), cost_octets(50_000), cost_octets(u32::MAX)), (0, 5000, 1));
    }
}
