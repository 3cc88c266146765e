//! The routers of the small internet: one BIRD for each place.

use std::fmt::Write as _;

use super::{
    addresses::{self, CLOUD_AS, PREFIXES, Segment},
    topology::Topology,
};

/// The name of the session over a link, or with a node, for one family.
pub fn session(other: &str, family: usize) -> String {
    format!("{other}{}", ["4", "6"][family])
}

/// The configuration of a place's router. It announces the place's prefixes, tells every neighbour its best
/// way to anything, longer by the length of the link, and takes from its node nothing but the service's
/// prefixes.
pub fn configuration(world: &Topology, place: &str) -> String {
    let number = world.number(place);
    let own = addresses::place_as(number);
    let prefixes = addresses::place_prefixes(number);
    let mut text = format!(
        "log stderr all;\nrouter id {};\nprotocol device {{ scan time 60; }}\nprotocol bfd {{ interface \
         \"*\" {{ interval 100 ms; multiplier 3; }}; }}\nprotocol kernel {{ ipv4 {{ import none; export \
         where source = RTS_BGP; }}; }}\nprotocol kernel {{ ipv6 {{ import none; export where source = \
         RTS_BGP; }}; }}\nprotocol static {{ ipv4; route {} unreachable; }}\nprotocol static {{ ipv6; \
         route {} unreachable; }}\n\
         template bgp neighbour {{ local as {own}; bfd on; hold time 9; connect delay time 1; connect retry \
         time 2; error wait time 1, 2; }}\n",
        addresses::router_id(number),
        prefixes[0],
        prefixes[1]
    );
    for (index, link) in world.links.iter().enumerate() {
        let (a, b) = link.ends;
        let (other, [_, theirs]) = match place {
            _ if place == a => (b, addresses::link(index)),
            _ if place == b => (a, reversed(addresses::link(index))),
            _ => continue,
        };
        let prepended = format!("bgp_path.prepend({own}); ").repeat(link.length - 1);
        for (family, address) in theirs.iter().enumerate() {
            // Writing to a String cannot fail.
            _ = writeln!(
                text,
                "protocol bgp {} from neighbour {{ neighbor {address} as {}; {} {{ import all; export filter \
                 {{ {prepended}accept; }}; }}; }}",
                session(other, family),
                addresses::place_as(world.number(other)),
                ["ipv4", "ipv6"][family],
            );
        }
    }
    for node in world.nodes.iter().filter(|node| node.place == place) {
        for (family, address) in addresses::of(number, Segment::Node).iter().enumerate() {
            // RFC 8326: a route that is about to go is taken only where there is no other.
            _ = writeln!(
                text,
                "protocol bgp {} from neighbour {{ neighbor {address} as {CLOUD_AS}; {} {{ import filter {{ \
                 if net != {} then reject; if (65535, 0) ~ bgp_community then bgp_local_pref = 0; accept; \
                 }}; export none; }}; }}",
                session(node.id, family),
                ["ipv4", "ipv6"][family],
                PREFIXES[family]
            );
        }
    }
    text
}

fn reversed<T: Copy>([a, b]: [T; 2]) -> [T; 2] {
    [b, a]
}
