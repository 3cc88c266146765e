//! Random zones and random changes; every question is asked of the archive and of a model.

use std::collections::BTreeSet;

use super::super::Hashed;
use super::*;

type Filed = BTreeSet<([u8; 20], u8, Vec<u8>)>;

fn compare(archive: &impl Lookup, zone: &Zone, filed: &Filed, random: &mut Random, seed: u64) {
    assert_eq!(contents(archive), *zone, "seed {seed}");
    assert_eq!(archive.names().unwrap(), zone.len() as u64, "seed {seed}");
    let records: u64 = zone.values().map(Held::records).sum();
    assert_eq!(archive.records().unwrap(), records, "seed {seed}");
    let mut names: Vec<Vec<u8>> = (0..20).map(|_| random.name()).collect();
    names.extend(zone.values().flat_map(Held::servers).take(40).cloned());
    for name in names {
        let key = key(&name);
        let at = archive.owner(&key).unwrap().map(held);
        assert_eq!(at.as_ref(), zone.get(&key), "seed {seed}");
        let after = archive.after(&key).unwrap().map(held);
        let expected = zone.iter().find(|(other, _)| **other > key);
        assert_eq!(after.as_ref(), expected.map(|(_, held)| held), "seed {seed}");
        let before = archive.before(&key).unwrap().map(held);
        let expected = zone.iter().rfind(|(other, _)| **other < key);
        assert_eq!(before.as_ref(), expected.map(|(_, held)| held), "seed {seed}");

        let below: Vec<Held> =
            archive.below(&key).unwrap().map(|owner| held(owner.unwrap())).collect();
        // Below, by the labels themselves: the name is the end of the other, at a label's start.
        let is_below = |other: &[u8]| {
            let mut at = 0;
            while other[at] != 0 {
                at += usize::from(other[at]) + 1;
                if other[at..].eq_ignore_ascii_case(&name) {
                    return true;
                }
            }
            false
        };
        let expected: Vec<Held> =
            zone.values().filter(|held| is_below(&held.wire)).cloned().collect();
        assert_eq!(below, expected, "seed {seed}");

        let mut pointing: Vec<Vec<u8>> =
            archive.delegations_to(&key).unwrap().map(|key| key.unwrap().to_vec()).collect();
        pointing.sort();
        let names_it = |held: &Held| {
            key.ends_with(b"\0")
                && key.starts_with(b"example\0")
                && held.servers().any(|server| self::key(server) == key)
        };
        let expected: Vec<Vec<u8>> =
            zone.iter().filter(|(_, held)| names_it(held)).map(|(key, _)| key.clone()).collect();
        assert_eq!(pointing, expected, "seed {seed}");
    }
    let mut ends: Vec<[u8; 20]> = (0..6).map(|_| hash(random)).collect();
    ends.extend(filed.iter().map(|(hash, ..)| *hash).take(6));
    for from in &ends {
        for to in &ends {
            let found: Filed =
                archive.between(from, to).unwrap().map(|hashed| own(hashed.unwrap())).collect();
            let covered = |hash: &[u8; 20]| match from < to {
                true => from < hash && hash < to,
                false => hash > from || hash < to,
            };
            let covered = |hash: &[u8; 20]| covered(hash) && hash != from && hash != to;
            let expected: Filed =
                filed.iter().filter(|(hash, ..)| covered(hash)).cloned().collect();
            assert_eq!(found, expected, "seed {seed}");
        }
        let found: Filed =
            archive.hashed(from).unwrap().map(|hashed| own(hashed.unwrap())).collect();
        assert_eq!(
            found,
            filed.iter().filter(|(hash, ..)| hash == from).cloned().collect(),
            "seed {seed}"
        );
    }
}

/// One of few hashes, so that they meet.
fn hash(random: &mut Random) -> [u8; 20] {
    let mut hash = [7; 20];
    hash[random.below(2)] = random.below(16) as u8;
    hash
}

fn own(hashed: Hashed<'_>) -> ([u8; 20], u8, Vec<u8>) {
    (hashed.hash, hashed.tag, hashed.key.to_vec())
}

#[test]
fn random_zones_answer_as_a_model_does() {
    for seed in 0..40 {
        let mut random = Random(seed);
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::open(folder.path(), APEX, LIMITS).unwrap();
        let mut zone = random.zone(60);
        let mut filed: Filed =
            (0..30).map(|_| (hash(&mut random), random.below(3) as u8, random.name())).collect();
        let mut hashes: Vec<Hashed<'_>> =
            filed.iter().map(|(hash, tag, key)| Hashed { hash: *hash, tag: *tag, key }).collect();
        if seed % 2 == 0 {
            hashes.reverse();
        }
        archive.replace(lend(&zone), hashes, &[]).unwrap();
        compare(&archive.read().unwrap(), &zone, &filed, &mut random, seed);

        for _ in 0..8 {
            let before = archive.read().unwrap();
            let (zone_before, filed_before) = (zone.clone(), filed.clone());
            let mut writer = archive.writer().unwrap();
            let mut edit = writer.begin().unwrap();
            for _ in 0..random.below(30) {
                random_change(&mut edit, &mut zone, &mut filed, &mut random);
            }
            compare(&edit, &zone, &filed, &mut random, seed);
            compare(&before, &zone_before, &filed_before, &mut random, seed);
            if random.below(3) == 0 {
                drop(edit);
                (zone, filed) = (zone_before, filed_before);
            } else {
                edit.commit(random.below(2) == 0).unwrap();
            }
            drop(writer);
            compare(&archive.read().unwrap(), &zone, &filed, &mut random, seed);
        }
    }
}

fn random_change(edit: &mut Edit<'_>, zone: &mut Zone, filed: &mut Filed, random: &mut Random) {
    match random.below(4) {
        0 => {
            let owner = random.owner();
            let key = owner.key();
            edit.put(&owner.lend(&key)).unwrap();
            match owner.sets.is_empty() {
                true => zone.remove(&key),
                false => zone.insert(key, owner),
            };
        }
        1 => {
            let Some(key) = zone.keys().nth(random.below(zone.len().max(1))).cloned() else {
                return;
            };
            assert!(edit.delete(&key).unwrap());
            assert!(!edit.delete(&key).unwrap());
            zone.remove(&key);
        }
        2 => {
            let (hash, tag, key) = (hash(random), random.below(3) as u8, random.name());
            edit.put_hash(Hashed { hash, tag, key: &key }).unwrap();
            filed.insert((hash, tag, key));
        }
        _ => {
            let Some(entry) = filed.iter().nth(random.below(filed.len().max(1))).cloned() else {
                return;
            };
            let hashed = Hashed { hash: entry.0, tag: entry.1, key: &entry.2 };
            assert!(edit.delete_hash(hashed).unwrap());
            assert!(!edit.delete_hash(hashed).unwrap());
            filed.remove(&entry);
        }
    }
}
