//! Reading a query: header, question, OPT.
//!
//! Sources: RFC 1035, section 4.1; RFC 6891 (EDNS); RFC 9619 (one question only).

use crate::{
    bounds, checksum,
    limit::{cookie, switch},
    name::{keep, lower},
    platform::Platform,
    scratch::{Scratch, edns},
    verdict::{Next, Verdict},
    wire::{self, flag, opcode, option, rcode, rtype},
};

/// Octets of an OPT record without options: root owner, type, class, TTL, length.
pub const OPT_FIXED: u32 = 11;

/// Reads the query in `scratch.message`, `scratch.query_length` octets long.
///
/// `ceiling` is the largest reply that the transport and the configuration allow, in octets; over UDP
/// the client's size bounds it further, over a `stream` it does not.
#[inline(always)]
pub fn parse<P: Platform>(platform: &P, s: &mut Scratch, ceiling: u32, stream: bool) -> Next {
    reset(s);
    let length = s.query_length.get();
    if length < u32::from(wire::HEADER) {
        return Next::Stop(Verdict::Runt);
    }
    let flags = s.message[2];
    if flags & flag::QR != 0 {
        return Next::Stop(Verdict::NotQuery);
    }
    s.limit.set(if stream { ceiling } else { u32::from(wire::UDP_MIN) });
    let operation = flags >> 3 & 15;
    if operation == opcode::NOTIFY {
        return Next::Stop(Verdict::Notify);
    }
    if operation != opcode::QUERY {
        return refuse(s, rcode::NOTIMP, Verdict::NotImp);
    }
    // Without a question, a client that wants nothing but a cookie (RFC 7873, section 5.4).
    let bare = s.number(4) == 0 && platform.root().limiting & switch::COOKIES != 0;
    if bare {
        s.qtype.set(0);
        s.position.set(u32::from(wire::HEADER));
    } else if s.number(4) != 1 || !question(platform, s, length) {
        return refuse(s, rcode::FORMERR, Verdict::FormErr);
    }
    let qtype = s.qtype.get();
    if qtype == u32::from(rtype::IXFR) || (stream && qtype == u32::from(rtype::AXFR)) {
        return Next::Stop(Verdict::Transfer);
    }
    let additional = s.number(10);
    // Nothing may stand in the answer or authority section of a query.
    if s.number(6) != 0 || s.number(8) != 0 {
        return malformed(s);
    }
    if additional != 0 {
        match opt(platform, s, length, additional) {
            Next::Continue => {}
            _ if bare => return malformed(s),
            other => return other,
        }
    }
    if s.position.get() != length || (bare && s.edns.get() & edns::COOKIE == 0) {
        return malformed(s);
    }
    if s.edns.get() & edns::PRESENT != 0 && !stream {
        let size = s.edns_size.get().max(u32::from(wire::UDP_MIN));
        s.limit.set(size.min(ceiling));
    }
    if s.edns.get() & edns::BAD_VERSION != 0 {
        s.rcode.set(u32::from(rcode::BADVERS));
        s.verdict.set(Verdict::BadVersion as u32);
        return Next::Reply;
    }
    if bare {
        s.verdict.set(Verdict::Cookie as u32);
        return Next::Reply;
    }
    Next::Continue
}

/// Clears what the last query left.
#[inline(always)]
fn reset(s: &mut Scratch) {
    s.edns.set(0);
    s.ede.set(0);
    s.expire.set(0);
    for account in &mut s.charged {
        account.set(0);
    }
    s.zone_limits.set(0);
    s.links.set(0);
    s.made_length.set(0);
    s.rcode.set(0);
    s.flags.set(0);
    s.question_sum.set(0);
    s.question_end.set(u32::from(wire::HEADER));
    s.keep_question();
    s.opt_length.set(0);
}

/// A reply of a header alone, for a question that cannot be repeated.
#[inline(always)]
fn refuse(s: &mut Scratch, code: u16, verdict: Verdict) -> Next {
    s.edns.set(0);
    s.question_end.set(u32::from(wire::HEADER));
    s.size.set(u32::from(wire::HEADER));
    s.question_sum.set(0);
    s.opt_length.set(0);
    s.rcode.set(u32::from(code));
    s.verdict.set(verdict as u32);
    Next::Reply
}

/// The message breaks a rule (RFC 1035, section 4.1).
#[inline(always)]
fn malformed(s: &mut Scratch) -> Next {
    refuse(s, rcode::FORMERR, Verdict::FormErr)
}

/// Reads the question: its labels, its name in lower case, its sum. False where it is malformed.
#[inline(always)]
fn question<P: Platform>(platform: &P, s: &mut Scratch, length: u32) -> bool {
    const START: u32 = wire::HEADER as u32;
    if !labels(platform, s) {
        return false;
    }
    let name_end = s.position.get() + 1;
    let end = name_end + u32::from(wire::QUESTION_TAIL);
    if end > length {
        return false;
    }
    let name_length = name_end - START;
    s.qname_length.set(name_length);
    s.name_offset.set(START);
    s.name_length.set(name_length);
    s.name_labels.set(s.count.get());
    s.qtype.set(s.number(name_end));
    s.qclass.set(s.number(name_end + 2));
    let tail = checksum::number(name_end as u16, s.qtype.get() as u16)
        + checksum::number(name_end as u16, s.qclass.get() as u16);
    let mut sum = tail;
    let mut step = 0;
    while step < SHORT_WORDS {
        if step * 8 >= name_length {
            break;
        }
        sum += copy_word(s, step, name_length);
        step += 1;
    }
    s.question_sum.set(sum);
    if name_length > SHORT_WORDS * 8 {
        platform.repeat(32 - SHORT_WORDS, |step| {
            let step = step + SHORT_WORDS;
            let name_length = s.qname_length.get();
            if step >= 32 || step * 8 >= name_length {
                return false;
            }
            let sum = copy_word(s, step, name_length);
            s.question_sum.set(s.question_sum.get() + sum);
            true
        });
    }
    s.question_end.set(end);
    s.answers_end.set(end);
    s.size.set(end);
    s.position.set(end);
    true
}

/// Labels and words of most names: so many are read without a loop, in registers.
const SHORT_LABELS: u32 = 4;
const SHORT_WORDS: u32 = 4;

/// Copies a word of the question name in lower case; what the word as it came adds to a sum.
#[inline(always)]
fn copy_word(s: &mut Scratch, step: u32, name_length: u32) -> u64 {
    let at = step * 8;
    let octets = keep(bounds::word(&s.message, u32::from(wire::HEADER) + at), name_length - at);
    bounds::put(&mut s.name, at, lower(octets));
    checksum::halves(octets)
}

/// Finds the labels of the question name: how many in `scratch.count`, the root's place in
/// `scratch.position`. False where it is no name.
#[inline(always)]
fn labels<P: Platform>(platform: &P, s: &mut Scratch) -> bool {
    const START: u32 = wire::HEADER as u32;
    let mut at = START;
    let mut count = 0;
    while count < SHORT_LABELS {
        let label = s.octet(at);
        s.labels[count as usize] = (at - START) as u8;
        if label == 0 {
            s.position.set(at);
            s.count.set(count);
            return true;
        }
        // A compression pointer has nothing to point at in the first name of a message.
        if label > 63 {
            return false;
        }
        at += label + 1;
        count += 1;
    }
    s.position.set(at);
    s.count.set(count);
    s.sum.set(0);
    platform.repeat(wire::LABELS_MAX + 1, |_| {
        let at = s.position.get();
        let label = s.octet(at);
        let count = s.count.get();
        if !bounds::set(&mut s.labels, count, (at - START) as u8) {
            return false;
        }
        if label == 0 {
            // Four labels of 63 octets come here unchecked: the root's octet behind them is one too many.
            s.sum.set(u64::from(at < START + u32::from(wire::NAME_MAX)));
            return false;
        }
        if label > 63 || at + label + 2 > START + u32::from(wire::NAME_MAX) {
            return false;
        }
        s.count.set(count + 1);
        s.position.set(at + label + 1);
        true
    });
    s.sum.get() != 0
}

/// Judges a record whose owner is not the root: one that is cut short or an OPT is malformed (RFC 6891,
/// section 6.1.2). Else it may be a signature, whose owner is a key's name: the daemon finds out.
#[inline(always)]
fn named<P: Platform>(platform: &P, s: &mut Scratch, length: u32) -> Next {
    platform.repeat(wire::LABELS_MAX + 1, |_| {
        let at = s.position.get();
        let label = s.octet(at);
        let step = match label {
            0 => 1,
            1..=63 => label + 1,
            _ => 2, // A pointer.
        };
        s.position.set(at + step);
        (1..=63).contains(&label)
    });
    let end = s.position.get();
    if end + u32::from(wire::RR_FIXED) > length || s.number(end) == u32::from(rtype::OPT) {
        return malformed(s);
    }
    Next::Stop(Verdict::Tsig)
}

/// Reads the additional section of a query: one OPT, or something for the daemon.
#[inline(always)]
fn opt<P: Platform>(platform: &P, s: &mut Scratch, length: u32, records: u32) -> Next {
    let at = s.position.get();
    if at + OPT_FIXED > length {
        return malformed(s);
    }
    let owner = s.octet(at);
    let kind = s.number(at + 1);
    if owner != 0 {
        return named(platform, s, length);
    }
    if kind != u32::from(rtype::OPT) {
        return Next::Stop(Verdict::Tsig);
    }
    let options = s.number(at + 9);
    let end = at + OPT_FIXED + options;
    if end > length {
        return malformed(s);
    }
    let mut bits = edns::PRESENT;
    if s.octet(at + 6) != 0 {
        bits |= edns::BAD_VERSION;
    }
    if s.octet(at + 7) & 0x80 != 0 {
        bits |= edns::DO;
    }
    s.edns.set(bits);
    s.edns_size.set(s.number(at + 3));
    s.opt_length.set(OPT_FIXED);
    s.position.set(at + OPT_FIXED);
    s.count.set(end);
    platform.repeat(s.query_length.get() / 4, |_| {
        let at = s.position.get();
        if at + 4 > s.count.get() {
            return false;
        }
        let (code, length) = (s.number(at), s.number(at + 2));
        if code == u32::from(option::NSID) {
            s.edns.set(s.edns.get() | edns::NSID);
        }
        if code == u32::from(option::EXPIRE) && length == 0 {
            s.edns.set(s.edns.get() | edns::EXPIRE);
        }
        if code == u32::from(option::COOKIE) {
            cookie::note(s, at + 4, length);
        }
        s.position.set(at + 4 + length);
        true
    });
    if s.position.get() != end {
        return malformed(s);
    }
    if s.edns.get() & edns::NSID != 0 {
        let identity = platform.root().nsid_length;
        s.opt_length.set(OPT_FIXED + 4 + identity);
    }
    if s.edns.get() & edns::COOKIE != 0 && !cookie::expect(platform.root(), s) {
        return malformed(s);
    }
    if records > 1 {
        // A second OPT is an error (RFC 6891, section 6.1.1); a signature behind the OPT is the daemon's.
        let second = s.octet(end) == 0 && s.number(end + 1) == u32::from(rtype::OPT);
        return if second || end >= length { malformed(s) } else { Next::Stop(Verdict::Tsig) };
    }
    Next::Continue
}
