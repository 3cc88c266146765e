//! The host's end of the answer engine: a query as bytes in, a reply as bytes out.
//!
//! The sockets, `responder query` and the differential tests all answer through [`Answerer`], which
//! runs the very code that the kernel programs run, over the same store.

mod again;
mod frame;
mod long;

use std::{net::IpAddr, sync::Arc};

use responder_common::{
    alias, denial,
    engine::{self, Steps},
    limit::{self, Limiter, cookie},
    locate, message, plan,
    platform::Platform,
    reply::{self, Image, Sink},
    scratch::{MADE_MAX, OPT_MAX, QUERY_MAX, Scratch},
    verdict::{Action, Next, Verdict},
    wire::POINTER,
};
use zerocopy::FromZeros;

use crate::store::{Reader, Store};

/// How a query reached us: it decides how large a reply may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A datagram: bounded by the client's EDNS size and `limits.udp-size`.
    Udp,
    /// A stream: bounded by 65,535 octets (RFC 1035, section 4.2.2).
    Tcp,
}

/// What became of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The reply buffer holds the reply.
    Reply,
    /// Nothing is to be sent.
    Drop,
    /// Not a matter for the engine (NOTIFY, a transfer): the reply buffer is untouched.
    Pass,
}

/// One thread's way into the engine: the shared store and scratch memory of its own.
pub struct Answerer {
    store: Arc<Store>,
    reader: Reader,
    scratch: Box<Scratch>,
    client: Option<IpAddr>,
}

impl Answerer {
    /// An answerer over a store.
    pub fn new(store: Arc<Store>) -> Self {
        let reader = store.reader();
        let scratch = Box::new(Scratch::new_zeroed());
        Self { store, reader, scratch, client: None }
    }

    /// Says who asks from now on: whom the limiter judges, for whom cookies are. Nobody at first.
    pub fn set_client(&mut self, client: Option<IpAddr>) {
        self.client = client;
    }

    /// The largest reply over UDP, in octets.
    pub fn udp_size(&self) -> u16 {
        self.store.root().udp_size
    }

    /// Answers one message; `reply` is cleared first and holds the whole reply afterwards.
    pub fn answer(&mut self, query: &[u8], transport: Transport, reply: &mut Vec<u8>) -> Outcome {
        match self.verdict(query, transport, reply).action() {
            Action::Reply => Outcome::Reply,
            Action::Pass => Outcome::Pass,
            Action::Drop => Outcome::Drop,
        }
    }

    /// The same, with the engine's own word for what the reply is.
    pub fn verdict(&mut self, query: &[u8], transport: Transport, reply: &mut Vec<u8>) -> Verdict {
        reply.clear();
        let (version, client) = self.client.map_or((0, [0; 2]), words);
        let s = &mut *self.scratch;
        s.version.set(version);
        s.client.set(client);
        if version != 0 && limit::is_denied(&*self.store, s) {
            return Verdict::Denied;
        }
        if query.len() > QUERY_MAX {
            return match transport {
                Transport::Udp => limit::pass(&*self.store, s, Verdict::Oversize, SOCKET),
                Transport::Tcp => Verdict::Oversize,
            };
        }
        s.message[..query.len()].copy_from_slice(query);
        s.query_length.set(query.len() as u32);
        let Self { store, reader, scratch, .. } = self;
        Desk { platform: &**store, store, reader, s: scratch }.respond(transport, SOCKET, reply)
    }
}

/// Where one query is answered.
struct Desk<'a, P> {
    /// What of the store the engine is shown.
    platform: &'a P,
    store: &'a Store,
    reader: &'a mut Reader,
    s: &'a mut Scratch,
}

impl<P: Limiter> Desk<'_, P> {
    /// Answers the query in the scratch memory, behind what `reply` holds already.
    fn respond(&mut self, transport: Transport, place: u32, reply: &mut Vec<u8>) -> Verdict {
        let _reading = self.reader.begin();
        let (platform, s) = (self.platform, &mut *self.s);
        let ceiling = match transport {
            Transport::Udp => u32::from(platform.root().udp_size),
            Transport::Tcp => u32::from(u16::MAX),
        };
        let mut steps =
            Plain { store: platform, s, ceiling, stream: transport == Transport::Tcp, place };
        let length = match engine::respond(&mut steps) {
            Ok(length) => length as usize,
            Err(verdict) => return verdict,
        };
        let s = &mut *self.s;
        let start = reply.len();
        reply.resize(start + length, 0);
        let message = &mut reply[start..];
        if !reply::write(platform, s, &mut Buffer(message)) {
            reply.truncate(start);
            if transport == Transport::Tcp && long::write(self.store, s, reply) {
                return Verdict::from_number(s.verdict.get());
            }
            reply.clear();
            return Verdict::Torn;
        }
        let question_end = s.question_end.get() as usize;
        message[..question_end].copy_from_slice(&s.message[..question_end]);
        Verdict::from_number(s.verdict.get())
    }
}

/// The sockets' number among the places that pass messages on: [`limit::pass`].
const SOCKET: u32 = 2;

/// The version of an address and the address as the scratch memory has it.
fn words(address: IpAddr) -> (u32, [u64; 2]) {
    match address.to_canonical() {
        IpAddr::V4(v4) => (4, [u64::from(u32::from_ne_bytes(v4.octets())), 0]),
        IpAddr::V6(v6) => {
            let bits = v6.to_bits();
            (6, [((bits >> 64) as u64).to_be(), (bits as u64).to_be()])
        }
    }
}

/// The steps, called plainly.
struct Plain<'a, P> {
    store: &'a P,
    s: &'a mut Scratch,
    ceiling: u32,
    stream: bool,
    /// Who passes messages on: [`limit::pass`].
    place: u32,
}

impl<P: Limiter> Steps for Plain<'_, P> {
    fn parse(&mut self) -> Next {
        message::parse(self.store, self.s, self.ceiling, self.stream)
    }

    fn begin(&mut self) -> Next {
        plan::begin(self.store, self.s)
    }

    fn walk(&mut self) -> Next {
        locate::walk(self.store, self.s)
    }

    fn plan(&mut self) -> Next {
        plan::plan(self.store, self.s)
    }

    fn prepare(&mut self) -> u32 {
        denial::prepare(self.store, self.s)
    }

    fn digest(&mut self, times: u32) {
        for _ in 0..times {
            denial::digest(self.store, self.s);
        }
    }

    fn cover(&mut self) -> Next {
        denial::cover(self.store, self.s)
    }

    fn follow(&mut self) -> Next {
        alias::follow(self.store, self.s)
    }

    fn bake(&mut self) {
        cookie::bake(self.store, self.s);
    }

    fn judge(&mut self) -> Next {
        limit::judge(self.store, self.s, self.stream)
    }

    fn pass(&mut self, verdict: Verdict) -> Verdict {
        if self.stream { verdict } else { limit::pass(self.store, self.s, verdict, self.place) }
    }

    fn settle(&mut self) -> u32 {
        reply::settle(self.store, self.s)
    }
}

/// A reply in a buffer.
struct Buffer<'a>(&'a mut [u8]);

impl Buffer<'_> {
    fn put(&mut self, offset: u32, octets: &[u8]) -> bool {
        let start = offset as usize;
        let Some(place) = self.0.get_mut(start..start + octets.len()) else { return false };
        place.copy_from_slice(octets);
        true
    }
}

impl Sink for Buffer<'_> {
    fn copy(&mut self, offset: u32, image: &Image, start: u32, length: u16) -> bool {
        self.put(offset, &image.0[start as usize..][..usize::from(length)])
    }

    fn number(&mut self, offset: u32, value: u16) -> bool {
        // A target beyond what a pointer can express wraps round to something that is no pointer: see
        // `long`.
        value >= POINTER && self.put(offset, &value.to_be_bytes())
    }

    fn opt(&mut self, offset: u32, opt: &[u8; OPT_MAX], length: u32) -> bool {
        self.put(offset, &opt[..length as usize])
    }

    fn made(&mut self, offset: u32, record: &[u8; MADE_MAX], length: u32) -> bool {
        self.put(offset, &record[..length as usize])
    }
}
