//! New contents, room to grow, and folders that are not what they should be.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use super::super::Error;
use super::{super::generation::FORMAT, *};

fn data_file(folder: &Path) -> std::path::PathBuf {
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path().join("data.mdb")).collect();
    assert_eq!(files.len(), 1, "one generation stays");
    files.remove(0)
}

/// A zone in which every owner says the same number.
fn zone_of(number: u32, names: u32) -> Zone {
    let set = HeldSet {
        rtype: 16,
        ttl: 1,
        rdata: vec![number.to_be_bytes().to_vec()],
        signatures: vec![],
    };
    let owners = (0..names).map(|name| Held {
        wire: [&[8], format!("{name:08}").as_bytes(), APEX].concat(),
        sets: vec![set.clone()],
    });
    owners.map(|owner| (owner.key(), owner)).collect()
}

#[test]
fn a_replaced_zone_is_read_whole_by_those_who_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::open(folder.path(), APEX, LIMITS).unwrap();
    archive.replace(lend(&zone_of(0, 2000)), [], &[]).unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut reads = 0;
                    let mut last = 0;
                    while !stop.load(Ordering::Relaxed) {
                        let view = archive.read().unwrap();
                        let mut numbers = view.all().unwrap().map(|owner| {
                            let data = owner.unwrap().rrset(16).unwrap().rdata.next().unwrap();
                            u32::from_be_bytes(data.try_into().unwrap())
                        });
                        let first = numbers.next().unwrap();
                        assert_eq!(numbers.map(|number| assert_eq!(number, first)).count(), 1999);
                        assert!(first >= last, "a reader went back from {last} to {first}");
                        last = first;
                        reads += 1;
                    }
                    reads
                })
            })
            .collect();
        let old = archive.read().unwrap();
        for number in 1..20 {
            archive.replace(lend(&zone_of(number, 2000)), [], &[]).unwrap();
        }
        assert_eq!(contents(&old), zone_of(0, 2000));
        stop.store(true, Ordering::Relaxed);
        for reader in readers {
            assert!(reader.join().unwrap() > 0);
        }
    });
    assert_eq!(contents(&archive.read().unwrap()), zone_of(19, 2000));
    data_file(folder.path());
}

#[test]
fn a_rebuild_that_is_dropped_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::open(folder.path(), APEX, LIMITS).unwrap();
    archive.replace(lend(&zone_of(1, 10)), [], &[]).unwrap();
    let mut writer = archive.writer().unwrap();
    let mut rebuild = writer.rebuild().unwrap();
    for owner in lend(&zone_of(2, 10)) {
        rebuild.owner(&owner).unwrap();
    }
    drop(rebuild);
    drop(writer);
    assert_eq!(contents(&archive.read().unwrap()), zone_of(1, 10));
    data_file(folder.path());
}

#[test]
fn an_interrupted_rebuild_is_cleared_away_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    drop(Archive::open(folder.path(), APEX, LIMITS).unwrap());
    fs::create_dir(folder.path().join("building")).unwrap();
    fs::write(folder.path().join("building/data.mdb"), b"half a page").unwrap();
    let archive = Archive::open(folder.path(), APEX, LIMITS).unwrap();
    archive.replace(lend(&zone_of(1, 10)), [], &[]).unwrap();
    data_file(folder.path());
}

#[test]
fn an_archive_outgrows_its_address_space_and_goes_on() {
    let limits = Limits { octets: 64 << 20, reserve: 1 << 20, views: 16 };
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::open(folder.path(), APEX, limits).unwrap();
    // More than the address space in one edit: refused, nothing has changed, and there is room next time.
    let zone = zone_of(1, 20_000);
    let put_all = || {
        let mut writer = archive.writer().unwrap();
        let mut edit = writer.begin().unwrap();
        lend(&zone).try_for_each(|owner| edit.put(&owner))?;
        edit.commit(true)
    };
    assert!(matches!(put_all(), Err(Error::Full { octets: 0x10_0000, .. })));
    assert_eq!(archive.read().unwrap().names().unwrap(), 0);
    put_all().unwrap();
    assert_eq!(contents(&archive.read().unwrap()), zone);
    // The limit itself stays.
    let tight = Limits { octets: 1 << 20, ..limits };
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::open(folder.path(), APEX, tight).unwrap();
    for _ in 0..2 {
        assert!(matches!(archive.replace(lend(&zone), [], &[]), Err(Error::Full { .. })));
    }
    archive.replace(lend(&zone_of(1, 100)), [], &[]).unwrap();
    assert_eq!(archive.read().unwrap().names().unwrap(), 100);
}

#[test]
fn many_commits_do_not_make_the_file_grow() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::open(folder.path(), APEX, LIMITS).unwrap();
    archive.replace(lend(&zone_of(0, 1000)), [], &[]).unwrap();
    for number in 0..200 {
        let zone = zone_of(number, 50);
        change(&archive, |edit| lend(&zone).for_each(|owner| edit.put(&owner).unwrap()));
    }
    let sizes = archive.sizes().unwrap();
    assert!(sizes.file < 4 * sizes.live, "{sizes:?}");
    archive.writer().unwrap().compact().unwrap();
    assert!(archive.sizes().unwrap().file <= sizes.file);
    assert_eq!(archive.read().unwrap().names().unwrap(), 1000);
    data_file(folder.path());
}

#[test]
fn pages_that_were_read_are_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::open(folder.path(), APEX, LIMITS).unwrap();
    archive.replace(lend(&zone_of(0, 100_000)), [], &[]).unwrap();
    let resident = || {
        let file = data_file(folder.path());
        let maps = fs::read_to_string("/proc/self/smaps").unwrap();
        let mut lines = maps.lines().skip_while(|line| !line.ends_with(file.to_str().unwrap()));
        let line = lines.find(|line| line.starts_with("Rss:")).expect("the file is mapped");
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    };
    let live = archive.sizes().unwrap().live;
    let view = archive.read().unwrap();
    assert_eq!(view.all().unwrap().count(), 100_000);
    // On the way after 65,536 owners, so that the rest is mapped at the end.
    assert!((live / 5..live * 3 / 5).contains(&resident()), "{} of {live}", resident());
    drop(view);
    assert!(resident() < live / 10, "{} of {live}", resident());
}

#[test]
fn a_folder_of_another_kind_is_refused_and_can_be_discarded() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let opened = |apex: &[u8]| Archive::open(folder, apex, LIMITS).map(drop);
    let fresh = || {
        Archive::discard(folder).unwrap();
        let archive = Archive::open(folder, APEX, LIMITS).unwrap();
        archive.replace(lend(&zone_of(1, 1000)), [], &[]).unwrap();
    };
    fresh();
    opened(b"\x07EXAMPLE\0").unwrap();
    assert!(matches!(opened(b"\x05other\0"), Err(Error::Apex { .. })));

    // Another version: the stated format is the only place where these octets stand in this order.
    let restate = |from: u32, to: u8| {
        let file = data_file(folder);
        let mut octets = fs::read(&file).unwrap();
        let mut found = 0;
        for at in 0..octets.len() - 10 {
            if octets[at..].starts_with(&[&b"format"[..], &from.to_be_bytes()].concat()) {
                octets[at + 9] = to;
                found += 1;
            }
        }
        assert!(found > 0);
        fs::write(&file, &octets).unwrap();
    };
    // The one before there were logs is gone on from, and is this one from then on.
    restate(FORMAT, 2);
    let archive = Archive::open(folder, APEX, LIMITS).unwrap();
    assert_eq!(contents(&archive.read().unwrap()), zone_of(1, 1000));
    drop(archive);
    restate(FORMAT, 9);
    assert!(matches!(opened(APEX), Err(Error::Format { found: 9, .. })));

    fresh();
    fs::write(data_file(folder), b"no database").unwrap();
    assert!(opened(APEX).is_err());
    fresh();
    fs::write(data_file(folder), vec![0; 1 << 16]).unwrap();
    assert!(matches!(opened(APEX), Err(Error::Broken { .. })));
    Archive::discard(folder).unwrap();
    Archive::discard(folder).unwrap();
    opened(APEX).unwrap();
}

#[test]
fn a_damaged_or_shortened_file_is_noticed_and_never_read_as_a_zone() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let zone = zone_of(1, 5000);
    Archive::open(folder, APEX, LIMITS).unwrap().replace(lend(&zone), [], &[]).unwrap();
    let whole = fs::read(data_file(folder)).unwrap();
    let read = |octets: &[u8]| -> Result<u64, Error> {
        fs::write(data_file(folder), octets).unwrap();
        let archive = Archive::open(folder, APEX, LIMITS)?;
        let view = archive.read()?;
        view.all()?.try_fold(0, |count, owner| owner.map(|_| count + 1))
    };
    assert_eq!(read(&whole).unwrap(), 5000);
    for part in 1..10 {
        let result = read(&whole[..whole.len() * part / 10]);
        assert!(result.is_err(), "a file cut to {part} tenths");
    }
    // The data of one owner, in the middle.
    let mut octets = whole.clone();
    let at = octets.windows(8).rposition(|window| window == b"00002500").unwrap();
    octets[at + 3] ^= 0x10;
    assert!(matches!(read(&octets), Err(Error::Broken { .. })));
}
