//! A second client, behind an interface of its own of the server.
//!
//! Over a pair with one queue all packets are taken by the one processor that sends them, and a server that
//! answers in XDP or tc leaves the other one idle. A network card has a queue for each processor; two links
//! with a generator each, each on a processor of its own, load a server as such a card would.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{
    net::{CLIENT_INTERFACE, End, Namespace, Pair, SERVER, join},
    process,
};

/// The interface on the server's side.
pub const INTERFACE: &str = "vs-beside";
/// The addresses of that interface, by which the server's own are reached.
const NEAR: [IpAddr; 2] = addresses(1);
/// The second client's addresses.
const FAR: [IpAddr; 2] = addresses(2);

const fn addresses(host: u8) -> [IpAddr; 2] {
    [
        IpAddr::V4(Ipv4Addr::new(10, 53, 1, host)),
        IpAddr::V6(Ipv6Addr::new(0xfd53, 0, 0, 1, 0, 0, 0, host as u16)),
    ]
}

/// The second client; gone on drop, and the link with it.
#[derive(Debug)]
pub struct Beside {
    /// Where it is. Its interface is called as the first client's.
    pub space: Namespace,
}

impl Beside {
    /// Joins a second client to the server of a pair, and tells it the way to the server's addresses.
    ///
    /// # Errors
    /// When `ip` or `ethtool` refuses.
    pub fn connect(pair: &Pair) -> anyhow::Result<Self> {
        let space = Namespace::create(&format!("{}-beside", pair.client.name()))?;
        join(
            &End { space: &pair.server, interface: INTERFACE, addresses: NEAR },
            &End { space: &space, interface: CLIENT_INTERFACE, addresses: FAR },
        )?;
        for (side, interface) in [(&pair.server, INTERFACE), (&space, CLIENT_INTERFACE)] {
            process::output(side.command("ethtool").args(["-K", interface, "gro", "on"]))?;
        }
        for (server, way) in SERVER.into_iter().zip(NEAR) {
            process::output(&mut space.ip([
                "route",
                "add",
                &server.to_string(),
                "via",
                &way.to_string(),
            ]))?;
        }
        Ok(Self { space })
    }
}
