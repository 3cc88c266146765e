//! Whole frames on the host: what the kernel's hooks do with one, without a kernel.
//!
//! Tests and fuzzers hold the kernel's programs to this, octet for octet.

use responder_common::{
    frame::{self, Checksum},
    limit::{self, Limiter},
    scratch::HEAD,
    verdict::{Action, Verdict},
};

use super::{Answerer, Desk, Transport};
use crate::dataplane::trial::HookPoint;

impl Answerer {
    /// Answers a frame as the program of a hook does, room for the reply being no question; `reply` is
    /// cleared first and holds the whole reply afterwards, from the Ethernet header on.
    pub fn frame(&mut self, hook: HookPoint, frame: &[u8], reply: &mut Vec<u8>) -> Verdict {
        let Self { store, reader, scratch, .. } = self;
        Desk { platform: &**store, store, reader, s: scratch }.frame(hook, frame, reply)
    }
}

impl<P: Limiter> Desk<'_, P> {
    pub(super) fn frame(&mut self, hook: HookPoint, frame: &[u8], reply: &mut Vec<u8>) -> Verdict {
        reply.clear();
        let (store, s) = (self.platform, &mut *self.s);
        let place = if hook == HookPoint::Xdp { 0 } else { 1 };
        match frame::query(&frame, store.root(), s) {
            Ok(()) if limit::is_denied(store, s) => return Verdict::Denied,
            Ok(()) => {}
            Err(Verdict::Oversize) => {
                return limit::pass(store, s, Verdict::Oversize, place);
            }
            Err(verdict) => return verdict,
        }
        let head = s.head_length.get() as usize;
        let query = &frame[head..][..s.query_length.get() as usize];
        s.head[HEAD - head..].copy_from_slice(&frame[..head]);
        s.message[..query.len()].copy_from_slice(query);
        let partial = hook == HookPoint::Tc && frame::is_partial(store, s);
        reply.extend_from_slice(&frame[..head]);
        let verdict = self.respond(Transport::Udp, place, reply);
        if verdict.action() != Action::Reply {
            reply.clear();
            return verdict;
        }
        let s = &mut *self.s;
        let kind = if partial { Checksum::Pseudo } else { Checksum::Full };
        frame::reverse(s, (reply.len() - head) as u32, kind);
        reply[..head].copy_from_slice(&s.head[HEAD - head..]);
        verdict
    }
}
