//! What a name server must make of the odd queries that RFC 8906, section 8, tells operators to send, and of
//! more of their kind: the same are sent to us, to NSD and to Knot. There may be none that a peer handles as
//! the RFCs ask and we do not.

use responder::strict;
mod refereeing;

use std::path::Path;

use refereeing::{
    ask, local,
    peers::{Kind, Zone},
    probe::{Opt, Probe},
    sign::{Denial, sign},
};
use strict::{Message, rtype};

/// A signed zone of the samples, made for these queries: it has a name of every size.
const ZONE: &str = "types.example";

/// A query and what its reply must be.
struct Check {
    name: &'static str,
    tcp: bool,
    probe: Probe,
    expected: Expected,
}

/// What the reply must be. The flags RA, AD, the reserved bits of header and OPT are never set, and RD is
/// the query's.
#[derive(Clone, Copy)]
struct Expected {
    rcode: u16,
    opcode: u8,
    /// Authoritative.
    aa: bool,
    /// How many records of the type that was asked for are in the answer; none: any number.
    answers: Option<usize>,
    /// DO of the reply's OPT; none: no OPT.
    edns: Option<bool>,
    /// Signatures in the answer.
    signed: bool,
    /// Must be truncated.
    truncated: bool,
}

const FORMERR: u16 = 1;
const NOTIMP: u16 = 4;
const BADVERS: u16 = 16;

/// One record asked for, and given.
const GIVEN: Expected = Expected {
    rcode: 0,
    opcode: 0,
    aa: true,
    answers: Some(1),
    edns: None,
    signed: false,
    truncated: false,
};
const EDNS: Expected = Expected { edns: Some(false), ..GIVEN };
const DO: Expected = Expected { edns: Some(true), signed: true, ..GIVEN };
/// RFC 6891, section 6.1.3: no answer, our own version in OPT.
const BAD_VERSION: Expected = Expected { rcode: BADVERS, aa: false, answers: Some(0), ..EDNS };

/// Options that have a meaning: NSID (RFC 5001), client subnet (RFC 7871), EXPIRE (RFC 7314), cookie
/// (RFC 7873), padding (RFC 7830).
fn known(code: u16) -> (u16, Vec<u8>) {
    let data: &[u8] = match code {
        8 => &[0, 1, 0, 0],
        10 => &[1, 2, 3, 4, 5, 6, 7, 8],
        12 => &[0; 20],
        _ => &[],
    };
    (code, data.to_vec())
}

fn checks() -> Vec<Check> {
    let plain = || Probe::new(ZONE);
    let opt = |version, flags, options: &[(u16, Vec<u8>)]| {
        let options = options.to_vec();
        plain().opt(Opt { version, flags, options, ..Opt::default() })
    };
    let unknown = (100, vec![]);
    let mut checks = Vec::new();
    let mut add = |name, probe, expected| {
        checks.push(Check { name, tcp: false, probe, expected });
    };
    // RFC 8906, section 8.1, and RFC 1035, section 4.1.1.
    add("the zone exists", plain(), GIVEN);
    let nothing = Expected { answers: Some(0), ..GIVEN };
    add("an unknown type", Probe::of(ZONE, 1000), nothing);
    add("another unknown type", Probe::of(ZONE, 666), nothing);
    for (name, bit) in [
        ("AA in the query", 0x0400),
        ("TC in the query", 0x0200),
        ("RD", 0x0100),
        ("RA in the query", 0x0080),
        ("the reserved bit Z", 0x0040),
        ("AD", 0x0020),
        ("CD", 0x0010),
    ] {
        add(name, plain().flags(bit), GIVEN);
    }
    let not_implemented =
        Expected { rcode: NOTIMP, opcode: 15, aa: false, answers: Some(0), ..GIVEN };
    let bare = Probe { questions: 0, ..plain() };
    add("an unknown opcode, header only", bare.clone().flags(0x7800), not_implemented);
    add("an unknown opcode, all flags", bare.flags(0x7ff0), not_implemented);
    add("an unknown opcode with a question", plain().flags(0x7800), not_implemented);
    for (name, opcode) in
        [("IQUERY", 1), ("STATUS", 2), ("opcode 3", 3), ("DSO", 6), ("opcode 7", 7)]
    {
        let expected = Expected { opcode, ..not_implemented };
        let probe = Probe { questions: 0, ..plain() };
        add(name, probe.flags(u16::from(opcode) << 11), expected);
    }
    // RFC 8906, section 8.2.
    add("EDNS", plain().edns(), EDNS);
    add("EDNS version 1", opt(1, 0, &[]), BAD_VERSION);
    add("an unknown option", opt(0, 0, std::slice::from_ref(&unknown)), EDNS);
    add("an unknown option with data", opt(0, 0, &[(65_000, vec![7; 9])]), EDNS);
    add("an unknown EDNS flag", opt(0, 0x0040, &[]), EDNS);
    add("all unknown EDNS flags", opt(0, 0x7fff, &[]), EDNS);
    add("version 1 and an unknown flag", opt(1, 0x0040, &[]), BAD_VERSION);
    add("version 1 and an unknown option", opt(1, 0, &[unknown]), BAD_VERSION);
    add("version 255", opt(255, 0, &[]), BAD_VERSION);
    let small = Opt { size: 512, flags: Opt::DO, ..Opt::default() };
    let truncated = Expected { answers: None, edns: Some(true), truncated: true, ..GIVEN };
    add("a large answer, EDNS size 512", Probe::of("big.types.example", 16).opt(small), truncated);
    add("DO", opt(0, Opt::DO, &[]), DO);
    let bad_version = Expected { edns: Some(true), ..BAD_VERSION };
    add("version 1 and DO", opt(1, Opt::DO, &[]), bad_version);
    add("all EDNS flags", opt(0, 0xffff, &[]), DO);
    for (name, code) in
        [("NSID", 3), ("client subnet", 8), ("EXPIRE", 9), ("a cookie", 10), ("padding", 12)]
    {
        add(name, opt(0, 0, &[known(code)]), EDNS);
    }
    let several = [3, 8, 9, 10].map(known);
    add("several known options", opt(0, 0, &several), EDNS);
    add("DO and a cookie", opt(0, Opt::DO, &[known(10)]), DO);
    add("version 1 and NSID", opt(1, 0, &[known(3)]), BAD_VERSION);
    add("version 1 and padding", opt(1, 0, &[known(12)]), BAD_VERSION);
    let tiny = Opt { size: 0, ..Opt::default() };
    add("an EDNS size of 0 counts as 512", plain().opt(tiny), EDNS);
    // RFC 6891, section 6.1.1: more than one OPT. The reply may have one or none.
    let malformed = Expected { rcode: FORMERR, aa: false, answers: Some(0), ..GIVEN };
    add("two OPTs", plain().edns().edns(), malformed);
    // RFC 6891, section 6.1.2: the owner is the root.
    let named = Opt { owner: b"\x01a\0".to_vec(), ..Opt::default() };
    add("an OPT that is not the root's", plain().opt(named), malformed);
    // RFC 9619: one question.
    add("two questions", Probe { questions: 2, ..plain() }, malformed);
    add("no question", Probe { questions: 0, ..plain() }, malformed);
    let torn = Probe { trailing: vec![0; 3], ..plain() };
    add("octets behind the message", torn, malformed);
    let pointer = Probe { name: vec![0xc0, 0x0c], ..plain() };
    add("a question name that points at itself", pointer, malformed);
    let long = Probe { name: b"\x40".iter().chain(&[b'a'; 64]).copied().collect(), ..plain() };
    add("a label of an unknown kind", long, malformed);
    // Types that are asked for but are no data: RFC 6895, section 3.1, and see `responder_common::meta`.
    let no_kind = Expected { rcode: NOTIMP, aa: false, answers: Some(0), ..EDNS };
    add("MAILB", Probe::of(ZONE, 253).edns(), no_kind);
    add("MAILA", Probe::of(ZONE, 254).edns(), no_kind);
    add("AXFR in a datagram", Probe::of(ZONE, 252).edns(), no_kind);
    let no_type = Expected { rcode: FORMERR, ..no_kind };
    add("NXNAME", Probe::of(ZONE, 128).edns(), no_type);
    add("OPT", Probe::of(ZONE, 41).edns(), no_type);
    add("TSIG", Probe::of(ZONE, 250).edns(), no_type);
    // RFC 3597 and every type in use: a type that is not there is nothing special.
    for qtype in (3..=65).chain([99, 256, 257, 258, 259, 32_768, 32_769]) {
        if ![rtype::SOA, rtype::OPT, rtype::RRSIG].contains(&qtype) {
            let expected = Expected { answers: None, ..EDNS };
            add("a type in use", Probe::of(ZONE, qtype).edns(), expected);
        }
    }
    let mut stream = |name, probe, expected| {
        checks.push(Check { name, tcp: true, probe, expected });
    };
    stream("TCP", plain(), GIVEN);
    stream("EDNS over TCP", plain().edns(), EDNS);
    stream("DO over TCP", plain().dnssec(), DO);
    stream("client subnet over TCP", opt(0, 0, &[known(8)]), EDNS);
    stream("keepalive (RFC 7828)", opt(0, 0, &[(11, vec![])]), EDNS);
    stream("version 1 over TCP", opt(1, 0, &[]), BAD_VERSION);
    checks
}

impl Check {
    /// Holds a reply against what is expected.
    fn judge(&self, reply: Option<&[u8]>) -> Result<(), String> {
        let reply = reply.ok_or("no reply")?;
        let reply = Message::parse(reply).map_err(|fault| fault.to_string())?;
        let Expected { rcode, opcode, aa, answers, edns, signed, truncated } = self.expected;
        let header = reply.header;
        let of_type = |qtype| reply.answer.iter().filter(move |one| one.rtype == qtype).count();
        let opt = reply.edns.as_ref();
        // Where the query is malformed an OPT may be missing, and it need not repeat the question.
        let malformed = rcode == FORMERR && edns.is_none();
        let echoed = |code: &u16| [100, 65_000].contains(code);
        let faults = [
            (reply.rcode() != rcode, "rcode"),
            (header.id != Probe::ID || !header.qr || header.opcode != opcode, "ID, QR or opcode"),
            (header.rd != (self.probe.flags & 0x0100 != 0), "RD"),
            (header.ra || header.ad, "RA or AD"),
            (header.aa != aa && !truncated, "AA"),
            (header.tc != truncated, "TC"),
            (!malformed && opt.map(|opt| opt.dnssec_ok) != edns, "OPT or DO"),
            (opt.is_some_and(|opt| opt.version != 0), "the version in OPT"),
            (opt.is_some_and(|opt| opt.reserved != 0), "reserved bits in OPT"),
            (
                opt.is_some_and(|opt| opt.options.iter().any(|(code, _)| echoed(code))),
                "an unknown option came back",
            ),
            (answers.is_some_and(|count| of_type(self.probe.qtype) != count), "the answer"),
            (signed != (of_type(rtype::RRSIG) > 0) && !truncated, "signatures"),
            (truncated && reply.octets > 512, "the size"),
        ];
        match faults.iter().find(|(broken, _)| *broken) {
            None => Ok(()),
            Some((_, fault)) => Err(format!("{fault}: {reply}")),
        }
    }
}

/// What each check came to.
fn run(kind: Kind, zone: &Zone, folder: &Path) -> Vec<Result<(), String>> {
    let program = Path::new(env!("CARGO_BIN_EXE_responder"));
    let peer = local::start(kind, program, std::slice::from_ref(zone), folder, None);
    let ask = |check: &Check| {
        let query = check.probe.octets();
        let reply = if check.tcp {
            ask::exchange_stream(peer.address, &query)
        } else {
            ask::exchange_datagram(peer.address, &query)
        };
        let reply = reply.expect("a socket");
        check.judge(reply.as_deref())
    };
    checks().iter().map(ask).collect()
}

#[test]
fn rfc8906_no_peer_passes_a_check_that_we_fail() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("../zones/types.example.zone");
    let text = std::fs::read_to_string(text).expect("the sample zone");
    let file = folder.path().join("types.example.zone");
    let large: String =
        (0..6).map(|at| format!("big IN TXT \"{at}{}\"\n", "x".repeat(200))).collect();
    std::fs::write(&file, text + &large).expect("a scratch file");
    let zone = Zone { apex: strict::Name::from_text(ZONE).expect("a name"), file };
    let zone = sign(&zone, Denial::Nsec3, folder.path()).unwrap_or_else(|error| panic!("{error}"));
    let ours = run(Kind::Responder, &zone, folder.path());
    let nsd = run(Kind::Nsd, &zone, folder.path());
    let knot = run(Kind::Knot, &zone, folder.path());
    let mut worse = Vec::new();
    let mut failed = 0;
    for (((check, ours), nsd), knot) in checks().iter().zip(&ours).zip(&nsd).zip(&knot) {
        let word = |result: &Result<(), String>| if result.is_ok() { "ok" } else { "FAILS" };
        let name = format!("{} (type {})", check.name, check.probe.qtype);
        println!("{name:<50} ours {:<6} NSD {:<6} Knot {}", word(ours), word(nsd), word(knot));
        for (who, result) in [("ours", ours), ("NSD", nsd), ("Knot", knot)] {
            if let Err(fault) = result {
                println!("    {who}: {}", fault.trim_end().replace('\n', "\n    "));
            }
        }
        if ours.is_err() {
            failed += 1;
            if nsd.is_ok() || knot.is_ok() {
                worse.push(name);
            }
        }
    }
    assert!(worse.is_empty(), "a peer passes what we fail: {worse:#?}");
    assert_eq!(failed, 0, "checks that nobody passes");
}
