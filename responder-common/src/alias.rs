//! Aliases: a CNAME, or a DNAME with the CNAME made from it, is answered and followed inside the zone.
//!
//! RFC 1034, section 3.6.2; RFC 6672 (DNAME).

use crate::{
    bounds,
    layout::{Address, Fragment, Snapshot, UNIT, fragment_start, node::role},
    locate,
    name::{keep, lower},
    plan::{find, push},
    platform::Platform,
    scratch::{ANSWERS_MAX, Item, MADE, Scratch, item, section},
    verdict::{Next, Verdict},
    wire::{self, class, rcode, rtype},
};

/// Most links of a chain that are followed.
pub const LINKS_MAX: u32 = 8;

/// Answers with the CNAME or DNAME of the node, which is to be followed. One that was met before ends a
/// circle: what was gathered is the answer. The CNAME of a wildcard is another one for each name that it
/// stands in for; a DNAME is the same whatever the name.
#[inline(always)]
pub fn answer<P: Platform>(platform: &P, s: &mut Scratch, origin: Item, kind: u16) -> Next {
    let alias = find(platform, s, role::RRSET, kind);
    s.verdict.set(Verdict::Alias as u32);
    s.sum.set(0);
    platform.repeat(s.answers_length.get(), |step| {
        let Some(item) = bounds::get(&s.answers, step) else { return false };
        let met = item.fragment == alias;
        if met && (kind == rtype::DNAME || had_this_name(platform, s, step)) {
            s.sum.set(1);
        }
        s.sum.get() == 0
    });
    if s.sum.get() != 0 {
        return Next::Reply;
    }
    s.alias.set(alias);
    s.alias_type.set(u32::from(kind));
    s.target.set(s.answers_end.get() + ALIAS_TARGET);
    if alias == 0 || !push(platform, s, origin, alias, section::ANSWER, 0) {
        return Next::Stop(Verdict::Fault);
    }
    Next::Follow
}

/// Whether the answer at this place was given for the current name: that of the question for the first one,
/// later the target of the alias before it.
#[inline(always)]
fn had_this_name<P: Platform>(platform: &P, s: &mut Scratch, place: u32) -> bool {
    let length = s.name_length.get();
    let before = if place == 0 { None } else { bounds::get(&s.answers, place - 1) };
    s.differs.set(0);
    platform.repeat(32, |step| {
        let at = step * 8;
        if step >= 32 || at >= length {
            return false;
        }
        let octets = match before {
            None => bounds::word(&s.message, u32::from(wire::HEADER) + at),
            Some(item) if item.bits & item::MADE != 0 => {
                bounds::word(&s.made, u32::from(item.node) + ALIAS_TARGET + at)
            }
            Some(item) => match octets_of(platform, item.fragment) {
                Some(octets) => bounds::word(&octets.0, ALIAS_TARGET + at),
                None => 0,
            },
        };
        // A name ends where it says itself, so equal octets up to there are equal names.
        if keep(lower(octets), length - at) != keep(bounds::word(&s.name, at), length - at) {
            s.differs.set(1);
        }
        s.differs.get() == 0
    });
    s.differs.get() == 0
}

/// Makes the target of the alias just answered the current name, if it is in the zone.
#[inline(always)]
pub fn follow<P: Platform>(platform: &P, s: &mut Scratch) -> Next {
    let Some(zone) = platform.object::<Snapshot>(s.zone.get()) else {
        return Next::Stop(Verdict::Fault);
    };
    let links = s.links.get() + 1;
    s.links.set(links);
    let next = if s.alias_type.get() == u32::from(rtype::DNAME) {
        redirect(platform, s)
    } else {
        target(platform, s)
    };
    match next {
        Next::Continue if links <= LINKS_MAX => {}
        Next::Continue => return Next::Reply,
        other => return other,
    }
    labels(platform, s);
    // The target is written in full behind the record's fixed part, for later pointers to aim at.
    let offset = s.target.get();
    s.name_offset.set(offset);
    if !below(platform, s, zone) {
        return Next::Reply;
    }
    locate::hash(platform, s);
    Next::Chase
}

/// Where the target of an alias begins in its fragment: a pointer for the owner, the fixed part.
const ALIAS_TARGET: u32 = 2 + wire::RR_FIXED as u32;

/// The octets of an alias's fragment up to the end of the longest target.
#[derive(zerocopy::FromBytes, zerocopy::Immutable)]
#[repr(transparent)]
struct Alias([u8; 12 + 256 + 4]);

/// The octets of the alias that is to be followed.
#[inline(always)]
fn octets<'a, P: Platform>(platform: &'a P, s: &Scratch) -> Option<&'a Alias> {
    octets_of(platform, s.alias.get())
}

/// The octets of an alias.
#[inline(always)]
fn octets_of<P: Platform>(platform: &P, alias: Address) -> Option<&Alias> {
    let head = platform.object::<Fragment>(alias)?;
    platform.object::<Alias>(alias + fragment_start(head.signed.patches) / UNIT as u32)
}

/// Copies a CNAME's target to the current name.
#[inline(always)]
fn target<P: Platform>(platform: &P, s: &mut Scratch) -> Next {
    let Some(octets) = octets(platform, s) else { return Next::Stop(Verdict::Fault) };
    let length = u32::from(octets.0[ALIAS_TARGET as usize - 1]);
    s.name_length.set(length);
    platform.repeat(32, |step| {
        if step >= 32 || step * 8 >= length {
            return false;
        }
        let octets = bounds::word(&octets.0, ALIAS_TARGET + step * 8);
        bounds::put(&mut s.name, step * 8, lower(octets));
        true
    });
    Next::Continue
}

/// Makes the CNAME that a DNAME stands for (RFC 6672, section 3.1): the labels before the DNAME's owner, in
/// front of its target. It is answered, and its target becomes the current name.
#[inline(always)]
fn redirect<P: Platform>(platform: &P, s: &mut Scratch) -> Next {
    let Some(octets) = octets(platform, s) else { return Next::Stop(Verdict::Fault) };
    let behind = u32::from(octets.0[ALIAS_TARGET as usize - 1]);
    let place = s.name_labels.get().wrapping_sub(s.depth.get());
    let before = u32::from(bounds::get(&s.labels, place).unwrap_or(0));
    let length = before + behind;
    if length > u32::from(wire::NAME_MAX) {
        s.rcode.set(u32::from(rcode::YXDOMAIN));
        s.verdict.set(Verdict::TooLong as u32);
        return Next::Reply;
    }
    let at = s.made_length.get();
    let origin = s.origin;
    let fixed = [
        u64::from((wire::POINTER | origin.owner).to_be())
            | u64::from(rtype::CNAME.to_be()) << 16
            | u64::from(class::IN.to_be()) << 32
            | u64::from(bounds::number(&octets.0, 6).to_be()) << 48,
        u64::from(bounds::number(&octets.0, 8).to_be()) | u64::from((length as u16).to_be()) << 16,
    ];
    bounds::put(&mut s.made, at, fixed[0]);
    bounds::put(&mut s.made, at + 8, fixed[1]);
    // The client's own spelling, as long as the name is the client's.
    let first = s.name_offset.get() == u32::from(wire::HEADER);
    platform.repeat(32, |step| {
        let done = step * 8;
        if done >= before {
            return false;
        }
        let octets = if first {
            bounds::word(&s.message, u32::from(wire::HEADER) + done)
        } else {
            bounds::word(&s.name, done)
        };
        bounds::put(&mut s.made, at + ALIAS_TARGET + done, octets);
        true
    });
    platform.repeat(32, |step| {
        let done = step * 8;
        if done >= behind {
            return false;
        }
        let octets = bounds::word(&octets.0, ALIAS_TARGET + done);
        bounds::put(&mut s.made, at + ALIAS_TARGET + before + done, octets);
        true
    });
    platform.repeat(32, |step| {
        let done = step * 8;
        if step >= 32 || done >= length {
            return false;
        }
        let octets = bounds::word(&s.made, at + ALIAS_TARGET + done);
        bounds::put(&mut s.name, done, lower(octets));
        true
    });
    s.name_length.set(length);
    let octets = ALIAS_TARGET + length;
    s.made_length.set(at + octets);
    let place = s.answers_length.get();
    let made =
        Item { fragment: 0, bits: item::MADE, node: at as u16, apex: octets as u16, ..origin };
    if at + octets > MADE as u32 || !bounds::set(&mut s.answers, place, made) {
        return Next::Stop(Verdict::Fault);
    }
    s.answers_length.set(place + 1);
    s.target.set(s.answers_end.get() + ALIAS_TARGET);
    s.answers_end.set(s.answers_end.get() + octets);
    s.size.set(s.size.get() + octets);
    s.records[section::ANSWER].set(s.records[section::ANSWER].get() + 1);
    if s.qtype.get() == u32::from(rtype::CNAME) {
        // The question is answered; its answer is not followed (RFC 1034, section 3.6.2).
        s.verdict.set(Verdict::Positive as u32);
        return Next::Reply;
    }
    Next::Continue
}

/// Finds the labels of the current name, which is known to be one.
#[inline(always)]
fn labels<P: Platform>(platform: &P, s: &mut Scratch) {
    s.position.set(0);
    s.count.set(0);
    platform.repeat(wire::LABELS_MAX + 1, |_| {
        let at = s.position.get();
        let label = u32::from(bounds::get(&s.name, at).unwrap_or(0));
        let count = s.count.get();
        if !bounds::set(&mut s.labels, count, at as u8) {
            return false;
        }
        if label == 0 {
            return false;
        }
        s.count.set(count + 1);
        s.position.set(at + label + 1);
        true
    });
    s.name_labels.set(s.count.get());
}

/// Whether the current name is at or below the zone's apex.
#[inline(always)]
fn below<P: Platform>(platform: &P, s: &mut Scratch, zone: &Snapshot) -> bool {
    let labels = s.name_labels.get().wrapping_sub(u32::from(zone.apex_labels));
    let length = u32::from(zone.apex_length);
    let Some(start) = bounds::get(&s.labels, labels) else { return false };
    let start = u32::from(start);
    start + length == s.name_length.get()
        && !locate::differs(platform, s, start, length, |step| bounds::get(&zone.name, step))
}

// Each link is at most a DNAME and its CNAME; the last name's RRset comes behind them.
const _: () = assert!(ANSWERS_MAX as u32 > 2 * (LINKS_MAX + 1));
const _: () = assert!(MADE as u32 >= (LINKS_MAX + 1) * (ALIAS_TARGET + wire::NAME_MAX as u32));
