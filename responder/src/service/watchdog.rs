//! `responder watchdog`: the process that withdraws when the daemon cannot.
//!
//! The daemon judges itself. It cannot when it is frozen or dead, and its own eyes may be wrong; so another
//! process looks, with the same announcers. What counts against the node:
//!
//! * the daemon lives but does not answer its control socket in time (frozen), or is ready and no service
//!   address of its answers over UDP or TCP;
//! * a program that it attached is not there any more, or another is in its place;
//! * it is dead, and the kernel does not answer for it: there is no lease, or it is about to run out, or no
//!   program of its hangs in any interface.
//!
//! A daemon that is dead while the kernel answers under its lease is none: it is about to be restarted. If
//! nobody does, the routes go before the lease has run out, so that nothing is lost even then.
//! A veto makes a living daemon withdraw too, and keeps it from announcing again until the watchdog lets go;
//! if the watchdog itself dies, its veto lapses.

use std::{collections::BTreeMap, io, os::unix::net::UnixStream, thread, time::Duration};

use anyhow::Result;
use tracing::{info, warn};

use super::{
    announcers::{self, Announcer},
    health::{self, Look},
    judge::{Judge, Policy, Wanted},
    netlink,
    probe::Question,
    signs::{self, Sign},
};
use crate::{
    config::Config,
    control::{Alive, Reply, Request, client},
    dataplane::fault_of_xdp,
    zone::name,
};

/// How long the daemon may take to answer: one that is busy takes a while.
const PATIENCE: Duration = Duration::from_secs(1);

/// Watches the daemon of a configuration for ever.
///
/// # Errors
/// The state directory cannot be written.
pub fn run(config: &Config) -> Result<()> {
    let mut watchdog = Watchdog::new(config);
    info!(interval = ?config.watchdog.interval, fall = config.watchdog.fall, "watching");
    loop {
        let begun = signs::now();
        watchdog.look(begun)?;
        thread::sleep((begun + config.watchdog.interval).saturating_sub(signs::now()));
    }
}

struct Watchdog<'a> {
    config: &'a Config,
    judge: Judge,
    announcers: Vec<(&'a str, Box<dyn Announcer>)>,
    /// What could not be withdrawn, as it was last told.
    told: BTreeMap<&'a str, String>,
    /// The programs of the interfaces as the daemon last named them.
    programs: BTreeMap<String, Option<u32>>,
    questions: u16,
    forbids: bool,
}

impl<'a> Watchdog<'a> {
    fn new(config: &'a Config) -> Self {
        let policy = Policy {
            rise: config.watchdog.rise,
            fall: config.watchdog.fall,
            hold_down: Duration::ZERO,
            hold_down_max: Duration::ZERO,
            forget: Duration::ZERO,
            last_resort: false,
            drain_wait: Duration::ZERO,
        };
        let services = config.services.iter();
        let announcers = services.map(|one| (one.name.as_str(), announcers::of(one, None)));
        Self {
            config,
            judge: Judge::adopted(policy, false),
            announcers: announcers.collect(),
            told: BTreeMap::new(),
            programs: BTreeMap::new(),
            questions: 0,
            forbids: false,
        }
    }

    fn look(&mut self, now: Duration) -> Result<()> {
        let look = self.see();
        let reasons = look.faults.join("; ");
        self.judge.look(now, look.is_good(), 0.0);
        let forbids = self.judge.verdict(now).0 == Wanted::Withdrawn;
        let veto = Sign::veto(&self.config.node.state);
        if forbids {
            // Longer than a look that waits for everything.
            let rest = (self.config.watchdog.interval + PATIENCE) * 4;
            veto.hold(
                rest,
                if reasons.is_empty() { "not well for long enough" } else { &reasons },
            )?;
            self.withdraw();
        }
        if forbids != self.forbids {
            match forbids {
                true => warn!("WITHDRAWN: {reasons}"),
                false => {
                    veto.end();
                    info!("the daemon does again: it may announce");
                }
            }
            self.forbids = forbids;
        }
        Ok(())
    }

    fn withdraw(&mut self) {
        for (service, announcer) in &mut self.announcers {
            super::keeper::forget(&self.config.node.state, service);
            match announcer.ensure(&[]) {
                Ok(()) => {
                    self.told.remove(service);
                }
                Err(error) => {
                    let error = format!("{error:#}");
                    if self.told.get(service) != Some(&error) {
                        warn!(service, "cannot see it withdrawn: {error}");
                    }
                    self.told.insert(service, error);
                }
            }
        }
    }

    /// One look at the daemon, or at what it left.
    fn see(&mut self) -> Look {
        let socket = self.config.control_socket();
        match UnixStream::connect(&socket) {
            Err(error)
                if [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused]
                    .contains(&error.kind()) =>
            {
                self.see_what_is_left()
            }
            // One that hears nobody any more is as good as frozen.
            Err(error) => fault(format!("the daemon cannot be spoken with: {error}")),
            Ok(stream) => {
                drop(stream);
                match self.alive() {
                    Ok(alive) => self.see_alive(&alive),
                    Err(error) => fault(format!("the daemon lives and does not answer: {error:#}")),
                }
            }
        }
    }

    fn alive(&self) -> Result<Alive> {
        match client::ask(&self.config.control_socket(), &Request::Alive, Some(PATIENCE))? {
            Reply::Alive(alive) => Ok(alive),
            _ => anyhow::bail!("it is of another version"),
        }
    }

    fn see_alive(&mut self, alive: &Alive) -> Look {
        let mut look = Look::default();
        if !alive.ready {
            // It announces nothing of its own, and ends what it found when the lease runs out.
            return look;
        }
        self.programs.clear();
        for attachment in &alive.attachments {
            self.programs.insert(attachment.interface.clone(), attachment.program);
        }
        look.faults.extend(self.faults_of_programs());
        let Some(apex) = alive.zone.as_ref().and_then(|zone| name::from_text_lower(zone).ok())
        else {
            return look;
        };
        let mut failed = Vec::new();
        let mut asked = 0;
        for server in alive.servers.iter().copied() {
            self.questions = self.questions.wrapping_add(1);
            let question = Question::soa(&apex, self.questions);
            // What cannot be counted is taken for no work.
            let count = || self.alive().map(|alive| alive.answered).unwrap_or_default();
            let found = health::of_sockets(&count, server, &question, PATIENCE);
            asked += 1;
            if !found.is_good() {
                failed.push(found.faults.join("; "));
            }
        }
        // One address among others is the daemon's affair, which judges each family.
        if asked > 0 && failed.len() == asked {
            look.faults.push(failed.join("; "));
        }
        look
    }

    /// The daemon is dead: does the kernel answer for it?
    fn see_what_is_left(&self) -> Look {
        // The looks that it takes to withdraw, and one more: they come before the end.
        let notice = self.config.watchdog.interval * (self.config.watchdog.fall + 1);
        match Sign::lease(&self.config.node.state).left() {
            None => {
                return fault("the daemon is dead, and no lease lets the kernel answer".to_owned());
            }
            Some(left) if left <= notice => {
                return fault("the daemon is dead, and its lease is about to run out".to_owned());
            }
            Some(_) => {}
        }
        match self.faults_of_programs() {
            faults if faults.is_empty() => Look::default(),
            faults => fault(format!("the daemon is dead, and {}", faults.join("; "))),
        }
    }

    /// Programs that do not hang where the daemon attached them. Before it named any, each interface of the
    /// configuration must have some.
    fn faults_of_programs(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (interface, program) in &self.programs {
            let Some(ours) = program else { continue };
            match netlink::link(interface) {
                Ok(link) => faults.extend(fault_of_xdp(interface, link.xdp, *ours)),
                Err(error) => faults.push(format!("{error:#}")),
            }
        }
        faults
    }
}

fn fault(reason: String) -> Look {
    Look { faults: vec![reason], notes: Vec::new() }
}
