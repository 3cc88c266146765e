//! The cloud as a whole: everything started, asked from every place, and healed between the steps.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

use super::{
    addresses::{self, Segment},
    daemons::{self, Distributor, NodeHome},
    load::{self, Load, NOBODY, Query},
    primary,
    topology::{Link, Topology, WORLD},
    world::{self, World},
    zones,
};
use crate::cleanup::Scratch;

/// How long the cloud may take to come to rest before a step, on a machine that is busy otherwise.
const REST: Duration = Duration::from_secs(40);
/// A reply that is not there after so long is missing, for whoever watches the cloud come to rest.
const SOON: Duration = Duration::from_millis(300);
/// For how long everybody must have been answered well.
const STEADY: Duration = Duration::from_millis(500);

/// Which node answers each place, in each family: an index into the topology's nodes, or [`NOBODY`].
pub type Catchment = Vec<[u8; 2]>;

/// Everything that runs.
pub struct Cloud {
    // Ends first: nobody asks what is being taken down.
    load: Load,
    /// Nodes by their identity; those that join later too.
    pub nodes: BTreeMap<&'static str, NodeHome>,
    /// The distributors.
    pub distributors: Vec<Distributor>,
    /// The hidden primaries, in the topology's order.
    pub primaries: Vec<primary::Server>,
    /// The internet.
    pub world: World,
    /// Nodes that are to be announced.
    pub members: BTreeSet<&'static str>,
    serials: BTreeMap<String, u32>,
    /// Whether everything has just come to rest.
    rests: Cell<bool>,
    _scratch: Scratch,
}

/// What the load saw of an event.
#[derive(Debug)]
pub struct Outcome {
    /// From the event to the last query that was lost or answered by somebody else than in the end; nothing if
    /// there was none.
    pub converged: Duration,
    /// Queries that were sent since.
    pub asked: usize,
    /// Those without a reply, by place and family.
    pub lost: BTreeMap<(u8, u8), usize>,
    /// Those with another rcode than NOERROR, by zone.
    pub wrong: BTreeMap<u8, usize>,
    /// Who answered at the end.
    pub catchment: Catchment,
    /// The longest time for which the machine let nothing be sent.
    pub stall: Duration,
}

impl Outcome {
    /// All that were lost.
    pub fn lost(&self) -> usize {
        self.lost.values().sum()
    }

    /// Those of places and families that a node did not answer before.
    pub fn lost_elsewhere(&self, before: &Catchment, node: u8) -> usize {
        let elsewhere =
            |(place, family): &(u8, u8)| before[usize::from(*place)][usize::from(*family)] != node;
        self.lost.iter().filter(|(key, _)| elsewhere(key)).map(|(_, count)| count).sum()
    }
}

impl Cloud {
    /// Starts everything and waits until every place is answered by its nearest node.
    ///
    /// # Errors
    /// When something does not start, or the cloud does not come to rest.
    pub fn start(program: &Path) -> anyhow::Result<Self> {
        let scratch = Scratch::create()?;
        // FRR runs as a user of its own; what is secret has modes of its own.
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o711))?;
        let bpffs = scratch.mount_bpffs()?;
        let topology = &WORLD;
        let world = World::create(topology, scratch.path())?;
        let mut primaries = Vec::new();
        for (index, primary) in topology.primaries.iter().enumerate() {
            let role = world::primary(index);
            let plan = primary::Plan {
                primary,
                addresses: addresses::of(topology.number(primary.place), Segment::Primary),
                distributors: &daemons::distributors(topology),
                space: world.space(&role),
                folder: &world.folder(&role)?,
            };
            primaries.push(primary::Server::start(&plan).context(role)?);
        }
        let mut distributors = Vec::new();
        for index in 0..topology.distributors.len() {
            let mut distributor = Distributor::prepare(&world, index, program)?;
            distributor.start(&world)?;
            distributors.push(distributor);
        }
        let mut nodes = BTreeMap::new();
        for node in topology.nodes {
            let mut home = NodeHome::prepare(&world, node, program, &bpffs)?;
            if !node.joins_later {
                home.start(&world)?;
                home.start_routing(&world)?;
            }
            nodes.insert(node.id, home);
        }
        let zones: Vec<&str> = topology.zones().collect();
        let load = Load::start(&world, &zones)?;
        let cloud = Self {
            load,
            nodes,
            distributors,
            primaries,
            world,
            members: topology.first_nodes(),
            serials: BTreeMap::new(),
            rests: Cell::new(false),
            _scratch: scratch,
        };
        cloud.world.await_routes(REST)?;
        cloud.rest().context("after the start")?;
        Ok(cloud)
    }

    /// The data that all is made from.
    pub fn topology(&self) -> &'static Topology {
        self.world.topology
    }

    /// The index of a node.
    ///
    /// # Panics
    /// When there is none.
    pub fn index(&self, id: &str) -> u8 {
        let position = self.topology().nodes.iter().position(|node| node.id == id);
        position.unwrap_or_else(|| panic!("no node {id}")) as u8
    }

    /// Who should answer whom while these nodes are announced and these links are cut.
    pub fn expected(&self, alive: &BTreeSet<&'static str>, cut: &[Link]) -> Catchment {
        self.expected_each([alive, alive], cut)
    }

    /// As [`Cloud::expected`], with other nodes for each family.
    pub fn expected_each(&self, alive: [&BTreeSet<&'static str>; 2], cut: &[Link]) -> Catchment {
        let topology = self.topology();
        let of = |place: &str| {
            alive.map(|alive| {
                topology.nearest(place, alive, cut).map_or(NOBODY, |node| self.index(node))
            })
        };
        topology.places.iter().map(|place| of(place.code)).collect()
    }

    /// The members without one.
    pub fn without(&self, node: &str) -> BTreeSet<&'static str> {
        self.members.iter().copied().filter(|member| *member != node).collect()
    }

    /// Waits until everybody is answered by the nearest member.
    ///
    /// # Errors
    /// When that does not come about, with who answers instead.
    pub fn rest(&self) -> anyhow::Result<Catchment> {
        let expected = self.expected(&self.members, &[]);
        if !self.rests.take() {
            self.await_catchment(&expected, REST)?;
        }
        Ok(expected)
    }

    /// What becomes of the queries since an event, until everybody is answered by whom they should, or
    /// `patience` is over.
    ///
    /// # Errors
    /// When the cloud does not come to rest so.
    pub fn settle(
        &self,
        event: Instant,
        expected: &Catchment,
        patience: Duration,
    ) -> anyhow::Result<Outcome> {
        self.await_catchment(expected, patience)?;
        // What was sent since has not had its time; of what was sent before, the last has been answered.
        let end = Instant::now() - SOON;
        thread::sleep(load::PATIENCE.saturating_sub(SOON + STEADY));
        let queries = self.load.between(event, end);
        let mut outcome = Outcome {
            converged: Duration::ZERO,
            asked: queries.len(),
            lost: BTreeMap::new(),
            wrong: BTreeMap::new(),
            catchment: expected.clone(),
            stall: self.load.take_worst_stall(),
        };
        for query in &queries {
            if query.is_lost() {
                *outcome.lost.entry((query.place, query.family)).or_default() += 1;
            } else if query.rcode != 0 {
                *outcome.wrong.entry(query.zone).or_default() += 1;
            }
            if !is_as(query, expected) {
                outcome.converged = outcome.converged.max(query.sent - event);
            }
        }
        Ok(outcome)
    }

    /// Waits until everybody has been answered by whom they should for a while.
    fn await_catchment(&self, expected: &Catchment, patience: Duration) -> anyhow::Result<()> {
        let start = Instant::now();
        let sent = self.topology().places.len() * load::RATE as usize;
        let enough = sent * STEADY.as_millis() as usize / 1000 / 2;
        loop {
            thread::sleep(Duration::from_millis(50));
            let now = Instant::now();
            let from = now - SOON - STEADY;
            if from < start {
                continue;
            }
            let queries = self.load.between(from, now - SOON);
            let fine = queries.iter().all(|query| is_as(query, expected));
            if fine && queries.len() > enough {
                return Ok(());
            }
            ensure!(
                now < start + patience,
                "{} queries of late, {}",
                queries.len(),
                self.complaint(&queries, expected)
            );
        }
    }

    /// Who is not answered as expected.
    fn complaint(&self, queries: &[Query], expected: &Catchment) -> String {
        let mut faults: BTreeMap<String, usize> = BTreeMap::new();
        let topology = self.topology();
        let name =
            |node: u8| topology.nodes.get(usize::from(node)).map_or("nobody", |node| node.id);
        for query in queries.iter().filter(|query| !is_as(query, expected)) {
            let place = usize::from(query.place);
            let wanted = expected[place][usize::from(query.family)];
            let family = ["IPv4", "IPv6"][usize::from(query.family)];
            let fault = format!(
                "{} {family}: {} instead of {}",
                topology.places[place].name,
                name(query.node),
                name(wanted)
            );
            *faults.entry(fault).or_default() += 1;
        }
        format!("not everybody is answered by whom they should be: {faults:?}")
    }

    /// Brings back what a step has taken away or left behind.
    ///
    /// # Errors
    /// When something does not start again, or the cloud does not come to rest.
    pub fn heal(&mut self) -> anyhow::Result<Catchment> {
        for distributor in &mut self.distributors {
            distributor.revive(&self.world)?;
        }
        for id in &self.members {
            if let Some(home) = self.nodes.get_mut(id) {
                home.revive(&self.world)?;
            }
        }
        self.rests.set(false);
        self.rest()
    }

    /// Notes that a step ends with everything at rest: the next begins at once. How many queries were lost since
    /// a moment.
    pub fn close(&self, since: Instant) -> usize {
        let end = Instant::now() - SOON;
        thread::sleep(load::PATIENCE.saturating_sub(SOON + STEADY));
        self.rests.set(true);
        self.load.between(since, end).iter().filter(|query| query.is_lost()).count()
    }

    /// The sessions of routers that are another than they were, but for those with nodes and between places
    /// that a step has touched.
    ///
    /// # Errors
    /// When a router does not answer.
    pub fn flaps(
        &self,
        before: &world::Sessions,
        touched: &[String],
    ) -> anyhow::Result<Vec<String>> {
        let now = self.world.sessions()?;
        let is_touched = |name: &str| touched.iter().any(|touched| name.starts_with(&touched[..]));
        let is_still = |key, before| now.get(key).is_some_and(|now| now.is_still(before));
        let flaps = before.iter().filter(|(key, before)| {
            before.state == "up" && !is_touched(&key.1) && !is_still(*key, *before)
        });
        Ok(flaps.map(|((place, name), _)| format!("{place}: {name}")).collect())
    }

    /// The next serial of a zone.
    pub fn next_serial(&mut self, zone: &str) -> u32 {
        let serial = self.serials.entry(zone.to_owned()).or_insert(zones::FIRST);
        *serial += 1;
        *serial
    }

    /// The server of a client's zone.
    ///
    /// # Errors
    /// When no primary has it.
    pub fn primary_of(&self, zone: &str) -> anyhow::Result<(usize, &primary::Server)> {
        let has = |primary: &super::topology::Primary| primary.zones.contains(&zone);
        let index = self.topology().primaries.iter().position(has).context("no such zone")?;
        Ok((index, &self.primaries[index]))
    }

    /// Says how to look at it by hand.
    pub fn explain(&self) {
        println!("\nthe cloud is up, and asked from every place; Ctrl-C ends it. To look at it:\n");
        for (role, what) in
            [("sdq-r", "the resolver at Santo Domingo"), ("sjo", "San José's router")]
        {
            println!("  ip netns exec {} …   # {what}", self.world.space(role).name());
        }
        let resolver = self.world.space("sdq-r").name();
        println!("  ip netns exec {resolver} dig @{} +nsid www.cr. A", addresses::SERVICE[0]);
        println!("  ip netns exec {resolver} traceroute {}", addresses::SERVICE[0]);
        let router = self.world.router_folder("sjo").join(super::bird::SOCKET);
        println!("  birdc -s {} show route all for {}", router.display(), addresses::SERVICE[0]);
        if let Some(home) = self.nodes.get("sjo1") {
            println!("  {}", home.command("status"));
        }
    }

    /// A log of one of the roles.
    pub fn log(&self, role: &str, name: &str) -> String {
        let path = self.world.folder(role).map(|folder| folder.join(name));
        path.and_then(|path| Ok(fs::read_to_string(path)?)).unwrap_or_default()
    }
}

/// Whether a query was answered, and by whom it should be.
fn is_as(query: &Query, expected: &Catchment) -> bool {
    let expected = expected[usize::from(query.place)][usize::from(query.family)];
    query.node == expected && query.node != NOBODY
}
