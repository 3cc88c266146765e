//! A generator of the kernel's own frames, for floods that are not to cost more than their answers.
//!
//! `kxdpgun` sends over veth by copies: on two processors it takes a third of the time that server and
//! client have between them, and so hides what a fast server can do. Here a program of three helpers
//! (`frames.c`) makes each query out of a page of the kernel's (`BPF_PROG_TEST_RUN` with live frames,
//! Linux 5.18) and another one counts and drops the replies. As on a network card, a frame has room to
//! grow. So many queries are under way at a time: a server that is slower is asked less.

mod queries;
mod words;

use std::{
    ffi::CString,
    fs, io,
    net::Ipv4Addr,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, MapData},
    programs::{TestRun as _, TestRunAttrs, TestRunOptions, Xdp, XdpMode},
};

pub use self::words::Counted;
use self::{
    queries::{OCTETS, Query},
    words::{Control, State},
};
use crate::net::{CLIENT_INTERFACE, Pair, SERVER_INTERFACE};

/// Frames that one system call runs the generator over: starting and ending one takes the kernel 20 ms.
const REPEAT: u32 = 1 << 22;

/// After how many it puts them on the wire and lets others run.
const BATCH: u32 = 64;

/// When nothing comes for so long, what is under way is lost.
const PATIENCE: Duration = Duration::from_millis(20);

/// What is sent before counting begins: until caches and threads are warm.
const WARMING: Duration = Duration::from_millis(300);

/// Queries under way, of which each server gets what suits it best.
const WINDOWS: [u64; 4] = [48, 128, 256, 512];

/// Forged sources: any address of any of these networks.
#[derive(Debug, Clone, Copy)]
pub struct Sources {
    /// How many networks; none: the client's own address.
    pub networks: u32,
    /// Where the first begins.
    pub first: Ipv4Addr,
    /// How far it is from one to the next.
    pub stride: u32,
    /// The bits of an address in its network.
    pub hosts: u32,
}

/// What a flood came to.
#[derive(Debug, Clone, Copy)]
pub struct Flooded {
    /// Queries put on the wire.
    pub sent: u64,
    /// Octets of their frames.
    pub octets: u64,
    /// Packets that the server's interface took of them: what is sent too fast is never there.
    pub taken: u64,
    /// Replies.
    pub counted: Counted,
    /// For how long.
    pub time: Duration,
}

impl Flooded {
    /// Replies per second.
    pub fn rate(&self) -> f64 {
        self.counted.replies as f64 / self.time.as_secs_f64()
    }

    /// This flood, and the one that came after it.
    pub fn and(&self, next: &Self) -> Self {
        Self {
            sent: self.sent + next.sent,
            octets: self.octets + next.octets,
            taken: self.taken + next.taken,
            counted: self.counted.and(&next.counted),
            time: self.time + next.time,
        }
    }

    /// Octets of a query's frame, on the average.
    pub fn mean_octets(&self) -> f64 {
        self.octets as f64 / self.sent.max(1) as f64
    }

    /// The share of the queries that were answered.
    pub fn answered(&self) -> f64 {
        self.counted.replies as f64 / self.sent.max(1) as f64
    }
}

/// The generator, attached to the client's side of a pair.
pub struct Frames {
    ebpf: Ebpf,
    interface: u32,
    control: Control,
    controls: Array<MapData, Control>,
    states: Array<MapData, State>,
    counts: Array<MapData, Counted>,
    /// The processor that the generator keeps to, if it is told to.
    processor: Option<usize>,
}

impl Frames {
    /// Compiles and loads the programs, and attaches the counter: within
    /// [`Pair::with_free_client_interface`]. The queries are those of a file that kxdpgun reads.
    ///
    /// # Errors
    /// When clang is missing, a query is not understood, or the kernel refuses a step.
    pub fn attach(pair: &Pair, queries: &Path, folder: &Path) -> anyhow::Result<Self> {
        let object = super::compile(folder, "frames.c", include_str!("frames.c"))?;
        let queries = queries::queries(pair, queries)?;
        let count = queries.len() as u32;
        let mut ebpf = EbpfLoader::new()
            .map_max_entries("queries", count)
            .load_file(&object)
            .context("loading the generator")?;
        let mut map: Array<_, Query> = Array::try_from(ebpf.map_mut("queries").context("map")?)?;
        for (place, query) in queries.into_iter().enumerate() {
            map.set(place as u32, query, 0)?;
        }
        program(&mut ebpf, "generate")?.load()?;
        let interface = pair.client.enter(|| -> anyhow::Result<u32> {
            let counter = program(&mut ebpf, "count")?;
            counter.load()?;
            counter.attach(CLIENT_INTERFACE, XdpMode::Driver)?;
            let name = CString::new(CLIENT_INTERFACE)?;
            // SAFETY: the name ends with a zero octet.
            Ok(unsafe { libc::if_nametoindex(name.as_ptr()) })
        })??;
        ensure!(interface != 0, "{CLIENT_INTERFACE} is gone");
        let control = Control { queries: count, ..Control::default() };
        let [controls, states, counts] =
            ["controls", "states", "counts"].map(|name| ebpf.take_map(name).context(name));
        let (controls, states) = (Array::try_from(controls?)?, Array::try_from(states?)?);
        let counts = Array::try_from(counts?)?;
        let processor = None;
        Ok(Self { ebpf, interface, control, controls, states, counts, processor })
    }

    /// The flood with the window that suits the server best; all together take about so long.
    ///
    /// # Errors
    /// As [`Frames::attach`] and [`Frames::flood`].
    pub fn best(
        pair: &Pair,
        queries: &Path,
        folder: &Path,
        time: Duration,
    ) -> anyhow::Result<Flooded> {
        let time = time / WINDOWS.len() as u32;
        let floods = pair.with_free_client_interface(|| -> anyhow::Result<Vec<_>> {
            let mut frames = Self::attach(pair, queries, folder)?;
            WINDOWS.iter().map(|window| frames.flood(pair, *window, time)).collect()
        })??;
        let best = floods.into_iter().max_by(|one, other| one.rate().total_cmp(&other.rate()));
        best.context("there are windows")
    }

    /// From now on queries come from these sources.
    pub fn spoof(&mut self, sources: &Sources) {
        let Sources { networks, first, stride, hosts } = *sources;
        self.control = Control { networks, first: first.into(), stride, hosts, ..self.control };
    }

    /// From now on no more than so many queries a second are sent; none: as many as there can be.
    pub fn pace(&mut self, queries: u64) {
        self.control.pace = queries;
    }

    /// From now on the generator keeps to the first processor, and the thread that polls the server's interface
    /// to the second, where our daemon has given it to a thread: rates of one flood and the next can be compared
    /// when nobody is moved from here to there.
    ///
    /// # Errors
    /// When there is no such thread, or no second processor.
    pub fn pin(&mut self) -> anyhow::Result<()> {
        self.processor = Some(0);
        let name = format!("napi/{SERVER_INTERFACE}-");
        let mut pinned = 0;
        for process in fs::read_dir("/proc")?.filter_map(Result::ok) {
            let Ok(number) = process.file_name().to_string_lossy().parse() else { continue };
            let command = fs::read_to_string(process.path().join("comm"));
            if command.is_ok_and(|command| command.starts_with(&name)) {
                keep_to(number, 1)?;
                pinned += 1;
            }
        }
        ensure!(pinned > 0, "no thread is called {name}");
        Ok(())
    }

    /// Asks for so long, with so many queries under way at the most.
    ///
    /// # Errors
    /// When the kernel refuses a run.
    pub fn flood(&mut self, pair: &Pair, window: u64, time: Duration) -> anyhow::Result<Flooded> {
        let ended = AtomicBool::new(false);
        let Self { ebpf, interface, control, controls, states, counts, processor, .. } = self;
        let generator: &Xdp = ebpf.program("generate").context("no generator")?.try_into()?;
        control.window = window;
        let mut watch = Watch { pair, control, controls, states, counts };
        thread::scope(|scope| {
            let run = scope.spawn(|| {
                pair.client.enter(|| {
                    processor.map_or(Ok(()), |processor| keep_to(0, processor))?;
                    generate(generator, *interface, &ended)
                })
            });
            let flooded = watch.over(time, || run.is_finished());
            ended.store(true, Ordering::Relaxed);
            watch.control.window = 0;
            watch.tell()?;
            match run.join() {
                Ok(result) => result??,
                Err(panic) => std::panic::resume_unwind(panic),
            }
            flooded
        })
    }
}

/// Who looks on while the generator runs.
struct Watch<'a> {
    pair: &'a Pair,
    control: &'a mut Control,
    controls: &'a mut Array<MapData, Control>,
    states: &'a Array<MapData, State>,
    counts: &'a Array<MapData, Counted>,
}

impl Watch<'_> {
    /// Counts over the time, and gives up what stays away.
    fn over(&mut self, time: Duration, gone: impl Fn() -> bool) -> anyhow::Result<Flooded> {
        let (begin, mut moved) = (Instant::now(), Instant::now());
        let (State { sent, .. }, counted) = self.now()?;
        self.control.written_off = sent - counted.replies;
        self.control.begun = monotonic();
        self.control.sent_before = sent;
        self.tell()?;
        let mut last = counted.replies;
        let mut measured: Option<(Instant, State, u64, Counted)> = None;
        while !gone() {
            thread::sleep(Duration::from_millis(2));
            let now = Instant::now();
            let (state, counted) = self.now()?;
            match measured {
                None if now - begin >= WARMING => {
                    let taken = self.pair.server.received(SERVER_INTERFACE)?;
                    let (state, counted) = self.now()?;
                    measured = Some((Instant::now(), state, taken, counted));
                }
                Some((from, before, taken, earlier)) if now - from >= time => {
                    // In the other order: no reply is counted whose query is not.
                    let (counted, time) = (counted.since(&earlier), from.elapsed());
                    let taken = self.pair.server.received(SERVER_INTERFACE)? - taken;
                    let (sent, octets) = (state.sent - before.sent, state.octets - before.octets);
                    return Ok(Flooded { sent, octets, taken, counted, time });
                }
                _ => {}
            }
            if counted.replies != last {
                (last, moved) = (counted.replies, now);
            } else if now - moved > PATIENCE {
                self.control.written_off = state.sent.saturating_sub(counted.replies);
                self.tell()?;
                moved = now;
            }
        }
        bail!("the generator ended by itself")
    }

    fn tell(&mut self) -> anyhow::Result<()> {
        Ok(self.controls.set(0, *self.control, 0)?)
    }

    /// Queries sent, and what came back.
    fn now(&self) -> anyhow::Result<(State, Counted)> {
        // What was sent first: a reply is not to come before its query.
        let mut state = self.states.get(&0, 0)?;
        let counted = self.counts.get(&0, 0)?;
        state.sent = state.sent.max(counted.replies);
        Ok((state, counted))
    }
}

/// Keeps a thread, or this one for zero, to one processor.
fn keep_to(thread: libc::pid_t, processor: usize) -> anyhow::Result<()> {
    // SAFETY: a set of processors is plain bits.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is ours, and the number is one of its bits.
    unsafe { libc::CPU_SET(processor, &mut set) };
    // SAFETY: the kernel reads the set within its size.
    let failed = unsafe { libc::sched_setaffinity(thread, size_of_val(&set), &raw const set) } != 0;
    ensure!(!failed, "keeping a thread to processor {processor}: {}", io::Error::last_os_error());
    Ok(())
}

/// Runs the generator until told to end, when nobody else wants the processor.
fn generate(program: &Xdp, interface: u32, ended: &AtomicBool) -> anyhow::Result<()> {
    let nothing = libc::sched_param { sched_priority: 0 };
    // SAFETY: of this thread alone, and the structure lives through the call.
    let idle = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &nothing) };
    ensure!(idle == 0, "SCHED_IDLE: {}", io::Error::last_os_error());
    let mut context = [0_u8; 24];
    context[4..8].copy_from_slice(&(OCTETS as u32).to_ne_bytes());
    context[12..16].copy_from_slice(&interface.to_ne_bytes());
    while !ended.load(Ordering::Relaxed) {
        program.test_run(TestRunOptions {
            data_in: Some(&[0; OCTETS]),
            ctx_in: Some(&context),
            repeat: REPEAT,
            attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
            ..TestRunOptions::new()
        })?;
    }
    Ok(())
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> anyhow::Result<&'a mut Xdp> {
    Ok(ebpf.program_mut(name).with_context(|| format!("no program {name}"))?.try_into()?)
}

/// The clock that kernel programs read, in nanoseconds.
fn monotonic() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure is ours.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

#[cfg(test)]
mod tests;
