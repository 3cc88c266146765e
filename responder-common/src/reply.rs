//! The size of the reply, its header and OPT, and writing it.

use zerocopy::{FromBytes, Immutable};

use crate::{
    bounds, checksum,
    layout::{Fragment, fragment_start, patch},
    limit::cookie,
    message::OPT_FIXED,
    plan::{EDE_OCTETS, EXPIRE_OCTETS},
    platform::Platform,
    scratch::{Hidden, Item, MADE, MADE_MAX, OPT_MAX, Scratch, edns, item},
    verdict::Verdict,
    wire::{self, flag, option, rtype},
};

/// A fragment as octets: its head, its patches, its records, as far as a copy may reach.
#[derive(FromBytes, Immutable)]
#[repr(C, align(8))]
pub struct Image(pub [u8; IMAGE]);

/// The longest patches, and the longest message behind them.
const IMAGE: usize = 96 << 10;

/// Where a reply is written: the frame, or a buffer.
pub trait Sink {
    /// Copies `length` octets of `image` from `start` on to `offset` of the message. False where they do
    /// not fit.
    fn copy(&mut self, offset: u32, image: &Image, start: u32, length: u16) -> bool;
    /// Writes a compression pointer in network order at `offset` of the message.
    fn number(&mut self, offset: u32, value: u16) -> bool;
    /// Writes the first `length` octets of the reply's OPT at `offset` of the message.
    fn opt(&mut self, offset: u32, opt: &[u8; OPT_MAX], length: u32) -> bool;
    /// Writes `length` octets of a record made for this reply at `offset` of the message.
    fn made(&mut self, offset: u32, record: &[u8; MADE_MAX], length: u32) -> bool;
}

/// Settles the reply: truncation, header, OPT. Returns the octets of the whole message.
///
/// What does not fit is not sent in part: question and OPT alone, with TC (RFC 2181, section 9).
#[inline(always)]
pub fn settle<P: Platform>(platform: &P, s: &mut Scratch) -> u32 {
    if s.size.get() + s.opt_length.get() > s.limit.get() {
        s.keep_question();
        s.flags.set(s.flags.get() | u32::from(flag::TC));
        s.verdict.set(Verdict::Truncated as u32);
    }
    let rcode = s.rcode.get();
    let has_opt = u32::from(s.edns.get() & edns::PRESENT != 0);
    let has_question = u32::from(s.question_end.get() > u32::from(wire::HEADER));
    let asked = s.message[2] & (flag::RD | 0x78);
    let checking = s.message[3] & flag::CD;
    s.message[2] = flag::QR | asked | s.flags.get() as u8;
    s.message[3] = checking | (rcode & 15) as u8;
    set_number(&mut s.message, 4, has_question as u16);
    set_number(&mut s.message, 6, s.records[0].get() as u16);
    set_number(&mut s.message, 8, s.records[1].get() as u16);
    set_number(&mut s.message, 10, (s.records[2].get() + has_opt) as u16);
    let header = bounds::word(&s.message, 0);
    let counts = bounds::word(&s.message, 4);
    s.sum.set(checksum::halves(header) + (counts >> 32) + s.question_sum.get());
    if has_opt != 0 {
        opt(platform, s, rcode);
    }
    s.size.get() + s.opt_length.get()
}

/// Makes the OPT of the reply (RFC 6891, section 6.1.2): our size, the high bits of the rcode, DO as it
/// came (RFC 3225, section 3), the options that were asked for.
#[inline(always)]
fn opt<P: Platform>(platform: &P, s: &mut Scratch, rcode: u32) {
    let root = platform.root();
    let length = s.opt_length.get();
    s.opt[0] = 0;
    set_number(&mut s.opt, 1, rtype::OPT);
    set_number(&mut s.opt, 3, root.udp_size);
    s.opt[5] = (rcode >> 4) as u8;
    s.opt[6] = 0;
    s.opt[7] = if s.edns.get() & edns::DO != 0 { 0x80 } else { 0 };
    s.opt[8] = 0;
    set_number(&mut s.opt, 9, (length - OPT_FIXED) as u16);
    s.position.set(OPT_FIXED);
    if s.edns.get() & edns::NSID != 0 {
        let identity = root.nsid_length;
        set_number(&mut s.opt, 11, option::NSID);
        set_number(&mut s.opt, 13, identity as u16);
        let mut done = 0;
        while done < root.nsid.len() as u32 {
            bounds::put(&mut s.opt, 15 + done, bounds::word(&root.nsid, done));
            done += 8;
        }
        s.position.set(OPT_FIXED + 4 + identity);
    }
    if s.ede.get() != 0 {
        let code = s.ede.get() - 1;
        let at = s.position.get();
        let fixed = u64::from(option::EDE.swap_bytes())
            | u64::from(2_u16.swap_bytes()) << 16
            | u64::from((code as u16).swap_bytes()) << 32;
        bounds::put(&mut s.opt, at, fixed);
        s.position.set(at + EDE_OCTETS);
    }
    if s.expire.get() != 0 {
        let seconds = s.expire.get() as u32;
        let at = s.position.get();
        let option = u64::from(option::EXPIRE.swap_bytes())
            | u64::from(4_u16.swap_bytes()) << 16
            | u64::from(seconds.swap_bytes()) << 32;
        bounds::put(&mut s.opt, at, option);
        s.position.set(at + EXPIRE_OCTETS);
    }
    if s.edns.get() & edns::COOKIE != 0 {
        cookie::write(s);
    }
}

/// Writes a 16-bit number in network order.
#[inline(always)]
fn set_number<const N: usize>(buffer: &mut [u8; N], at: usize, value: u16) {
    let [high, low] = value.to_be_bytes();
    buffer[at] = high;
    buffer[at + 1] = low;
}

/// What the writer keeps between fragments.
struct Progress {
    offset: Hidden<u32>,
    anchor: Hidden<u32>,
    failed: Hidden<u32>,
}

/// Writes fragments and OPT behind the question. The message's sum, header and question included, is in
/// `scratch.sum` afterwards. False where the sink refused.
#[inline(always)]
pub fn write<P: Platform, S: Sink>(platform: &P, s: &mut Scratch, sink: &mut S) -> bool {
    let mut progress =
        Progress { offset: Hidden::new(0), anchor: Hidden::new(0), failed: Hidden::new(0) };
    progress.offset.set(s.question_end.get());
    platform.repeat(s.answers_length.get() + s.items_length.get(), |step| {
        let written = fragment(platform, s, sink, &mut progress, step);
        if !written {
            progress.failed.set(1);
        }
        written
    });
    if progress.failed.get() != 0 {
        return false;
    }
    let length = s.opt_length.get();
    if length == 0 {
        return true;
    }
    let offset = progress.offset.get();
    platform.repeat(OPT_WORDS, |step| {
        let at = step * 8;
        if at >= length {
            return false;
        }
        let octets = crate::name::keep(bounds::word(&s.opt, at), length - at);
        let sum = checksum::fold(checksum::halves(octets));
        s.sum.set(s.sum.get() + checksum::at(offset as u16, sum));
        true
    });
    sink.opt(offset, &s.opt, length)
}

/// Words of the longest OPT.
const OPT_WORDS: u32 = OPT_MAX as u32 / 8;

/// Writes one fragment: a copy, then its pointers.
#[inline(always)]
fn fragment<P: Platform, S: Sink>(
    platform: &P,
    s: &mut Scratch,
    sink: &mut S,
    progress: &mut Progress,
    step: u32,
) -> bool {
    let answers = s.answers_length.get();
    let item = if step < answers {
        bounds::get(&s.answers, step)
    } else {
        bounds::get(&s.items, step - answers)
    };
    let Some(item) = item else { return false };
    if item.bits & item::MADE != 0 {
        return made(platform, s, sink, progress, item);
    }
    let Some(image) = platform.object::<Image>(item.fragment) else { return false };
    // SAFETY: the image begins with the fragment's head, any octets make one, and the alignment is right.
    let head = unsafe { &*(&raw const *image).cast::<Fragment>() };
    let extent = if item.bits & item::SIGNED != 0 { head.signed } else { head.plain };
    let start = fragment_start(head.signed.patches);
    let offset = progress.offset.get();
    if item.bits & item::ANCHOR != 0 {
        progress.anchor.set(offset);
    }
    if extent.length == 0 {
        return true;
    }
    if !sink.copy(offset, image, start, extent.length) {
        return false;
    }
    s.sum.set(s.sum.get() + checksum::at(offset as u16, extent.sum));
    let count = u32::from(extent.patches);
    platform.repeat(count, |step| {
        let patch = bounds::number(&image.0, size_of::<Fragment>() as u32 + step * 2).swap_bytes();
        let at = patch & patch::OFFSET_MAX;
        let base = match patch >> patch::OFFSET_BITS {
            patch::OWNER => item.owner,
            patch::NODE => item.node,
            patch::APEX => item.apex,
            patch::FRAGMENT => offset as u16,
            _ => progress.anchor.get() as u16,
        };
        let stored = bounds::number(&image.0, start + u32::from(at));
        let place = offset + u32::from(at);
        s.sum.set(s.sum.get() + checksum::number(place as u16, base));
        if !sink.number(place, stored.wrapping_add(base)) {
            progress.failed.set(1);
            return false;
        }
        true
    });
    progress.offset.set(offset + u32::from(extent.length));
    true
}

/// Writes a record that was made for this reply.
#[inline(always)]
fn made<P: Platform, S: Sink>(
    platform: &P,
    s: &mut Scratch,
    sink: &mut S,
    progress: &mut Progress,
    item: Item,
) -> bool {
    let start = bounds::opaque(u64::from(item.node));
    if start > MADE as u64 {
        return false;
    }
    let start = bounds::opaque(start);
    let length = u32::from(item.apex);
    let offset = progress.offset.get();
    platform.repeat(MADE_MAX as u32 / 8, |step| {
        let at = step * 8;
        if at >= length {
            return false;
        }
        let octets = crate::name::keep(bounds::word(&s.made, start as u32 + at), length - at);
        let sum = checksum::fold(checksum::halves(octets));
        s.sum.set(s.sum.get() + checksum::at(offset as u16, sum));
        true
    });
    // SAFETY: behind every place up to `MADE` stand as many octets as the longest record has.
    let record = unsafe { &*s.made.as_ptr().add(start as usize).cast::<[u8; MADE_MAX]>() };
    progress.offset.set(offset + length);
    sink.made(offset, record, length)
}
