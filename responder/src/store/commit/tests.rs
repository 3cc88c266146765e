//! What a commit leaves behind, whichever way it ends.

use responder_common::layout::{LINE_UNITS, Node, node::role};

use super::{index::VACANT, *};
use crate::{
    store::{Store, StoreOptions},
    zone::{self, name::from_text_lower},
};

const ZONE: &str = "@ 60 SOA zone hostmaster 1 1 1 1 1\n@ NS zone\nzone A 192.0.2.1\n\
                    one NS ns.example.\ntwo NS ns.example.\nthree NS ns.example.\n";

fn store() -> Store {
    Store::in_memory(&StoreOptions { udp_size: 1232, id: String::new() }).expect("memory")
}

fn load(store: &Store) -> Vec<u8> {
    load_text(store, ZONE)
}

fn load_text(store: &Store, text: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("lac.zone");
    std::fs::write(&file, text).expect("written");
    zone::load(store, "lac.", &file).expect("a zone");
    name("lac.")
}

fn name(text: &str) -> Vec<u8> {
    from_text_lower(text).expect("a name")
}

/// Commits a version without these names.
fn remove(store: &Store, apex: &[u8], names: &[&str]) {
    let mut commit = store.commit(apex).expect("served");
    for text in names {
        let name = name(text);
        let found = commit.find(&name).expect("it is there");
        commit.remove(&name, found).expect("room");
    }
    let before = *commit.before();
    commit.ready(before, 0).expect("room").finish().expect("served");
}

#[test]
fn the_apex_is_not_found_in_a_slot_that_was_emptied() {
    let store = store();
    // Secrets for which the tag of the apex is the one of an emptied slot.
    let root = store.memory.root_mut();
    // SAFETY: nobody reads yet.
    unsafe {
        (*root).multiplier = 1;
        (*root).seed = u64::from_le_bytes(*b"\x03lac\0\0\0\0") ^ VACANT;
    }
    let apex = load(&store);
    assert_eq!(name::hash(store.hash_key(), &apex) >> 32, VACANT >> 32);
    // One that stays stands behind the three that go.
    remove(&store, &apex, &["one.lac.", "two.lac.", "three.lac."]);
    let commit = store.commit(&apex).expect("served");
    let words: Vec<u64> = commit.slots(0).map(|slot| commit.word(slot)).collect();
    assert!(words.contains(&VACANT), "{words:x?}");
    assert_eq!(commit.find(&apex), None);
}

#[test]
fn a_zone_leaves_service_at_once_though_a_commit_is_at_work() {
    let store = store();
    let apex = load(&store);
    for finish in [false, true] {
        let mut commit = store.commit(&apex).expect("served");
        let name = name("one.lac.");
        let found = commit.find(&name).expect("it is there");
        commit.remove(&name, found).expect("room");
        assert!(store.remove_zone("lac."));
        assert_eq!(store.usage(&apex), None);
        assert!(store.memory.root().zones.iter().all(|slot| slot.snapshot == 0));
        // It may come back before the commit ends, which then changes nothing of it.
        assert_eq!(load(&store), apex);
        let usage = store.usage(&apex);
        if finish {
            let before = *commit.before();
            let ready = commit.ready(before, 0).expect("room");
            ready.finish().expect_err("the zone that it is about was removed");
        } else {
            drop(commit);
        }
        assert_eq!(store.usage(&apex), usage);
        assert!(store.commit(&apex).expect("not lent").find(&name).is_some());
    }
    // What the removed ones held serves others: nothing was lost on the way.
    let bytes = store.bytes();
    for _ in 0..1000 {
        load(&store);
    }
    assert_eq!(store.bytes(), bytes);
}

#[test]
fn a_shared_fragment_goes_with_the_last_name_that_refers_to_it() {
    let store = store();
    let apex = load(&store);
    let live = || store.usage(&apex).expect("served").live;
    let servers = {
        let commit = store.commit(&apex).expect("served");
        let found = commit.find(&name("one.lac.")).expect("it is there");
        let words = store.object_at::<Node>(found.node).expect("a node").words;
        let reference = words[3];
        assert_eq!((reference >> 16) as u16, role::RRSET, "not beside its node");
        commit.fragment_octets((reference >> 32) as Address) as u64
    };
    let node = 16 + 8 + 8;
    let before = live();
    remove(&store, &apex, &["one.lac.", "two.lac."]);
    // Tombstones are counted until the next commit.
    remove(&store, &apex, &[]);
    assert_eq!(before - live(), 2 * node);
    remove(&store, &apex, &["three.lac."]);
    remove(&store, &apex, &[]);
    assert_eq!(before - live(), 3 * node + servers.next_multiple_of(UNIT));
}

#[test]
fn what_a_dropped_commit_shared_is_not_shared_again() {
    let store = store();
    let apex = load(&store);
    let image = [7_u8; 64];
    let mut commit = store.commit(&apex).expect("served");
    let first = commit.space().share(&image).expect("room");
    drop(commit);
    let mut commit = store.commit(&apex).expect("served");
    // Somebody else's now.
    let other = commit.space().take(64, 64).expect("room");
    let second = commit.space().share(&image).expect("room");
    assert_eq!(other, first, "the stretch given back is the first to be used");
    assert_ne!(second, other);
}

#[test]
fn slots_of_names_that_ended_are_counted_and_used_again() {
    let store = store();
    let apex = load(&store);
    let used = || store.usage(&apex).expect("served").index_used;
    let empty = |commit: &Commit<'_>| {
        let words = commit.slots(0).map(|slot| commit.word(slot));
        words.filter(|word| *word == 0).count() as u64
    };
    // One bucket holds the four names below the apex; the apex has none.
    let filled = 8 - empty(&store.commit(&apex).expect("served"));
    assert_eq!(filled, 4);
    let before = used();
    remove(&store, &apex, &["two.lac.", "one.lac.", "three.lac.", "zone.lac."]);
    assert_eq!(empty(&store.commit(&apex).expect("served")), 8);
    assert_eq!(used(), before - 4);
}

#[test]
fn an_index_with_nodes_in_it_grows_and_they_stay_where_they_are() {
    let store = store();
    let old: Vec<String> = (0..300).map(|number| format!("n{number}.lac.")).collect();
    let lines: String = old.iter().map(|name| format!("{name} NS ns.example.\n")).collect();
    let apex = load_text(&store, &format!("{ZONE}{lines}"));
    let look = |names: &[String]| -> Vec<Address> {
        let commit = store.commit(&apex).expect("served");
        names.iter().map(|text| commit.find(&name(text)).expect(text).node).collect()
    };
    let before = *store.commit(&apex).expect("served").before();
    let shape = before.shape();
    assert!(shape.lines > 1, "{shape:?}");
    let nodes = look(&old);
    let beside = |hash: u64, node: Address| {
        let bucket = before.index + shape.home(hash);
        (bucket..bucket + shape.lines * LINE_UNITS).contains(&node)
    };
    let hashes = old.iter().map(|text| name::hash(store.hash_key(), &name(text)));
    let inside = hashes.zip(&nodes).filter(|&(hash, &node)| beside(hash, node)).count();
    assert!(inside * 5 > old.len() * 4, "{inside} nodes stand beside their buckets");

    let new: Vec<String> = (0..200).map(|number| format!("m{number}.lac.")).collect();
    let mut commit = store.commit(&apex).expect("served");
    for text in &new {
        let name = name(text);
        let relative = &name[..name.len() - apex.len()];
        let mut image = node::first(commit.version(), 0).to_le_bytes().to_vec();
        let second = node::second(0, relative.len() as u8, 0, 0);
        image.extend_from_slice(&second.to_le_bytes());
        image.extend_from_slice(relative);
        image.resize(image.len().next_multiple_of(UNIT as usize), 0);
        let node = commit.space().take(image.len() as u64, image.len() as u64).expect("room");
        commit.space().write(node, &image);
        assert!(commit.put(&name, None, node));
    }
    commit.ready(before, 2).expect("room").finish().expect("served");
    assert_eq!(store.commit(&apex).expect("served").before().shape().lines, 1, "a plain index");
    assert_eq!(look(&old), nodes);
    // What the former index gave back are its buckets, and nothing that is still read.
    let mut commit = store.commit(&apex).expect("served");
    for _ in 0..shape.buckets() {
        let line = commit.space().take(64, 64).expect("room");
        assert_ne!(line, 0, "the address of nothing");
        commit.space().write(line, &[0xff; 64]);
    }
    drop(commit);
    assert_eq!(look(&old), nodes);
    look(&new);
}
