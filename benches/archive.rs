//! What a zone on disk costs: writing all of it, reading all of it, changing a little of it.
//!
//! `cargo bench -p responder --bench archive -- [DELEGATIONS] [FOLDER]` (1,000,000 and a temporary folder if
//! not given) makes a registry's zone in canonical order as it writes: 40 % of the delegations with two
//! servers and their glue of their own, 15 % served by hosts below other delegations, the rest from
//! elsewhere; every tenth with a DS record. Memory is what `/proc/self/status` says, before and after.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use responder::zone::archive::{Archive, Hashed, Limits, Lookup as _, Owner, RrSet, sort_key};

const APEX: &[u8] = b"\x03lac\0";
const A: u16 = 1;
const NS: u16 = 2;
const SOA: u16 = 6;
const DS: u16 = 43;

fn main() -> anyhow::Result<()> {
    // `cargo bench` adds an option of its own.
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with("--"));
    let delegations: u32 = words.next().map_or(Ok(1_000_000), |word| word.parse())?;
    let scratch = tempfile::tempdir()?;
    let folder = words.next().map_or_else(|| scratch.path().to_owned(), PathBuf::from).join("lac");
    Archive::discard(&folder)?;
    let archive = Archive::open(&folder, APEX, Limits::default())?;

    let mut source = Source::default();
    let making = measure(|| {
        let mut octets = 0;
        (0..delegations).for_each(|number| {
            source.delegation(number, 0, &mut |owner| octets += owner.wire.len())
        });
        anyhow::ensure!(octets > 0);
        Ok(())
    })?;
    println!("{delegations} delegations; making them costs {making} (included in the next)");

    memory("before")?;
    let spent = measure(|| {
        let mut writer = archive.writer()?;
        let mut rebuild = writer.rebuild()?;
        source.apex(&mut |owner| rebuild.owner(&owner).expect("room"));
        for number in 0..delegations {
            source.delegation(number, 0, &mut |owner| rebuild.owner(&owner).expect("room"));
        }
        Ok(rebuild.finish()?)
    })?;
    let sizes = archive.sizes()?;
    let view = archive.read()?;
    let (names, records) = (view.names()?, view.records()?);
    println!("replace: {spent}; {names} owners, {records} records, {} MB", sizes.file / 1_000_000);
    drop(view);
    memory("after replace")?;

    let spent = measure(|| {
        let view = archive.read()?;
        let mut records = 0;
        for owner in view.all()? {
            let owner = owner?.to_owner();
            records += owner.rrsets.iter().map(|set| set.rdata.len() as u64).sum::<u64>();
        }
        anyhow::ensure!(records > 0);
        memory("at the end of the scan")
    })?;
    println!("read all: {spent}");
    memory("after the scan")?;

    for (sync, word) in [(false, "no sync"), (true, "sync")] {
        let mut times = Vec::new();
        let mut commits = Vec::new();
        for round in 1..=20 {
            let start = Instant::now();
            let mut writer = archive.writer()?;
            let mut edit = writer.begin()?;
            let mut around = 0;
            for change in 0..1000_u32 {
                let number = change.wrapping_mul(2_654_435_761).wrapping_add(round) % delegations;
                let mut failed = None;
                source.delegation(number, round, &mut |owner| {
                    failed = edit.put(&owner).err().or(failed.take())
                });
                anyhow::ensure!(failed.is_none(), "{failed:?}");
                let key = source.key.clone();
                around += edit.below(&key)?.count() + edit.delegations_to(&key)?.count();
                around += usize::from(edit.after(&key)?.is_some());
            }
            let commit = Instant::now();
            edit.commit(sync)?;
            commits.push(commit.elapsed());
            times.push(start.elapsed());
            anyhow::ensure!(around > 0);
        }
        let median = |times: &mut Vec<Duration>| {
            times.sort_unstable();
            times[times.len() / 2].as_secs_f64() * 1e3
        };
        println!(
            "1,000 delegations changed, {word}: {:.1} ms, of which the commit {:.1} ms (medians of 20)",
            median(&mut times),
            median(&mut commits)
        );
    }
    println!("{} MB after that", archive.sizes()?.file / 1_000_000);
    memory("after the changes")?;

    let spent = measure(|| {
        let mut writer = archive.writer()?;
        let mut edit = writer.begin()?;
        for number in 0..delegations.min(100_000) {
            let hash = hash(number);
            edit.put_hash(Hashed { hash, tag: 1, key: &hash[..12] })?;
        }
        Ok(edit.commit(true)?)
    })?;
    println!("100,000 hashes put one by one, in no order: {spent}");
    let spent = measure(|| {
        let mut writer = archive.writer()?;
        let mut rebuild = writer.rebuild()?;
        for number in 0..delegations {
            let hash = hash(number);
            rebuild.hash(Hashed { hash, tag: 1, key: &hash[..12] })?;
        }
        Ok(rebuild.finish()?)
    })?;
    println!("{delegations} hashes in a rebuild, in no order: {spent}");
    memory("at the end")?;

    let zones = folder.with_file_name("small");
    let mut small = Vec::new();
    let spent = measure(|| {
        for zone in 0..200 {
            let archive = Archive::open(&zones.join(zone.to_string()), APEX, Limits::default())?;
            let mut writer = archive.writer()?;
            let mut rebuild = writer.rebuild()?;
            source.apex(&mut |owner| rebuild.owner(&owner).expect("room"));
            rebuild.finish()?;
            drop(writer);
            small.push(archive);
        }
        Ok(())
    })?;
    println!("200 zones of one name made: {spent}");
    drop(small);
    let spent = measure(|| {
        for zone in 0..200 {
            let archive = Archive::open(&zones.join(zone.to_string()), APEX, Limits::default())?;
            anyhow::ensure!(archive.read()?.all()?.count() == 1);
        }
        Ok(())
    })?;
    println!("200 zones of one name opened and read: {spent}");
    fs::remove_dir_all(&zones)?;
    Ok(Archive::discard(&folder)?)
}

/// Octets that look like a hash and come again with their number.
fn hash(number: u32) -> [u8; 20] {
    let mut hash = [0; 20];
    let mut mixed = u64::from(number) + 1;
    for part in hash.chunks_mut(4) {
        mixed = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        part.copy_from_slice(&mixed.to_be_bytes()[..4]);
    }
    hash
}

/// Makes owners in canonical order, in memory that it uses again.
#[derive(Default)]
struct Source {
    key: Vec<u8>,
    below: Vec<u8>,
}

impl Source {
    fn apex(&mut self, take: &mut impl FnMut(Owner<'_>)) {
        let numbers = [2026_1122_u32, 7200, 3600, 1_209_600, 900].map(u32::to_be_bytes).concat();
        let soa = [&b"\x02ns\x03net\0\x01a\x03net\0"[..], &numbers].concat();
        let sets = vec![set(NS, vec![b"\x02ns\x03net\0"]), set(SOA, vec![&soa])];
        take(owner(APEX, &mut self.key, sets));
    }

    /// The delegation of that number and what is below it; another version has other data.
    fn delegation(&mut self, number: u32, version: u32, take: &mut impl FnMut(Owner<'_>)) {
        // Eight to eleven letters, in the order of the numbers.
        let label = format!("{number:08x}{}", &"abc"[..number as usize % 4]);
        let wire = [&[label.len() as u8], label.as_bytes(), APEX].concat();
        let servers: [Vec<u8>; 2] = [1, 2].map(|server| match number % 20 {
            0..8 => [&b"\x03ns"[..], &[b'0' + server][..], &wire].concat(),
            8..11 => {
                let host = format!("{:08x}", number % 1000 / 20 * 20 + 4);
                [&b"\x03ns"[..], &[b'0' + server, 8], host.as_bytes(), APEX].concat()
            }
            _ => format!("\x03ns{server}\x08hosting{}\x03net\0", number % 10).into_bytes(),
        });
        let mut sets = vec![set(NS, servers.iter().map(Vec::as_slice).collect())];
        let digest = [&[0, 1, 13, 2][..], &hash(number ^ version), &[7; 12]].concat();
        if number.is_multiple_of(10) {
            sets.push(set(DS, vec![&digest]));
        }
        let glue = |version: u32| (number ^ version << 20).to_be_bytes();
        take(owner(&wire, &mut self.key, sets));
        if number % 20 < 8 {
            for server in &servers {
                take(owner(server, &mut self.below, vec![set(A, vec![&glue(version)])]));
            }
        }
    }
}

fn set<'a>(rtype: u16, rdata: Vec<&'a [u8]>) -> RrSet<'a> {
    RrSet { rtype, ttl: 86_400, rdata, signatures: Vec::new() }
}

fn owner<'a>(wire: &'a [u8], key: &'a mut Vec<u8>, rrsets: Vec<RrSet<'a>>) -> Owner<'a> {
    key.clear();
    sort_key(wire, key);
    Owner { wire, key, rrsets }
}

/// Time on the wall and on the processor.
struct Spent(Duration, Duration);

impl std::fmt::Display for Spent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} s, {:.2} s of CPU time", self.0.as_secs_f64(), self.1.as_secs_f64())
    }
}

fn measure(work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Spent> {
    let (start, before) = (Instant::now(), processor());
    work()?;
    Ok(Spent(start.elapsed(), processor() - before))
}

fn processor() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the system writes the one struct that it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn memory(when: &str) -> anyhow::Result<()> {
    let status = fs::read_to_string(Path::new("/proc/self/status"))?;
    let field = |name: &str| -> anyhow::Result<u64> {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(":"))
            .context("status")?;
        Ok(line.split_whitespace().next().context("status")?.parse::<u64>()? / 1000)
    };
    let (own, mapped, peak) = (field("RssAnon")?, field("RssFile")?, field("VmHWM")?);
    println!("  memory {when}: {own} MB own, {mapped} MB of files, {peak} MB at the most");
    Ok(())
}
