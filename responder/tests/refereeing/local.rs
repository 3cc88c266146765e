//! Servers on this machine's loopback, for tests that need no namespace.

use std::{
    net::{SocketAddr, TcpListener, UdpSocket},
    path::Path,
    sync::atomic::{AtomicU16, Ordering},
};

use super::{
    contest::Side,
    peers::{Kind, Peer, Plan, Upstream, Zone},
};

/// `limits.udp-size` of every side, in octets.
pub const UDP_SIZE: u16 = 1232;

/// Starts a server; `program` is ours. A resolver asks `upstream`.
///
/// # Panics
/// When it does not come to answer, with what it said.
pub fn start(
    kind: Kind,
    program: &Path,
    zones: &[Zone],
    folder: &Path,
    upstream: Option<SocketAddr>,
) -> Peer {
    let plan = Plan {
        kind,
        program: (kind == Kind::Responder).then_some(program),
        address: free_address(),
        zones,
        udp_size: UDP_SIZE,
        workers: 1,
        folder: &folder.join(kind.program()),
        wrap: &[],
        within: &|work| work(),
        upstream: upstream.map(|address| Upstream { address, date: None }),
        interface: None,
        limit: 0,
    };
    Peer::start(&plan).unwrap_or_else(|error| panic!("{error}"))
}

/// A server that can be asked from here.
pub fn side(address: SocketAddr) -> Side<'static> {
    Side { address, within: &|work| work() }
}

/// The zones of `zones/`.
///
/// # Panics
/// When they cannot be read.
pub fn sample_zones() -> Vec<Zone> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../zones");
    let folder = folder.canonicalize().expect("the folder zones/");
    Zone::all_in(&folder).expect("zone files")
}

/// An address whose port was free a moment ago, over UDP and TCP: one that the kernel does not give to
/// the connections of tests that run at the same time (it begins at 32,768).
fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = std::process::id() as u16;
    loop {
        let step = start.wrapping_mul(64).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let address = SocketAddr::from(([127, 0, 0, 1], 20_000 + step % 12_000));
        if UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
