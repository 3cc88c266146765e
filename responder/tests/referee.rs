//! The sample zones, asked of us and of the peers: the short form of what `cargo xtask prove` asks.

use responder::strict;
mod refereeing;

use std::{
    net::{SocketAddr, UdpSocket},
    path::Path,
};

use refereeing::{
    ask::{self, Pace},
    contest::{Contest, Side},
    judge::Judge,
    peers::{Kind, Peer, Plan, Zone},
    queries,
    tally::Tally,
};

/// `limits.udp-size` of every side.
const UDP_SIZE: u16 = 1232;

#[test]
fn sample_zones_are_answered_as_nsd_answers_them() {
    compare(Kind::Responder, Kind::Nsd);
}

#[test]
fn sample_zones_are_answered_as_knot_answers_them() {
    compare(Kind::Responder, Kind::Knot);
}

/// Asks both sides everything about every sample zone; any difference fails the test.
fn compare(ours: Kind, theirs: Kind) {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let zones = sample_zones();
    let start = |kind: Kind| {
        let plan = Plan {
            kind,
            program: (kind == Kind::Responder).then(|| Path::new(env!("CARGO_BIN_EXE_responder"))),
            address: free_address(),
            zones: &zones,
            udp_size: UDP_SIZE,
            workers: 1,
            folder: &folder.path().join(kind.program()),
            wrap: &[],
            within: &|work| work(),
        };
        Peer::start(&plan).unwrap_or_else(|error| panic!("{error}"))
    };
    let theirs = start(theirs);
    let ours = start(ours);
    let apexes: Vec<_> = zones.iter().map(|zone| zone.apex.clone()).collect();
    let contest = Contest {
        ours: Side { address: ours.address, within: &|work| work() },
        theirs: Side { address: theirs.address, within: &|work| work() },
        judge: Judge { peer: theirs.kind, apexes: &apexes, udp_size: UDP_SIZE },
    };
    let mut all = Tally::default();
    for apex in &apexes {
        let records = ask::transfer(theirs.address, apex).expect("a transfer from the peer");
        let asked = queries::everything(apex, &records, 1, false);
        let tally = contest.run(&asked, Pace::default()).expect("both sides answer");
        println!("{apex} {} queries: {tally}", asked.len());
        all.merge(tally);
    }
    assert!(all.equal > 10_000, "too few replies were compared: {}", all.equal);
    assert_eq!(all.faults(), 0, "differences from {}:\n{all}", theirs.kind.program());
}

/// The zones of `zones/`.
fn sample_zones() -> Vec<Zone> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../zones");
    let folder = folder.canonicalize().expect("the folder zones/");
    Zone::all_in(&folder).expect("zone files")
}

/// An address whose port was free a moment ago.
fn free_address() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("a bound socket")
}
