//! What the two hooks have in common: reading a query out of a packet, and writing the reply over it.

use responder_common::{
    bounds::{opaque, positive},
    engine::Steps as _,
    frame::{self, Checksum, Frame, HEADERS_MAX},
    layout::UDP_SIZE_MAX,
    limit,
    platform::Platform,
    reply::{self, Image, Sink},
    scratch::{HEAD, MADE_MAX, OPT_MAX, QUERY_MAX, Scratch},
    verdict::Verdict,
};
use zerocopy::{FromBytes, Immutable};

use crate::{kernel::Kernel, steps::Global};

/// Longest header and question of a message.
const QUESTION_MAX: u64 = 512;

/// A hook's packet.
pub trait Packet {
    /// Where its octets begin, as far as they are one stretch.
    fn start(&self) -> usize;
    /// Where they end.
    fn end(&self) -> usize;
    /// Octets of the whole packet.
    fn octets(&self) -> u32;
    /// Copies its first `length` octets to `to`.
    ///
    /// # Safety
    /// `to` must have room for `length` octets, and the verifier must see that it has.
    unsafe fn load(&self, to: *mut u8, length: u32) -> bool;
    /// Copies `length` octets from `from` to `offset`.
    ///
    /// # Safety
    /// `from` must hold `length` octets, and the verifier must see that it does.
    unsafe fn store(&self, offset: u32, from: *const u8, length: u32) -> bool;
}

/// Recognises a query to us, of a client that is served.
#[inline(always)]
pub fn recognise<P: Packet>(
    packet: &P,
    kernel: &Kernel,
    s: &mut Scratch,
    steps: &mut Global,
) -> Result<(), Verdict> {
    match frame::query(&Received(packet), kernel.root(), s) {
        Ok(()) if limit::is_denied(kernel, s) => Err(Verdict::Denied),
        // Too large to be looked at, but somebody has to.
        Err(Verdict::Oversize) => Err(steps.pass(Verdict::Oversize)),
        other => other,
    }
}

/// Whether a recognised query has records beside its question: an OPT, most likely.
#[inline(always)]
pub fn has_additional<P: Packet>(packet: &P, s: &Scratch) -> bool {
    const COUNT: u32 = 10;
    let head = opaque(u64::from(s.head_length.get()));
    if head > u64::from(HEADERS_MAX) {
        return false;
    }
    let at = opaque(head) as u32 + COUNT;
    Received(packet).read::<u16>(at).is_some_and(|count| count != 0)
}

/// Copies headers and message of a recognised query to the scratch memory.
#[inline(always)]
pub fn take<P: Packet>(packet: &P, s: &mut Scratch) -> Result<(), Verdict> {
    let head = opaque(u64::from(s.head_length.get()));
    let query = opaque(u64::from(s.query_length.get()));
    if head > u64::from(HEADERS_MAX) || query > QUERY_MAX as u64 {
        return Err(Verdict::Fault);
    }
    let length = positive(head + query, u64::from(HEADERS_MAX) + QUERY_MAX as u64);
    let length = length.ok_or(Verdict::Fault)?;
    // SAFETY: `head` and `message` are one stretch of memory that holds the longest headers and query.
    let loaded = unsafe {
        let to = (&raw mut *s).cast::<u8>().add(opaque(HEAD as u64 - head) as usize);
        packet.load(to, length as u32)
    };
    if loaded { Ok(()) } else { Err(Verdict::BadLength) }
}

/// Writes the settled reply of `length` octets into a packet that has been made as long as it.
///
/// From here on the packet is not what came: what fails is dropped, never passed on.
#[inline(always)]
pub fn send<P: Packet>(
    packet: &P,
    kernel: &Kernel,
    s: &mut Scratch,
    length: u32,
    checksum: Checksum,
) -> Result<Verdict, Verdict> {
    let mut sink = Sent { packet, head: s.head_length.get() };
    if !reply::write(kernel, s, &mut sink) {
        return Err(Verdict::Torn);
    }
    frame::reverse(s, length, checksum);
    let head = opaque(u64::from(s.head_length.get()));
    let question = opaque(u64::from(s.question_end.get()));
    if head > u64::from(HEADERS_MAX) || question > QUESTION_MAX {
        return Err(Verdict::Torn);
    }
    let length = positive(head + question, u64::from(HEADERS_MAX) + QUESTION_MAX);
    let length = length.ok_or(Verdict::Torn)?;
    // SAFETY: `head` and `message` are one stretch of memory.
    let stored = unsafe {
        let from = (&raw const *s).cast::<u8>().add(opaque(HEAD as u64 - head) as usize);
        packet.store(0, from, length as u32)
    };
    if stored { Ok(Verdict::from_number(s.verdict.get())) } else { Err(Verdict::Torn) }
}

/// A packet as it came.
struct Received<'a, P>(&'a P);

impl<P: Packet> Frame for Received<'_, P> {
    #[inline(always)]
    fn read<T: FromBytes + Immutable + Copy>(&self, offset: u32) -> Option<T> {
        let start = self.0.start() + offset as usize;
        if start + size_of::<T>() > self.0.end() {
            return None;
        }
        // SAFETY: the packet holds these octets, as was just checked.
        Some(unsafe { core::ptr::read_unaligned(start as *const T) })
    }

    #[inline(always)]
    fn length(&self) -> u32 {
        self.0.octets()
    }
}

/// The packet as the reply's place.
struct Sent<'a, P> {
    packet: &'a P,
    head: u32,
}

impl<P: Packet> Sent<'_, P> {
    /// Stores `length` octets, `N` at the most, to `offset` of the message.
    #[inline(always)]
    fn store<const N: usize>(&self, offset: u32, from: &[u8; N], length: u32) -> bool {
        let Some(length) = positive(u64::from(length), N as u64) else { return false };
        // SAFETY: the buffer holds `length` octets, as was just checked.
        unsafe { self.packet.store(self.head + offset, from.as_ptr(), length as u32) }
    }
}

impl<P: Packet> Sink for Sent<'_, P> {
    #[inline(always)]
    fn copy(&mut self, offset: u32, image: &Image, start: u32, length: u16) -> bool {
        let start = opaque(u64::from(start));
        // No fragment of a reply over UDP has as many patches.
        if start > u64::from(UDP_SIZE_MAX) {
            return false;
        }
        let start = opaque(start) as usize;
        // SAFETY: behind any such start the image holds the largest reply over UDP.
        let from = unsafe { &*image.0.as_ptr().add(start).cast::<[u8; UDP_SIZE_MAX as usize]>() };
        self.store(offset, from, u32::from(length))
    }

    #[inline(always)]
    fn number(&mut self, offset: u32, value: u16) -> bool {
        let place = opaque(u64::from(self.head + offset));
        if place > 0x3fff {
            return false;
        }
        let start = self.packet.start() + place as usize;
        if start + 2 > self.packet.end() {
            return false;
        }
        // SAFETY: the packet holds these octets, as was just checked.
        unsafe { core::ptr::write_unaligned(start as *mut u16, value.to_be()) };
        true
    }

    #[inline(always)]
    fn opt(&mut self, offset: u32, opt: &[u8; OPT_MAX], length: u32) -> bool {
        self.store(offset, opt, length)
    }

    #[inline(always)]
    fn made(&mut self, offset: u32, record: &[u8; MADE_MAX], length: u32) -> bool {
        self.store(offset, record, length)
    }
}
