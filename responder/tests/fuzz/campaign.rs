//! Many packets from one seed, on every processor, until one shows a difference.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use responder_common::verdict::{COUNTERS, Verdict};

use super::{
    arena::{Plane, Variant},
    corpus::{self, Known},
    damage,
    fixture::Fixture,
    link,
    minimise::minimise,
    octets::Octets,
    random::Random,
};

/// Packets between two looks at the counters.
const BATCH: u64 = 8192;

/// What a campaign did.
pub struct Report {
    /// Packets given to both hooks and to the host.
    pub packets: u64,
    /// What the host said of them.
    pub verdicts: [u64; COUNTERS],
    /// How long it took, without loading.
    pub time: Duration,
    /// The first difference of each thread, minimised.
    pub findings: Vec<Fixture>,
}

impl Report {
    /// Packets in a second.
    pub fn rate(&self) -> f64 {
        self.packets as f64 / self.time.as_secs_f64()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.time.as_secs_f64();
        writeln!(out, "{} packets, {seconds:.1} s, {:.0} a second", self.packets, self.rate())?;
        for verdict in Verdict::ALL {
            let count = self.verdicts[*verdict as usize];
            if count > 0 {
                writeln!(out, "{count:>12}  {}", verdict.label())?;
            }
        }
        Ok(())
    }
}

/// Runs `packets` of them, the same ones for the same seed and number of threads.
pub fn run(variants: &[Variant], packets: u64, seed: u64, threads: u64) -> Report {
    let stop = AtomicBool::new(false);
    let part = |thread: u64| {
        let mut planes: Vec<Plane> = variants.iter().map(Plane::load).collect();
        let mut source = Source::new(Random::new(seed ^ thread.wrapping_mul(0x9e37_79b9)));
        let mut report = Report {
            packets: 0,
            verdicts: [0; COUNTERS],
            time: Duration::ZERO,
            findings: Vec::new(),
        };
        let share = packets / threads + u64::from(thread < packets % threads);
        let start = Instant::now();
        while report.packets < share && !stop.load(Ordering::Relaxed) {
            let number = (report.packets / BATCH) as usize % planes.len();
            let count = BATCH.min(share - report.packets);
            if let Some(finding) = batch(&mut planes[number], &mut source, count, &mut report) {
                report.findings.push(finding);
                stop.store(true, Ordering::Relaxed);
            }
        }
        report.time = start.elapsed();
        report
    };
    let parts: Vec<Report> = thread::scope(|scope| {
        let part = &part;
        let threads: Vec<_> =
            (0..threads).map(|thread| scope.spawn(move || part(thread))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let mut parts = parts.into_iter();
    let mut all = parts.next().expect("a thread at least");
    for part in parts {
        all.packets += part.packets;
        all.time = all.time.max(part.time);
        all.findings.extend(part.findings);
        for (sum, count) in all.verdicts.iter_mut().zip(part.verdicts) {
            *sum += count;
        }
    }
    all
}

/// Some packets for one plane; a difference between them, if there is one.
fn batch(
    plane: &mut Plane,
    source: &mut Source,
    count: u64,
    report: &mut Report,
) -> Option<Fixture> {
    let begin = source.random.clone();
    source.restart(begin.clone());
    for _ in 0..count {
        report.packets += 1;
        match plane.compare(source.next(&plane.known)) {
            Ok(verdict) => report.verdicts[verdict as usize] += 1,
            Err(difference) => return Some(describe(plane, source.frame.get(), &difference)),
        }
    }
    let difference = plane.check_counters().err()?;
    // The octets agree but the counters do not: the same packets again, one by one.
    source.restart(begin);
    for _ in 0..count {
        if let Err(difference) = plane.compare_counted(source.next(&plane.known)) {
            return Some(describe(plane, source.frame.get(), &difference));
        }
    }
    let frame = source.frame.get().to_vec();
    let note = format!("{}: {difference}, but not packet by packet", plane.label);
    Some(Fixture { name: "found-counters".into(), note, frame })
}

/// The smallest frame with this difference, under a name of its own.
pub fn describe(plane: &mut Plane, frame: &[u8], difference: &str) -> Fixture {
    let mut last = difference.to_owned();
    let frame = minimise(frame, &mut |candidate| match plane.compare_counted(candidate) {
        Ok(_) => false,
        Err(difference) => {
            last = difference;
            true
        }
    });
    let hash = frame.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| {
        (hash ^ u64::from(*octet)).wrapping_mul(0x100_0000_01b3)
    });
    let words = last.split(|letter: char| !letter.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).take(3).collect();
    let name = format!("found-{}-{:08x}", words.join("-").to_lowercase(), hash as u32);
    let note = format!("{} zones: {last}\nat first: {difference}", plane.label);
    Fixture { name, note, frame }
}

/// An endless row of frames from a seed.
pub struct Source {
    random: Random,
    message: Octets,
    other: Octets,
    frame: Octets,
}

impl Source {
    /// The row of a seed.
    pub fn new(random: Random) -> Self {
        Self { random, message: Octets::new(), other: Octets::new(), frame: Octets::new() }
    }

    fn restart(&mut self, random: Random) {
        self.random = random;
        self.message.clear();
    }

    /// The next frame about these.
    pub fn next(&mut self, known: &Known) -> &[u8] {
        let random = &mut self.random;
        std::mem::swap(&mut self.message, &mut self.other);
        corpus::query(&mut self.message, known, random);
        // A third as it is; of the others most once or twice, some often.
        let times = match random.below(12) {
            0..=3 => 0,
            4..=7 => 1,
            8 | 9 => 2,
            10 => 3,
            _ => 1 + random.below(12),
        };
        for _ in 0..times {
            damage::mutate(&mut self.message, self.other.get(), random);
        }
        // Nothing of an Ethernet frame is longer.
        self.message.truncate(1490);
        link::wrap(&mut self.frame, self.message.get(), random);
        if random.percent(12) {
            for _ in 0..=random.below(2) {
                link::mutate(&mut self.frame, random);
            }
        }
        self.frame.get()
    }
}
