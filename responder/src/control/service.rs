//! The account of the services.

use std::net::SocketAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{
    config::Service,
    dataplane::Attachment,
    service::{Family, Origin, Wanted},
};

/// What a daemon tells its watchdog.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Alive {
    /// Whether it answers.
    pub ready: bool,
    /// Where programs were attached.
    pub attachments: Vec<Attachment>,
    /// What the sockets have answered so far, over UDP and over TCP.
    pub answered: [u64; 2],
    /// A zone that is served.
    pub zone: Option<String>,
    /// The addresses of services that can be asked now.
    pub servers: Vec<SocketAddr>,
}

/// A peer, as it is seen from here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PeerStatus {
    /// Its identity.
    pub id: String,
    /// Where it is asked.
    pub address: SocketAddr,
    /// The NSID of who answered the last question.
    pub told: Option<String>,
    /// What was wrong with the last answer.
    pub fault: Option<String>,
    /// How long it took.
    pub milliseconds: Option<u64>,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// What is announced for it.
    pub prefixes: Vec<IpNet>,
    /// Who announces it.
    pub announcer: String,
    /// Its families, judged apart.
    pub families: Vec<FamilyStatus>,
    /// Why the announcer has not done what is wanted, if it has not.
    pub fault: Option<String>,
    /// Who wants it out of the routing.
    pub drained_by: Vec<Origin>,
    /// Why the watchdog forbids it, if it does.
    pub veto: Option<String>,
}

/// A family of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FamilyStatus {
    /// Which.
    pub family: Family,
    /// What is wanted of its routes.
    pub route: Wanted,
    /// Why they are not simply announced; empty if they are.
    pub cause: String,
    /// For how many seconds that has been so.
    pub since: u64,
    /// Whether the last look was good.
    pub healthy: bool,
    /// What was not.
    pub faults: Vec<String>,
    /// What else an operator should know.
    pub notes: Vec<String>,
    /// Failures that are not forgotten.
    pub failures: u32,
    /// For how many seconds it is still held down.
    pub held: u64,
}

impl ServiceStatus {
    /// A service of which nothing is known yet.
    pub fn new(service: &Service) -> Self {
        Self {
            name: service.name.clone(),
            prefixes: service.prefixes.clone(),
            announcer: String::new(),
            families: Vec::new(),
            fault: None,
            drained_by: Vec::new(),
            veto: None,
        }
    }
}
