//! What the limiter is told: rates, sizes of sources, cookie secrets, the time.

use std::{
    collections::HashMap,
    io,
    sync::{
        PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use responder_common::{
    layout::{LIMIT_PROFILES, SECRETS_MAX, Secrets},
    limit::{self, switch},
};

use crate::{
    limits::Rates,
    store::{Store, clock},
};

/// The wall clock is told anew when it is off by as much; the store's clock has steps of a few milliseconds.
const WALL_STEP: Duration = Duration::from_millis(100);

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
    pub(super) fn switch(&self, on: u32, which: u32) {
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
}

#[cfg(test)]
mod tests {
    use super::{cost, cost_octets, mask, mask4};

    #[test]
    fn rates_and_prefixes_as_the_engine_wants_them() {
        assert_eq!((cost(0), cost(1), cost(1000), cost(u32::MAX)), (0, 976_562, 976, 1));
        assert_eq!((mask(0), mask(56), mask(64)), (0, !0xff, u64::MAX));
        assert_eq!((mask4(24), mask4(40), mask4(0)), (0xffff_ff00, u32::MAX, 0));
        assert_eq!((cost_octets(0), cost_octets(50_000), cost_octets(u32::MAX)), (0, 5000, 1));
    }
}
