//! Zones of the sample folder go through the archive and come out as they were.

use std::{fs, path::Path};

use super::super::super::{Progress, collect::Collector, name, read};
use super::*;

fn sample(file: &Path, apex: &[u8]) -> Zone {
    let mut collector = Collector::default();
    let progress = Progress::default();
    let limits = read::Limits::default();
    read::read_batches(apex, file, &limits, &progress, &mut |rows| collector.add(rows)).unwrap();
    let sorted = collector.sort(&progress).unwrap();
    sorted.owners().map(|owner| (owner.key.to_vec(), Held::of(&owner))).collect()
}

#[test]
fn every_sample_zone_is_read_as_it_was_written() {
    let zones = Path::new(env!("CARGO_MANIFEST_DIR")).join("../zones");
    let folder = tempfile::tempdir().unwrap();
    let mut count = 0;
    for entry in fs::read_dir(zones).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_none_or(|extension| extension != "zone") {
            continue;
        }
        let stem = file.file_stem().unwrap().to_str().unwrap();
        let apex = name::from_text_lower(stem).unwrap();
        let zone = sample(&file, &apex);
        assert!(!zone.is_empty(), "{stem}");

        let whole = Archive::open(&Archive::folder(folder.path(), &apex), &apex, LIMITS).unwrap();
        whole.replace(lend(&zone), [], &[("source", b"file")]).unwrap();
        let view = whole.read().unwrap();
        assert_eq!(contents(&view), zone, "{stem}");
        assert_eq!(view.names().unwrap(), zone.len() as u64);
        assert_eq!(view.records().unwrap(), zone.values().map(Held::records).sum::<u64>());
        assert!(view.serial().unwrap().is_some());
        assert_eq!(view.stamp("source").unwrap(), Some(&b"file"[..]));
        assert_eq!(view.stamp("expiry").unwrap(), None);

        let bit_by_bit = Archive::open(&folder.path().join("in-steps").join(stem), &apex, LIMITS);
        let bit_by_bit = bit_by_bit.unwrap();
        for owner in lend(&zone) {
            change(&bit_by_bit, |edit| edit.put(&owner).unwrap());
        }
        assert_eq!(contents(&bit_by_bit.read().unwrap()), zone, "{stem}");
        count += 1;
    }
    assert!(count >= 10, "the sample zones have moved");
}

#[test]
fn the_root_zone_has_an_archive_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::open(folder.path(), b"\0", LIMITS).unwrap();
    let set = |data: &[u8]| {
        vec![HeldSet { rtype: rtype::NS, ttl: 1, rdata: vec![data.to_vec()], signatures: vec![] }]
    };
    let root = Held { wire: b"\0".to_vec(), sets: set(b"\x01a\0") };
    let below = Held { wire: b"\x02sv\0".to_vec(), sets: set(b"\x02ns\x02cl\0") };
    let zone: Zone = [root, below].map(|held| (held.key(), held)).into();
    archive.replace(lend(&zone), [], &[]).unwrap();
    let view = archive.read().unwrap();
    assert_eq!(contents(&view), zone);
    let hosts = |host: &[u8]| -> Vec<Vec<u8>> {
        let keys = view.delegations_to(&key(host)).unwrap();
        keys.map(|key| key.unwrap().to_vec()).collect()
    };
    assert_eq!(hosts(b"\x01a\0"), [b""]);
    assert_eq!(hosts(b"\x02ns\x02cl\0"), [b"sv\0"]);
    assert_eq!(view.below(b"").unwrap().count(), 1);
    assert_eq!(view.after(b"").unwrap().unwrap().wire, b"\x02sv\0");
}

#[test]
fn no_two_zones_share_a_folder() {
    let zones = Path::new("zones");
    let of = |apex: &[u8]| Archive::folder(zones, apex);
    assert_eq!(of(b"\x02Co\x02uk\0"), zones.join("co.uk"));
    assert_eq!(of(b"\0"), zones.join("%"));
    assert_eq!(of(b"\x01/\0"), zones.join("%2f"));
    assert_eq!(of(b"\x03a.b\0"), zones.join("a%2eb"));
    assert_eq!(of(b"\x02..\0"), zones.join("%2e%2e"));
    let long = |end: u8| {
        let mut apex = Vec::new();
        for length in [63_u8, 63, 63, 61] {
            apex.push(length);
            apex.extend([255; 63][..length.into()].iter());
        }
        apex.push(0);
        apex[250] = end;
        of(&apex)
    };
    assert_ne!(long(1), long(2));
    assert!(long(1).components().all(|part| part.as_os_str().len() <= 255));
}
