//! Differences applied to an archive and told from it; a zone restored from it.

use std::{fs, time::Duration};

use responder_common::wire::rtype;

use super::*;
use crate::{
    store::StoreOptions,
    zone::{
        Arrivals,
        archive::{JournalEntry, changes_since},
        compact,
        difference::Part,
        read::RecordRef,
        restore, small_disk,
    },
};

const APEX: &[u8] = b"\x04test\0";
const WWW: &[u8] = b"\x03www\x04test\0";

/// Owner, type, TTL, data.
type Given = (Vec<u8>, u16, u32, Vec<u8>);

fn soa(serial: u32) -> Given {
    let numbers = [serial, 2, 3, 4, 5].map(u32::to_be_bytes).concat();
    (APEX.to_vec(), rtype::SOA, 60, [b"\0\0", &numbers[..]].concat())
}

fn ns(host: &[u8]) -> Given {
    (APEX.to_vec(), rtype::NS, 60, host.to_vec())
}

fn a(owner: &[u8], last: u8) -> Given {
    (owner.to_vec(), rtype::A, 60, vec![192, 0, 2, last])
}

fn signature(owner: &[u8], covered: u16, text: u8) -> Given {
    let mut data = vec![text; 30];
    data[..2].copy_from_slice(&covered.to_be_bytes());
    (owner.to_vec(), rtype::RRSIG, 60, data)
}

fn record(given: &Given) -> RecordRef<'_> {
    let (owner, rtype, ttl, rdata) = given;
    RecordRef { owner, rtype: *rtype, ttl: *ttl, rdata, file: 0, line: 0 }
}

fn difference(gone: &[Given], come: &[Given]) -> Difference {
    let mut difference = Difference::default();
    gone.iter().for_each(|given| difference.push(Part::Gone(record(given))));
    come.iter().for_each(|given| difference.push(Part::Present(record(given))));
    difference
}

/// A zone that is kept for a restart, in a folder of its own.
struct Scene {
    folder: tempfile::TempDir,
    store: Store,
    kept: Kept,
}

const JOURNAL: JournalLimits = JournalLimits { octets: 1 << 20, entries: 10 };

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut scene = Self { store: store(), kept: Kept::default(), folder };
        scene.start_again();
        scene
    }

    /// As after a restart: nothing in memory.
    fn start_again(&mut self) {
        self.kept = Kept::within(self.folder.path().join("test"));
        self.kept.set_purpose(Purpose::Restart, JOURNAL);
        self.kept.set_life(Life::now(Duration::from_secs(1000)));
        self.store = store();
    }

    fn load(&mut self, records: &[Given]) -> Result<(), String> {
        let mut arrivals = Arrivals::new(APEX);
        records.iter().try_for_each(|given| arrivals.add(record(given)))?;
        let served = arrivals.serve(&self.store, &mut self.kept);
        served.map(drop).map_err(|refusal| refusal.to_string())
    }

    fn apply(&mut self, differences: &[Difference]) -> Result<u32, String> {
        let applied = self.kept.apply(&self.store, differences);
        applied.map(|committed| committed.serial).map_err(|refusal| refusal.to_string())
    }

    /// Owner, type, signature or not, data.
    fn contents(&self) -> Vec<Given> {
        let view = self.kept.shelf().archive().unwrap().read().unwrap();
        let mut found = Vec::new();
        for owner in view.all().unwrap() {
            let owner = owner.unwrap();
            for set in owner.rrsets() {
                let (wire, ttl) = (owner.wire.to_vec(), set.ttl);
                let mut put = |rtype, data: &[u8]| {
                    found.push((wire.clone(), rtype, ttl, data.to_vec()));
                };
                set.rdata.for_each(|data| put(set.rtype, data));
                set.signatures.for_each(|data| put(rtype::RRSIG, data));
            }
        }
        found.sort();
        found
    }

    fn way(&self, from: u32) -> Option<Vec<Vec<String>>> {
        let view = self.kept.shelf().archive().unwrap().read().unwrap();
        let tell = |part: Part<'_>| match part {
            Part::Gone(one) => format!("-{}:{}", one.rtype, one.rdata[one.rdata.len() - 1]),
            Part::Present(one) => format!("+{}:{}", one.rtype, one.rdata[one.rdata.len() - 1]),
        };
        let changes = changes_since(&view, from).unwrap()?;
        let parts =
            |entry: Result<JournalEntry<'_>, Error>| entry.unwrap().parts().map(tell).collect();
        Some(changes.map(parts).collect())
    }
}

fn store() -> Store {
    Store::in_memory(&StoreOptions { udp_size: 1232, id: String::new() }).unwrap()
}

fn first() -> Vec<Given> {
    vec![
        soa(1),
        ns(b"\x02ns\x04Test\0"),
        a(b"\x02ns\x04test\0", 1),
        a(WWW, 2),
        signature(WWW, 1, 7),
    ]
}

#[test]
fn a_zone_that_keeps_nothing_is_compiled_as_a_whole() {
    assert_eq!(Kept::default().change(&store(), std::iter::empty()), Ok(None));
}

#[test]
fn rfc1995_a_chain_of_differences_is_applied_in_its_order() {
    let mut scene = Scene::new();
    scene.load(&first()).unwrap();
    let changes = [
        difference(
            &[soa(1), a(WWW, 2), signature(WWW, 1, 7), ns(b"\x02NS\x04test\0")],
            &[soa(2), a(WWW, 3), signature(WWW, 1, 8), ns(b"\x02n2\x04test\0")],
        ),
        difference(
            &[soa(2), a(WWW, 3)],
            &[soa(4), a(WWW, 2), a(WWW, 9), a(b"\x02n2\x04test\0", 5)],
        ),
    ];
    assert_eq!(scene.apply(&changes), Ok(4));
    let mut wanted = vec![
        soa(4),
        ns(b"\x02n2\x04test\0"),
        a(b"\x02ns\x04test\0", 1),
        a(b"\x02n2\x04test\0", 5),
        a(WWW, 2),
        a(WWW, 9),
        signature(WWW, 1, 8),
    ];
    wanted.sort();
    assert_eq!(scene.contents(), wanted);
    assert_eq!(scene.way(2).map(|way| way.len()), Some(1));
    assert_eq!(scene.way(1).map(|way| way.len()), Some(2));
    // And it stays over a restart.
    scene.start_again();
    let loaded = restore(&scene.store, "test.", &mut scene.kept).unwrap().unwrap();
    assert_eq!((loaded.serial, loaded.records), (4, 7));
    assert_eq!(scene.contents(), wanted);
    assert_eq!(scene.apply(&[difference(&[soa(4), a(WWW, 9)], &[soa(5)])]), Ok(5));
    assert_eq!(scene.way(1).map(|way| way.len()), Some(3));
    let (life, data) = scene.kept.shelf().life().unwrap();
    assert_eq!(data, soa(5).3);
    assert!(life.rest() > Duration::from_secs(900));
}

#[test]
fn rfc1995_differences_that_do_not_fit_change_nothing() {
    let mut scene = Scene::new();
    scene.load(&first()).unwrap();
    let before = scene.contents();
    let cases = [
        (
            difference(&[soa(1), a(WWW, 3)], &[soa(2)]),
            "www.test. type 1: a record goes that is not there",
        ),
        (
            difference(&[soa(1)], &[soa(2), a(WWW, 2)]),
            "www.test. type 1: a record comes that is there already",
        ),
        (
            difference(&[soa(1), signature(WWW, 1, 9)], &[soa(2)]),
            "www.test. type 46: a record goes that is not there",
        ),
        (
            difference(&[soa(3)], &[soa(4)]),
            "test. type 6: the differences do not go on from the serial that is there",
        ),
        (difference(&[soa(1), ns(b"\x02ns\x04test\0")], &[soa(2)]), "there is no NS at the apex"),
        (difference(&[soa(1)], &[]), "there is no SOA at the apex"),
    ];
    for (difference, wanted) in cases {
        assert_eq!(scene.apply(&[difference]), Err(wanted.to_owned()));
        assert_eq!(scene.contents(), before);
    }
    assert_eq!(scene.apply(&[difference(&[soa(1)], &[soa(2)])]), Ok(2));
}

#[test]
fn a_whole_zone_that_differs_little_is_a_difference_in_the_journal() {
    let mut scene = Scene::new();
    scene.load(&first()).unwrap();
    let mut second = first();
    second[0] = soa(2);
    second[3] = a(WWW, 9);
    scene.load(&second).unwrap();
    let wanted = ["-6:5", "-1:2", "+6:5", "+1:9"].map(str::to_owned);
    assert_eq!(scene.way(1), Some(vec![wanted.to_vec()]));
    // The same again is no change.
    scene.load(&second).unwrap();
    assert_eq!(scene.way(1).map(|way| way.len()), Some(1));
    // After a restart the file is read anew, and the journal goes on.
    scene.start_again();
    second[0] = soa(3);
    scene.load(&second).unwrap();
    assert_eq!(scene.way(1).map(|way| way.len()), Some(2));
    // Other contents under the same serial: whoever has an older version needs all of it.
    second[3] = a(WWW, 10);
    scene.load(&second).unwrap();
    assert_eq!((scene.way(1), scene.way(3)), (None, Some(vec![])));
}

#[test]
fn what_is_damaged_on_disk_is_set_aside_and_told() {
    let mut scene = Scene::new();
    scene.load(&first()).unwrap();
    let folder = scene.folder.path().join("test");
    scene.kept = Kept::default();
    let generation = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let file = generation.join("data.mdb");
    let mut octets = fs::read(&file).unwrap();
    // One octet of an address.
    let places: Vec<usize> =
        (0..octets.len() - 4).filter(|at| octets[*at..].starts_with(&[192, 0, 2, 2])).collect();
    places.iter().for_each(|at| octets[at + 1] = 1);
    assert!(!places.is_empty());
    fs::write(&file, octets).unwrap();
    scene.start_again();
    assert_eq!(restore(&scene.store, "test.", &mut scene.kept), Ok(None));
    assert!(!folder.exists());
    assert!(scene.folder.path().join("test~damaged").exists());
    scene.load(&first()).unwrap();
    scene.start_again();
    assert!(restore(&scene.store, "test.", &mut scene.kept).unwrap().is_some());
}

#[test]
fn what_many_removals_left_is_given_to_others() {
    let mut scene = Scene::new();
    let host = |number: u32| a(format!("\x08n{number:07}\x04test\0").as_bytes(), 1);
    let mut records = first();
    records.extend((0..40_000).map(host));
    scene.load(&records).unwrap();
    assert_eq!(compact(&scene.store, "test.", &mut scene.kept), Ok(None), "nothing lies idle");
    let before = scene.store.usage(APEX).unwrap();
    for serial in 1..=36 {
        let hosts = (serial * 1_000 - 1_000..serial * 1_000).map(host);
        let gone: Vec<Given> = [soa(serial)].into_iter().chain(hosts).collect();
        scene.apply(&[difference(&gone, &[soa(serial + 1)])]).unwrap();
    }
    let loaded = compact(&scene.store, "test.", &mut scene.kept).unwrap().expect("crumbs");
    assert_eq!((loaded.serial, loaded.names), (37, 4_003));
    let after = scene.store.usage(APEX).unwrap();
    assert!(after.reserved < before.reserved / 4, "{before:?}, then {after:?}");
    assert_eq!(after.dead, 0);
    // The next difference finds what it is about.
    assert_eq!(scene.apply(&[difference(&[soa(37), host(39_999)], &[soa(38)])]), Ok(38));
}

#[test]
fn a_disk_that_is_full_behind_the_log_costs_no_version() {
    let mut scene = Scene::new();
    small_disk::mount(scene.folder.path(), 4 << 20);
    let host = |letter: char, number: u32| {
        let name = format!("\x08{letter}{number:07}\x04test\0");
        (name.into_bytes(), 16, 60, vec![199; 200])
    };
    let hosts = |letter, serial| {
        let come: Vec<Given> =
            [soa(serial)].into_iter().chain((0..500).map(|number| host(letter, number))).collect();
        difference(&[soa(serial - 1)], &come)
    };
    let loaded: Vec<Given> =
        first().into_iter().chain((0..2_000).map(|number| host('z', number))).collect();
    scene.load(&loaded).unwrap();
    assert_eq!(scene.apply(&[hosts('a', 2)]), Ok(2));
    let filler = scene.folder.path().join("filler");
    let mut file = fs::File::create(&filler).unwrap();
    while let Ok(1..) = io::Write::write(&mut file, &[0; 512]) {}
    drop(file);
    // The log has room for it, the tree has not.
    assert_eq!(scene.apply(&[hosts('b', 3)]), Ok(3));
    assert!(scene.kept.shelf().trouble().is_some_and(|line| line.contains("DEGRADED")));
    assert_eq!(scene.kept.shelf().life().map(|(_, data)| data), Some(soa(3).3));
    let mark = scene.kept.mark().unwrap();
    let refused = scene.apply(&[difference(&[soa(3)], &[soa(4)])]).unwrap_err();
    assert!(refused.contains("No space left on device"), "{refused}");
    // A start on the full disk serves it, and knows what another process serves.
    scene.start_again();
    assert!(scene.kept.resume(APEX, mark, 3_003));
    scene.start_again();
    let loaded = restore(&scene.store, "test.", &mut scene.kept).unwrap().unwrap();
    assert_eq!((loaded.serial, loaded.records), (3, 3_005));
    let refused = scene.apply(&[difference(&[soa(3)], &[soa(4)])]).unwrap_err();
    assert!(refused.contains("No space left on device"), "{refused}");
    fs::remove_file(&filler).unwrap();
    assert_eq!(scene.apply(&[difference(&[soa(3)], &[soa(4)])]), Ok(4));
    assert_eq!((scene.kept.shelf().trouble(), scene.contents().len()), (None, 3_005));
    assert_eq!(scene.way(1).map(|way| way.len()), Some(3));
}
