//! Chains of aliases: every kind of alias to every kind of place, unsigned and signed in each way. The
//! cross product is made here and its names are looked up in `zones/chains.example.zone`: what is not
//! there fails.

use std::{path::Path, sync::Arc};

use responder::{
    answer::{Answerer, Transport},
    store::{Store, StoreOptions},
    zone,
};
use responder_common::verdict::Action;

use super::{
    compare_about,
    refereeing::{
        local::sample_zones,
        peers::{Kind, Zone},
        queries::{Dress, Query},
        sign::{Denial, sign},
    },
    strict::{Message, Name, Record, rtype},
};

/// What leads on: at the name itself, from above it, or in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alias {
    Cname,
    Dname,
    Wildcard,
}

/// Where it leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// To a name with data.
    InZone,
    /// To a name that a wildcard answers for.
    Synthesized,
    /// To an empty non-terminal.
    Empty,
    /// Below a delegation with a DS.
    Secure,
    /// Below a delegation without one.
    Insecure,
    /// To a delegation itself; with DNAME below it.
    Cut,
    /// Out of the zone.
    OutOfZone,
    /// To nothing, right below the apex.
    Missing,
    /// To nothing, some labels further down.
    FarMissing,
}

const ALIASES: [Alias; 3] = [Alias::Cname, Alias::Dname, Alias::Wildcard];

const TARGETS: [(Target, &str); 9] = [
    (Target::InZone, "in-zone"),
    (Target::Synthesized, "synthesized"),
    (Target::Empty, "empty"),
    (Target::Secure, "secure"),
    (Target::Insecure, "insecure"),
    (Target::Cut, "cut"),
    (Target::OutOfZone, "out-of-zone"),
    (Target::Missing, "missing"),
    (Target::FarMissing, "far-missing"),
];

const DENIALS: [Option<Denial>; 4] =
    [None, Some(Denial::Nsec), Some(Denial::Nsec3), Some(Denial::Nsec3OptOut)];

/// Every cell: what leads where, and the name to ask for.
fn cells() -> Vec<(Alias, Target, Name)> {
    let cell = |alias: Alias, (target, word): (Target, &str)| {
        let name = match alias {
            Alias::Cname => format!("cname-{word}"),
            Alias::Dname => format!("www.dname-{word}"),
            Alias::Wildcard => format!("www.wildcard-{word}"),
        };
        let name = Name::from_text(&format!("{name}.chains.example.")).expect("a name");
        (alias, target, name)
    };
    ALIASES.into_iter().flat_map(|alias| TARGETS.map(|target| cell(alias, target))).collect()
}

#[test]
fn every_alias_leads_to_every_target_whatever_the_denial() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    for denial in DENIALS {
        let mut host = host(&variant("chains.example.", denial, folder.path()));
        for (alias, target, name) in cells() {
            let reply = ask(&mut host, &name, rtype::A, Transport::Udp, denial.is_some());
            let fault = fault(alias, target, denial, &reply);
            assert_eq!(fault, None, "{alias:?} to {target:?}, {denial:?}:\n{reply}");
        }
    }
}

#[test]
fn chains_are_answered_as_the_peers_answer_them() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let types = [rtype::A, rtype::AAAA, rtype::TXT, rtype::NS, rtype::DS, rtype::CNAME];
    for denial in DENIALS {
        let dress = Dress { size: Some(1232), dnssec_ok: denial.is_some(), ..Dress::default() };
        let questions = |_: &Name, _: &[Record]| -> Vec<Query> {
            let asked =
                cells().into_iter().flat_map(|(_, _, name)| types.map(|t| (name.clone(), t)));
            asked.enumerate().map(|(at, (name, t))| Query::new(at, name, t, dress)).collect()
        };
        let zone = variant("chains.example.", denial, folder.path());
        for peer in [Kind::Nsd, Kind::Knot] {
            let tally = compare_about(peer, std::slice::from_ref(&zone), &questions);
            assert_eq!(tally.faults(), 0, "{denial:?}, {}:\n{tally}", peer.program());
            let wanted = (cells().len() * types.len()) as u64;
            assert_eq!(tally.equal, wanted, "{denial:?}, {}:\n{tally}", peer.program());
        }
    }
}

#[test]
fn rfc4343_owners_echo_the_question_and_targets_keep_the_zone_s_case() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    for denial in DENIALS {
        let mut host = host(&variant("chains.example.", denial, folder.path()));
        for text in ["cNaMe-Far-Missing.chAIns.eXample.", "wWw.WILDCARD-Empty.Chains.exampLE."] {
            let name = Name::from_text(text).expect("a name");
            let reply = ask(&mut host, &name, rtype::A, Transport::Udp, denial.is_some());
            assert_eq!(reply.answer[0].owner, name, "the owner points at the question");
        }
        // In the zone: "CNAME-SYNTHESIZED" leads to "wWw.OpEn", whose wildcard answers under that name.
        let name = Name::from_text("cname-synthesized.chains.example.").expect("a name");
        let reply = ask(&mut host, &name, rtype::A, Transport::Udp, denial.is_some());
        let target = reply.answer.iter().find(|record| record.rtype == rtype::CNAME);
        let target = target.expect("an alias").rdata.clone();
        let last = reply.answer.iter().rfind(|record| record.rtype == rtype::A).expect("an end");
        assert_eq!(last.owner.wire(), target, "the owner points at the target");
        // kzonesign writes names in lower case.
        let upper = target.iter().any(u8::is_ascii_uppercase);
        assert_eq!(upper, denial.is_none(), "the zone's own case: {target:?}");
    }
}

#[test]
fn labels_of_63_octets_lead_on() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let long = |letter: &str| letter.repeat(63);
    let names = [
        (format!("{}.cname", long("l")), 2),
        (format!("{}.{}", long("M"), long("d")), 3),
        (format!("{}.{}", long("q"), long("w")), 2),
    ];
    for denial in DENIALS {
        let mut host = host(&variant("chains.example.", denial, folder.path()));
        for (name, links) in &names {
            let name = Name::from_text(&format!("{name}.chains.example.")).expect("a name");
            let reply = ask(&mut host, &name, rtype::A, Transport::Udp, false);
            assert_eq!((reply.rcode(), reply.answer.len()), (0, *links), "{denial:?}:\n{reply}");
            assert_eq!(reply.answer[links - 1].rdata, [192, 0, 2, 6], "{denial:?}:\n{reply}");
        }
    }
}

#[test]
fn rfc1035_messages_beyond_the_reach_of_pointers_are_whole_over_tcp() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let asked = [
        ("text", rtype::TXT),
        ("alias", rtype::TXT),
        ("text.moved", rtype::TXT),
        ("a.wild", rtype::TXT),
        ("to-wild", rtype::TXT),
        ("b.wild.moved", rtype::TXT),
        ("cut", rtype::NS),
        ("www.cut", rtype::A),
        ("to-cut", rtype::A),
    ];
    for denial in DENIALS {
        let mut host = host(&variant("huge.example.", denial, folder.path()));
        for (name, qtype) in asked {
            for dnssec_ok in [false, true] {
                let name = Name::from_text(&format!("{name}.huge.example.")).expect("a name");
                let reply = ask(&mut host, &name, qtype, Transport::Tcp, dnssec_ok);
                assert!(reply.octets > 0x4000, "{denial:?}: {} octets to {name}", reply.octets);
                assert!(!reply.header.tc, "{denial:?}: truncated: {name}");
                // Proofs, the DS and glue stand behind what no pointer reaches.
                let behind = reply.authority.len() + reply.additional.len();
                let proof =
                    denial.is_some() && dnssec_ok && name.labels().any(|l| l.ends_with(b"wild"));
                assert!(!proof || behind >= 2, "{denial:?}: no proof: {name}");
            }
        }
    }
}

/// What is wrong with the answer, if anything is.
fn fault(alias: Alias, target: Target, denial: Option<Denial>, reply: &Message) -> Option<String> {
    let signed = denial.is_some();
    let plain: Vec<&Record> =
        reply.answer.iter().filter(|record| record.rtype != rtype::RRSIG).collect();
    let types: Vec<u16> = plain.iter().map(|record| record.rtype).collect();
    let mut expected = match alias {
        Alias::Dname => vec![rtype::DNAME, rtype::CNAME],
        Alias::Cname | Alias::Wildcard => vec![rtype::CNAME],
    };
    let has_end = matches!(target, Target::InZone | Target::Synthesized);
    expected.extend(has_end.then_some(rtype::A));
    if types != expected {
        return Some(format!("answer {types:?}, not {expected:?}"));
    }
    // A synthesized CNAME has no signature (RFC 6672, section 5.3.1); every other RRset has.
    let rrsets = expected.len() - usize::from(alias == Alias::Dname);
    let signatures = reply.answer.len() - plain.len();
    if signatures != if signed { rrsets } else { 0 } {
        return Some(format!("{signatures} signatures"));
    }
    let missing = matches!(target, Target::Missing | Target::FarMissing);
    // The rcode is that of the last name (RFC 6604, section 3).
    if reply.rcode() != if missing { 3 } else { 0 } || !reply.header.aa {
        return Some("rcode or AA".into());
    }
    let has = |kind: u16| reply.authority.iter().any(|record| record.rtype == kind);
    let denied = missing || target == Target::Empty;
    let delegated = matches!(target, Target::Secure | Target::Insecure | Target::Cut);
    if has(rtype::SOA) != denied || has(rtype::NS) != delegated {
        return Some("SOA or NS in the authority section".into());
    }
    let has_ds = signed && delegated && target != Target::Insecure;
    if has(rtype::DS) != has_ds {
        return Some("DS in the authority section".into());
    }
    // Each wildcard on the way needs its proof, and so does what is not there: data, a name, a DS.
    let expanded = alias == Alias::Wildcard || target == Target::Synthesized;
    let proven = signed && (denied || expanded || target == Target::Insecure);
    let proof = if denial == Some(Denial::Nsec) { rtype::NSEC } else { rtype::NSEC3 };
    if has(proof) != proven {
        return Some("proofs in the authority section".into());
    }
    None
}

/// A sample zone, signed if it is to be.
fn variant(apex: &str, denial: Option<Denial>, folder: &Path) -> Zone {
    let zone = sample_zones().into_iter().find(|zone| zone.apex.to_string() == apex);
    let zone = zone.unwrap_or_else(|| panic!("no sample zone {apex}"));
    match denial {
        None => zone,
        Some(denial) => sign(&zone, denial, folder).unwrap_or_else(|error| panic!("{error}")),
    }
}

/// The engine over one zone.
fn host(zone: &Zone) -> Answerer {
    let options = StoreOptions { udp_size: 4096, id: String::new() };
    let store = Arc::new(Store::in_memory(&options).expect("memory"));
    let loaded = zone::load(&store, &zone.apex.to_string(), &zone.file);
    loaded.unwrap_or_else(|error| panic!("{error}"));
    Answerer::new(store)
}

/// The reply to a query, by the strict decoder.
fn ask(
    host: &mut Answerer,
    name: &Name,
    qtype: u16,
    transport: Transport,
    dnssec_ok: bool,
) -> Message {
    let dress = Dress { size: Some(4096), dnssec_ok, recursion_desired: false };
    let query = Query::new(7, name.clone(), qtype, dress);
    let mut reply = Vec::new();
    let verdict = host.verdict(&query.octets, transport, &mut reply);
    assert_eq!(verdict.action(), Action::Reply, "{verdict:?} to {name}");
    Message::parse(&reply).unwrap_or_else(|fault| panic!("{name}: {fault}"))
}
