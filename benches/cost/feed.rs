//! Runs of a program, each on a fresh query: `feed.c` and what loads it.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, ensure};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, MapData, ProgramArray},
    programs::{ProgramFd, SchedClassifier, TestRun as _, TestRunOptions, Xdp},
};
use responder::dataplane::{DataPlane, trial::HookPoint};

/// Queries that can take turns: with the names they ask for they are many times the caches.
pub const QUERIES: usize = 1 << 19;
/// Longest frame of a query, in octets.
const QUERY_MAX: usize = 324;
/// Runs in a row; the kernel gives the time of one as their average, in whole nanoseconds.
const REPEAT: u32 = 30_000;
/// How often that is done; the median counts.
const TIMES: usize = 7;

/// The feeding programs and their maps.
pub struct Feed {
    ebpf: Ebpf,
    queries: Array<MapData, [u8; 4 + QUERY_MAX]>,
    turns: Array<MapData, [u32; 2]>,
    after: [ProgramArray<MapData>; 2],
}

/// What is run behind the feeding program.
#[derive(Clone, Copy)]
pub enum Target<'a> {
    /// A program that sends the query back as it is.
    Empty,
    /// The responder's.
    Responder(&'a DataPlane),
}

impl Feed {
    /// Compiles and loads the feeding programs.
    ///
    /// # Errors
    /// Without clang, or when the kernel refuses them.
    pub fn load() -> anyhow::Result<Self> {
        let mut ebpf = EbpfLoader::new().load(&compile()?)?;
        for name in ["feed_xdp", "empty_xdp"] {
            program::<Xdp>(&mut ebpf, name)?.load()?;
        }
        for name in ["feed_tc", "empty_tc"] {
            program::<SchedClassifier>(&mut ebpf, name)?.load()?;
        }
        let mut take = |name| ebpf.take_map(name).with_context(|| format!("no map {name}"));
        let queries = Array::try_from(take("queries")?)?;
        let turns = Array::try_from(take("turns")?)?;
        let after = [
            ProgramArray::try_from(take("after_xdp")?)?,
            ProgramArray::try_from(take("after_tc")?)?,
        ];
        Ok(Self { ebpf, queries, turns, after })
    }

    /// These frames take turns from now on.
    ///
    /// # Errors
    /// When there are too many, or one is too long.
    pub fn fill(&mut self, frames: &[Vec<u8>]) -> anyhow::Result<()> {
        ensure!((1..=QUERIES).contains(&frames.len()), "{} queries", frames.len());
        for (index, frame) in frames.iter().enumerate() {
            ensure!(frame.len() <= QUERY_MAX, "a query of {} octets", frame.len());
            let mut value = [0; 4 + QUERY_MAX];
            value[..4].copy_from_slice(&(frame.len() as u32).to_ne_bytes());
            value[4..4 + frame.len()].copy_from_slice(frame);
            self.queries.set(index as u32, value, 0)?;
        }
        Ok(self.turns.set(0, [0, frames.len() as u32], 0)?)
    }

    /// Nanoseconds of a run, feeding included: the median of [`TIMES`] averages. Also how many runs
    /// there were.
    ///
    /// # Errors
    /// When the kernel refuses a run, or the last run of a row sent no reply.
    pub fn time(&mut self, hook: HookPoint, target: Target<'_>) -> anyhow::Result<(f64, u64)> {
        let mut times = Vec::new();
        let mut all = 0;
        for _ in 0..TIMES {
            let (time, runs) = self.time_once(hook, target)?;
            times.push(time);
            all += runs;
        }
        times.sort_unstable_by(f64::total_cmp);
        Ok((times[TIMES / 2], all))
    }

    /// The same, one average.
    ///
    /// # Errors
    /// As [`Feed::time`].
    pub fn time_once(&mut self, hook: HookPoint, target: Target<'_>) -> anyhow::Result<(f64, u64)> {
        let (number, name, empty) = match hook {
            HookPoint::Xdp => (0, "feed_xdp", "empty_xdp"),
            HookPoint::Tc => (1, "feed_tc", "empty_tc"),
        };
        let next = match target {
            Target::Empty => descriptor(&self.ebpf, empty)?,
            Target::Responder(plane) => plane.program(hook)?,
        };
        self.after[number].set(0, next, 0)?;
        Ok((self.run(hook, name)? as f64, u64::from(REPEAT)))
    }

    fn run(&self, hook: HookPoint, name: &str) -> anyhow::Result<u128> {
        let frame = [0_u8; 64];
        let mut options = TestRunOptions::new();
        options.data_in = Some(&frame);
        options.repeat = REPEAT;
        let program = self.ebpf.program(name).with_context(|| format!("no program {name}"))?;
        // XDP_TX; TC_ACT_REDIRECT.
        let (result, reply) = match hook {
            HookPoint::Xdp => (<&Xdp>::try_from(program)?.test_run(options)?, 3),
            HookPoint::Tc => (<&SchedClassifier>::try_from(program)?.test_run(options)?, 7),
        };
        ensure!(result.return_value == reply, "no reply: {}", result.return_value);
        Ok(result.duration.as_nanos())
    }
}

fn compile() -> anyhow::Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/cost/feed.c");
    let object = folder.path().join("feed.o");
    let done = Command::new("clang")
        .args(["-O2", "-g", "-target", "bpf"])
        .arg(format!("-DQUERY_MAX={QUERY_MAX}"))
        .arg(format!("-DQUERIES={QUERIES}"))
        .arg("-c")
        .arg(&source)
        .arg("-o")
        .arg(&object)
        .status()
        .context("clang is missing; remedy: cargo xtask setup")?;
    ensure!(done.success(), "feed.c does not compile");
    Ok(fs::read(&object)?)
}

fn program<'a, P>(ebpf: &'a mut Ebpf, name: &str) -> anyhow::Result<&'a mut P>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = aya::programs::ProgramError>,
{
    let program = ebpf.program_mut(name).with_context(|| format!("no program {name}"))?;
    Ok(program.try_into()?)
}

fn descriptor<'a>(ebpf: &'a Ebpf, name: &str) -> anyhow::Result<&'a ProgramFd> {
    Ok(ebpf.program(name).with_context(|| format!("no program {name}"))?.fd()?)
}
