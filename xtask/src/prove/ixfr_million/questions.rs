//! What is asked: names that change, names that are not there (their replies tell the serial), and names
//! that stay as they are.

use std::{collections::HashSet, net::SocketAddr, time::Duration};

use anyhow::ensure;

use crate::{
    gen_zone,
    refereeing::{
        ask::{self, Pace},
        queries::{Dress, Query},
        random::Random,
    },
    strict::{Message, Name, rtype},
};

/// Names that one version changes.
pub const CHANGED: usize = 1000;
/// Names that are not there, and the apex.
const ABSENT: usize = 1000;
/// Names that stay.
const STEADY: usize = 8000;

/// What a question's replies have to do with versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A delegation that each version changes: the reply names its server.
    Changed,
    /// The reply holds the SOA.
    Serial,
    /// The reply is always the same.
    Steady,
}

/// The questions, mixed.
pub struct Questions {
    /// The labels that change.
    pub labels: Vec<String>,
    /// What is asked, and what the replies tell.
    pub all: Vec<(Query, Role)>,
}

/// A query without EDNS.
pub fn query(name: &Name, rtype: u16) -> Vec<u8> {
    Query::new(0, name.clone(), rtype, Dress::default()).octets
}

impl Questions {
    /// About the zone that [`gen_zone`] makes of so many names.
    ///
    /// # Errors
    /// When it is too small.
    pub fn of(apex: &Name, names: usize, seed: u64, longest: usize) -> anyhow::Result<Self> {
        let mut changed = Vec::new();
        let mut steady = Vec::new();
        // All over the zone.
        let (each, other) = ((names / (CHANGED * 3)).max(1), (names / (STEADY * 2)).max(1));
        for (number, label) in gen_zone::labels(seed).take(names).enumerate() {
            if number % each == 0 && label.len() <= longest && changed.len() < CHANGED {
                changed.push(label);
            } else if number % other == 0 && steady.len() < STEADY {
                steady.push(label);
            }
        }
        ensure!(changed.len() == CHANGED, "{names} names have too few to change");
        let known: HashSet<&String> = changed.iter().chain(&steady).collect();
        ensure!(known.len() == changed.len() + steady.len(), "labels repeat");
        let name = |label: &str| Name::from_text(&format!("{label}.{apex}"));
        let mut asked = vec![(apex.clone(), rtype::SOA, Role::Serial)];
        for label in &changed {
            asked.push((name(label)?, rtype::A, Role::Changed));
        }
        for number in 0..ABSENT {
            asked.push((name(&format!("absent--{number}"))?, rtype::A, Role::Serial));
        }
        for label in &steady {
            asked.push((name(&format!("www.{label}"))?, rtype::A, Role::Steady));
        }
        let mut random = Random::new(seed);
        for place in (1..asked.len()).rev() {
            asked.swap(place, random.below(place + 1));
        }
        let query = |(number, (name, rtype, role)): (usize, (Name, u16, Role))| {
            (Query::new(number, name, rtype, Dress::default()), role)
        };
        let all = asked.into_iter().enumerate().map(query).collect();
        Ok(Self { labels: changed, all })
    }

    /// Asks everything while nothing changes, and looks at what the replies tell: they are of this version.
    ///
    /// # Errors
    /// When one is missing or tells otherwise. To be called where the server is reached.
    pub fn ask(&self, server: SocketAddr, version: &Version) -> anyhow::Result<Vec<Vec<u8>>> {
        let queries: Vec<Query> = self.all.iter().map(|(query, _)| query.clone()).collect();
        let pace = Pace { sockets: 1, patience: Duration::from_secs(1), ..Pace::default() };
        let replies = ask::datagrams(server, &queries, pace)?.replies;
        let mut all = Vec::with_capacity(replies.len());
        for (reply, (query, role)) in replies.into_iter().zip(&self.all) {
            let Some(reply) = reply else { anyhow::bail!("no reply about {}", query.name) };
            let told = Message::parse(&reply).map_err(anyhow::Error::msg)?;
            let right = match role {
                Role::Changed => {
                    let servers: Vec<&[u8]> = told
                        .authority
                        .iter()
                        .filter(|record| record.rtype == rtype::NS)
                        .map(|record| &record.rdata[..])
                        .collect();
                    version.server.as_ref().is_none_or(|server| servers == [server.wire()])
                }
                Role::Serial => {
                    let soa = told.answer.iter().chain(&told.authority);
                    let serial = version.serial.to_be_bytes();
                    let mut soa = soa.filter(|record| record.rtype == rtype::SOA);
                    soa.all(|soa| soa.rdata.windows(4).any(|four| four == serial))
                }
                Role::Steady => true,
            };
            ensure!(right, "of another version than {}: {told}", version.serial);
            all.push(reply);
        }
        Ok(all)
    }
}

/// A version of the zone.
#[derive(Debug, Clone)]
pub struct Version {
    /// Its serial.
    pub serial: u32,
    /// The server of all delegations that change; unknown of the first one.
    pub server: Option<Name>,
}
