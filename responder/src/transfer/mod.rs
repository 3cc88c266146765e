//! The second journey's two ends: zones that come from primaries, and zones that are given to others.
//!
//! A NOTIFY, a timer or an operator asks for a refresh; the primaries are asked in turn for their SOA
//! over TCP; where one has a newer serial, what changed since ours is transferred over the same
//! connection (IXFR), or the whole zone (AXFR), verified, committed and served. Whatever goes wrong, what
//! was served before goes on being served. What is served is on disk: a restart needs no primary.
//!
//! | module | what |
//! |---|---|
//! | [`secondaries`] | all zones with primaries: which there are, what they may use together |
//! | [`secondary`] | the life of one: its timers, its requests, its expiry |
//! | [`turn`] | one turn of it: a primary that satisfies is found, and what it gives is served |
//! | [`attempt`] | one attempt with one primary |
//! | [`notify`] | NOTIFY (RFC 1996): who may say that there is something new |
//! | [`connection`] | a TCP connection to a primary: from our source address, within its limits |
//! | [`exchange`] | a question and its answers, signed and checked; SOA, AXFR, IXFR, EDNS EXPIRE |
//! | [`gather`] | what a transfer brings, until it is complete |
//! | [`home`] | what transfers need of the place where zones are served |
//! | [`incoming`] | the records of a transfer: which kind it is, what belongs, where it ends |
//! | [`tsig`] | TSIG: keys and signatures |
//! | [`timers`] | when a zone is looked after next |
//! | [`failure`] | why a transfer failed |
//!
//! And its end: zones that are given to others.
//!
//! | module | what |
//! |---|---|
//! | [`distributor`] | who may have which zone, and how many at a time |
//! | [`request`] | a request for a transfer, and the answers that are none |
//! | [`outgoing`] | one transfer to one client |
//! | [`announce`] | NOTIFY to those who follow us |
//! | [`composer`] | messages full of records |
//! | [`tls`] | TLS (RFC 9103), for both directions |
//! | [`keyring`] | the configured keys, for both directions |

pub mod announce;
pub mod attempt;
pub mod composer;
pub mod connection;
pub mod counts;
pub mod distributor;
pub mod exchange;
pub mod failure;
mod gather;
mod home;
pub mod incoming;
pub mod keyring;
pub mod notify;
pub mod outgoing;
pub mod request;
pub mod secondaries;
pub mod secondary;
pub mod timers;
pub mod tls;
pub mod tsig;
mod turn;

pub use self::{
    announce::Announcer,
    distributor::{Client, Distributor, Library, Volume},
    failure::{Cause, Failure},
    home::{Home, Standing},
    keyring::Keyring,
    secondaries::Secondaries,
    secondary::{Look, Refreshed},
};

use std::{collections::BTreeMap, sync::Arc};

use crate::config::Config;

/// Both directions.
pub struct Transfers {
    /// Zones that come from primaries.
    pub secondaries: Secondaries,
    /// Zones that are given to others.
    pub distributor: Arc<Distributor>,
    /// Who is told of new versions.
    pub announcer: Arc<Announcer>,
    /// Our side where others connect over TLS.
    pub tls: Option<Arc<tls::Listener>>,
}

impl Transfers {
    /// None yet.
    ///
    /// # Errors
    /// The files of the TLS listener cannot be used: one line that names the file.
    pub fn new(
        config: &Config,
        home: Arc<dyn Home>,
        library: Arc<dyn Library>,
    ) -> anyhow::Result<Self> {
        let tls = config.transfer.tls.as_ref().map(tls::Listener::load).transpose();
        let tls = tls.map_err(|message| anyhow::anyhow!("TLS for transfers: {message}"))?;
        Ok(Self {
            tls: tls.map(Arc::new),
            secondaries: Secondaries::new(config, home),
            announcer: Arc::new(Announcer::new(&config.transfer.source, Arc::clone(&library))),
            distributor: Arc::new(Distributor::new(&config.limits, library)),
        })
    }

    /// Follows zones and keys of a configuration. To be called within the runtime.
    pub fn configure(&self, config: &Config) {
        let keyring = Keyring::load(&config.keys);
        self.secondaries.configure(config, &keyring);
        self.distributor.configure(&config.zones, &keyring);
        self.announcer.configure(&config.zones, &keyring);
        if let Some(Err(message)) = self.tls.as_ref().map(|tls| tls.reload()) {
            tracing::error!("TLS for transfers: {message}: the certificate stays the one before");
        }
    }

    /// What happened so far, by label.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        let mut counts = self.secondaries.counts();
        counts.extend(self.distributor.counts());
        counts.extend(self.announcer.counts.get());
        counts
    }
}
