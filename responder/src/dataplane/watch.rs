//! The watched programs: what they tell, beside answering.
//!
//! There are two pairs of programs. The plain ones tell nothing, and are loaded as long as nothing is asked
//! for; so what is off costs nothing. What the watched ones tell is settled before they are loaded.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Map, MapData, RingBuf},
};
use aya_log::EbpfLogger;
use log::{Level, Log, Metadata, Record};
use responder_common::{
    sample::{self, FRONT},
    verdict::Verdict,
};
use serde::{Deserialize, Serialize};
use zerocopy::FromBytes as _;

use super::{TC_PROGRAM, XDP_PROGRAM, trial::HookPoint};

/// What the programs are to tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// A sample of one of so many answers; zero: none (`xdp.shadow`).
    pub shadow: u32,
    /// A line of the log for each query (`xdp.debug`).
    pub debug: bool,
}

/// The name of the map of samples.
pub(super) const SAMPLES: &str = "SAMPLES";
/// The watched programs.
const WATCHED_XDP: &str = "responder_xdp_watched";
const WATCHED_TC: &str = "responder_tc_watched";

impl Watch {
    /// The program of a hook.
    pub(super) fn program(self, hook: HookPoint) -> &'static str {
        match (hook, self == Self::default()) {
            (HookPoint::Xdp, true) => XDP_PROGRAM,
            (HookPoint::Tc, true) => TC_PROGRAM,
            (HookPoint::Xdp, false) => WATCHED_XDP,
            (HookPoint::Tc, false) => WATCHED_TC,
        }
    }

    /// The lowest level of what the programs log, as aya-log numbers them: nothing, or all of it.
    pub(super) fn level(self) -> u8 {
        if self.debug { aya_log::Level::Debug as u8 } else { 0 }
    }

    /// Makes the rings as small as can be that nothing is put in.
    pub(super) fn size_rings(self, loader: &mut EbpfLoader<'_>) {
        // SAFETY: a plain call.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as u32;
        if self.shadow == 0 {
            loader.map_max_entries(SAMPLES, page);
        }
        if !self.debug {
            loader.map_max_entries("AYA_LOGS", page);
        }
    }
}

/// What the programs told of queries that they answered.
pub struct Samples(RingBuf<MapData>);

/// One of them.
#[derive(Debug, Clone, Copy)]
pub struct Sampled<'a> {
    /// When the query was taken, in nanoseconds of the store's clock.
    pub before: u64,
    /// When the reply was written.
    pub after: u64,
    /// Where.
    pub hook: HookPoint,
    /// The query's frame.
    pub query: &'a [u8],
    /// The reply's.
    pub reply: &'a [u8],
}

impl Samples {
    /// Those of a map.
    ///
    /// # Errors
    /// It is another map.
    pub(super) fn open(descriptor: OwnedFd) -> Result<Self> {
        let map = Map::RingBuf(MapData::from_fd(descriptor)?);
        Ok(Self(RingBuf::try_from(map)?))
    }

    /// Waits until there is one, but no longer than so.
    pub fn wait(&self, time: Duration) {
        wait(&self.0, time);
    }

    /// Shows the next one, if there is one; false if there is none.
    pub fn show(&mut self, look: impl FnOnce(Sampled<'_>)) -> bool {
        let Some(item) = self.0.next() else { return false };
        // What is not to be understood is not there.
        let _ = parse(&item).map(look);
        true
    }
}

fn parse(octets: &[u8]) -> Option<Sampled<'_>> {
    let (head, _) = sample::Head::read_from_prefix(octets).ok()?;
    let sample::Head { before, after, hook, query_length, reply_length, .. } = head;
    Some(Sampled {
        before,
        after,
        hook: if hook == 0 { HookPoint::Xdp } else { HookPoint::Tc },
        query: octets.get(size_of::<sample::Head>()..)?.get(..query_length as usize)?,
        reply: octets.get(FRONT..)?.get(..reply_length as usize)?,
    })
}

/// Waits until a ring can be read, but no longer than so.
fn wait(ring: &impl AsRawFd, time: Duration) {
    let events = libc::POLLIN;
    let mut poll = libc::pollfd { fd: ring.as_raw_fd(), events, revents: 0 };
    // SAFETY: one structure, valid for the call. An interruption is as good as a sample.
    unsafe { libc::poll(&raw mut poll, 1, time.as_millis() as i32) };
}

/// The thread that writes to the log what the programs say; ends when dropped.
pub(super) struct Scribe {
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Scribe {
    /// Starts it.
    ///
    /// # Errors
    /// The programs have no map of that kind, or there is no thread.
    pub(super) fn start(ebpf: &mut Ebpf) -> Result<Self> {
        let mut logger =
            EbpfLogger::init_with_logger(ebpf, Line).context("the programs' log cannot be read")?;
        let end = Arc::new(AtomicBool::new(false));
        let ending = Arc::clone(&end);
        let work = move || {
            while !ending.load(Relaxed) {
                wait(&logger, Duration::from_millis(200));
                logger.flush();
            }
        };
        let thread = thread::Builder::new().name("packet-log".into()).spawn(work)?;
        Ok(Self { end, thread: Some(thread) })
    }
}

impl Drop for Scribe {
    fn drop(&mut self) {
        self.end.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the programs say, as a line of our log: hook, number of the verdict, client.
struct Line;

impl Log for Line {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Debug
    }

    fn log(&self, record: &Record<'_>) {
        let text = record.args().to_string();
        let mut words = text.split(' ');
        let (hook, number, client) = (words.next(), words.next(), words.next());
        let Some(number) = number.and_then(|number| number.parse().ok()) else { return };
        let verdict = Verdict::from_number(number).label();
        let (hook, client) = (hook.unwrap_or_default(), client.unwrap_or_default());
        tracing::debug!(hook, client, verdict, "query");
    }

    fn flush(&self) {}
}

/// A copy of the descriptor of a map that was taken from the programs.
pub(super) fn descriptor(map: &Map) -> io::Result<OwnedFd> {
    use std::os::fd::AsFd as _;
    let Map::RingBuf(data) = map else { return Err(io::ErrorKind::InvalidInput.into()) };
    data.fd().as_fd().try_clone_to_owned()
}
