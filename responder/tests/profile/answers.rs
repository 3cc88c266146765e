//! Positive answers, referrals, denials, and questions that have no plain answer.

use responder::store::StoreOptions;
use responder_common::verdict::Verdict;

use crate::{
    ask,
    everywhere::Everywhere,
    lines,
    probe::{Opt, Probe},
    sections, serve, stream,
    strict::{Message, rtype},
};

const SOA: &str = "profile.test. 60 SOA";

#[test]
fn positive_answer_alone() {
    let (verdict, reply) = ask(&Probe::of("www.profile.test", rtype::A).edns());
    assert_eq!(verdict, Verdict::Positive);
    assert!(reply.header.aa && reply.rcode() == 0);
    let answer =
        ["www.profile.test. 3600 IN A 192.0.2.80", "www.profile.test. 3600 IN A 192.0.2.81"];
    sections(&reply, &answer, &[], &[]);
    // The addresses of an MX are not added.
    let (_, reply) = ask(&Probe::of("mail.profile.test", rtype::MX));
    assert_eq!((reply.answer.len(), reply.additional.len()), (1, 0), "{reply}");
}

#[test]
fn positive_priming_brings_the_addresses_of_apex_ns() {
    let (_, reply) = ask(&Probe::of("profile.test", rtype::NS));
    let answer = [
        "profile.test. 3600 IN NS ns1.profile.test.",
        "profile.test. 3600 IN NS ns2.profile.test.",
        "profile.test. 3600 IN NS ns.neighbour.test.",
    ];
    let additional = [
        "ns1.profile.test. 3600 IN A 192.0.2.1",
        "ns1.profile.test. 3600 IN AAAA 2001:db8::1",
        "ns2.profile.test. 3600 IN A 192.0.2.2",
    ];
    sections(&reply, &answer, &[], &additional);
}

#[test]
fn referral_with_all_in_domain_glue_and_no_ds_in_an_unsigned_zone() {
    let ns = [
        "cut.profile.test. 3600 IN NS ns1.cut.profile.test.",
        "cut.profile.test. 3600 IN NS ns.sibling.profile.test.",
    ];
    let glue = [
        "ns1.cut.profile.test. 3600 IN A 192.0.2.10",
        "ns.sibling.profile.test. 3600 IN A 192.0.2.11",
        "ns.sibling.profile.test. 3600 IN AAAA 2001:db8::11",
    ];
    for name in ["cut.profile.test", "www.cut.profile.test", "ns1.cut.profile.test"] {
        let (verdict, reply) = ask(&Probe::of(name, rtype::A));
        assert_eq!(verdict, Verdict::Referral);
        assert!(!reply.header.aa);
        sections(&reply, &[], &ns, &glue);
        // RFC 4035, section 3.1.4, speaks of signed zones; theirs is in `signed`.
        let (_, reply) = ask(&Probe::of(name, rtype::A).dnssec());
        sections(&reply, &[], &ns, &glue);
    }
}

#[test]
fn referral_without_room_for_in_domain_glue_is_truncated_rfc9471() {
    let (verdict, reply) = ask(&Probe::of("crowded.profile.test", rtype::A));
    assert_eq!(verdict, Verdict::Truncated);
    sections(&reply, &[], &[], &[]);
    let (verdict, reply) = ask(&Probe::of("crowded.profile.test", rtype::A).edns());
    assert_eq!((verdict, reply.additional.len()), (Verdict::Referral, 19));
}

#[test]
fn referral_without_room_for_sibling_glue_goes_without() {
    let (verdict, reply) = ask(&Probe::of("relaxed.profile.test", rtype::A));
    assert_eq!(verdict, Verdict::Referral);
    assert_eq!(lines(&reply.additional), ["ns1.relaxed.profile.test. 3600 IN A 192.0.2.30"]);
    let (_, reply) = ask(&Probe::of("relaxed.profile.test", rtype::A).edns());
    assert_eq!(reply.additional.len(), 20);
}

#[test]
fn referral_never_brings_an_orphan_address() {
    // The host `old.removed` lost its cut and its address with it; a name below another cut is no glue.
    let (_, reply) = ask(&Probe::of("uses-old.profile.test", rtype::A));
    sections(&reply, &[], &["uses-old.profile.test. 3600 IN NS old.removed.profile.test."], &[]);
    let (_, reply) = ask(&Probe::of("old.lonely.profile.test", rtype::A));
    sections(&reply, &[], &["lonely.profile.test. 3600 IN NS ns.neighbour.test."], &[]);
}

#[test]
fn nodata_and_nxdomain_carry_the_soa_at_its_minimum() {
    let (verdict, reply) = ask(&Probe::of("www.profile.test", rtype::AAAA));
    assert_eq!((verdict, reply.rcode(), reply.header.aa), (Verdict::NoData, 0, true));
    sections(&reply, &[], &[SOA], &[]);
    let (verdict, reply) = ask(&Probe::of("missing.profile.test", rtype::A));
    assert_eq!((verdict, reply.rcode(), reply.header.aa), (Verdict::NxDomain, 3, true));
    sections(&reply, &[], &[SOA], &[]);
    // The SOA that was asked for has its own TTL.
    let (_, reply) = ask(&Probe::new("profile.test"));
    assert_eq!(reply.answer[0].ttl, 3600);
    // A TTL below MINIMUM is the lower of the two.
    let (_, reply) = ask(&Probe::of("orphan.test", rtype::TXT));
    assert_eq!(reply.authority[0].ttl, 10);
}

#[test]
fn ds_is_answered_by_the_parent_side() {
    let (verdict, reply) = ask(&Probe::of("child.profile.test", rtype::DS));
    assert_eq!((verdict, reply.header.aa), (Verdict::Positive, true));
    assert!(lines(&reply.answer)[0].starts_with("child.profile.test. 3600 IN DS"), "{reply}");
    // All else is the child's.
    let (_, reply) = ask(&Probe::of("www.child.profile.test", rtype::A));
    sections(&reply, &["www.child.profile.test. 1800 IN A 192.0.2.90"], &[], &[]);
}

#[test]
fn ds_with_only_the_child_loaded_is_nodata_from_its_apex() {
    let (verdict, reply) = ask(&Probe::of("orphan.test", rtype::DS));
    assert_eq!((verdict, reply.rcode(), reply.header.aa), (Verdict::NoData, 0, true));
    assert_eq!(reply.authority[0].owner.to_string(), "orphan.test.");
}

#[test]
fn ds_of_the_root_is_nodata() {
    let options = StoreOptions { udp_size: 1232, id: String::new() };
    let mut everywhere = Everywhere::load(&options).expect("root and BPF");
    let folder = tempfile::tempdir().expect("a scratch folder");
    serve(&everywhere, ".", include_str!("root.zone"), folder.path());
    let answered = everywhere.ask(&Probe::of(".", rtype::DS).octets()).expect("all the same");
    let reply = Message::parse(&answered.reply.expect("a reply")).expect("well formed");
    assert_eq!((answered.verdict, reply.rcode()), (Verdict::NoData, 0));
    assert_eq!(reply.authority[0].rtype, rtype::SOA);
}

#[test]
fn any_and_rrsig_are_answered_with_one_rrset_over_tcp_too() {
    let any = Probe::of("www.profile.test", rtype::ANY);
    let rrsig = Probe::of("www.nsec.test", rtype::RRSIG).dnssec();
    for (probe, of) in [(any, rtype::A), (rrsig, rtype::RRSIG)] {
        for reply in [ask(&probe).1, stream(&probe)] {
            assert_eq!(reply.rcode(), 0);
            let mut sets: Vec<_> = reply
                .answer
                .iter()
                .map(|record| match record.rtype {
                    rtype::RRSIG => (record.rtype, record.rdata[..2].to_vec()),
                    other => (other, Vec::new()),
                })
                .collect();
            sets.dedup();
            assert_eq!(sets.len(), 1, "RFC 8482, section 4.1: {reply}");
            assert_eq!(sets[0].0, of, "{reply}");
        }
    }
    let (verdict, _) = ask(&Probe::of("missing.profile.test", rtype::ANY));
    assert_eq!(verdict, Verdict::NxDomain);
}

#[test]
fn meta_types_are_refused_by_the_table() {
    let code = |qtype| ask(&Probe::of("www.profile.test", qtype).edns()).1.rcode();
    let (formerr, notimp) = (1, 4);
    for (qtype, expected) in [
        (41, formerr),  // OPT
        (128, formerr), // NXNAME: RFC 9824, section 3.5
        (129, notimp),
        (248, notimp),
        (249, notimp),  // TKEY
        (250, formerr), // TSIG
        (252, notimp),  // AXFR in a datagram: RFC 5936, section 4.2
        (253, notimp),  // MAILB
        (254, notimp),  // MAILA
        (0, 0),
        (127, 0),
        (256, 0),
        (65_535, 0),
    ] {
        assert_eq!(code(qtype), expected, "type {qtype}");
    }
    let (_, reply) = ask(&Probe::of("www.profile.test", 0));
    sections(&reply, &[], &[SOA], &[]);
}

#[test]
fn class_chaos_knows_four_names_and_other_classes_none() {
    let of = |name: &str, qclass| ask(&Probe { qclass, ..Probe::of(name, rtype::TXT) });
    for name in ["id.server", "hostname.bind", "version.server", "version.bind"] {
        let (verdict, reply) = of(name, 3);
        assert_eq!((verdict, reply.answer.len()), (Verdict::Identity, 1), "{name}");
    }
    for (name, class) in [("authors.bind", 3), ("www.profile.test", 3), ("id.server", 4)] {
        assert_eq!(of(name, class).1.rcode(), 5, "{name} in class {class}");
    }
    let (verdict, reply) = of("www.profile.test", 255);
    assert_eq!((verdict, reply.rcode()), (Verdict::Refused, 5), "class ANY");
}

#[test]
fn not_our_zone_is_refused_with_ede_20() {
    let (verdict, reply) = ask(&Probe::new("www.elsewhere.example").edns());
    assert_eq!((verdict, reply.rcode(), reply.header.aa), (Verdict::Refused, 5, false));
    assert_eq!(reply.edns.expect("an OPT").options, [(15, vec![0, 20])]);
    let (_, reply) = ask(&Probe::new("www.elsewhere.example"));
    assert_eq!((reply.rcode(), reply.edns), (5, None));
}

#[test]
fn unequal_ttls_become_the_lowest_rfc2181() {
    let (_, reply) = ask(&Probe::of("unequal.profile.test", rtype::A));
    assert_eq!(reply.answer.iter().map(|record| record.ttl).collect::<Vec<_>>(), [100; 3]);
}

#[test]
fn a_ttl_with_the_high_bit_is_zero_rfc2181() {
    let ttl = |name| ask(&Probe::of(name, rtype::A)).1.answer[0].ttl;
    assert_eq!(ttl("high.profile.test"), 0);
    assert_eq!(ttl("highest.profile.test"), 2_147_483_647);
}

#[test]
fn too_large_is_tc_with_question_and_opt_only() {
    for (name, size, whole) in [
        ("middle.profile.test", None, false),
        ("middle.profile.test", Some(512), false),
        ("middle.profile.test", Some(0), false),
        ("middle.profile.test", Some(1232), true),
        ("big.profile.test", Some(1232), false),
        // Never more than limits.udp-size, whatever the client offers.
        ("big.profile.test", Some(4096), false),
        ("big.profile.test", Some(65_535), false),
    ] {
        let mut probe = Probe::of(name, rtype::TXT);
        if let Some(size) = size {
            probe = probe.opt(Opt { size, ..Opt::default() });
        }
        let (_, reply) = ask(&probe);
        assert_eq!(reply.header.tc, !whole, "{name}, {size:?}");
        assert_eq!(reply.edns.is_some(), size.is_some());
        assert_eq!(reply.question.len(), 1);
        if !whole {
            sections(&reply, &[], &[], &[]);
        }
        assert!(!stream(&probe).header.tc);
    }
}
