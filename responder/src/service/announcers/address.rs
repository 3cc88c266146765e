//! Service addresses on an interface: whatever routing daemon redistributes the routes of that interface
//! announces them (FRR's `redistribute connected`, BIRD's `direct`).

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use anyhow::Result;

use super::{Announcer, has};
use crate::{
    dataplane::helper::Hands,
    service::{
        netlink,
        route::{Family, Route},
    },
};

/// The addresses of one service.
pub struct Address {
    interface: String,
    addresses: Vec<IpAddr>,
    /// What may touch interfaces in the place of a process that may not.
    hands: Option<Arc<Hands>>,
}

impl Address {
    /// For one service. No other address of the interface is ever touched.
    pub fn new(interface: &str, addresses: &[IpAddr], hands: Option<&Arc<Hands>>) -> Self {
        let (interface, addresses) = (interface.to_owned(), addresses.to_vec());
        Self { interface, addresses, hands: hands.cloned() }
    }

    fn set(&self, address: IpAddr, present: bool) -> Result<()> {
        match (&self.hands, present) {
            (Some(hands), _) => hands.set_address(&self.interface, address, present),
            (None, true) => netlink::add_address(&self.interface, address),
            (None, false) => netlink::delete_address(&self.interface, address),
        }
    }
}

impl Announcer for Address {
    fn ensure(&mut self, routes: &[Route]) -> Result<()> {
        let present: BTreeSet<IpAddr> = netlink::addresses(&self.interface)?.into_iter().collect();
        let mut done = Ok(());
        for address in &self.addresses {
            let family = if address.is_ipv4() { Family::V4 } else { Family::V6 };
            let step = match (has(routes, family), present.contains(address)) {
                (true, false) => self.set(*address, true),
                (false, true) => self.set(*address, false),
                _ => Ok(()),
            };
            // One that cannot be had keeps no other from being withdrawn.
            done = done.and(step);
        }
        done
    }

    fn is_gradual(&self) -> bool {
        false
    }

    fn label(&self) -> &'static str {
        "address"
    }
}
