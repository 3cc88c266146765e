//! The routing daemons that announce what a service wants announced.
//!
//! BGP is spoken by a daemon of its own. An [`Announcer`] hands it the routes and looks whether it has
//! them; it is asked again with every look at the service, so a daemon that was restarted, or refused, is
//! brought to the same state as soon as it can be.

mod address;
mod bird;
mod exabgp;

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

pub use exabgp::{announce, heard_file};

use super::route::{Family, Route};
use crate::{
    config::{AnnouncedBy, Service},
    dataplane::helper::Hands,
};

/// How long a routing daemon may take to hear of the end: ExaBGP is told by a process of its own.
const LAST_WORD: Duration = Duration::from_secs(2);

/// One way to have routes announced.
pub trait Announcer: Send {
    /// Brings the routing daemon to announce exactly these routes of the service, both families together.
    /// Cheap where it does already.
    ///
    /// # Errors
    /// It does not run, or refuses: one line with the remedy. What can be done without it, so that it
    /// finds the right state when it comes, is done all the same.
    fn ensure(&mut self, routes: &[Route]) -> Result<()>;

    /// Whether it can make a route less preferred than others.
    fn is_gradual(&self) -> bool;

    /// How it is called in status and log.
    fn label(&self) -> &'static str;
}

/// The announcer that a service is configured with; `hands` touch interfaces for a process that may not.
pub fn of(service: &Service, hands: Option<&Arc<Hands>>) -> Box<dyn Announcer> {
    match &service.announcer {
        AnnouncedBy::Nobody => Box::new(Nobody),
        AnnouncedBy::BirdInclude { socket, file } => {
            Box::new(bird::Include::new(socket, file, service))
        }
        AnnouncedBy::BirdProtocols { socket, protocols } => {
            Box::new(bird::Protocols::new(socket, protocols))
        }
        AnnouncedBy::ExaBgp { folder, next_hops } => {
            Box::new(exabgp::ExaBgp::new(folder, &service.name, next_hops))
        }
        AnnouncedBy::Address { interface } => {
            Box::new(address::Address::new(interface, &service.addresses, hands))
        }
    }
}

/// Has nothing announced any more, by a process that will not look again.
///
/// # Errors
/// As [`Announcer::ensure`], if that is so for a while.
pub fn withdraw(announcer: &mut dyn Announcer) -> Result<()> {
    let deadline = Instant::now() + LAST_WORD;
    loop {
        match announcer.ensure(&[]) {
            Err(_) if Instant::now() < deadline => thread::sleep(LAST_WORD / 100),
            result => return result,
        }
    }
}

/// For a service that is only judged.
struct Nobody;

impl Announcer for Nobody {
    fn ensure(&mut self, _: &[Route]) -> Result<()> {
        Ok(())
    }

    fn is_gradual(&self) -> bool {
        false
    }

    fn label(&self) -> &'static str {
        "nobody"
    }
}

/// Whether any route is of a family.
fn has(routes: &[Route], family: Family) -> bool {
    routes.iter().any(|route| Family::of(&route.prefix) == family)
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    /// Has heard of it only when asked so often.
    struct Slow(u32);

    impl Announcer for Slow {
        fn ensure(&mut self, routes: &[Route]) -> Result<()> {
            assert_eq!(routes, []);
            match self.0.checked_sub(1) {
                None => Ok(()),
                Some(left) => {
                    self.0 = left;
                    bail!("being told")
                }
            }
        }

        fn is_gradual(&self) -> bool {
            false
        }

        fn label(&self) -> &'static str {
            "slow"
        }
    }

    #[test]
    fn the_last_word_is_waited_for_but_not_for_ever() {
        assert!(withdraw(&mut Slow(3)).is_ok());
        assert!(withdraw(&mut Slow(u32::MAX)).is_err());
    }
}
