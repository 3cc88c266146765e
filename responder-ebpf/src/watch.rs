//! What the watched programs tell the daemon, beside answering: samples for shadow mode, and a line of the
//! log for each query.
//!
//! The plain programs have none of it: which pair of programs is loaded is the daemon's choice.

use aya_ebpf::{
    EbpfContext, Global,
    btf_maps::{PerCpuArray, RingBuf},
    macros::btf_map,
};
use aya_log_ebpf::debug;
use responder_common::{
    bounds::{opaque, positive},
    platform::Platform as _,
    sample::{FRONT, QUERY, REPLY, Sample},
    scratch::Scratch,
    verdict::Verdict,
};

use crate::{
    kernel::{HOOK_XDP, Kernel},
    packet::Packet,
};

/// One of so many queries is sampled; zero: none. Always set before the programs are loaded.
///
/// Until then it is a number that is nowhere else: the compiler puts constants with the same octets in one
/// place, and what is set here would change them all.
#[unsafe(no_mangle)]
static SHADOW: Global<u32> = Global::new(0x7368_6164);

/// Where samples go to the daemon; what finds no room is not compared.
#[btf_map]
static SAMPLES: RingBuf<Sample, { 1 << 18 }> = RingBuf::new();

/// A sample that is not complete yet.
#[btf_map]
static STAGED: PerCpuArray<Staged, 1> = PerCpuArray::new();

#[repr(C)]
struct Staged {
    sample: Sample,
    /// Queries since the last that was sampled.
    passed_over: u32,
    /// Whether the query at hand is sampled.
    is_taken: u32,
}

/// The stage of this processor, if samples are wanted.
#[inline(always)]
fn staged() -> Option<&'static mut Staged> {
    if SHADOW.load() == 0 {
        return None;
    }
    let staged = STAGED.get_ptr_mut(0)?;
    // SAFETY: the slot belongs to this processor, and a program runs to its end before the next begins.
    Some(unsafe { &mut *staged })
}

/// Takes a sample of the recognised query, if it is its turn.
#[inline(always)]
pub fn query<P: Packet>(packet: &P, kernel: &Kernel, s: &Scratch) {
    let Some(staged) = staged() else { return };
    staged.is_taken = 0;
    staged.passed_over += 1;
    if staged.passed_over < SHADOW.load() {
        return;
    }
    let octets = u64::from(s.head_length.get()) + u64::from(s.query_length.get());
    let Some(octets) = positive(octets, QUERY as u64) else { return };
    let sample = &mut staged.sample;
    sample.head.before = kernel.now();
    sample.head.query_length = octets as u32;
    // SAFETY: there is room for the longest query.
    if unsafe { packet.load((&raw mut sample.query).cast(), octets as u32) } {
        staged.is_taken = 1;
        staged.passed_over = 0;
    }
}

/// Tells the daemon of the reply of `length` octets, if its query was sampled.
#[inline(always)]
pub fn reply<P: Packet>(
    packet: &P,
    kernel: &Kernel,
    s: &Scratch,
    hook: u32,
    length: u32,
    verdict: Verdict,
) {
    let Some(staged) = staged() else { return };
    // What is over the rate depends on what came before.
    if staged.is_taken == 0 || matches!(verdict, Verdict::Slipped | Verdict::BadCookie) {
        return;
    }
    let octets = u64::from(s.head_length.get()) + u64::from(length);
    let Some(octets) = positive(octets, REPLY as u64) else { return };
    let sample = &mut staged.sample;
    sample.head.hook = hook;
    sample.head.verdict = verdict as u32;
    sample.head.reply_length = octets as u32;
    // SAFETY: there is room for the longest reply.
    if unsafe { packet.load((&raw mut sample.reply).cast(), octets as u32) } {
        sample.head.after = kernel.now();
        let length = FRONT + opaque(octets) as usize;
        // SAFETY: the sample is at least so long.
        let told =
            unsafe { core::slice::from_raw_parts((&raw const *sample).cast::<u8>(), length) };
        // A full ring is a sample less.
        let _ = SAMPLES.output_untyped::<[u8]>(told, 0);
    }
}

/// Writes a line of the log about a query: the verdict's number, and who asked.
#[inline(always)]
pub fn log<C: EbpfContext>(ctx: &C, s: &Scratch, hook: u32, verdict: Verdict) {
    let hook = if hook == HOOK_XDP { "xdp" } else { "tc" };
    let verdict = opaque(verdict as u64) as u32;
    let client = s.client.get();
    if s.version.get() == 4 {
        debug!(ctx, "{} {} {:i}", hook, verdict, u32::from_be(client[0] as u32));
    } else {
        let [high, low] = client;
        // SAFETY: any octets are an address.
        let octets = unsafe { core::mem::transmute::<[u64; 2], [u8; 16]>([high, low]) };
        debug!(ctx, "{} {} {:i}", hook, verdict, octets);
    }
}
