//! Which fragments make the reply: the answer profile, as code.
//!
//! RFC 1034, section 4.3.2; RFC 4592 (wildcards); RFC 2308 (negative answers); RFC 4035, section 3.1
//! (DNSSEC); RFC 8482 (ANY); RFC 9471 (glue).

use crate::{
    alias, bounds, denial, identity,
    layout::{self, Address, Extent, Fragment, Node, Snapshot, node, node::role},
    locate, meta,
    platform::Platform,
    scratch::{Item, Scratch, edns, item, section},
    verdict::{Next, Verdict},
    wire::{class, ede, flag, rcode, rtype},
};

/// Octets of an extended DNS error without text: option code, length, info code (RFC 8914).
pub const EDE_OCTETS: u32 = 6;
/// Octets of an EXPIRE option: code, length, seconds (RFC 7314).
pub const EXPIRE_OCTETS: u32 = 8;

/// Decides on class and zone; on `Continue` the walk has a zone to start from.
#[inline(always)]
pub fn begin<P: Platform>(platform: &P, s: &mut Scratch) -> Next {
    if s.qclass.get() == u32::from(class::CH) {
        return identity::answer(platform, s);
    }
    if s.qclass.get() != u32::from(class::IN) {
        return refused(s);
    }
    if let Some(code) = meta::refusal(s.qtype.get() as u16) {
        s.rcode.set(u32::from(code));
        let verdict = if code == rcode::NOTIMP { Verdict::NotImp } else { Verdict::FormErr };
        s.verdict.set(verdict as u32);
        return Next::Reply;
    }
    locate::hash(platform, s);
    if !locate::zone(platform, s) {
        explain(s, ede::NOT_AUTHORITATIVE);
        return refused(s);
    }
    if P::IS_KERNEL && s.switches.get() & layout::switch::OFF != 0 {
        return Next::Stop(Verdict::SwitchedOff);
    }
    Next::Continue
}

/// The zone's data are too old to be served. If that came about between an alias and its target, the reply
/// stays with what was said.
#[inline(always)]
pub(crate) fn expired(s: &mut Scratch) -> Next {
    if s.answers_length.get() == 0 {
        explain(s, ede::INVALID_DATA);
        s.rcode.set(u32::from(rcode::SERVFAIL));
        s.verdict.set(Verdict::ServFail as u32);
    }
    Next::Reply
}

/// Not for this server to answer.
#[inline(always)]
fn refused(s: &mut Scratch) -> Next {
    s.rcode.set(u32::from(rcode::REFUSED));
    s.verdict.set(Verdict::Refused as u32);
    Next::Reply
}

/// Adds an extended DNS error, if the client speaks EDNS.
#[inline(always)]
fn explain(s: &mut Scratch, code: u16) {
    if s.edns.get() & edns::PRESENT != 0 {
        s.ede.set(u32::from(code) + 1);
        s.opt_length.set(s.opt_length.get() + EDE_OCTETS);
    }
}

/// Tells a secondary that asks for the SOA for how long the zone may be served (RFC 7314, section 4.1): one
/// that has it from a secondary is to give up when that one does.
#[inline(always)]
fn tell_expiry<P: Platform>(platform: &P, s: &mut Scratch, zone: &Snapshot) {
    s.expire.set(1 << 32 | u64::from(zone.good_for(|| platform.now())));
    s.opt_length.set(s.opt_length.get() + EXPIRE_OCTETS);
}

/// Plans what the node says to which the walk led. `Chase`: the current name is now an alias's target.
#[inline(always)]
pub fn plan<P: Platform>(platform: &P, s: &mut Scratch) -> Next {
    let fault = Next::Stop(Verdict::Fault);
    let Some(zone) = platform.object::<Snapshot>(s.zone.get()) else { return fault };
    let apex_length = u32::from(zone.apex_length);
    let Some(here) = platform.object::<Node>(s.node.get()) else { return fault };
    let labels = s.name_labels.get();
    let depth = s.depth.get();
    let exact = labels == depth;
    let Some(start) = bounds::get(&s.labels, labels.wrapping_sub(depth)) else { return fault };
    let offset = s.name_offset.get();
    let origin = Item {
        fragment: 0,
        bits: 0,
        owner: offset as u16,
        node: (offset + u32::from(start)) as u16,
        apex: (offset + s.name_length.get() - apex_length) as u16,
    };
    let second = here.words[1];
    let kind = node::kind(second);
    let mut origin = origin;
    if exact && kind & node::WILDCARD != 0 {
        // Asked for by its own name: behind the length octet and the asterisk is the name above.
        origin.node += 2;
    }
    s.origin = origin;
    let qtype = s.qtype.get() as u16;
    if kind & node::DELEGATION != 0 && !(exact && qtype == rtype::DS) {
        return referral(platform, s, zone, here, origin);
    }
    s.flags.set(s.flags.get() | u32::from(flag::AA));
    let signed = denial::wanted(s, zone);
    // A wildcard stands in for the name: that there is no closer match is to be proved (RFC 4035, 3.1.3.3).
    let mut cover = false;
    if !exact {
        if kind & node::DNAME != 0 {
            return alias::answer(platform, s, origin, rtype::DNAME);
        }
        let wildcard = node::wildcard(second);
        if wildcard == 0 {
            return no_name(platform, s, zone, origin);
        }
        cover = signed;
        s.encloser.set(s.node.get());
        s.node.set(wildcard);
    }
    let (wanted_role, wanted_type) = match qtype {
        rtype::ANY => (role::ANY, 0),
        rtype::RRSIG => (role::SIGNATURES, 0),
        other => (role::RRSET, other),
    };
    let answer = find(platform, s, wanted_role, wanted_type);
    if answer != 0 {
        s.verdict.set(Verdict::Positive as u32);
        if qtype == rtype::SOA && s.edns.get() & edns::EXPIRE != 0 && s.node.get() == zone.apex {
            tell_expiry(platform, s, zone);
        }
        if !push(platform, s, origin, answer, section::ANSWER, item::ANCHOR) {
            return fault;
        }
        let more = find(platform, s, role::ADDITIONAL, wanted_type);
        if more != 0 && wanted_role == role::RRSET {
            push_if_it_fits(platform, s, origin, more);
        }
        return if cover { Next::Cover } else { Next::Reply };
    }
    if kind_of(platform, s) & node::CNAME != 0 && wanted_role == role::RRSET {
        return match alias::answer(platform, s, origin, rtype::CNAME) {
            Next::Follow if cover => Next::CoverAndFollow,
            next => next,
        };
    }
    s.verdict.set(Verdict::NoData as u32);
    push(platform, s, origin, zone.negative, section::AUTHORITY, 0);
    if signed {
        denial::own(platform, s, zone, origin);
        if cover && zone.denial == layout::denial::NSEC3 {
            // RFC 5155, section 7.2.5: the closest encloser is proved as well.
            let encloser = s.encloser.get();
            s.node.set(encloser);
            denial::own(platform, s, zone, origin);
        }
    }
    if cover { Next::Cover } else { Next::Reply }
}

/// The name does not exist: the SOA, and with DO that there is neither the name nor a wildcard for it.
#[inline(always)]
fn no_name<P: Platform>(platform: &P, s: &mut Scratch, zone: &Snapshot, origin: Item) -> Next {
    // Also behind an alias: the rcode is the last name's (RFC 6604, section 3).
    s.rcode.set(u32::from(rcode::NXDOMAIN));
    s.verdict.set(Verdict::NxDomain as u32);
    if zone.nonexistent != 0 && s.node.get() == zone.apex && s.items_length.get() == 0 {
        push(platform, s, origin, zone.nonexistent, section::AUTHORITY, 0);
        return if denial::wanted(s, zone) { Next::Cover } else { Next::Reply };
    }
    push(platform, s, origin, zone.negative, section::AUTHORITY, 0);
    if !denial::wanted(s, zone) {
        return Next::Reply;
    }
    let mut cover = true;
    if zone.denial == layout::denial::NSEC3 {
        // Under opt-out the proof may end above: then the record that covers it is known.
        cover = denial::own(platform, s, zone, origin);
    }
    let no_wildcard = find(platform, s, role::NO_WILDCARD, 0);
    if no_wildcard != 0 {
        denial::prove(platform, s, zone, origin, no_wildcard);
    }
    if cover { Next::Cover } else { Next::Reply }
}

/// What the node is: bits of [`node`].
#[inline(always)]
fn kind_of<P: Platform>(platform: &P, s: &Scratch) -> u8 {
    platform.object::<Node>(s.node.get()).map_or(0, |here| node::kind(here.words[1]))
}

/// A delegation: its NS, with DO its DS or the proof that there is none, and the addresses without which it
/// cannot be followed.
#[inline(always)]
fn referral<P: Platform>(
    platform: &P,
    s: &mut Scratch,
    zone: &Snapshot,
    here: &Node,
    origin: Item,
) -> Next {
    s.verdict.set(Verdict::Referral as u32);
    let second = here.words[1];
    let kind = node::kind(second);
    // The references of a delegation stand in a known order: no search.
    let mut place = node::HEADER_WORDS + node::name_words(second);
    let mut next = || {
        let reference = bounds::get(&here.words, place).unwrap_or(0);
        place += 1;
        (reference >> 32) as Address
    };
    if !push(platform, s, origin, next(), section::AUTHORITY, item::ANCHOR) {
        return Next::Stop(Verdict::Fault);
    }
    let signer = if kind & node::HAS_DS != 0 { next() } else { 0 };
    if s.edns.get() & edns::DO != 0 {
        if signer != 0 {
            push(platform, s, origin, signer, section::AUTHORITY, 0);
        } else if zone.denial != layout::denial::NONE {
            denial::own(platform, s, zone, origin);
        }
    }
    if kind & node::HAS_GLUE != 0 {
        push(platform, s, origin, next(), section::ADDITIONAL, 0);
    }
    if kind & node::HAS_MORE != 0 {
        push_if_it_fits(platform, s, origin, next());
    }
    Next::Reply
}

/// The fragment that the node keeps for a role and a type, or none.
#[inline(always)]
pub(crate) fn find<P: Platform>(platform: &P, s: &mut Scratch, role: u16, rtype: u16) -> Address {
    let Some(here) = platform.object::<Node>(s.node.get()) else { return 0 };
    let second = here.words[1];
    let base = node::HEADER_WORDS + node::name_words(second);
    let key = node::reference(role, rtype, 0);
    s.candidate.set(0);
    platform.repeat(node::references(second), |step| {
        let Some(reference) = bounds::get(&here.words, base + step) else { return false };
        if reference & node::REFERENCE_KEY == key {
            s.candidate.set((reference >> 32) as Address);
            return false;
        }
        true
    });
    s.candidate.get()
}

/// Appends a fragment to the reply.
#[inline(always)]
pub(crate) fn push<P: Platform>(
    platform: &P,
    s: &mut Scratch,
    origin: Item,
    fragment: Address,
    section: usize,
    bits: u16,
) -> bool {
    let Some((bits, extent)) = extent(platform, s, fragment, bits) else { return false };
    let item = Item { fragment, bits, ..origin };
    let length = u32::from(extent.length);
    if section == section::ANSWER {
        let place = s.answers_length.get();
        if !bounds::set(&mut s.answers, place, item) {
            return false;
        }
        s.answers_length.set(place + 1);
        s.answers_end.set(s.answers_end.get() + length);
    } else {
        let place = s.items_length.get();
        if !bounds::set(&mut s.items, place, item) {
            return false;
        }
        s.items_length.set(place + 1);
    }
    s.size.set(s.size.get() + length);
    s.records[section].set(s.records[section].get() + u32::from(extent.records));
    true
}

/// Appends a fragment that helps but is not needed, if the reply still fits.
#[inline(always)]
fn push_if_it_fits<P: Platform>(platform: &P, s: &mut Scratch, origin: Item, fragment: Address) {
    let Some((_, extent)) = extent(platform, s, fragment, 0) else { return };
    if s.size.get() + u32::from(extent.length) + s.opt_length.get() <= s.limit.get() {
        push(platform, s, origin, fragment, section::ADDITIONAL, 0);
    }
}

/// How much of a fragment this client gets.
#[inline(always)]
fn extent<P: Platform>(
    platform: &P,
    s: &Scratch,
    fragment: Address,
    bits: u16,
) -> Option<(u16, Extent)> {
    let head = platform.object::<Fragment>(fragment)?;
    Some(if s.edns.get() & edns::DO != 0 {
        (bits | item::SIGNED, head.signed)
    } else {
        (bits, head.plain)
    })
}
