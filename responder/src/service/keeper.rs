//! The thread of one service: it looks, asks the judge, and has the announcer do what is wanted.
//!
//! Everything here blocks, so each service has a thread of its own, and a routing daemon that hangs keeps
//! back no other service.

use std::{
    collections::hash_map::RandomState,
    fs,
    hash::{BuildHasher as _, Hasher as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tracing::{error, info, warn};

use super::{
    announcers::{self, Announcer},
    files, health,
    health::Look,
    judge::{Cause, Judge, Wanted},
    probe::Question,
    route::{Family, Route},
    signs::{self, Sign},
};
use crate::{
    config::{Config, Service},
    control::{FamilyStatus, ServiceStatus, ZoneState},
    serve::Daemon,
    zone::name,
};

/// What a keeper is told.
pub enum Message {
    /// Somebody's wish has changed.
    Look,
    /// The daemon ends.
    Stop {
        /// Whether nothing is to stay announced.
        withdraw: bool,
    },
}

/// Starts the thread of a service. `lasting` tells whether the kernel goes on answering between daemons.
pub fn start(
    daemon: &Arc<Daemon>,
    place: usize,
    lasting: bool,
) -> (Sender<Message>, JoinHandle<()>) {
    let (sender, mailbox) = mpsc::channel();
    let mut keeper = Keeper::new(Arc::clone(daemon), place, lasting);
    let thread = thread::spawn(move || keeper.live(&mailbox));
    (sender, thread)
}

/// A service, and where it stands.
struct Keeper {
    daemon: Arc<Daemon>,
    place: usize,
    service: Service,
    announcer: Box<dyn Announcer>,
    families: Vec<Course>,
    begun: Instant,
    /// When the daemon was first seen ready.
    ready: Option<Instant>,
    questions: u16,
    fault: Option<String>,
    last_fault: Option<String>,
}

/// A family of the service.
struct Course {
    family: Family,
    judge: Judge,
    look: Look,
    said: (Wanted, Cause),
    since: Instant,
    /// Whether an earlier daemon left it announced.
    adopted: bool,
}

impl Keeper {
    fn new(daemon: Arc<Daemon>, place: usize, lasting: bool) -> Self {
        let service = daemon.config.services[place].clone();
        let state = &daemon.config.node.state;
        let drained = !daemon.services.wishes.against(&service.name).is_empty();
        let answers = lasting && Sign::lease(state).holds().is_some();
        let earlier = if answers { announced_before(state, &service.name) } else { Vec::new() };
        let families = Family::ALL
            .into_iter()
            .filter(|family| service.prefixes.iter().any(|prefix| Family::of(prefix) == *family))
            .map(|family| {
                let adopted = earlier.contains(&family);
                let policy = service.health.policy.clone();
                let judge = match adopted {
                    true => Judge::adopted(policy, drained),
                    false => Judge::new(policy, drained),
                };
                let said = judge.verdict(Duration::ZERO);
                if adopted {
                    info!(service = service.name, %family, "still announced: the kernel answers");
                }
                let (look, since) = (Look::default(), Instant::now());
                Course { family, judge, look, said, since, adopted }
            })
            .collect();
        Self {
            announcer: announcers::of(&service, Some(daemon.plane.hands())),
            daemon,
            place,
            service,
            families,
            begun: Instant::now(),
            ready: None,
            questions: random() as u16,
            fault: None,
            last_fault: None,
        }
    }

    fn live(&mut self, mailbox: &Receiver<Message>) {
        loop {
            let begun = Instant::now();
            self.look();
            self.settle();
            let rest = self.service.health.interval.saturating_sub(begun.elapsed());
            match mailbox.recv_timeout(rest) {
                Ok(Message::Look) | Err(RecvTimeoutError::Timeout) => {}
                Ok(Message::Stop { withdraw: true }) => return self.withdraw(),
                Ok(Message::Stop { withdraw: false }) | Err(RecvTimeoutError::Disconnected) => {
                    return;
                }
            }
        }
    }

    /// Time since this keeper began.
    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Looks once at everything, and tells the judges.
    fn look(&mut self) {
        if self.daemon.is_ready() {
            let ready = *self.ready.get_or_insert_with(Instant::now);
            let zones = health::zones_of(&self.daemon, &self.service.zones);
            let waiting = zones.iter().any(|zone| zone.state == ZoneState::Loading)
                && ready.elapsed() < self.service.health.load_wait;
            let of_zones = health::of_zones(&zones, self.service.health.max_age);
            let serving = zones.iter().filter(|zone| zone.state == ZoneState::Serving);
            let serving: Vec<String> = serving.map(|zone| zone.name.clone()).collect();
            for course in 0..self.families.len() {
                let mut look = of_zones.clone();
                look.add(self.paths(self.families[course].family, &serving));
                let known = self.families[course].judge.verdict(self.now()).1 != Cause::Starting;
                if waiting && !known {
                    look.faults.push("zones are still being loaded".to_owned());
                }
                self.heed(course, look);
            }
        } else {
            // The kernel answers for the earlier daemon, for as long as the lease lasts.
            let holds = Sign::lease(&self.daemon.config.node.state).holds().is_some();
            for course in 0..self.families.len() {
                let mut look = Look::default();
                if !self.families[course].adopted {
                    look.faults.push("the daemon is starting".to_owned());
                } else if !holds {
                    look.faults.push("the lease ran out before this daemon was ready".to_owned());
                }
                self.heed(course, look);
            }
        }
    }

    fn heed(&mut self, course: usize, look: Look) {
        let now = self.now();
        let course = &mut self.families[course];
        course.judge.look(now, look.is_good(), (random() % 1000) as f64 / 1000.0);
        course.look = look;
    }

    /// The ways to the service: the kernel's program, and the sockets.
    fn paths(&mut self, family: Family, serving: &[String]) -> Look {
        self.questions = self.questions.wrapping_add(1);
        // Each zone in its turn.
        let apex = serving
            .get(usize::from(self.questions) % serving.len().max(1))
            .and_then(|zone| name::from_text_lower(zone).ok());
        let Some(apex) = apex else { return Look::default() };
        let port = self.daemon.config.listen.port;
        let servers: Vec<SocketAddr> = self
            .service
            .addresses
            .iter()
            .map(|address| SocketAddr::new(*address, port))
            .filter(|server| health::family(server) == family)
            .collect();
        let question = Question::soa(&apex, self.questions);
        let mut look = Look::default();
        for server in servers {
            look.add(self.daemon.plane.probe(server, &question));
            let is_coming = self.daemon.config.listen.coming.contains(&server.ip());
            let is_announced =
                self.families.iter().any(|c| c.family == family && c.said.0 > Wanted::Withdrawn);
            // An address that comes with its announcement cannot be asked before.
            if !is_coming || is_announced && self.fault.is_none() {
                let patience = self.service.health.timeout;
                let Daemon { udp, tcp, .. } = &*self.daemon;
                let count = || [health::answered(udp), health::answered(tcp)];
                look.add(health::of_sockets(&count, server, &question, patience));
            }
        }
        look
    }

    /// Asks the judges, and has done what they say.
    fn settle(&mut self) {
        let now = self.now();
        let drained_by = self.daemon.services.wishes.against(&self.service.name);
        let veto = Sign::veto(&self.daemon.config.node.state).holds();
        let gradual = self.announcer.is_gradual();
        let mut changed = false;
        for course in &mut self.families {
            course.judge.set_drained(now, !drained_by.is_empty(), gradual);
            course.judge.set_vetoed(veto.is_some());
            course.judge.tick(now);
            let mut said = course.judge.verdict(now);
            if said.0 == Wanted::LessPreferred && !gradual {
                said.0 = Wanted::Announced;
            }
            if said != course.said {
                changed |= said.0 != course.said.0;
                course.said = said;
                course.since = Instant::now();
                tell(&self.service.name, course, veto.as_deref());
            }
        }
        let routes = self.routes();
        if changed {
            self.note_announced();
        }
        self.fault = self.announcer.ensure(&routes).err().map(|fault| format!("{fault:#}"));
        if self.fault != self.last_fault {
            let (service, announcer) = (&self.service.name, self.announcer.label());
            match &self.fault {
                Some(fault) => warn!(service, announcer, "{fault}"),
                None => info!(service, announcer, "the routes are as they should be"),
            }
            self.last_fault.clone_from(&self.fault);
        }
        let status = self.status(drained_by, veto);
        self.daemon.services.tell(self.place, status);
    }

    /// What is to be announced now.
    fn routes(&self) -> Vec<Route> {
        let mut routes = Vec::new();
        for course in &self.families {
            let marks = match course.said.0 {
                Wanted::Withdrawn => continue,
                Wanted::LessPreferred => &self.service.drain_marks,
                Wanted::Announced => &self.service.marks,
            };
            let of_family =
                self.service.prefixes.iter().filter(|prefix| Family::of(prefix) == course.family);
            routes.extend(of_family.map(|prefix| Route { prefix: *prefix, marks: marks.clone() }));
        }
        routes
    }

    /// Writes down which families are announced, for the daemon that follows.
    fn note_announced(&self) {
        let announced = self.families.iter().filter(|course| course.said.0 > Wanted::Withdrawn);
        let names: Vec<&str> = announced.map(|course| course.family.label()).collect();
        let text = format!("{} {}\n", signs::boot(), names.join(" "));
        let file = record(&self.daemon.config.node.state, &self.service.name);
        if let Err(error) = files::replace(&file, text.as_bytes(), 0o640) {
            warn!(
                service = self.service.name,
                "{error:#}: a restart will withdraw it for a moment"
            );
        }
    }

    /// The daemon ends: nothing stays announced, and it answers on for a while.
    fn withdraw(&mut self) {
        let service = &self.service.name;
        let was_announced = self.families.iter().any(|course| course.said.0 > Wanted::Withdrawn);
        match announcers::withdraw(&mut *self.announcer) {
            Ok(()) if was_announced => info!(service, "withdrawn: the daemon ends"),
            Ok(()) => {}
            Err(fault) => error!(service, "NOT WITHDRAWN: {fault:#}"),
        }
        forget(&self.daemon.config.node.state, service);
        if was_announced {
            thread::sleep(self.service.health.stop_wait);
        }
    }

    fn status(&self, drained_by: Vec<super::Origin>, veto: Option<String>) -> ServiceStatus {
        let families = self.families.iter().map(|course| FamilyStatus {
            family: course.family,
            route: course.said.0,
            cause: course.said.1.label().to_owned(),
            since: course.since.elapsed().as_secs(),
            healthy: course.look.is_good(),
            faults: course.look.faults.clone(),
            notes: course.look.notes.clone(),
            failures: course.judge.failures(),
            held: course.judge.held(self.now()).as_secs(),
        });
        ServiceStatus {
            announcer: self.announcer.label().to_owned(),
            families: families.collect(),
            fault: self.fault.clone(),
            drained_by,
            veto,
            ..ServiceStatus::new(&self.service)
        }
    }
}

/// One line for each turn of events.
fn tell(service: &str, course: &Course, veto: Option<&str>) {
    let (family, (wanted, cause)) = (course.family, course.said);
    let reasons = match cause {
        Cause::Vetoed => veto.unwrap_or_default().to_owned(),
        _ => course.look.faults.join("; "),
    };
    match (wanted, cause) {
        (Wanted::Announced, _) => info!(service, %family, "announced"),
        (Wanted::LessPreferred, Cause::Draining | Cause::Returning) => {
            info!(service, %family, "less preferred: {}", cause.label());
        }
        (Wanted::LessPreferred, _) => {
            warn!(service, %family, "less preferred, the last resort: {}: {reasons}", cause.label());
        }
        (Wanted::Withdrawn, Cause::Drained | Cause::Starting) => {
            info!(service, %family, "withdrawn: {}", cause.label());
        }
        (Wanted::Withdrawn, _) => {
            warn!(service, %family, "WITHDRAWN: {}: {reasons}", cause.label());
        }
    }
}

/// Where it is written down which families of a service are announced.
fn record(state: &Path, service: &str) -> PathBuf {
    state.join("announced").join(service)
}

/// Which families an earlier daemon of this boot left announced.
fn announced_before(state: &Path, service: &str) -> Vec<Family> {
    let text = fs::read_to_string(record(state, service)).unwrap_or_default();
    let mut words = text.split_whitespace();
    if words.next() != Some(&signs::boot()) {
        return Vec::new();
    }
    words.filter_map(|word| Family::ALL.into_iter().find(|f| f.label() == word)).collect()
}

/// Notes that nothing of a service is announced.
pub fn forget(state: &Path, service: &str) {
    let _ = fs::remove_file(record(state, service));
}

/// Tells of services that were announced and are not configured any more.
pub fn tell_of_strangers(config: &Config) {
    let entries = fs::read_dir(config.node.state.join("announced"));
    for entry in entries.into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !config.services.iter().any(|service| service.name == name) {
            warn!(
                service = name,
                "not configured any more, and perhaps still announced: `responder withdraw` with the \
                 former configuration ends that"
            );
        }
    }
}

/// Enough to tell nodes and questions apart.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
