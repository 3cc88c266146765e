//! A process that is killed in the middle of its commits.

use std::{
    env,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use super::*;

const FOLDER: &str = "RESPONDER_TEST_ARCHIVE";
const SYNC: &str = "RESPONDER_TEST_SYNC";

/// The names of a version, each saying its serial; the apex with a SOA that says it too.
fn version(serial: u32) -> Zone {
    let numbers = [serial, 2, 3, 4, 5].map(u32::to_be_bytes).concat();
    let set = |rtype, data| HeldSet { rtype, ttl: 1, rdata: vec![data], signatures: vec![] };
    let soa = set(rtype::SOA, [b"\0\0", numbers.as_slice()].concat());
    let mut zone = Zone::new();
    let apex = Held { wire: APEX.to_vec(), sets: vec![soa] };
    zone.insert(apex.key(), apex);
    for name in 0..300 {
        // Longer now and then, so that pages split and merge.
        let text =
            [&serial.to_be_bytes()[..], &vec![7; (serial as usize * 37 + name) % 400]].concat();
        let wire = [&[4], format!("{name:04}").as_bytes(), APEX].concat();
        let owner = Held { wire, sets: vec![set(16, text)] };
        zone.insert(owner.key(), owner);
    }
    zone
}

/// Run by the tests below in a process of its own: commits until it is killed, one line a commit.
#[test]
fn commits_for_ever() {
    let Ok(folder) = env::var(FOLDER) else { return };
    let sync = env::var(SYNC).is_ok();
    let archive = Archive::open(Path::new(&folder), APEX, LIMITS).unwrap();
    let mut serial = archive.read().unwrap().serial().unwrap().unwrap_or(0);
    loop {
        serial += 1;
        let zone = version(serial);
        // The line goes out between two commits: whoever reads it knows that the one before is done.
        println!("begin {serial}");
        if serial.is_multiple_of(50) {
            archive.replace(lend(&zone), [], &[]).unwrap();
        } else {
            let mut writer = archive.writer().unwrap();
            let mut edit = writer.begin().unwrap();
            lend(&zone).for_each(|owner| edit.put(&owner).unwrap());
            edit.commit(sync).unwrap();
        }
    }
}

#[test]
fn killed_in_the_middle_it_holds_the_last_commit_and_no_part_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(u64::from(std::process::id()));
    println!("seed {}", random.0);
    let mut last = 0;
    for round in 0..25 {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "--nocapture", "zone::archive::tests::crash::commits_for_ever"]);
        command.env(FOLDER, folder.path()).stdout(Stdio::piped()).stderr(Stdio::null());
        if round % 2 == 0 {
            command.env(SYNC, "");
        }
        let mut child = command.spawn().unwrap();
        thread::sleep(Duration::from_millis(60 + random.next() % 120));
        child.kill().unwrap();
        let mut begun = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            if let Some((_, serial)) = line.unwrap().split_once("begin ") {
                begun = serial.parse().unwrap_or(begun);
            }
        }
        child.wait().unwrap();

        let archive = Archive::open(folder.path(), APEX, LIMITS).unwrap();
        let view = archive.read().unwrap();
        let serial = view.serial().unwrap().unwrap_or(0);
        // The last line may be that of a commit that was done, or not.
        assert!(
            serial == begun || serial + 1 == begun || begun == 0,
            "{begun} begun, {serial} found"
        );
        assert!(serial >= last, "{last} before, {serial} now");
        if serial > 0 {
            assert_eq!(contents(&view), version(serial));
            assert_eq!(view.records().unwrap(), 301);
        }
        last = serial;
    }
    assert!(last > 25, "hardly a commit was made: {last}");
}
