//! The signed sample zones through a validating resolver: what is not proved as the RFCs want it is bogus.

use responder::strict;
mod refereeing;

use std::{net::SocketAddr, path::Path, time::Duration};

use strict::{Name, rtype};

use refereeing::{
    ask::{self, Pace},
    data::ZoneData,
    local,
    peers::{Kind, Zone},
    queries,
    resolver::{
        State::{self, Insecure, Secure},
        Validation, question, verdict,
    },
    sign::{Denial, sign},
};

/// The sample zones that a resolver is asked about: no question about them leads elsewhere.
const ZONES: [&str; 6] = [
    "apex-dname.example.",
    "chain.example.",
    "dname.example.",
    "lac.",
    "mixed.example.",
    "wildcard.example.",
];

const NX: u8 = 3;

/// One question for each class: the response code, and what is to be said of it; with opt-out, what
/// rests on a name's not being there is insecure (RFC 5155, section 9.2).
const CASES: &[(&str, &str, u16, u8, State, State)] = &[
    ("positive", "target.chain.example.", rtype::A, 0, Secure, Secure),
    ("no data", "target.chain.example.", rtype::MX, 0, Secure, Secure),
    ("no such name", "missing.chain.example.", rtype::A, NX, Secure, Insecure),
    ("empty non-terminal", "empty.chain.example.", rtype::A, 0, Secure, Secure),
    ("wildcard", "anything.wild.chain.example.", rtype::A, 0, Secure, Insecure),
    ("no data at a wildcard", "anything.wild.chain.example.", rtype::TXT, 0, Secure, Insecure),
    ("wildcard by its own name", "*.wild.chain.example.", rtype::A, 0, Secure, Secure),
    ("wildcard several labels up", "a.b.c.data.wildcard.example.", rtype::TXT, 0, Secure, Insecure),
    ("wildcard blocked", "a.x.b.a.deep.wildcard.example.", rtype::TXT, NX, Secure, Insecure),
    ("CNAME", "two.chain.example.", rtype::A, 0, Secure, Secure),
    ("CNAME to no name", "to-missing.chain.example.", rtype::A, NX, Secure, Insecure),
    ("CNAME to no data", "to-empty.chain.example.", rtype::A, 0, Secure, Secure),
    ("CNAME to a wildcard", "to-wild.chain.example.", rtype::A, 0, Secure, Insecure),
    ("wildcard CNAME", "x.alias.wildcard.example.", rtype::A, 0, Secure, Insecure),
    ("CNAME to a DNAME", "to-dname.chain.example.", rtype::A, 0, Secure, Secure),
    ("DNAME", "www.inside.dname.example.", rtype::A, 0, Secure, Secure),
    ("DNAME to no name", "nothing.inside.dname.example.", rtype::A, NX, Secure, Insecure),
    ("DNAME to a wildcard", "x.wild.inside.dname.example.", rtype::TXT, 0, Secure, Insecure),
    ("secure delegation", "foxtrot.lac.", rtype::DS, 0, Secure, Secure),
    ("insecure delegation", "echo.lac.", rtype::DS, 0, Secure, Insecure),
    ("names below insecure delegations only", "lima.lac.", rtype::A, 0, Secure, Insecure),
    ("no such name beside these", "nothing.lima.lac.", rtype::A, NX, Secure, Insecure),
    ("insecure delegation below", "gov.lima.lac.", rtype::DS, 0, Secure, Insecure),
];

#[test]
fn unbound_validates_every_class_with_nsec() {
    validate(Denial::Nsec);
}

#[test]
fn unbound_validates_every_class_with_nsec3() {
    validate(Denial::Nsec3);
}

#[test]
fn unbound_validates_every_class_with_opt_out() {
    validate(Denial::Nsec3OptOut);
}

#[test]
fn unbound_says_bogus_where_a_record_is_not_what_was_signed() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let zones = zones(Denial::Nsec, folder.path());
    let forged = zones.iter().find(|zone| zone.apex.to_string() == "chain.example.");
    let forged = &forged.expect("one of the zones").file;
    let text = std::fs::read_to_string(forged).expect("a signed zone");
    let (right, wrong) = ("\tA\t192.0.2.1\n", "\tA\t192.0.2.99\n");
    assert_eq!(text.matches(right).count(), 1, "one record to forge");
    std::fs::write(forged, text.replace(right, wrong)).expect("written");
    let program = Path::new(env!("CARGO_BIN_EXE_responder"));
    let ours = local::start(Kind::Responder, program, &zones, folder.path(), None);
    let resolver = Resolver::start(&zones, ours.address, folder.path());
    assert_eq!(resolver.ask("target.chain.example.", rtype::A), (State::Bogus, 2));
    assert_eq!(resolver.ask("target.chain.example.", rtype::TXT), (Secure, 0));
}

#[test]
fn what_unbound_does_not_validate_of_ours_it_does_not_of_nsd_either() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let zones = zones(Denial::Nsec, folder.path());
    let none = Path::new("");
    let nsd = local::start(Kind::Nsd, none, &zones, folder.path(), None);
    let resolver = Resolver::start(&zones, nsd.address, folder.path());
    for (name, qtype) in [
        ("x.moved.chain.example.", rtype::CNAME),
        ("www.inside.dname.example.", rtype::DNAME),
        ("x.y.star.wildcard.example.", rtype::A),
        ("*._tcp.second.wildcard.example.", rtype::NS),
        ("*._tcp.wildcard.example.", rtype::MX),
    ] {
        assert_eq!(resolver.ask(name, qtype), (State::Bogus, 2), "{name}");
    }
    assert_eq!(resolver.ask("www.inside.dname.example.", rtype::A), (Secure, 0));
}

/// The explicit cases, and then everything that there is to ask about the zones.
fn validate(denial: Denial) {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let zones = zones(denial, folder.path());
    let program = Path::new(env!("CARGO_BIN_EXE_responder"));
    let ours = local::start(Kind::Responder, program, &zones, folder.path(), None);
    let knot = local::start(Kind::Knot, program, &zones, folder.path(), None);
    let resolver = Resolver::start(&zones, ours.address, folder.path());
    for &(class, name, qtype, rcode, proved, opted_out) in CASES {
        let state = if denial == Denial::Nsec3OptOut { opted_out } else { proved };
        assert_eq!(resolver.ask(name, qtype), (state, rcode), "{class}: {name}");
    }

    let apexes: Vec<Name> = zones.iter().map(|zone| zone.apex.clone()).collect();
    let mut asked = Vec::new();
    let mut data: Vec<ZoneData> = Vec::new();
    for apex in &apexes {
        let records = ask::transfer(knot.address, apex).expect("a transfer from Knot");
        let all = queries::everything(apex, &records, 3, true);
        asked.extend(all.into_iter().map(|query| (query.name, query.qtype)));
        data.push(records.into_iter().collect());
    }
    let validation = Validation {
        ours: local::side(ours.address),
        resolver: local::side(resolver.address()),
        apexes: &apexes,
        data: &data,
    };
    let tally = validation.run(&asked, PACE).expect("both sides answer");
    println!("{denial:?}: {tally}");
    assert_eq!(tally.faults(), 0, "{tally}");
    assert!(tally.equal > 5_000, "too few answers were validated: {}", tally.equal);
}

/// A resolver takes its time with what it has to prove first.
const PACE: Pace = Pace { sockets: 2, window: 32, patience: Duration::from_secs(3), tries: 3 };

struct Resolver(refereeing::peers::Peer);

impl Resolver {
    fn start(zones: &[Zone], upstream: SocketAddr, folder: &Path) -> Self {
        let none = Path::new("");
        Self(local::start(Kind::Unbound, none, zones, folder, Some(upstream)))
    }

    fn address(&self) -> SocketAddr {
        self.0.address
    }

    fn ask(&self, name: &str, qtype: u16) -> (State, u8) {
        let query = question(1, Name::from_text(name).expect("a name"), qtype);
        let replies = ask::datagrams(self.address(), &[query], PACE).expect("a socket");
        verdict(replies.replies[0].as_deref()).unwrap_or_else(|fault| panic!("{name}: {fault}"))
    }
}

fn zones(denial: Denial, folder: &Path) -> Vec<Zone> {
    std::fs::create_dir_all(folder).expect("a scratch folder");
    let is_one = |zone: &Zone| ZONES.contains(&zone.apex.to_string().as_str());
    let samples = local::sample_zones().into_iter().filter(is_one);
    let sign = |zone| sign(&zone, denial, folder).unwrap_or_else(|error| panic!("{error}"));
    let zones: Vec<Zone> = samples.map(sign).collect();
    assert_eq!(zones.len(), ZONES.len(), "a sample zone is missing");
    zones
}
