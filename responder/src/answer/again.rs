//! The same query once more, as it was when the kernel answered it: for shadow mode.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use responder_common::{
    layout::{Address, Root},
    limit::{Limiter, Line},
    platform::Platform,
    verdict::Verdict,
};
use zerocopy::{FromBytes, Immutable};

use super::{Answerer, Desk};
use crate::{dataplane::trial::HookPoint, store::Store};

impl Answerer {
    /// Answers a frame as the program of a hook did at a moment, in nanoseconds of the store's clock. No
    /// source is charged for it, and what was over its rate is answered.
    pub fn again(
        &mut self,
        hook: HookPoint,
        moment: u64,
        frame: &[u8],
        reply: &mut Vec<u8>,
    ) -> Verdict {
        let Self { store, reader, scratch, .. } = self;
        let platform = &Then { store, moment };
        Desk { platform, store, reader, s: scratch }.frame(hook, frame, reply)
    }

    /// Who sent the frame that was last answered, and where its message begins.
    pub fn sender(&self) -> (IpAddr, usize) {
        let s = &*self.scratch;
        let octets: [u8; 16] = zerocopy::transmute!(s.client.get());
        let client = match octets {
            [a, b, c, d, ..] if s.version.get() == 4 => Ipv4Addr::new(a, b, c, d).into(),
            octets => Ipv6Addr::from(octets).into(),
        };
        (client, s.head_length.get() as usize)
    }
}

/// The store as it is, at another moment.
struct Then<'a> {
    store: &'a Store,
    moment: u64,
}

// SAFETY: what it gives is the store's.
unsafe impl Platform for Then<'_> {
    const IS_KERNEL: bool = Store::IS_KERNEL;

    fn now(&self) -> u64 {
        self.moment
    }

    fn root(&self) -> &Root {
        self.store.root()
    }

    fn object<T: FromBytes + Immutable>(&self, address: Address) -> Option<&T> {
        self.store.object(address)
    }

    fn repeat<F: FnMut(u32) -> bool>(&self, times: u32, step: F) {
        self.store.repeat(times, step);
    }
}

impl Limiter for Then<'_> {
    fn line(&self, _: u32) -> Option<&Line> {
        // Without a table nobody owes anything.
        None
    }

    fn listed(&self, version: u32, address: [u64; 2]) -> u32 {
        self.store.listed(version, address)
    }

    fn count_over(&self, _: Verdict) {}
}
