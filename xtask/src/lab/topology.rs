//! The laboratory's world as data: places, the links between them, nodes, distributors, clients.
//!
//! Each place is an autonomous system with one router. A link has a length; a router says its own
//! number as often in the paths that it tells over the link, so that the shortest AS path is the
//! shortest way. Nothing else leads a resolver to a node. [`Topology::nearest`] works the same out
//! without BGP, for the script to compare with.

use std::collections::BTreeSet;

/// Somewhere with a router and a resolver.
#[derive(Debug)]
pub struct Place {
    /// Three letters, for namespaces, files and tables.
    pub code: &'static str,
    /// Its name, for people.
    pub name: &'static str,
    /// Where the map shows it: degrees of longitude, degrees of latitude.
    pub at: (f64, f64),
}

/// A link between the routers of two places.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    /// Its ends.
    pub ends: (&'static str, &'static str),
    /// By how many AS numbers it makes a path longer.
    pub length: usize,
}

/// Which routing daemon a node runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routing {
    /// BIRD, with BGP and BFD.
    Bird,
    /// FRR: zebra, bgpd and bfdd.
    Frr,
    /// ExaBGP for BGP, and a BIRD beside it that speaks BFD alone.
    ExaBgp,
}

/// A node of the cloud.
#[derive(Debug)]
pub struct Node {
    /// Its identity, which it tells as NSID.
    pub id: &'static str,
    /// The place that it stands in.
    pub place: &'static str,
    /// What speaks BGP for it.
    pub routing: Routing,
    /// Whether it joins only later, in a step of the script.
    pub joins_later: bool,
}

/// A server whose zones the cloud carries for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Make {
    /// Knot DNS.
    Knot,
    /// BIND.
    Bind,
    /// NSD.
    Nsd,
    /// PowerDNS with a database.
    PowerDns,
}

/// A hidden primary and the zones of the clients that keep it.
#[derive(Debug)]
pub struct Primary {
    /// What it runs.
    pub make: Make,
    /// Where it stands.
    pub place: &'static str,
    /// Its zones; each client has one.
    pub zones: &'static [&'static str],
}

/// The whole world.
#[derive(Debug)]
pub struct Topology {
    /// Ten, each with a resolver.
    pub places: &'static [Place],
    /// How they are joined.
    pub links: &'static [Link],
    /// Where the service is given.
    pub nodes: &'static [Node],
    /// Places of the distributors.
    pub distributors: &'static [&'static str],
    /// Where zones come from.
    pub primaries: &'static [Primary],
    /// A zone of the first primary that joins the cloud only later.
    pub later_zone: &'static str,
}

const fn place(code: &'static str, name: &'static str, at: (f64, f64)) -> Place {
    Place { code, name, at }
}

const fn link(ends: (&'static str, &'static str), length: usize) -> Link {
    Link { ends, length }
}

const fn node(id: &'static str, place: &'static str, routing: Routing) -> Node {
    Node { id, place, routing, joins_later: false }
}

/// The one world that there is.
pub const WORLD: Topology = Topology {
    places: &[
        place("scl", "Santiago", (-70.7, -33.4)),
        place("gru", "São Paulo", (-46.6, -23.5)),
        place("sjo", "San José", (-84.1, 9.9)),
        place("eze", "Buenos Aires", (-58.4, -34.6)),
        place("mvd", "Montevideo", (-56.2, -34.9)),
        place("mia", "Miami", (-80.2, 25.8)),
        place("sdq", "Santo Domingo", (-69.9, 18.5)),
        place("bog", "Bogotá", (-74.1, 4.7)),
        place("lim", "Lima", (-77.0, -12.0)),
        place("mex", "Ciudad de México", (-99.1, 19.4)),
    ],
    links: &[
        link(("scl", "eze"), 3),
        link(("eze", "mvd"), 1),
        link(("mvd", "gru"), 5),
        link(("eze", "gru"), 6),
        link(("scl", "lim"), 7),
        link(("lim", "bog"), 4),
        link(("bog", "sjo"), 2),
        link(("bog", "mia"), 8),
        link(("sjo", "sdq"), 3),
        link(("sdq", "mia"), 6),
        link(("sjo", "mia"), 6),
        link(("sjo", "mex"), 4),
        link(("mex", "mia"), 7),
        link(("gru", "mia"), 15),
    ],
    nodes: &[
        node("scl1", "scl", Routing::Bird),
        node("gru1", "gru", Routing::Bird),
        node("sjo1", "sjo", Routing::Bird),
        node("eze1", "eze", Routing::ExaBgp),
        node("mvd1", "mvd", Routing::Frr),
        node("mia1", "mia", Routing::Bird),
        Node { id: "bog1", place: "bog", routing: Routing::Bird, joins_later: true },
    ],
    distributors: &["mia", "bog"],
    primaries: &[
        Primary { make: Make::Knot, place: "lim", zones: &["cr.", "do.", "uy."] },
        Primary { make: Make::Bind, place: "mex", zones: &["sv.", "gt."] },
        Primary { make: Make::Nsd, place: "sdq", zones: &["hn.", "ni."] },
        Primary { make: Make::PowerDns, place: "gru", zones: &["pa.", "py."] },
    ],
    later_zone: "uy.",
};

impl Topology {
    /// The number of a place, from which its addresses and its AS number follow.
    ///
    /// # Panics
    /// When there is no such place; the table has a test.
    pub fn number(&self, code: &str) -> usize {
        let found = self.places.iter().position(|place| place.code == code);
        found.unwrap_or_else(|| panic!("no place is called {code}"))
    }

    /// A node by its identity.
    pub fn node(&self, id: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// The zones that the cloud carries from the start.
    pub fn zones(&self) -> impl Iterator<Item = &'static str> {
        let all = self.primaries.iter().flat_map(|primary| primary.zones);
        all.copied().filter(|zone| *zone != self.later_zone)
    }

    /// How far every place is from one, over the links that are not cut.
    fn distances(&self, from: &str, cut: &[Link]) -> Vec<Option<usize>> {
        let mut distances = vec![None; self.places.len()];
        distances[self.number(from)] = Some(0);
        let is_cut = |link: &Link| cut.iter().any(|other| other.ends == link.ends);
        // Bellman and Ford's: as many rounds as there are places suffice.
        for _ in self.places {
            for link in self.links.iter().filter(|link| !is_cut(link)) {
                let (a, b) = (self.number(link.ends.0), self.number(link.ends.1));
                for (near, far) in [(a, b), (b, a)] {
                    let through = distances[near].map(|distance| distance + link.length);
                    distances[far] = match (distances[far], through) {
                        (Some(known), Some(through)) => Some(known.min(through)),
                        (known, through) => known.or(through),
                    };
                }
            }
        }
        distances
    }

    /// The nodes by their distance from a place, nearest first, among those in `alive`.
    pub fn by_distance(
        &self,
        place: &str,
        alive: &BTreeSet<&str>,
        cut: &[Link],
    ) -> Vec<(usize, &Node)> {
        let distances = self.distances(place, cut);
        let nodes = self.nodes.iter().filter(|node| alive.contains(node.id));
        let mut nodes: Vec<_> =
            nodes.filter_map(|node| Some((distances[self.number(node.place)]?, node))).collect();
        nodes.sort_by_key(|(distance, _)| *distance);
        nodes
    }

    /// Which node answers a place, by the length of the ways alone.
    pub fn nearest(&self, place: &str, alive: &BTreeSet<&str>, cut: &[Link]) -> Option<&str> {
        self.by_distance(place, alive, cut).first().map(|(_, node)| node.id)
    }

    /// The nodes that are there from the start.
    pub fn first_nodes(&self) -> BTreeSet<&'static str> {
        self.nodes.iter().filter(|node| !node.joins_later).map(|node| node.id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_one_of_a_place_and_every_place_is_reached() {
        let links = WORLD.links.iter().flat_map(|link| [link.ends.0, link.ends.1]);
        let nodes = WORLD.nodes.iter().map(|node| node.place);
        let primaries = WORLD.primaries.iter().map(|primary| primary.place);
        for code in links.chain(nodes).chain(primaries).chain(WORLD.distributors.iter().copied()) {
            WORLD.number(code);
        }
        assert!(WORLD.distances("scl", &[]).iter().all(Option::is_some));
        assert_eq!((WORLD.places.len(), WORLD.first_nodes().len()), (10, 6));
        assert_eq!(WORLD.zones().count(), 8);
    }

    #[test]
    fn santo_domingo_goes_to_san_jose_and_then_to_miami() {
        let mut alive = WORLD.first_nodes();
        assert_eq!(WORLD.nearest("sdq", &alive, &[]), Some("sjo1"));
        alive.remove("sjo1");
        assert_eq!(WORLD.nearest("sdq", &alive, &[]), Some("mia1"));
    }

    #[test]
    fn no_two_nodes_are_equally_far_from_a_place() {
        // A tie would be broken by the age of a route: nothing that a script could foretell.
        let alive = WORLD.nodes.iter().map(|node| node.id).collect();
        for place in WORLD.places {
            let nodes = WORLD.by_distance(place.code, &alive, &[]);
            for pair in nodes.windows(2) {
                assert!(pair[0].0 < pair[1].0, "{}: {pair:?}", place.code);
            }
        }
    }
}
