//! The kernel's end: which hook does what with a packet. The answers come from `responder-common`.
//!
//! | module | what |
//! |---|---|
//! | [`kernel`] | the engine's platform: maps, `bpf_loop` |
//! | [`steps`] | the engine's steps as functions that the verifier looks at once each |
//! | [`packet`] | reading a query out of a packet, writing the reply over it |
//! | [`xdp`] | a frame in the driver |
//! | [`watch`] | what the watched programs tell the daemon |
//! | [`tc`] | an skb behind it, where a frame cannot grow |
#![no_std]
#![no_main]
// The macros of the hooks make public functions without documentation of their own.
#![allow(missing_docs)]

mod kernel;
mod packet;
mod steps;
mod tc;
mod watch;
mod xdp;

use aya_ebpf::{
    bindings::{TC_ACT_OK, TC_ACT_SHOT, xdp_action},
    helpers::bpf_redirect,
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};
use responder_common::verdict::Action;

use crate::kernel::{HOOK_TC, HOOK_XDP, PROBES, count};

/// The program of the driver's hook.
#[xdp]
pub fn responder_xdp(ctx: XdpContext) -> u32 {
    in_driver::<false>(&ctx)
}

/// The same, watched.
#[xdp]
pub fn responder_xdp_watched(ctx: XdpContext) -> u32 {
    in_driver::<true>(&ctx)
}

/// The program of the hook behind it.
#[classifier]
pub fn responder_tc(ctx: TcContext) -> i32 {
    behind::<false>(&ctx)
}

/// The same, watched.
#[classifier]
pub fn responder_tc_watched(ctx: TcContext) -> i32 {
    behind::<true>(&ctx)
}

/// The verdict table of the driver's hook.
#[inline(always)]
fn in_driver<const WATCHED: bool>(ctx: &XdpContext) -> u32 {
    let verdict = xdp::answer::<WATCHED>(ctx);
    count(if xdp::is_probe(ctx) { PROBES } else { HOOK_XDP }, verdict);
    match verdict.action() {
        Action::Reply => xdp_action::XDP_TX,
        Action::Pass => xdp_action::XDP_PASS,
        Action::Drop => xdp_action::XDP_DROP,
    }
}

/// The verdict table of the hook behind it.
#[inline(always)]
fn behind<const WATCHED: bool>(ctx: &TcContext) -> i32 {
    let verdict = tc::answer::<WATCHED>(ctx);
    count(if tc::is_probe(ctx) { PROBES } else { HOOK_TC }, verdict);
    match verdict.action() {
        // SAFETY: a helper without pointers.
        Action::Reply => unsafe { bpf_redirect((*ctx.skb.skb).ifindex, 0) as i32 },
        Action::Pass => TC_ACT_OK,
        Action::Drop => TC_ACT_SHOT,
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // No path leads here: the linker would keep it, and the verifier refuse the loop.
    loop {}
}

/// The kernel lends GPL-only helpers to programs under this licence.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
pub static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
