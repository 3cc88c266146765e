//! A new file against the archive.

use super::super::{Error, OwnerChange, diff};
use super::*;

fn changes(old: &impl Lookup, new: &Zone) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (mut put, mut deleted) = (Vec::new(), Vec::new());
    for change in diff(old, lend(new)).unwrap() {
        match change.unwrap() {
            OwnerChange::Put(owner) => put.push(owner.key.to_vec()),
            OwnerChange::Deleted(key) => deleted.push(key.to_vec()),
        }
    }
    (put, deleted)
}

#[test]
fn the_changes_are_those_of_a_model_and_lead_to_the_new_zone() {
    for seed in 0..60 {
        let mut random = Random(seed);
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::open(folder.path(), APEX, LIMITS).unwrap();
        let old = random.zone(50);
        archive.replace(lend(&old), [], &[]).unwrap();
        let mut new = old.clone();
        for _ in 0..random.below(12) {
            if let Some(key) = new.keys().nth(random.below(new.len())).cloned() {
                new.remove(&key);
            }
        }
        new.extend(random.zone(10));

        let view = archive.read().unwrap();
        let (put, deleted) = changes(&view, &new);
        let expected: Vec<_> =
            new.keys().filter(|key| old.get(*key) != new.get(*key)).cloned().collect();
        assert_eq!(put, expected, "seed {seed}");
        let expected: Vec<_> = old.keys().filter(|key| !new.contains_key(*key)).cloned().collect();
        assert_eq!(deleted, expected, "seed {seed}");

        change(&archive, |edit| {
            for change in diff(&view, lend(&new)).unwrap() {
                match change.unwrap() {
                    OwnerChange::Put(owner) => edit.put(&owner).unwrap(),
                    OwnerChange::Deleted(key) => assert!(edit.delete(key).unwrap()),
                }
            }
        });
        assert_eq!(contents(&archive.read().unwrap()), new, "seed {seed}");
        assert_eq!(contents(&view), old, "seed {seed}");
    }
}

#[test]
fn order_of_records_is_no_change_and_case_is() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::open(folder.path(), APEX, LIMITS).unwrap();
    let address = |last: u8| vec![192, 0, 2, last];
    let set = HeldSet { rtype: 1, ttl: 5, rdata: vec![address(1), address(2)], signatures: vec![] };
    let owner = Held { wire: b"\x03www\x07example\0".to_vec(), sets: vec![set] };
    let zone = |owner: Held| Zone::from([(owner.key(), owner)]);
    archive.replace(lend(&zone(owner.clone())), [], &[]).unwrap();
    let view = archive.read().unwrap();
    let puts = |change: fn(&mut Held)| {
        let mut owner = owner.clone();
        change(&mut owner);
        changes(&view, &zone(owner)).0.len()
    };
    assert_eq!(puts(|_| ()), 0);
    assert_eq!(puts(|owner| owner.sets[0].rdata.reverse()), 0);
    assert_eq!(puts(|owner| owner.sets[0].ttl = 6), 1);
    assert_eq!(puts(|owner| owner.wire[1] = b'W'), 1);
    assert_eq!(puts(|owner| owner.sets[0].rdata[1][3] = 3), 1);
    assert_eq!(puts(|owner| owner.sets[0].rdata[1][3] = 1), 1);
    assert_eq!(puts(|owner| owner.sets[0].signatures.push(vec![1])), 1);
}

#[test]
fn owners_out_of_order_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::open(folder.path(), APEX, LIMITS).unwrap();
    let zone = Random(1).zone(10);
    let owners: Vec<_> = lend(&zone).collect();
    let view = archive.read().unwrap();
    let last = diff(&view, owners.into_iter().rev()).unwrap().last();
    assert!(matches!(last, Some(Err(Error::Order))) || zone.len() < 2);
    let owners: Vec<_> = lend(&zone).collect();
    assert!(matches!(archive.replace(owners.into_iter().rev(), [], &[]), Err(Error::Order)));
    assert_eq!(contents(&archive.read().unwrap()), Zone::new());
}
