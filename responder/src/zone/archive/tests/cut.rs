//! Data files that were cut short.

use std::{fs, path::Path};

use super::{super::Error, *};

/// A zone whose archive has every kind of page: large values, delegations to one host, several changes.
fn build(folder: &Path) -> Zone {
    let set =
        |rtype, data: Vec<u8>| HeldSet { rtype, ttl: 1, rdata: vec![data], signatures: vec![] };
    let name = |label: &str| [&[label.len() as u8], label.as_bytes(), APEX].concat();
    let mut zone = Zone::new();
    for number in 0..600 {
        let wire = name(&format!("d{number:04}"));
        let servers = set(rtype::NS, name("ns"));
        let text = set(16, vec![7; if number % 50 == 0 { 9000 } else { 20 }]);
        let owner = Held { wire, sets: if number % 2 == 0 { vec![servers] } else { vec![text] } };
        zone.insert(owner.key(), owner);
    }
    let archive = Archive::open(folder, APEX, LIMITS).unwrap();
    archive.replace(lend(&zone), [], &[]).unwrap();
    for number in (0..600).step_by(3) {
        let wire = name(&format!("d{number:04}"));
        let owner = Held { wire, sets: vec![set(16, vec![number as u8; 700])] };
        change(&archive, |edit| edit.put(&owner.lend(&owner.key())).unwrap());
        zone.insert(owner.key(), owner);
    }
    zone
}

#[test]
fn a_data_file_that_was_cut_anywhere_is_broken_or_whole() {
    let folder = tempfile::tempdir().unwrap();
    let zone = build(folder.path());
    let generation = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let data = generation.join("data.mdb");
    let octets = fs::read(&data).unwrap();
    let (mut broken, mut whole) = (0, 0);
    for length in (0..=octets.len()).step_by(2048) {
        fs::write(&data, &octets[..length]).unwrap();
        match Archive::open(folder.path(), APEX, LIMITS) {
            Ok(archive) => {
                let view = archive.read().unwrap();
                assert_eq!(contents(&view), zone, "cut at {length}");
                whole += 1;
            }
            Err(Error::Broken { .. }) => broken += 1,
            Err(error) => panic!("cut at {length}: {error}"),
        }
    }
    assert!(broken > 100 && whole >= 1, "{broken} broken, {whole} whole");
}
