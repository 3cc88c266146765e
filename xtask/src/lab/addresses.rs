//! Who has which address and number in the laboratory; all follow from the topology. Places count from 1
//! here.
//!
//! | what | IPv4 | IPv6 |
//! |---|---|---|
//! | the service, of every node | 192.0.2.53 of 192.0.2.0/24 | 2001:db8:53::53 of 2001:db8:53::/48 |
//! | place p | 10.p.0.0/16 | fd00:p::/32 |
//! | segment s of place p | router 10.p.s.1, other end 10.p.s.2 | fd00:p:s::1, fd00:p:s::2 |
//! | link k between routers | 10.200.k.1 and 10.200.k.2 | fd00:200:k::1 and ::2 |

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses of the service.
pub const SERVICE: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 53)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x53, 0, 0, 0, 0, 0x53)),
];

/// The prefixes of the service, which its nodes announce.
pub const PREFIXES: [&str; 2] = ["192.0.2.0/24", "2001:db8:53::/48"];

/// The cloud's AS number: every node has the same.
pub const CLOUD_AS: u32 = 64_512;

/// What is joined to the router of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segment {
    /// The resolver.
    Resolver = 1,
    /// A node of the cloud.
    Node = 2,
    /// A distributor.
    Distributor = 3,
    /// A hidden primary.
    Primary = 4,
}

impl Segment {
    /// The router's interface there.
    pub fn interface(self) -> &'static str {
        match self {
            Self::Resolver => "resolver",
            Self::Node => "node",
            Self::Distributor => "distributor",
            Self::Primary => "primary",
        }
    }
}

/// The AS number of a place.
pub fn place_as(place: usize) -> u32 {
    64_601 + place as u32
}

/// The prefixes of a place.
pub fn place_prefixes(place: usize) -> [String; 2] {
    [format!("10.{}.0.0/16", place + 1), format!("fd00:{:x}::/32", place + 1)]
}

/// A router's identity.
pub fn router_id(place: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, place as u8 + 1, 0, 1)
}

/// The addresses of a segment: the router's, and those of what is joined to it.
pub fn segment(place: usize, segment: Segment) -> [[IpAddr; 2]; 2] {
    let end = |end: u8| -> [IpAddr; 2] {
        let number = segment as u8;
        [
            Ipv4Addr::new(10, place as u8 + 1, number, end).into(),
            Ipv6Addr::new(0xfd00, place as u16 + 1, number.into(), 0, 0, 0, 0, end.into()).into(),
        ]
    };
    [end(1), end(2)]
}

/// The addresses of what is joined to a router.
pub fn of(place: usize, kind: Segment) -> [IpAddr; 2] {
    segment(place, kind)[1]
}

/// The addresses of both ends of a link between routers.
pub fn link(number: usize) -> [[IpAddr; 2]; 2] {
    let end = |end: u8| -> [IpAddr; 2] {
        [
            Ipv4Addr::new(10, 200, number as u8, end).into(),
            Ipv6Addr::new(0xfd00, 0x200, number as u16, 0, 0, 0, 0, end.into()).into(),
        ]
    };
    [end(1), end(2)]
}
