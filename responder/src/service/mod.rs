//! The third journey: a node's health decides whether its addresses are announced.
//!
//! | module | what |
//! |---|---|
//! | [`probe`] | one question: a datagram, a stream, a frame for the kernel's program |
//! | [`health`] | one look at a service: zones, programs, sockets, interfaces |
//! | [`judge`] | from looks and wishes to what is wanted: a pure state machine |
//! | [`keeper`] | the thread of one service: looks, asks the judge, tells the announcer |
//! | [`announcers`] | BIRD, ExaBGP, an address on an interface |
//! | [`wishes`] | who wants the node out of the routing, over restarts |
//! | [`signs`] | signs of life between daemon, kernel and watchdog |
//! | [`peers`] | other nodes, asked from here |
//! | [`watchdog`] | the process that withdraws when the daemon cannot |

pub mod announcers;
mod files;
mod health;
mod judge;
mod keeper;
pub mod netlink;
pub mod peers;
mod probe;
mod route;
mod signs;
pub mod watchdog;
mod wishes;

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, mpsc::Sender},
    thread::JoinHandle,
};

use anyhow::{Result, bail};
use tracing::warn;

pub use health::Look;
pub use judge::{Policy, Wanted};
pub use probe::Question;
pub use route::{Community, Family, Marks, Route};
pub use signs::Sign;
pub use wishes::Origin;

use self::{keeper::Message, wishes::Wishes};
use crate::{
    config::Config,
    control::{Alive, ServiceStatus, ZoneState},
    locks::lock,
    serve::{Daemon, OnStop},
};

/// The services of a running daemon.
pub struct Services {
    names: Vec<String>,
    wishes: Wishes,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    keepers: Vec<Keeper>,
    /// By service, in the order of the configuration.
    status: Vec<ServiceStatus>,
}

struct Keeper {
    mailbox: Sender<Message>,
    thread: JoinHandle<()>,
}

impl Services {
    /// Those of a configuration; none is kept yet.
    pub fn new(config: &Config) -> Self {
        let names = config.services.iter().map(|service| service.name.clone()).collect();
        let status = config.services.iter().map(ServiceStatus::new).collect();
        let state = Mutex::new(State { status, keepers: Vec::new() });
        Self { names, wishes: Wishes::read(&config.node.state), state }
    }

    /// Begins to keep every service: until the daemon is ready, nothing is announced but what an earlier
    /// daemon left announced and the kernel still answers for.
    pub fn start(&self, daemon: &Arc<Daemon>, on_stop: Option<OnStop>) {
        keeper::tell_of_strangers(&daemon.config);
        let mut keepers = Vec::new();
        for place in 0..self.names.len() {
            let (mailbox, thread) = keeper::start(daemon, place, on_stop.is_some());
            keepers.push(Keeper { mailbox, thread });
        }
        self.state().keepers = keepers;
    }

    /// Ends the keeping. `withdraw` tells whether nothing is to stay announced; then this returns when the
    /// routing has had its time to take traffic elsewhere.
    pub fn stop(&self, withdraw: bool) {
        let keepers = std::mem::take(&mut self.state().keepers);
        for keeper in &keepers {
            // One that is gone already has said why.
            let _ = keeper.mailbox.send(Message::Stop { withdraw });
        }
        for keeper in keepers {
            let _ = keeper.thread.join();
        }
    }

    /// Takes one service, or all, out of the routing, or back, as far as `origin` is concerned: a service
    /// is announced only if nobody wants it out. The names of those services. It survives restarts.
    ///
    /// # Errors
    /// There is no such service, or the wish cannot be written down: one line.
    pub fn set_drained(
        &self,
        origin: Origin,
        service: Option<&str>,
        drained: bool,
    ) -> Result<Vec<String>> {
        let names = match service {
            None if self.names.is_empty() => {
                bail!("no [[service]] is configured, so there is nothing to drain")
            }
            None => self.names.clone(),
            Some(name) if self.names.iter().any(|known| known == name) => vec![name.to_owned()],
            Some(name) => {
                bail!("no service \"{name}\" is configured: there are {}", self.names.join(", "))
            }
        };
        self.wishes.set(origin, &names, drained)?;
        for keeper in &self.state().keepers {
            let _ = keeper.mailbox.send(Message::Look);
        }
        Ok(names)
    }

    /// The account of every service.
    pub fn status(&self) -> Vec<ServiceStatus> {
        self.state().status.clone()
    }

    fn tell(&self, place: usize, status: ServiceStatus) {
        if let Some(slot) = self.state().status.get_mut(place) {
            *slot = status;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Daemon {
    /// What the watchdog wants to know.
    pub fn alive(&self) -> Alive {
        let mut zone = None;
        self.zones.visit(|one, status| {
            if status.state == ZoneState::Serving && one.members.is_none() {
                zone.get_or_insert_with(|| one.name.clone());
            }
        });
        // An address that comes with its announcement is there only then.
        let mut servers = Vec::new();
        for (service, status) in self.config.services.iter().zip(self.services.status()) {
            for address in &service.addresses {
                let family = if address.is_ipv4() { Family::V4 } else { Family::V6 };
                let announced = status
                    .families
                    .iter()
                    .any(|one| one.family == family && one.route > Wanted::Withdrawn);
                if announced && status.fault.is_none()
                    || !self.config.listen.coming.contains(address)
                {
                    servers.push(SocketAddr::new(*address, self.config.listen.port));
                }
            }
        }
        Alive {
            ready: self.is_ready(),
            attachments: self.plane.attachments(),
            answered: [health::answered(&self.udp), health::answered(&self.tcp)],
            zone,
            servers,
        }
    }
}

/// Withdraws every service of a configuration, whoever announced it: for the time after the daemon's end.
/// How many services that were.
///
/// # Errors
/// Those that cannot be withdrawn, in one line; the others are.
pub fn withdraw_all(config: &Config) -> Result<usize> {
    let mut faults = Vec::new();
    for service in &config.services {
        if let Err(error) = announcers::withdraw(&mut *announcers::of(service, None)) {
            faults.push(format!("service {}: {error:#}", service.name));
        }
        keeper::forget(&config.node.state, &service.name);
    }
    match faults.is_empty() {
        true => Ok(config.services.len()),
        false => bail!("{}", faults.join("; ")),
    }
}

/// Notes until when the kernel answers without the daemon, where it does at all.
pub fn note_lease(state: &Path, lease: Option<std::time::Duration>) {
    let sign = Sign::lease(state);
    let Some(lease) = lease else { return sign.end() };
    if let Err(error) = sign.hold(lease, "") {
        warn!("{error:#}: the watchdog will take this node for dead");
    }
}
