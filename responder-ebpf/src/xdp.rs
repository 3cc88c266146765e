//! Answering a frame in the driver.

use aya_ebpf::{
    helpers::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail, bpf_xdp_load_bytes, bpf_xdp_store_bytes},
    programs::XdpContext,
};
use responder_common::{
    engine, frame::Checksum, limit::switch, scratch::Scratch, verdict::Verdict,
};

use crate::{
    kernel::{HOOK_XDP, Kernel, Room, scratch},
    packet::{self, Packet},
    steps, watch,
};

/// Whether the frame came from the daemon: it has metadata in front, and one that a driver took has none.
#[inline(always)]
pub fn is_probe(ctx: &XdpContext) -> bool {
    // Behind the frame's start where the driver has no room for any.
    ctx.metadata() < ctx.data()
}

/// Answers the frame in place, or says why not.
#[inline(always)]
pub fn answer<const WATCHED: bool>(ctx: &XdpContext) -> Verdict {
    match attempt::<WATCHED>(ctx) {
        Ok(verdict) | Err(verdict) => verdict,
    }
}

#[inline(always)]
fn attempt<const WATCHED: bool>(ctx: &XdpContext) -> Result<Verdict, Verdict> {
    let kernel = Kernel::new().ok_or(Verdict::Fault)?;
    kernel.check_lease()?;
    let s = scratch().ok_or(Verdict::Fault)?;
    let mut steps = steps::Global { hook: HOOK_XDP, switches: kernel.switches() };
    packet::recognise(ctx, &kernel, s, &mut steps)?;
    let done = respond::<WATCHED>(ctx, &kernel, s, &mut steps);
    if WATCHED {
        let (Ok(verdict) | Err(verdict)) = done;
        watch::log(ctx, s, HOOK_XDP, verdict);
    }
    done
}

/// From a recognised query to its reply.
#[inline(always)]
fn respond<const WATCHED: bool>(
    ctx: &XdpContext,
    kernel: &Kernel,
    s: &mut Scratch,
    steps: &mut steps::Global,
) -> Result<Verdict, Verdict> {
    // A query with EDNS may well have a long reply. Where frames hardly ever have the room (an skb has
    // none behind), it is left to tc before the work is done, not after.
    let room = Room::here().ok_or(Verdict::Fault)?;
    let long = packet::has_additional(ctx, s);
    if long && room.is_hopeless() {
        return Err(Verdict::NoRoom);
    }
    packet::take(ctx, s)?;
    if WATCHED {
        watch::query(ctx, kernel, s);
    }
    let length = engine::respond(steps)?;
    let grown = grow(ctx, s, length);
    if long {
        room.learn(grown.is_ok());
    }
    if grown.is_err() && steps.switches & switch::REPLIES != 0 {
        steps::responder_refund();
    }
    grown?;
    let verdict = packet::send(ctx, kernel, s, length, Checksum::Full)?;
    if WATCHED {
        watch::reply(ctx, kernel, s, HOOK_XDP, length, verdict);
    }
    Ok(verdict)
}

/// Growth for which there is room in front of nearly every frame: XDP's headroom is 256 octets, of which
/// the kernel keeps some for itself.
const HEADROOM: i32 = 192;

/// Makes the frame as long as the reply. Headers and question are written anew wherever the frame begins,
/// so room in front is as good as room behind, and there is more often some: an skb has none behind.
#[inline(always)]
fn grow(ctx: &XdpContext, s: &Scratch, length: u32) -> Result<(), Verdict> {
    let wanted = (s.head_length.get() + length) as i32;
    let growth = wanted - (ctx.data_end() - ctx.data()) as i32;
    let small = growth > 0 && growth <= HEADROOM;
    // SAFETY: helpers on the program's own context.
    let grown = unsafe {
        (small && bpf_xdp_adjust_head(ctx.ctx, -growth) == 0)
            || bpf_xdp_adjust_tail(ctx.ctx, growth) == 0
            || (!small && bpf_xdp_adjust_head(ctx.ctx, -growth) == 0)
    };
    if grown { Ok(()) } else { Err(Verdict::NoRoom) }
}

impl Packet for XdpContext {
    #[inline(always)]
    fn start(&self) -> usize {
        self.data()
    }

    #[inline(always)]
    fn end(&self) -> usize {
        self.data_end()
    }

    #[inline(always)]
    fn octets(&self) -> u32 {
        (self.data_end() - self.data()) as u32
    }

    #[inline(always)]
    unsafe fn load(&self, to: *mut u8, length: u32) -> bool {
        // SAFETY: the caller's promise.
        unsafe { bpf_xdp_load_bytes(self.ctx, 0, to.cast(), length) == 0 }
    }

    #[inline(always)]
    unsafe fn store(&self, offset: u32, from: *const u8, length: u32) -> bool {
        // SAFETY: the caller's promise; the helper only reads.
        unsafe { bpf_xdp_store_bytes(self.ctx, offset, from.cast_mut().cast(), length) == 0 }
    }
}
