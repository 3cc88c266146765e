//! What DO adds. The signatures of this zone are any octets: that proofs are right is for the referees.

use responder_common::verdict::Verdict;

use crate::{ask, lines, probe::Probe, strict::rtype};

/// A section's records as owner, TTL and type, signatures with what they cover.
fn kinds(section: &[crate::strict::Record]) -> Vec<String> {
    let mut kinds: Vec<String> = lines(section)
        .iter()
        .map(|line| {
            let words: Vec<&str> = line.split(' ').filter(|word| *word != "IN").collect();
            let last = if words[2] == "RRSIG" { 4 } else { 3 };
            words[..last].join(" ").replace(".nsec.test.", "").replace("nsec.test.", "@")
        })
        .collect();
    kinds.sort();
    kinds
}

#[track_caller]
fn holds(name: &str, qtype: u16, verdict: Verdict, answer: &[&str], authority: &[&str]) {
    let (word, reply) = ask(&Probe::of(&format!("{name}nsec.test"), qtype).dnssec());
    assert_eq!(word, verdict);
    for (section, expected) in [(&reply.answer, answer), (&reply.authority, authority)] {
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(kinds(section), expected, "{reply}");
    }
    // Without DO there is no signature and no proof.
    let (_, plain) = ask(&Probe::of(&format!("{name}nsec.test"), qtype).edns());
    let of_dnssec = [rtype::RRSIG, rtype::NSEC];
    let mut records = plain.answer.iter().chain(&plain.authority).chain(&plain.additional);
    assert!(records.all(|record| !of_dnssec.contains(&record.rtype)), "{plain}");
}

#[test]
fn positive_with_signatures() {
    holds("www.", rtype::A, Verdict::Positive, &["www 300 A", "www 300 RRSIG A"], &[]);
}

#[test]
fn nodata_with_the_name_s_own_proof_and_the_soa_at_minimum() {
    let authority = ["@ 120 SOA", "@ 120 RRSIG SOA", "www 120 NSEC", "www 120 RRSIG NSEC"];
    holds("www.", rtype::AAAA, Verdict::NoData, &[], &authority);
}

#[test]
fn nxdomain_with_both_proofs() {
    // Nothing between `alias` and `insecure`, and no wildcard behind the apex.
    let authority = [
        "@ 120 SOA",
        "@ 120 RRSIG SOA",
        "@ 120 NSEC",
        "@ 120 RRSIG NSEC",
        "alias 120 NSEC",
        "alias 120 RRSIG NSEC",
    ];
    holds("but.", rtype::A, Verdict::NxDomain, &[], &authority);
}

#[test]
fn referral_with_ds_or_the_proof_that_there_is_none() {
    let authority = ["secure 300 NS", "secure 300 DS", "secure 300 RRSIG DS"];
    holds("www.secure.", rtype::A, Verdict::Referral, &[], &authority);
    let authority = ["insecure 300 NS", "insecure 120 NSEC", "insecure 120 RRSIG NSEC"];
    holds("www.insecure.", rtype::A, Verdict::Referral, &[], &authority);
}

#[test]
fn wildcard_with_the_proof_that_no_closer_name_exists() {
    // Nothing between `*.wild` and `www`.
    let authority = ["*.wild 120 NSEC", "*.wild 120 RRSIG NSEC"];
    let answer = ["x.wild 300 A", "x.wild 300 RRSIG A"];
    holds("x.wild.", rtype::A, Verdict::Positive, &answer, &authority);
}

#[test]
fn cname_with_the_signatures_of_both_names() {
    let answer = ["alias 300 CNAME", "alias 300 RRSIG CNAME", "www 300 A", "www 300 RRSIG A"];
    holds("alias.", rtype::A, Verdict::Positive, &answer, &[]);
}
