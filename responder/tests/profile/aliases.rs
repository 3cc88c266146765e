//! CNAME and DNAME.

use responder_common::verdict::Verdict;

use crate::{ask, lines, probe::Probe, sections, strict::rtype};

const SOA: &str = "profile.test. 60 SOA";

fn address(name: &str) -> (Verdict, crate::strict::Message) {
    ask(&Probe::of(name, rtype::A))
}

#[test]
fn cname_is_chased_inside_the_zone() {
    let (verdict, reply) = address("to-www.profile.test");
    assert_eq!((verdict, reply.header.aa), (Verdict::Positive, true));
    let answer = [
        "to-www.profile.test. 3600 IN CNAME www.profile.test.",
        "www.profile.test. 3600 IN A 192.0.2.80",
        "www.profile.test. 3600 IN A 192.0.2.81",
    ];
    sections(&reply, &answer, &[], &[]);
}

#[test]
fn cname_is_not_chased_into_another_zone_of_ours() {
    let (verdict, reply) = address("to-out.profile.test");
    assert_eq!((verdict, reply.rcode()), (Verdict::Alias, 0));
    sections(&reply, &["to-out.profile.test. 3600 IN CNAME www.neighbour.test."], &[], &[]);
}

#[test]
fn cname_rcode_and_proof_are_those_of_the_last_name_rfc6604() {
    let (_, reply) = address("to-missing.profile.test");
    assert_eq!((reply.rcode(), reply.header.aa), (3, true));
    let answer = ["to-missing.profile.test. 3600 IN CNAME missing.profile.test."];
    sections(&reply, &answer, &[SOA], &[]);
    let (_, reply) = address("to-mail.profile.test");
    assert_eq!(reply.rcode(), 0);
    sections(&reply, &["to-mail.profile.test. 3600 IN CNAME mail.profile.test."], &[SOA], &[]);
    // Into a cut: its referral, which the alias makes authoritative only for itself.
    let (verdict, reply) = address("to-cut.profile.test");
    assert_eq!((verdict, reply.header.aa), (Verdict::Referral, true));
    assert_eq!((reply.answer.len(), reply.authority.len()), (1, 2));
}

#[test]
fn cname_links_at_most_eight() {
    // Nine links with the last to the address: eight are followed and the ninth is shown.
    let (verdict, reply) = address("e1.profile.test");
    assert_eq!((verdict, reply.answer.len()), (Verdict::Positive, 8 + 2));
    let (verdict, reply) = address("e9.profile.test");
    assert_eq!((verdict, reply.rcode(), reply.answer.len()), (Verdict::Alias, 0, 9));
    sections(
        &reply,
        &lines(&reply.answer).iter().map(String::as_str).collect::<Vec<_>>(),
        &[],
        &[],
    );
}

#[test]
fn cname_loop_gives_what_was_gathered() {
    for (name, answer) in [
        ("ping", &["ping CNAME pong", "pong CNAME ping"][..]),
        // A wildcard's CNAME is another one for each name that it stands in for.
        ("a.wild", &["a.wild CNAME x.wild", "x.wild CNAME x.wild"]),
        ("x.wild", &["x.wild CNAME x.wild"]),
        ("a.itself", &["a.itself CNAME *.itself", "*.itself CNAME *.itself"]),
        ("*.itself", &["*.itself CNAME *.itself"]),
        ("a.there", &["a.there CNAME back", "back CNAME x.there", "x.there CNAME back"]),
        ("X.There", &["X.There CNAME back", "back CNAME x.there"]),
        ("back", &["back CNAME x.there", "x.there CNAME back"]),
    ] {
        let (verdict, reply) = address(&format!("{name}.profile.test"));
        assert_eq!((verdict, reply.rcode(), reply.header.aa), (Verdict::Alias, 0, true), "{name}");
        let line = |short: &&str| {
            let (owner, target) = short.split_once(" CNAME ").expect("an alias");
            format!("{owner}.profile.test. 3600 IN CNAME {target}.profile.test.")
        };
        let answer: Vec<String> = answer.iter().map(line).collect();
        sections(&reply, &answer.iter().map(String::as_str).collect::<Vec<_>>(), &[], &[]);
    }
}

#[test]
fn dname_with_a_synthesized_cname_of_its_ttl() {
    let (verdict, reply) = address("a.moved.profile.test");
    assert_eq!((verdict, reply.header.aa), (Verdict::Positive, true));
    let answer = [
        "moved.profile.test. 600 IN DNAME target.profile.test.",
        "a.moved.profile.test. 600 IN CNAME a.target.profile.test.",
        "a.target.profile.test. 3600 IN A 192.0.2.20",
    ];
    sections(&reply, &answer, &[], &[]);
    let (_, reply) = address("b.moved.profile.test");
    assert_eq!((reply.rcode(), reply.answer.len()), (3, 2));
    // The owner itself is not moved.
    let (verdict, reply) = address("moved.profile.test");
    assert_eq!((verdict, reply.rcode()), (Verdict::NoData, 0));
}

#[test]
fn dname_yxdomain_when_too_long_rfc6672() {
    let fits = "x".repeat(56);
    let address = |name: &str| ask(&Probe::of(name, rtype::A).edns());
    let (verdict, reply) = address(&format!("{fits}.long.profile.test"));
    assert_eq!((verdict, reply.rcode()), (Verdict::NxDomain, 3), "255 octets");
    let (verdict, reply) = address(&format!("{fits}x.long.profile.test"));
    assert_eq!((verdict, reply.rcode()), (Verdict::TooLong, 6), "256 octets");
    assert_eq!(reply.answer.len(), 1, "the DNAME alone");
}
