//! Sockets that ask as fast as replies come, and judge every one of them.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        OnceLock,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;

use super::questions::{Questions, Role};
use crate::refereeing::batch::{Batch, WINDOW};

/// A query is lost when its reply has not come for so long.
const LATE: Duration = Duration::from_secs(1);
/// Nothing has happened yet.
const NEVER: u64 = u64::MAX;

/// A flood while one version follows another.
pub struct Flood<'q> {
    questions: &'q Questions,
    /// Every reply of the version before.
    old: &'q [Vec<u8>],
    /// The first reply to each question that was another.
    new: Vec<OnceLock<Vec<u8>>>,
    started: Instant,
    /// When the first reply of the new version came, in nanoseconds from the start.
    first_new: AtomicU64,
    /// When the last reply of the old version came.
    last_old: AtomicU64,
    answers: AtomicU64,
    lost: AtomicU64,
    mixed: AtomicU64,
    back: AtomicU64,
    longest: AtomicU64,
    done: AtomicBool,
}

impl<'q> Flood<'q> {
    /// None yet.
    pub fn new(questions: &'q Questions, old: &'q [Vec<u8>]) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            questions,
            old,
            new: old.iter().map(|_| OnceLock::new()).collect(),
            started: Instant::now(),
            first_new: AtomicU64::new(NEVER),
            last_old: zero(),
            answers: zero(),
            lost: zero(),
            mixed: zero(),
            back: zero(),
            longest: zero(),
            done: AtomicBool::new(false),
        }
    }

    /// Asks until it is over.
    ///
    /// # Errors
    /// When no socket can be had.
    pub fn ask(&self, server: SocketAddr) -> anyhow::Result<()> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(LATE))?;
        let mut batch = Batch::new();
        let all = &self.questions.all;
        let (mut next, mut round) = (0, 0_u16);
        while !self.done.load(Relaxed) {
            // What was seen before a query was sent: its reply must be no older.
            let floor = self.first_new.load(SeqCst) != NEVER;
            round = round.wrapping_add(1);
            // The identifier tells the window and the place in it.
            let mark = round << WINDOW.ilog2();
            for place in 0..WINDOW {
                let (query, _) = &all[(next + place) % all.len()];
                batch.put(place, mark | place as u16, &query.octets);
            }
            let sent = self.now();
            batch.send(&socket);
            let mut waiting = WINDOW;
            while waiting > 0 {
                let count = batch.receive(&socket, waiting);
                if count == 0 {
                    self.lost.fetch_add(waiting as u64, Relaxed);
                    break;
                }
                let now = self.now();
                for reply in batch.received(count) {
                    let id = u16::from_be_bytes([reply[0], reply[1]]);
                    // One that was counted as lost.
                    if id & !(WINDOW as u16 - 1) != mark {
                        continue;
                    }
                    let place = usize::from(id) % WINDOW;
                    self.judge((next + place) % all.len(), floor, now, &reply[2..]);
                    waiting -= 1;
                }
            }
            self.longest.fetch_max(self.now() - sent, Relaxed);
            next = (next + WINDOW) % all.len();
        }
        Ok(())
    }

    /// Judges a reply, without its identifier.
    fn judge(&self, number: usize, floor: bool, now: u64, reply: &[u8]) {
        self.answers.fetch_add(1, Relaxed);
        if reply == &self.old[number][2..] {
            if self.questions.all[number].1 != Role::Steady {
                self.last_old.fetch_max(now, Relaxed);
                if floor {
                    self.back.fetch_add(1, Relaxed);
                }
            }
            return;
        }
        let first = self.new[number].get_or_init(|| reply.to_vec());
        if first != reply || self.questions.all[number].1 == Role::Steady {
            self.mixed.fetch_add(1, Relaxed);
        }
        self.first_new.fetch_min(now, SeqCst);
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    /// Whether every question that tells versions has told the new one.
    pub fn is_through(&self) -> bool {
        let questions = self.questions.all.iter().zip(&self.new);
        questions.into_iter().all(|((_, role), new)| *role == Role::Steady || new.get().is_some())
    }

    /// Ends it.
    pub fn end(&self) {
        self.done.store(true, Relaxed);
    }

    /// What came of it; `after` are the replies once the new version was all there.
    ///
    /// # Errors
    /// When the new version was never seen.
    pub fn verdict(self, after: &[Vec<u8>]) -> anyhow::Result<Verdict> {
        let at = |nanoseconds: u64| self.started + Duration::from_nanos(nanoseconds);
        let first = self.first_new.into_inner();
        // What came during the change must be what is there after it.
        let news = self.new.iter().zip(after);
        let other = news.filter(|(new, after)| new.get().is_some_and(|new| *new != after[2..]));
        Ok(Verdict {
            first_new: Some(first).filter(|first| *first != NEVER).map(at).context("never seen")?,
            last_old: at(self.last_old.into_inner()),
            answers: self.answers.into_inner(),
            seconds: self.started.elapsed().as_secs_f64(),
            lost: self.lost.into_inner(),
            mixed: self.mixed.into_inner() + other.count() as u64,
            back: self.back.into_inner(),
            longest: Duration::from_nanos(self.longest.into_inner()),
        })
    }
}

/// What a flood saw.
#[derive(Debug, Clone, Copy)]
pub struct Verdict {
    /// When the first reply of the new version came.
    pub first_new: Instant,
    /// When the last one of the old version came.
    pub last_old: Instant,
    /// Replies that were judged.
    pub answers: u64,
    /// How long it lasted.
    pub seconds: f64,
    /// Queries without a reply.
    pub lost: u64,
    /// Replies of neither version.
    pub mixed: u64,
    /// Replies of the old version to queries that were sent after one of the new version was seen.
    pub back: u64,
    /// The longest that a window of queries took.
    pub longest: Duration,
}
