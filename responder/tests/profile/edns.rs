//! EDNS (RFC 6891).

use responder_common::verdict::Verdict;

use crate::{
    ID, ask, octets,
    probe::{Opt, Probe},
    sections,
    strict::rtype,
};

fn with(opt: Opt) -> Probe {
    Probe::of("www.profile.test", rtype::A).opt(opt)
}

#[test]
fn edns_version_above_zero_is_badvers() {
    for version in [1, 2, 255] {
        let (verdict, reply) = ask(&with(Opt { version, flags: Opt::DO, ..Opt::default() }));
        assert_eq!((verdict, reply.rcode()), (Verdict::BadVersion, 16));
        let edns = reply.edns.clone().expect("an OPT");
        assert_eq!((edns.version, edns.dnssec_ok, reply.question.len()), (0, true, 1));
        sections(&reply, &[], &[], &[]);
    }
}

#[test]
fn opt_owner_that_is_not_the_root_is_formerr() {
    for owner in [&b"\x01a\0"[..], b"\x01a\x02bc\0", b"\xc0\x0c", b"\x01a\xc0\x0c"] {
        let (verdict, reply) = ask(&with(Opt { owner: owner.to_vec(), ..Opt::default() }));
        assert_eq!((verdict, reply.rcode()), (Verdict::FormErr, 1), "{owner:02x?}");
    }
}

#[test]
fn two_opts_are_formerr() {
    let (verdict, reply) = ask(&Probe::new("profile.test").edns().edns());
    assert_eq!((verdict, reply.rcode()), (Verdict::FormErr, 1));
    let second = Opt { version: 1, ..Opt::default() };
    let (verdict, _) = ask(&Probe::new("profile.test").dnssec().opt(second));
    assert_eq!(verdict, Verdict::FormErr);
}

#[test]
fn do_is_echoed_and_no_other_flag() {
    for (flags, echoed) in [(0, false), (0x8000, true), (0x7fff, false), (0xffff, true)] {
        let edns = ask(&with(Opt { flags, ..Opt::default() })).1.edns.expect("an OPT");
        assert_eq!((edns.dnssec_ok, edns.reserved), (echoed, 0), "{flags:#06x}");
    }
}

#[test]
fn unknown_options_are_ignored_and_never_echoed() {
    let options =
        vec![(100, vec![1, 2, 3]), (65_001, vec![]), (10, vec![7; 8]), (8, vec![0, 1, 0, 0])];
    let (verdict, reply) = ask(&with(Opt { options, ..Opt::default() }));
    assert_eq!((verdict, reply.rcode(), reply.answer.len()), (Verdict::Positive, 0, 2));
    assert_eq!(reply.edns.expect("an OPT").options, []);
}

#[test]
fn options_that_do_not_fill_the_opt_are_formerr() {
    let mut query = with(Opt { options: vec![(100, vec![1, 2, 3])], ..Opt::default() }).octets();
    // The option's own length; the message's end agrees with RDLEN.
    let length = query.len() - 4;
    for wrong in [2, 4] {
        query[length] = wrong;
        assert_eq!(octets(&query).0, Verdict::FormErr, "{wrong} of 3 octets");
    }
    query[length] = 3;
    assert_eq!(octets(&query).0, Verdict::Positive);
}

#[test]
fn no_opt_in_the_query_no_opt_in_the_reply() {
    let (_, reply) = ask(&Probe::new("profile.test"));
    assert_eq!(reply.edns, None);
    let (_, reply) = ask(&Probe::new("profile.test").edns());
    assert_eq!(reply.edns.expect("an OPT").udp_size, 1232);
}

#[test]
fn nsid_is_told_to_who_asks_rfc5001() {
    let nsid = || Opt { options: vec![(3, vec![])], ..Opt::default() };
    let (_, reply) = ask(&with(nsid()));
    assert_eq!(reply.edns.expect("an OPT").options, [(3, ID.as_bytes().to_vec())]);
    // The longest identity fits 512 octets beside the longest name.
    let label = |length: usize| "x".repeat(length);
    let name = [label(63), label(63), label(63), label(61)].join(".");
    let opt = Opt { size: 512, flags: Opt::DO, ..nsid() };
    let (verdict, reply) = ask(&Probe::of(&name, rtype::A).opt(opt));
    assert_eq!((verdict, reply.header.tc), (Verdict::Refused, false));
    assert_eq!(reply.edns.expect("an OPT").options.len(), 2, "NSID and EDE 20");
}
