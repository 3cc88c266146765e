//! A daemon that is killed anywhere: while it starts, loads, commits, takes a transfer, or stops; with the
//! disk full; and with files of its state cut short meanwhile. Each start is clean, and serves whole versions,
//! none older than one that was seen. `cargo xtask prove kill-anywhere` does so a thousand times.

use std::{
    env,
    ffi::CString,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    harness::{Daemon, Node},
    kill::{ZONE, served, soa, version},
    peers::{Kind, Plan, Primary},
    primaries::{PATIENT, is_served, node, secondary},
};

/// The zone that is read from a file.
const FILED: &str = "filed.test.";

/// How many kills: as many as the environment asks for, or a few.
fn kills(few: u32) -> u32 {
    env::var("RESPONDER_KILLS").map_or(few, |kills| kills.parse().unwrap())
}

/// Leaves the figures where the environment asks for them.
fn leave(figures: &serde_json::Value) {
    if let Ok(file) = env::var("RESPONDER_KILL_FIGURES") {
        fs::write(file, figures.to_string()).unwrap();
    }
}

/// Numbers that look random, the same in each run.
struct Chance(u64);

impl Chance {
    /// The next one below `bound` (SplitMix64).
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % bound
    }

    /// Lets some time go by, at most so many milliseconds.
    fn pause(&mut self, milliseconds: u64) {
        thread::sleep(Duration::from_micros(self.below(milliseconds * 1000)));
    }
}

/// What is known of a node with a zone from Knot, whose versions follow each other, and one from a file.
struct Trial<'n> {
    node: &'n Node,
    chance: Chance,
    /// The version in the file.
    filed: u32,
    /// The newest transferred version that was seen.
    seen: u32,
    /// The newest that Knot has.
    newest: &'n AtomicU32,
}

impl<'n> Trial<'n> {
    /// Runs `rounds` while versions follow each other; how many there were at the end. Something is done to
    /// the node's folder before its first daemon starts.
    fn run(prepare: impl FnOnce(&Node), rounds: impl FnOnce(&mut Trial<'_>)) -> u32 {
        let node = node("");
        prepare(&node);
        let text = version(ZONE, 1);
        let notify = Some(node.port);
        let plan = Plan { kind: Kind::Knot, zone: ZONE, text: &text, algorithm: None, notify };
        let primary = Primary::start(&plan);
        node.configure(&format!(
            "{}[[zone]]\nname = \"{FILED}\"\nfile = \"filed.zone\"\n",
            secondary(&[primary.port], None, PATIENT)
        ));
        let (done, newest) = (AtomicBool::new(false), AtomicU32::new(1));
        let mut trial =
            Trial { node: &node, chance: Chance(6), filed: 0, seen: 1, newest: &newest };
        trial.rewrite();
        let daemon = node.serve();
        daemon.until("the first version", || is_served(&daemon, 1));
        drop(daemon);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    let next = newest.load(Relaxed) + 1;
                    primary.update(ZONE, &version(ZONE, next));
                    newest.store(next, Relaxed);
                    thread::sleep(Duration::from_millis(40));
                }
            });
            let _ending = Ending(&done);
            rounds(&mut trial);
        });
        assert!(trial.seen > 1, "no version came");
        newest.load(Relaxed)
    }

    /// Another version in the file.
    fn rewrite(&mut self) {
        self.filed += 1;
        self.node.write("filed.zone", &version(FILED, self.filed));
    }

    /// Looks at what a daemon serves that just started.
    fn look(&mut self, daemon: &Daemon<'_>, round: u32) {
        let found = served(daemon, ZONE);
        let log = daemon.log();
        let seen = self.seen;
        assert!(found >= seen, "{seen} was seen, {found} is served, round {round}\n{log}");
        assert_eq!(served(daemon, FILED), self.filed, "round {round}\n{log}");
        self.seen = found;
    }
}

/// Ends the other thread, also where a check fails.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Where the daemon is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Start,
    Load,
    Commit,
    Transfer,
    Stop,
}

#[test]
fn each_start_after_a_kill_anywhere_is_clean() {
    use Moment::{Commit, Load, Start, Stop, Transfer};
    let (kills, started) = (kills(10), Instant::now());
    let offered = Trial::run(
        |_| (),
        |trial| {
            for round in 0..kills {
                let daemon = trial.node.serve();
                trial.look(&daemon, round);
                let log = daemon.log();
                let unclean = ["ERROR", "set aside", "damaged", "panicked"];
                assert!(!unclean.iter().any(|word| log.contains(word)), "round {round}\n{log}");
                let moment = [Start, Load, Commit, Transfer, Stop][round as usize % 5];
                match moment {
                    Start | Load => {
                        drop(daemon);
                        if moment == Load {
                            trial.rewrite();
                        }
                        let _killed = trial.node.launch(|_| ());
                        trial.chance.pause(400);
                    }
                    Commit => {
                        trial.rewrite();
                        daemon.signal(libc::SIGHUP);
                        trial.chance.pause(60);
                    }
                    Transfer => {
                        trial.chance.pause(200);
                        trial.seen = soa(&daemon, ZONE);
                    }
                    Stop => {
                        daemon.signal(libc::SIGTERM);
                        trial.chance.pause(40);
                    }
                }
            }
        },
    );
    let seconds = started.elapsed().as_secs();
    leave(&json!({ "kills": kills, "versions offered": offered, "seconds": seconds }));
}

#[test]
fn each_start_with_a_full_disk_serves_what_was_kept() {
    let (kills, started) = (kills(6), Instant::now());
    let mut refused = 0;
    let offered = Trial::run(small_disk, |trial| {
        let filler = trial.node.path("state/filler");
        for round in 0..kills {
            let daemon = trial.node.serve();
            trial.look(&daemon, round);
            let mut file = File::create(&filler).unwrap();
            // In two sizes: what is left goes too.
            for size in [64 * 1024, 512] {
                while let Ok(1..) = file.write(&vec![0; size]) {}
            }
            // Open, it would keep its blocks when it is removed.
            drop(file);
            trial.chance.pause(400);
            trial.seen = served(&daemon, ZONE);
            drop(daemon);
            // And so it starts, goes on, and is killed again.
            let daemon = trial.node.serve();
            trial.look(&daemon, round);
            trial.chance.pause(400);
            refused += u32::from(daemon.log().contains("No space left on device"));
            trial.seen = served(&daemon, ZONE);
            fs::remove_file(&filler).unwrap();
            let newest = trial.newest.load(Relaxed);
            daemon.until("a newer version, once there is room", || soa(&daemon, ZONE) >= newest);
        }
    });
    assert!(refused > 0, "the disk was never full");
    leave(&json!({
        "kills": 2 * kills,
        "rounds in which a version was refused": refused,
        "versions offered": offered,
        "seconds": started.elapsed().as_secs(),
    }));
}

#[test]
fn files_of_the_state_that_were_cut_short_are_told_and_fetched_anew() {
    let (kills, started) = (kills(8), Instant::now());
    let (mut told, mut cut) = (0, Vec::new());
    let offered = Trial::run(
        |_| (),
        |trial| {
            for round in 0..kills {
                let daemon = trial.node.serve();
                // Until it is there again, nothing is served; never anything wrong.
                daemon.until("the zone", || daemon.zone(ZONE)["state"] == "serving");
                trial.look(&daemon, round);
                let log = daemon.log();
                told += u32::from(log.contains("set aside"));
                assert!(!log.contains("panicked"), "round {round}\n{log}");
                trial.chance.pause(200);
                trial.seen = served(&daemon, ZONE);
                drop(daemon);
                let mut files = Vec::new();
                collect(&trial.node.path("state"), &mut files);
                let file = files.swap_remove(trial.chance.below(files.len() as u64) as usize);
                let length = fs::metadata(&file).unwrap().len();
                let open = File::options().write(true).open(&file).unwrap();
                open.set_len(trial.chance.below(length.max(1))).unwrap();
                cut.push(file.file_name().unwrap().to_string_lossy().into_owned());
            }
        },
    );
    let counts = cut.iter().fold(std::collections::BTreeMap::new(), |mut counts, name| {
        *counts.entry(name.as_str()).or_insert(0) += 1;
        counts
    });
    if kills > 100 {
        assert!(told > 0, "no damage was told: {counts:?}");
    }
    leave(&json!({
        "kills": kills,
        "files cut short": counts,
        "starts that told of damage": told,
        "versions offered": offered,
        "seconds": started.elapsed().as_secs(),
    }));
}

/// The files below a folder, without those that were set aside.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() && !entry.file_name().to_string_lossy().ends_with("~damaged") {
            collect(&entry.path(), files);
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
}

/// Mounts a file system of 8 MiB on the state directory, for this thread and its daemons.
fn small_disk(node: &Node) {
    fs::create_dir_all(node.path("state")).unwrap();
    let folder = CString::new(node.path("state").into_os_string().into_encoded_bytes()).unwrap();
    let done = |result| assert_eq!(result, 0, "needs root: {}", std::io::Error::last_os_error());
    let none = std::ptr::null();
    // SAFETY: plain system calls with strings that end in zero octets.
    unsafe {
        done(libc::unshare(libc::CLONE_NEWNS));
        done(libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, none.cast()));
        let size = c"size=8m".as_ptr().cast();
        done(libc::mount(c"none".as_ptr(), folder.as_ptr(), c"tmpfs".as_ptr(), 0, size));
    }
}
