//! Changes that go through the log, which stops anywhere.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use super::{
    super::{Error, Hashed, JournalLimits, changes_since, log::LARGEST},
    *,
};
use crate::zone::{
    difference::{Difference, Part},
    read::RecordRef,
    small_disk,
};

/// Owners whose names begin with a letter, each with so many octets of text.
fn owners(letter: char, count: usize, octets: usize) -> Zone {
    let owner = |number| {
        let wire = [&[4], format!("{letter}{number:03}").as_bytes(), APEX].concat();
        let text = HeldSet { rtype: 16, ttl: 1, rdata: vec![vec![7; octets]], signatures: vec![] };
        Held { wire, sets: vec![text] }
    };
    (0..count).map(owner).map(|owner| (owner.key(), owner)).collect()
}

fn soa(serial: u32) -> Vec<u8> {
    [&b"\0\0"[..], &[serial, 2, 3, 4, 5].map(u32::to_be_bytes).concat()].concat()
}

/// Every kind of step: an owner comes, one goes, a delegation is filed under its host, a hash comes and one
/// goes, a stamp, and the difference from one serial to the next.
fn edit(edit: &mut Edit<'_>, serial: u32) {
    let set = |rtype, data| HeldSet { rtype, ttl: 1, rdata: vec![data], signatures: vec![] };
    let name = |label: String| [&[label.len() as u8], label.as_bytes(), APEX].concat();
    let put = |edit: &mut Edit<'_>, wire, set| {
        let owner = Held { wire, sets: vec![set] };
        edit.put(&owner.lend(&owner.key())).unwrap();
    };
    put(edit, APEX.to_vec(), set(rtype::SOA, soa(serial)));
    put(edit, name(format!("d{serial}")), set(rtype::NS, name("ns".into())));
    edit.delete(&key(&name(format!("d{}", serial - 1)))).unwrap();
    let hashed = |serial: u32| Hashed { hash: [serial as u8; 20], tag: 0, key: b"somebody" };
    edit.file_later(hashed(serial), true);
    edit.file_later(hashed(serial), true);
    edit.file_later(hashed(serial - 1), false);
    edit.put_stamp("life", &serial.to_be_bytes()).unwrap();
    let mut difference = Difference::default();
    let (old, new) = (soa(serial - 1), soa(serial));
    let record =
        |rdata| RecordRef { owner: APEX, rtype: rtype::SOA, ttl: 1, rdata, file: 0, line: 0 };
    difference.push(Part::Gone(record(&old)));
    difference.push(Part::Present(record(&new)));
    edit.note_difference(Some(&difference), JournalLimits::default());
}

/// All that an archive says of these edits.
fn all_of(archive: &impl Lookup) -> String {
    let host = key(&[&b"\x02ns"[..], APEX].concat());
    let hosts: Vec<_> =
        archive.delegations_to(&host).unwrap().map(|key| key.unwrap().to_vec()).collect();
    let hashes = archive.between(&[0xff; 20], &[0xff; 20]).unwrap();
    let hashes: Vec<_> = hashes.map(|hashed| hashed.unwrap().hash).collect();
    let life = archive.stamp("life").unwrap().map(<[u8]>::to_vec);
    let changes = changes_since(archive, 1).unwrap();
    let serials =
        changes.map(|all| all.map(|one| one.unwrap()).map(|one| (one.from, one.to)).collect());
    let serials: Option<Vec<_>> = serials;
    let said = (contents(archive), hosts, hashes, life, serials, archive.records().unwrap());
    format!("{said:?}")
}

/// Octets of the record in a log, as its header has it.
fn record(log: &[u8]) -> usize {
    32 + usize::try_from(u64::from_le_bytes(*log[16..].first_chunk().unwrap())).unwrap()
}

/// Commits that many edits, all through the log.
fn commit(archive: &Archive, serials: std::ops::RangeInclusive<u32>) {
    for serial in serials {
        let mut writer = archive.writer().unwrap();
        let mut change = writer.begin().unwrap();
        edit(&mut change, serial);
        assert!(change.log().unwrap());
        change.commit(true).unwrap();
    }
}

/// Logs an edit and goes no further.
fn log(archive: &Archive, serial: u32) {
    let mut writer = archive.writer().unwrap();
    let mut change = writer.begin().unwrap();
    edit(&mut change, serial);
    assert!(change.log().unwrap());
}

fn file(folder: &Path, name: &str) -> PathBuf {
    let generation = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    generation.max().unwrap().join(name)
}

fn open(folder: &Path) -> Result<Archive, Error> {
    Archive::open(folder, APEX, LIMITS)
}

#[test]
fn what_is_logged_and_not_committed_is_there_after_the_next_start() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let archive = open(folder.path()).unwrap();
    commit(&archive, 1..=3);
    log(&archive, 4);
    let straight = open(other.path()).unwrap();
    commit(&straight, 1..=4);
    let wanted = all_of(&straight.read().unwrap());
    // The process ends here; and again before the tree has it.
    assert_ne!(all_of(&archive.read().unwrap()), wanted);
    drop(archive);
    let copy = tempfile::tempdir().unwrap();
    let generation = copy.path().join("00000001");
    fs::create_dir(&generation).unwrap();
    for name in ["data.mdb", "log"] {
        fs::copy(file(folder.path(), name), generation.join(name)).unwrap();
    }
    for folder in [&folder, &folder, &copy] {
        let archive = open(folder.path()).unwrap();
        assert_eq!(all_of(&archive.read().unwrap()), wanted);
        assert!(!archive.is_stuck());
    }
    // And it goes on from there.
    let archive = open(copy.path()).unwrap();
    commit(&archive, 5..=6);
    commit(&straight, 5..=6);
    assert_eq!(all_of(&archive.read().unwrap()), all_of(&straight.read().unwrap()));
}

#[test]
fn what_is_logged_goes_in_before_the_next_change() {
    let folder = tempfile::tempdir().unwrap();
    let archive = open(folder.path()).unwrap();
    commit(&archive, 1..=2);
    log(&archive, 3);
    assert!(archive.is_stuck());
    assert_eq!(archive.read().unwrap().serial().unwrap(), Some(2));
    let newest = archive.newest(|contents| Ok((contents.serial()?, contents.records()?))).unwrap();
    assert_eq!(newest, (Some(3), 2));
    let mut writer = archive.writer().unwrap();
    assert_eq!(writer.begin().unwrap().serial().unwrap(), Some(3));
    // A content that is written anew needs nothing of it, and a copy takes it along.
    drop(writer);
    log(&archive, 4);
    archive.replace(lend(&owners('a', 3, 9)), [], &[]).unwrap();
    drop(archive);
    let archive = open(folder.path()).unwrap();
    assert_eq!(contents(&archive.read().unwrap()), owners('a', 3, 9));
    commit(&archive, 1..=1);
    log(&archive, 2);
    archive.lock().compact().unwrap();
    assert!(archive.is_stuck());
    archive.catch_up().unwrap();
    assert_eq!(archive.read().unwrap().serial().unwrap(), Some(2));
}

#[test]
fn a_record_that_is_torn_anywhere_was_never_a_version() {
    let folder = tempfile::tempdir().unwrap();
    let archive = open(folder.path()).unwrap();
    commit(&archive, 1..=2);
    let path = file(folder.path(), "log");
    let former = fs::read(&path).unwrap();
    log(&archive, 3);
    drop(archive);
    let new = fs::read(&path).unwrap();
    assert_eq!(former.len(), new.len(), "a log is written in place");
    // Behind it stands what stood there before.
    let length = record(&new);
    assert!(length > 200 && length < 4096, "{length}");
    let nothing = vec![0; new.len()];
    for before in [&former, &nothing] {
        for torn in 0..length {
            let octets = [&new[..torn], &before[torn..]].concat();
            if octets[..length] == new[..length] {
                continue;
            }
            fs::write(&path, octets).unwrap();
            let archive = open(folder.path()).unwrap();
            assert_eq!(archive.read().unwrap().serial().unwrap(), Some(2), "torn at {torn}");
            assert!(!archive.is_stuck());
        }
    }
    fs::write(&path, &new).unwrap();
    assert_eq!(open(folder.path()).unwrap().read().unwrap().serial().unwrap(), Some(3));
}

#[test]
fn a_log_that_was_cut_short_is_told_if_it_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let archive = open(folder.path()).unwrap();
    commit(&archive, 1..=2);
    log(&archive, 3);
    drop(archive);
    let (path, data) = (file(folder.path(), "log"), file(folder.path(), "data.mdb"));
    let (needed, former) = (fs::read(&path).unwrap(), fs::read(&data).unwrap());
    let length = record(&needed);
    for cut in 1..length {
        fs::write(&path, &needed[..cut]).unwrap();
        let found = open(folder.path()).map(drop);
        assert!(matches!(found, Err(Error::Broken { .. })), "cut at {cut}: {found:?}");
    }
    fs::write(&path, &needed[..length]).unwrap();
    drop(open(folder.path()).unwrap());
    assert_ne!(fs::read(&data).unwrap(), former);
    // The tree has it: what is left of the log matters no more.
    for cut in (32..length).step_by(31) {
        fs::write(&path, &needed[..cut]).unwrap();
        let archive = open(folder.path()).unwrap();
        assert_eq!(archive.read().unwrap().serial().unwrap(), Some(3), "cut at {cut}");
    }
    // One that goes on from a state that is not there.
    let mut ahead = needed.clone();
    ahead[8] += 2;
    let sum = crc32fast::hash(&ahead[..24]).to_le_bytes();
    ahead[24..28].copy_from_slice(&sum);
    fs::write(&path, ahead).unwrap();
    assert!(matches!(open(folder.path()).map(drop), Err(Error::Broken { .. })));
}

#[test]
fn power_that_is_lost_while_the_tree_is_written_takes_nothing_back() {
    let folder = tempfile::tempdir().unwrap();
    let archive = open(folder.path()).unwrap();
    archive.replace(lend(&owners('a', 200, 300)), [], &[]).unwrap();
    commit(&archive, 1..=3);
    let data = file(folder.path(), "data.mdb");
    let before = fs::read(&data).unwrap();
    let wanted = {
        let mut writer = archive.writer().unwrap();
        let mut change = writer.begin().unwrap();
        edit(&mut change, 4);
        lend(&owners('a', 200, 350)).for_each(|owner| change.put(&owner).unwrap());
        assert!(change.log().unwrap());
        change.commit(true).unwrap();
        contents(&archive.read().unwrap())
    };
    drop(archive);
    let after = fs::read(&data).unwrap();
    // Nothing is known of the order in which sectors reach a disk; but the two pages in front, of which one
    // names the tree, are written when all others are there.
    const SECTOR: usize = 512;
    let mut random = Random(7);
    for round in 0..60 {
        let mut torn = before.clone();
        torn.resize(after.len(), 0);
        let front = 2 * 4096;
        for (at, sector) in after.chunks(SECTOR).enumerate().skip(front / SECTOR) {
            // From none of them to nearly all.
            if random.below(60) < round {
                torn[at * SECTOR..][..sector.len()].copy_from_slice(sector);
            }
        }
        if round % 3 == 0 {
            torn.truncate(before.len().max(torn.len() - random.below(torn.len() / 4)));
        }
        fs::write(&data, torn).unwrap();
        let archive = open(folder.path()).unwrap();
        assert_eq!(contents(&archive.read().unwrap()), wanted, "round {round}");
    }
    fs::write(&data, after).unwrap();
    assert_eq!(contents(&open(folder.path()).unwrap().read().unwrap()), wanted);
}

#[test]
fn a_change_that_is_too_large_for_the_log_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { reserve: LIMITS.octets, ..LIMITS };
    let archive = Archive::open(folder.path(), APEX, limits).unwrap();
    let zone = owners('a', LARGEST / 60_000 + 1, 60_000);
    let mut writer = archive.writer().unwrap();
    let mut change = writer.begin().unwrap();
    lend(&zone).for_each(|owner| change.put(&owner).unwrap());
    assert!(!change.log().unwrap());
    change.commit(true).unwrap();
    drop(writer);
    assert_eq!(contents(&archive.read().unwrap()), zone);
}

#[test]
fn a_full_disk_refuses_a_change_at_the_log_and_keeps_it_behind_the_log() {
    let folder = tempfile::tempdir().unwrap();
    small_disk::mount(folder.path(), 2 << 20);
    let place = folder.path().join("archive");
    let archive = open(&place).unwrap();
    let put = |letter, size| -> Result<(), Error> {
        let mut writer = archive.writer()?;
        let mut change = writer.begin()?;
        lend(&owners(letter, 100, size)).for_each(|owner| change.put(&owner).unwrap());
        assert!(change.log()?);
        change.commit(true)
    };
    let filler = folder.path().join("filler");
    let fill = || {
        let mut file = File::create(&filler).unwrap();
        while let Ok(1..) = file.write(&[0; 512]) {}
    };
    // There is no log yet, and no room for one.
    fill();
    let error = put('a', 2000).unwrap_err();
    assert!(error.is_room(), "{error}");
    assert_eq!(archive.read().unwrap().names().unwrap(), 0);
    fs::remove_file(&filler).unwrap();
    put('a', 2000).unwrap();
    // There is one now, and no room for what it says.
    fill();
    let error = put('b', 2000).unwrap_err();
    assert!(error.is_room() && archive.is_stuck(), "{error}");
    let names = |archive: &Archive| archive.newest(|contents| Ok(contents.all()?.count())).unwrap();
    assert_eq!((archive.read().unwrap().names().unwrap(), names(&archive)), (100, 200));
    // Nothing else goes in before, and nothing is lost by starting again.
    let error = put('c', 1).unwrap_err();
    assert!(error.is_room() && archive.catch_up().is_err(), "{error}");
    drop(archive);
    let archive = open(&place).unwrap();
    assert!(archive.is_stuck());
    assert_eq!((archive.read().unwrap().names().unwrap(), names(&archive)), (100, 200));
    fs::remove_file(&filler).unwrap();
    archive.catch_up().unwrap();
    assert!(!archive.is_stuck());
    assert_eq!(archive.read().unwrap().names().unwrap(), 200);
}

#[test]
fn a_change_that_was_refused_at_the_log_does_not_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let archive = open(folder.path()).unwrap();
    commit(&archive, 1..=1);
    // The next version is refused; its record stands there all the same, and other contents come meanwhile.
    log(&archive, 2);
    let path = file(folder.path(), "log");
    let refused = fs::read(&path).unwrap();
    File::options().write(true).open(&path).unwrap().write_all_at(&[0; 32], 0).unwrap();
    drop(archive);
    let archive = open(folder.path()).unwrap();
    assert_eq!(archive.read().unwrap().serial().unwrap(), Some(1));
    change_durably(&archive, 5);
    drop(archive);
    fs::write(&path, refused).unwrap();
    let archive = open(folder.path()).unwrap();
    assert_eq!(archive.read().unwrap().serial().unwrap(), Some(5));
}

/// A commit past the log.
fn change_durably(archive: &Archive, serial: u32) {
    let mut writer = archive.writer().unwrap();
    let mut change = writer.begin().unwrap();
    edit(&mut change, serial);
    change.commit(true).unwrap();
}
