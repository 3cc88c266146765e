//! The small internet in namespaces: a router for each place, and what is joined to it.

use std::{
    collections::BTreeMap,
    fs,
    net::IpAddr,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

use super::{
    addresses::{self, Segment},
    bird, router,
    topology::{Link, Routing, Topology},
};
use crate::{
    net::{Blocked, End, Namespace, block, join, let_pass},
    process::{self, Running},
};

/// All namespaces and routers; gone on drop.
pub struct World {
    /// What it is made from.
    pub topology: &'static Topology,
    // Processes end before the namespaces that they are in.
    routers: BTreeMap<&'static str, Running>,
    spaces: BTreeMap<String, Namespace>,
    /// Programs that pass everything where a node's `XDP_TX` arrives.
    _passing: Vec<OwnedFd>,
    folder: PathBuf,
}

/// The sessions of all routers, by router and session.
pub type Sessions = BTreeMap<(String, String), Session>;

/// A session of BGP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Up, or what it waits for.
    pub state: String,
    /// Since when, as a time of the day.
    pub since: Duration,
}

impl Session {
    /// Whether it was this all the time. BIRD works the time of a change out anew whenever it is asked, and not
    /// always to the same millisecond; a session that went and came needs more than its delays, a second.
    pub fn is_still(&self, before: &Self) -> bool {
        self.state == before.state && self.since.abs_diff(before.since) < Duration::from_millis(500)
    }
}

/// What is cut; on again when dropped.
pub struct Cut(#[expect(dead_code, reason = "held")] Vec<OwnedFd>);

impl World {
    /// Makes the namespaces and links, starts the routers.
    ///
    /// # Errors
    /// When not root, or something cannot be made or started.
    pub fn create(topology: &'static Topology, folder: &Path) -> anyhow::Result<Self> {
        let mut world = Self {
            topology,
            routers: BTreeMap::new(),
            spaces: BTreeMap::new(),
            _passing: Vec::new(),
            folder: folder.to_owned(),
        };
        let prefix = crate::cleanup::unique_name();
        for place in topology.places {
            let router = Namespace::create(&format!("{prefix}-{}", place.code))?;
            router.enter(forward)??;
            world.spaces.insert(place.code.to_owned(), router);
        }
        for (index, link) in topology.links.iter().enumerate() {
            let [a, b] = addresses::link(index);
            let ends = link.ends;
            world.join((ends.0, ends.1, a), (ends.1, ends.0, b))?;
        }
        for place in topology.places {
            world.add(&prefix, place.code, Segment::Resolver, format!("{}-r", place.code))?;
        }
        for node in topology.nodes {
            world.add(&prefix, node.place, Segment::Node, node.id.to_owned())?;
            let space = world.space(node.place);
            let passing = space.enter(|| let_pass(Segment::Node.interface()))??;
            world._passing.push(passing);
            let routing = node.routing;
            let node = world.space(node.id);
            // FRR's node has the addresses only while it announces them.
            for address in addresses::SERVICE.iter().filter(|_| routing != Routing::Frr) {
                process::output(&mut node.ip([
                    "address",
                    "add",
                    &address.to_string(),
                    "dev",
                    "lo",
                ]))?;
            }
        }
        for (index, place) in topology.distributors.iter().enumerate() {
            world.add(&prefix, place, Segment::Distributor, distributor(index))?;
        }
        for (index, primary) in topology.primaries.iter().enumerate() {
            world.add(&prefix, primary.place, Segment::Primary, self::primary(index))?;
        }
        for place in topology.places {
            world.start_router(place.code)?;
        }
        Ok(world)
    }

    /// A namespace by its role: a place's router by the place's code, its resolver by that and `-r`, a node by
    /// its identity, or [`distributor`] and [`primary`].
    ///
    /// # Panics
    /// When there is none of that name.
    pub fn space(&self, role: &str) -> &Namespace {
        self.spaces.get(role).unwrap_or_else(|| panic!("no namespace for {role}"))
    }

    /// A folder of its own for one of the roles.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn folder(&self, role: &str) -> anyhow::Result<PathBuf> {
        let folder = self.folder.join(role);
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        Ok(folder)
    }

    fn join(
        &self,
        (a, a_interface, a_addresses): (&str, &str, [IpAddr; 2]),
        (b, b_interface, b_addresses): (&str, &str, [IpAddr; 2]),
    ) -> anyhow::Result<()> {
        join(
            &End { space: self.space(a), interface: a_interface, addresses: a_addresses },
            &End { space: self.space(b), interface: b_interface, addresses: b_addresses },
        )
    }

    /// Joins something new to a place's router, with its default routes.
    fn add(
        &mut self,
        prefix: &str,
        place: &'static str,
        segment: Segment,
        role: String,
    ) -> anyhow::Result<()> {
        let space = Namespace::create(&format!("{prefix}-{role}"))?;
        self.spaces.insert(role.clone(), space);
        let [router, own] = addresses::segment(self.topology.number(place), segment);
        self.join((place, segment.interface(), router), (&role, UP, own))?;
        for gateway in router {
            let family = if gateway.is_ipv4() { "-4" } else { "-6" };
            let gateway = gateway.to_string();
            let space = self.space(&role);
            process::output(&mut space.ip([family, "route", "add", "default", "via", &gateway]))?;
        }
        Ok(())
    }

    /// Starts the router of a place.
    ///
    /// # Errors
    /// When BIRD cannot be started.
    fn start_router(&mut self, place: &'static str) -> anyhow::Result<()> {
        let folder = self.folder(&format!("{place}-router"))?;
        let config = folder.join("bird.conf");
        fs::write(&config, router::configuration(self.topology, place))?;
        let running = bird::start(self.space(place), &config, &folder)?;
        self.routers.insert(place, running);
        Ok(())
    }

    /// What the router of a place says to a command.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn ask_router(&self, place: &str, command: &str) -> anyhow::Result<String> {
        bird::ask(&self.router_folder(place).join(bird::SOCKET), command)
    }

    /// Where a place's router keeps its files.
    pub fn router_folder(&self, place: &str) -> PathBuf {
        self.folder.join(format!("{place}-router"))
    }

    /// Cuts what joins a segment to its router, silently: both keep their carrier.
    ///
    /// # Errors
    /// When the programs that drop cannot be attached.
    pub fn cut_segment(&self, place: &str, segment: Segment, what: Blocked) -> anyhow::Result<Cut> {
        Ok(Cut(self.space(place).enter(|| block(segment.interface(), what))??))
    }

    /// Cuts a link between routers, silently.
    ///
    /// # Errors
    /// As [`World::cut_segment`].
    pub fn cut_link(&self, link: &Link) -> anyhow::Result<Cut> {
        Ok(Cut(self.space(link.ends.0).enter(|| block(link.ends.1, Blocked::Everything))??))
    }

    /// Waits until the routers of all places have a route to every prefix of every place.
    ///
    /// # Errors
    /// When that does not come about.
    pub fn await_routes(&self, patience: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + patience;
        for place in self.topology.places {
            for family in 0..2 {
                for (number, _) in self.topology.places.iter().enumerate() {
                    let [v4, v6] = addresses::place_prefixes(number);
                    let prefix = if family == 0 { v4 } else { v6 };
                    let command = format!("show route {prefix}");
                    while !self
                        .ask_router(place.code, &command)
                        .is_ok_and(|said| said.contains(&prefix))
                    {
                        ensure!(
                            Instant::now() < deadline,
                            "{}: no route to {prefix} after {} s",
                            place.name,
                            patience.as_secs()
                        );
                        thread::sleep(Duration::from_millis(50));
                    }
                }
            }
        }
        Ok(())
    }

    /// The sessions of the routers, each in its present state.
    ///
    /// # Errors
    /// When a router does not answer, or tells no time.
    pub fn sessions(&self) -> anyhow::Result<Sessions> {
        let mut sessions = BTreeMap::new();
        for place in self.topology.places {
            for line in self.ask_router(place.code, "show protocols")?.lines() {
                let words: Vec<&str> = line.split_whitespace().collect();
                if let [name, "BGP", _, state, since, ..] = words[..] {
                    let key = (place.code.to_owned(), name.trim_start_matches("1002-").to_owned());
                    let since = time_of_day(since).with_context(|| format!("since {since:?}"))?;
                    sessions.insert(key, Session { state: state.to_owned(), since });
                }
            }
        }
        Ok(sessions)
    }
}

/// The interface towards the router in all that is joined to one.
pub const UP: &str = "uplink";

/// The role of a distributor.
pub fn distributor(index: usize) -> String {
    format!("dist{}", index + 1)
}

/// The role of a hidden primary.
pub fn primary(index: usize) -> String {
    format!("primary{}", index + 1)
}

/// Hours, minutes and seconds with their fraction, as BIRD writes them.
fn time_of_day(text: &str) -> Option<Duration> {
    let mut parts = text.split(':');
    let [hours, minutes, seconds] = [parts.next()?, parts.next()?, parts.next()?];
    let minutes = hours.parse::<u64>().ok()? * 60 + minutes.parse::<u64>().ok()?;
    let seconds = Duration::try_from_secs_f64(seconds.parse().ok()?).ok()?;
    parts.next().is_none().then_some(Duration::from_secs(minutes * 60) + seconds)
}

/// Makes the calling thread's namespace a router's.
fn forward() -> std::io::Result<()> {
    for (switch, value) in [
        ("ipv4/ip_forward", "1"),
        ("ipv6/conf/all/forwarding", "1"),
        // Ways are not the same in both directions.
        ("ipv4/conf/all/rp_filter", "0"),
        ("ipv4/conf/default/rp_filter", "0"),
    ] {
        fs::write(Path::new("/proc/sys/net").join(switch), value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_still_the_same_if_only_its_time_was_rounded_otherwise() {
        let up = |since: &str| Session {
            state: "up".to_owned(),
            since: time_of_day(since).expect("a time"),
        };
        assert_eq!(up("23:37:23.389").since, Duration::from_millis(85_043_389));
        assert!(up("23:37:23.389").is_still(&up("23:37:23.388")));
        assert!(!up("23:37:24.389").is_still(&up("23:37:23.388")));
        assert!(
            !Session { state: "start".to_owned(), ..up("23:37:23.388") }
                .is_still(&up("23:37:23.388"))
        );
        assert_eq!(time_of_day("2026-11-22"), None);
    }
}
