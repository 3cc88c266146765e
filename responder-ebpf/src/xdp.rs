//! Reading a frame in the driver and writing the reply over it.

use aya_ebpf::{
    helpers::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail, bpf_xdp_load_bytes, bpf_xdp_store_bytes},
    programs::XdpContext,
};
use responder_common::{
    bounds::opaque,
    engine,
    frame::{self, Checksum, Frame, HEADERS_MAX},
    layout::UDP_SIZE_MAX,
    platform::Platform,
    reply::{self, Image, Sink},
    scratch::{HEAD, MADE_MAX, OPT_MAX, QUERY_MAX, Scratch},
    verdict::Verdict,
};
use zerocopy::{FromBytes, Immutable};

use crate::{
    kernel::{Kernel, scratch},
    steps,
};

/// Answers the frame in place, or says why not.
#[inline(always)]
pub fn answer(ctx: &XdpContext) -> Verdict {
    match attempt(ctx) {
        Ok(verdict) | Err(verdict) => verdict,
    }
}

#[inline(always)]
fn attempt(ctx: &XdpContext) -> Result<Verdict, Verdict> {
    let kernel = Kernel::new().ok_or(Verdict::Fault)?;
    let s = scratch().ok_or(Verdict::Fault)?;
    frame::query(&Received(ctx), kernel.root(), s)?;
    load(ctx, s)?;
    let length = engine::respond(&mut steps::Global)?;
    grow(ctx, s, length)?;
    // From here on the frame is not what came: what fails is dropped, never passed on.
    let head = s.head_length.get();
    let mut sink = Sent { ctx, head };
    if !reply::write(&kernel, s, &mut sink) {
        return Err(Verdict::Torn);
    }
    frame::reverse(s, length, Checksum::Full);
    store_head(ctx, s)?;
    Ok(Verdict::from_number(s.verdict.get()))
}

/// A frame as it came.
struct Received<'a>(&'a XdpContext);

impl Frame for Received<'_> {
    #[inline(always)]
    fn read<T: FromBytes + Immutable + Copy>(&self, offset: u32) -> Option<T> {
        let start = self.0.data() + offset as usize;
        if start + size_of::<T>() > self.0.data_end() {
            return None;
        }
        // SAFETY: the frame holds these octets, as was just checked.
        Some(unsafe { core::ptr::read_unaligned(start as *const T) })
    }

    #[inline(always)]
    fn length(&self) -> u32 {
        (self.0.data_end() - self.0.data()) as u32
    }
}

/// Copies headers and query to the scratch memory, the message at its place there.
#[inline(always)]
fn load(ctx: &XdpContext, s: &mut Scratch) -> Result<(), Verdict> {
    let head = opaque(u64::from(s.head_length.get()));
    let query = opaque(u64::from(s.query_length.get()));
    if head > u64::from(HEADERS_MAX) || query > QUERY_MAX as u64 {
        return Err(Verdict::Fault);
    }
    let length = opaque(head + query);
    if length == 0 || length > u64::from(HEADERS_MAX) + QUERY_MAX as u64 {
        return Err(Verdict::Fault);
    }
    // SAFETY: `head` and `message` are one stretch of memory that holds the longest headers and query.
    let loaded = unsafe {
        let to = (&raw mut *s).cast::<u8>().add(opaque(HEAD as u64 - head) as usize);
        bpf_xdp_load_bytes(ctx.ctx, 0, to.cast(), length as u32)
    };
    if loaded == 0 { Ok(()) } else { Err(Verdict::BadLength) }
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

/// Writes headers and question over the start of the frame.
#[inline(always)]
fn store_head(ctx: &XdpContext, s: &Scratch) -> Result<(), Verdict> {
    let head = opaque(u64::from(s.head_length.get()));
    let question = opaque(u64::from(s.question_end.get()));
    if head > u64::from(HEADERS_MAX) || question > 512 {
        return Err(Verdict::Torn);
    }
    let length = opaque(head + question);
    if length == 0 || length > u64::from(HEADERS_MAX) + 512 {
        return Err(Verdict::Torn);
    }
    // SAFETY: `head` and `message` are one stretch of memory.
    let stored = unsafe {
        let from = (&raw const *s).cast::<u8>().add(opaque(HEAD as u64 - head) as usize);
        bpf_xdp_store_bytes(ctx.ctx, 0, from.cast_mut().cast(), length as u32)
    };
    if stored == 0 { Ok(()) } else { Err(Verdict::Torn) }
}

/// The reply's frame.
struct Sent<'a> {
    ctx: &'a XdpContext,
    head: u32,
}

impl Sent<'_> {
    #[inline(always)]
    fn store(&self, offset: u32, from: *const u8, length: u64) -> bool {
        // SAFETY: the callers' buffers hold `length` octets.
        unsafe {
            bpf_xdp_store_bytes(
                self.ctx.ctx,
                self.head + offset,
                from.cast_mut().cast(),
                length as u32,
            ) == 0
        }
    }
}

impl Sink for Sent<'_> {
    #[inline(always)]
    fn copy(&mut self, offset: u32, image: &Image, start: u32, length: u16) -> bool {
        let (start, length) = (opaque(u64::from(start)), opaque(u64::from(length)));
        // No reply over UDP is larger, and no fragment of one has as many patches.
        if length == 0 || length > u64::from(UDP_SIZE_MAX) || start > u64::from(UDP_SIZE_MAX) {
            return false;
        }
        let start = opaque(start) as usize;
        // SAFETY: `start` and `length` are inside the image, as was just checked.
        self.store(offset, unsafe { image.0.as_ptr().add(start) }, opaque(length))
    }

    #[inline(always)]
    fn number(&mut self, offset: u32, value: u16) -> bool {
        let place = opaque(u64::from(self.head + offset));
        if place > 0x3fff {
            return false;
        }
        let start = self.ctx.data() + place as usize;
        if start + 2 > self.ctx.data_end() {
            return false;
        }
        // SAFETY: the frame holds these octets, as was just checked.
        unsafe { core::ptr::write_unaligned(start as *mut u16, value.to_be()) };
        true
    }

    #[inline(always)]
    fn opt(&mut self, offset: u32, opt: &[u8; OPT_MAX], length: u32) -> bool {
        let length = opaque(u64::from(length));
        if length == 0 || length > OPT_MAX as u64 {
            return false;
        }
        self.store(offset, opt.as_ptr(), length)
    }

    #[inline(always)]
    fn made(&mut self, offset: u32, record: &[u8; MADE_MAX], length: u32) -> bool {
        let length = opaque(u64::from(length));
        if length == 0 || length > MADE_MAX as u64 {
            return false;
        }
        self.store(offset, record.as_ptr(), length)
    }
}
