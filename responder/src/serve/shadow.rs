//! Shadow mode (`xdp.shadow`): a sample of what the kernel answered is answered again by the host's engine,
//! and compared octet by octet, headers included.

use std::{
    net::IpAddr,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use tracing::error;

use super::Daemon;
use crate::{
    answer::Answerer,
    control::ShadowStatus,
    dataplane::{
        trial::HookPoint,
        watch::{Sampled, Samples},
    },
    store::Store,
    strict,
};

/// What came of the samples so far.
#[derive(Debug, Default)]
pub struct Shadow {
    equal: AtomicU64,
    different: AtomicU64,
    skipped: AtomicU64,
}

/// What came of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// Octet by octet the same.
    Equal,
    /// Something that replies depend on was stored meanwhile: nothing is said.
    Skipped,
    /// From this octet of the frame on they differ.
    Different {
        /// Its offset.
        at: usize,
        /// The host's frame.
        host: Vec<u8>,
    },
}

impl Shadow {
    /// What came of the samples so far, of which one of so many answers is one.
    pub fn status(&self, one_of: u32) -> ShadowStatus {
        ShadowStatus {
            one_of,
            equal: self.equal.load(Relaxed),
            different: self.different.load(Relaxed),
            skipped: self.skipped.load(Relaxed),
        }
    }

    fn note(&self, sample: &Sampled<'_>, sender: (IpAddr, usize), comparison: &Comparison) {
        match comparison {
            Comparison::Equal => self.equal.fetch_add(1, Relaxed),
            Comparison::Skipped => self.skipped.fetch_add(1, Relaxed),
            Comparison::Different { at, host } => {
                tell(sample, sender, *at, host);
                self.different.fetch_add(1, Relaxed)
            }
        };
    }
}

/// Answers a sampled query again and compares.
pub fn compare(answerer: &mut Answerer, store: &Store, sample: &Sampled<'_>) -> Comparison {
    let mut host = Vec::new();
    // The clock may have gone on while the kernel was at work: zones expire, cookies tell the time.
    for moment in [sample.before, sample.after] {
        answerer.again(sample.hook, moment, sample.query, &mut host);
        if host == sample.reply {
            return Comparison::Equal;
        }
    }
    if store.has_changed_since(sample.before) {
        return Comparison::Skipped;
    }
    let pairs = host.iter().zip(sample.reply);
    let at = pairs.take_while(|(host, kernel)| host == kernel).count();
    Comparison::Different { at, host }
}

/// One line: whoever gets it can ask again.
fn tell(sample: &Sampled<'_>, (client, head): (IpAddr, usize), at: usize, host: &[u8]) {
    let message = sample.query.get(head..).unwrap_or_default();
    let question = strict::Message::parse(message).ok().and_then(|message| {
        let question = message.question.first()?;
        Some(question.to_string())
    });
    error!(
        hook = if sample.hook == HookPoint::Xdp { "xdp" } else { "tc" },
        %client,
        question = question.unwrap_or_default(),
        query = hex(message),
        first_different_octet = at,
        kernel = hex(sample.reply.get(head..).unwrap_or_default()),
        host = hex(host.get(head..).unwrap_or_default()),
        "SHADOW: the kernel's answer is not the host's: `responder xdp off` leaves queries to the \
         sockets; report this line"
    );
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Compares samples on a thread of its own, which ends with the daemon.
///
/// # Errors
/// There is no thread.
pub fn start(daemon: &Arc<Daemon>, mut samples: Samples) -> Result<()> {
    let (store, daemon) = (Arc::clone(&daemon.store), Arc::downgrade(daemon));
    let mut answerer = Answerer::new(Arc::clone(&store));
    let work = move || {
        while let Some(shadow) = Weak::upgrade(&daemon) {
            while samples.show(|sample| {
                let comparison = compare(&mut answerer, &store, &sample);
                shadow.shadow.note(&sample, answerer.sender(), &comparison);
            }) {}
            drop(shadow);
            samples.wait(Duration::from_millis(200));
        }
    };
    thread::Builder::new().name("shadow".into()).spawn(work).context("shadow mode")?;
    Ok(())
}
