//! Answering an skb where a frame cannot grow: it always can, and it is sent back by a redirect.

use aya_ebpf::{
    helpers::{bpf_skb_change_tail, bpf_skb_load_bytes, bpf_skb_pull_data, bpf_skb_store_bytes},
    programs::TcContext,
};
use responder_common::{
    engine,
    frame::{self, Checksum, HEADERS_MAX},
    scratch::Scratch,
    verdict::{Verdict, probe},
};

use crate::{
    kernel::{HOOK_TC, Kernel, scratch},
    packet::{self, Packet},
    steps, watch,
};

/// Whether the skb came from the daemon.
#[inline(always)]
pub fn is_probe(ctx: &TcContext) -> bool {
    // SAFETY: the program's own context.
    unsafe { (*ctx.skb.skb).mark == probe::MARK }
}

/// Answers the skb in place, or says why not.
#[inline(always)]
pub fn answer<const WATCHED: bool>(ctx: &TcContext) -> Verdict {
    match attempt::<WATCHED>(ctx) {
        Ok(verdict) | Err(verdict) => verdict,
    }
}

#[inline(always)]
fn attempt<const WATCHED: bool>(ctx: &TcContext) -> Result<Verdict, Verdict> {
    let kernel = Kernel::new().ok_or(Verdict::Fault)?;
    kernel.check_lease()?;
    let s = scratch().ok_or(Verdict::Fault)?;
    if ctx.data_end() - ctx.data() < HEADERS_MAX as usize {
        // SAFETY: a helper on the program's own context; it fails where the skb is shorter, which is fine.
        unsafe { bpf_skb_pull_data(ctx.skb.skb, 0) };
    }
    let mut steps = steps::Global { hook: HOOK_TC, switches: kernel.switches() };
    packet::recognise(ctx, &kernel, s, &mut steps)?;
    let done = respond::<WATCHED>(ctx, &kernel, s, &mut steps);
    if WATCHED {
        let (Ok(verdict) | Err(verdict)) = done;
        watch::log(ctx, s, HOOK_TC, verdict);
    }
    done
}

/// From a recognised query to its reply.
#[inline(always)]
fn respond<const WATCHED: bool>(
    ctx: &TcContext,
    kernel: &Kernel,
    s: &mut Scratch,
    steps: &mut steps::Global,
) -> Result<Verdict, Verdict> {
    packet::take(ctx, s)?;
    if WATCHED {
        watch::query(ctx, kernel, s);
    }
    // A query from this host or a guest has its checksum still to be finished, and so has its reply.
    let kind = if frame::is_partial(kernel, s) { Checksum::Pseudo } else { Checksum::Full };
    let length = engine::respond(steps)?;
    let head = s.head_length.get();
    // SAFETY: a helper on the program's own context.
    if unsafe { bpf_skb_change_tail(ctx.skb.skb, head + length, 0) } != 0 {
        return Err(Verdict::NoRoom);
    }
    let verdict = packet::send(ctx, kernel, s, length, kind)?;
    if WATCHED {
        watch::reply(ctx, kernel, s, HOOK_TC, length, verdict);
    }
    Ok(verdict)
}

impl Packet for TcContext {
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
        self.len()
    }

    #[inline(always)]
    unsafe fn load(&self, to: *mut u8, length: u32) -> bool {
        // SAFETY: the caller's promise.
        unsafe { bpf_skb_load_bytes(self.skb.skb.cast(), 0, to.cast(), length) == 0 }
    }

    #[inline(always)]
    unsafe fn store(&self, offset: u32, from: *const u8, length: u32) -> bool {
        // SAFETY: the caller's promise.
        unsafe { bpf_skb_store_bytes(self.skb.skb, offset, from.cast(), length, 0) == 0 }
    }
}
