//! Threads that read pieces of files side by side; what they read is taken in the order of the pieces.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver, Sender, SyncSender},
    },
    thread::{self, Scope},
};

use bytes::Bytes;
use domain::base::Name;

use super::{Batch, Refusal, entries::Entries, record::Notes, scan::Inherited, source::Piece};
use crate::locks::lock;

/// A piece below this size, in octets, is read where it is taken: a thread is not worth its waking.
const SMALL: usize = 32 << 10;

/// One piece, all that is needed to read it, and what was read.
pub struct Job<B> {
    pub text: Vec<u8>,
    long: Vec<Range<usize>>,
    line: u64,
    file: usize,
    origin: Name<Bytes>,
    /// The `$TTL` in force.
    pub default_ttl: Option<u32>,
    /// Whether times with units are to be looked for at once; afterwards, whether there were any.
    pub units: bool,
    pub batch: B,
    pub notes: Notes,
    /// What the last record leaves to the next piece; without an owner when there was no record.
    pub inherited: Inherited,
}

impl<B: Batch> Job<B> {
    /// Reads the piece, behind what is `known`: so many records, and what the last one leaves to it.
    /// Without that, as if nothing stood before it: then a refusal means that something must be known.
    pub fn read(
        &mut self,
        apex: &[u8],
        most: u64,
        known: Option<(u64, Inherited)>,
    ) -> Result<(), Refusal> {
        self.notes = Notes::default();
        let alone = known.is_none();
        let (before, inherited) = known.unwrap_or_default();
        self.inherited = Inherited { default_ttl: self.default_ttl, ..inherited };
        self.batch.begin(apex);
        let piece = Piece { text: &self.text, line: self.line, long: &self.long, directive: false };
        Entries {
            apex,
            before,
            most,
            alone,
            origin: &self.origin,
            file: self.file,
            units: &mut self.units,
            inherited: &mut self.inherited,
            notes: &mut self.notes,
            batch: &mut self.batch,
            rdata: Vec::new(),
        }
        .piece(&piece)?;
        self.batch.finish();
        Ok(())
    }
}

/// A job that was given out.
enum Given<B> {
    /// To a thread, which tells whether it could read the piece.
    Away(Receiver<(Job<B>, bool)>),
    /// To nobody.
    Here(Box<Job<B>>),
}

type Order<B> = (Job<B>, SyncSender<(Job<B>, bool)>);

/// The threads, started when there is work for them, and the jobs given out.
pub struct Crew<'scope, 'env, B> {
    scope: &'scope Scope<'scope, 'env>,
    apex: &'env [u8],
    most: u64,
    orders: Option<Sender<Order<B>>>,
    given: VecDeque<Given<B>>,
    window: usize,
    spare: Vec<Job<B>>,
}

impl<'scope, 'env, B: Batch + 'env> Crew<'scope, 'env, B> {
    pub fn new(scope: &'scope Scope<'scope, 'env>, apex: &'env [u8], most: u64) -> Self {
        let (given, spare) = (VecDeque::new(), Vec::new());
        Self { scope, apex, most, orders: None, given, window: 1, spare }
    }

    /// Whether a job must be taken before one more is given.
    pub fn is_full(&self) -> bool {
        self.given.len() >= self.window
    }

    /// Whether jobs were given that are not yet taken.
    pub fn is_busy(&self) -> bool {
        !self.given.is_empty()
    }

    /// Gives a piece out to be read.
    pub fn give(
        &mut self,
        piece: &Piece<'_>,
        file: usize,
        (origin, default_ttl, units): (Name<Bytes>, Option<u32>, bool),
    ) {
        let job = match self.spare.pop() {
            Some(mut job) => {
                job.text.clear();
                job.text.extend_from_slice(piece.text);
                job.long.clear();
                job.long.extend_from_slice(piece.long);
                Job { line: piece.line, file, origin, default_ttl, units, ..job }
            }
            None => Job {
                text: piece.text.to_vec(),
                long: piece.long.to_vec(),
                line: piece.line,
                file,
                origin,
                default_ttl,
                units,
                batch: B::default(),
                notes: Notes::default(),
                inherited: Inherited::default(),
            },
        };
        if job.text.len() < SMALL {
            self.given.push_back(Given::Here(Box::new(job)));
            return;
        }
        let (done, result) = mpsc::sync_channel(1);
        let orders = self.orders.get_or_insert_with(|| {
            let threads = thread::available_parallelism().map_or(1, usize::from);
            self.window = 2 * threads + 1;
            start(self.scope, threads, self.apex, self.most)
        });
        self.given.push_back(match orders.send((job, done)) {
            Ok(()) => Given::Away(result),
            Err(mpsc::SendError((job, _))) => Given::Here(Box::new(job)),
        });
    }

    /// The oldest job that was given, and whether it is read.
    pub fn next(&mut self) -> Option<(Job<B>, bool)> {
        match self.given.pop_front()? {
            Given::Here(job) => Some((*job, false)),
            Given::Away(result) => Some(result.recv().expect("a thread of the crew panicked")),
        }
    }

    /// Gives up the jobs that are not yet taken.
    pub fn forget(&mut self) {
        self.given.clear();
    }

    /// Takes a job's memory back.
    pub fn recycle(&mut self, job: Job<B>) {
        self.spare.push(job);
    }
}

/// Starts the threads; they end when the sender is dropped.
fn start<'scope, 'env, B: Batch + 'env>(
    scope: &'scope Scope<'scope, 'env>,
    threads: usize,
    apex: &'env [u8],
    most: u64,
) -> Sender<Order<B>> {
    let (orders, inbox) = mpsc::channel::<Order<B>>();
    let inbox = Arc::new(Mutex::new(inbox));
    for _ in 0..threads {
        let inbox = Arc::clone(&inbox);
        scope.spawn(move || {
            loop {
                let order = lock(&inbox).recv();
                let Ok((mut job, done)) = order else { return };
                let read = job.read(apex, most, None).is_ok();
                // Nobody waits any more when a piece before this one was refused.
                drop(done.send((job, read)));
            }
        });
    }
    orders
}
