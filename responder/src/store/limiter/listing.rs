//! Prefixes that are denied, exempt, or peers: the kernel's map of them, and the host's own copy.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
    sync::{Arc, PoisonError},
};

use ipnet::{IpNet, Ipv6Net};
use responder_common::{
    limit::{self, listed, switch},
    platform::Platform as _,
};

use crate::store::Store;

/// What prefixes are listed as: [`listed`] bits. IPv4 prefixes stand behind ::ffff:0:0/96.
type Listing = BTreeMap<Ipv6Net, u32>;

/// A listing to look addresses up in.
#[derive(Default)]
pub(super) struct Listed {
    listing: Listing,
    /// The lengths that occur, the longest first.
    lengths: Vec<u8>,
}

impl Store {
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

    pub(super) fn bits(&self, address: IpAddr) -> u32 {
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

#[cfg(test)]
mod tests {
    use ipnet::IpNet;

    use super::{Store, listed};
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
}
