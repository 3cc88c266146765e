//! Whatever is changed, and however often: the zone answers as if it had been compiled anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::*;
use crate::{
    answer::{Answerer, Outcome, Transport},
    store::StoreOptions,
    zone::{
        Progress,
        collect::RrSet,
        compile::{Compiled, compile},
        lookups::Lookups,
        name::{from_text_lower, to_text},
    },
};

mod contents;
mod model;

use contents::Held;
use model::{Random, Shape};

const APEX: &str = "lac.";

fn store() -> Arc<Store> {
    let options = StoreOptions { udp_size: 1232, id: "test".into() };
    Arc::new(Store::in_memory(&options).expect("memory"))
}

/// Compiles the contents as a whole and serves them; notes what each node depends on.
fn serve(store: &Store, held: &mut Held) {
    let apex = from_text_lower(APEX).expect("a name");
    let zone = held.sorted(&apex);
    let mut space = store.space();
    let compiled =
        compile(&zone, &apex, &mut space, true, &Progress::default()).expect("it compiles");
    let Compiled { snapshot, names, labels, lookups, .. } = compiled;
    store.publish(&apex, labels, names, snapshot, space).expect("room");
    let mut found: BTreeMap<Key, Vec<Key>> = BTreeMap::new();
    for lookup in lookups.iter().flat_map(Lookups::iter) {
        found.entry(lookup.key.to_vec()).or_default().push(lookup.hash.to_vec());
    }
    found.iter().for_each(|(key, lookups)| held.depend(key, lookups));
}

/// Asks for every name that is or was there, for names below and beside it, with and without DO.
fn compare(changed: &Arc<Store>, fresh: &Arc<Store>, names: &BTreeSet<Vec<u8>>, story: &str) {
    let mut one = Answerer::new(Arc::clone(changed));
    let mut other = Answerer::new(Arc::clone(fresh));
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for name in names {
        for kind in [1_u16, 2, 6, 16, 43, 255] {
            for dnssec in [false, true] {
                let query = model::query(name, kind, dnssec);
                let a = one.answer(&query, Transport::Tcp, &mut left);
                let b = other.answer(&query, Transport::Tcp, &mut right);
                assert_eq!((a, b), (Outcome::Reply, Outcome::Reply));
                assert!(
                    left == right,
                    "{story}: {} type {kind}, DO {dnssec}:\n{left:02x?}\n{right:02x?}",
                    to_text(name)
                );
            }
        }
    }
}

/// A story of edits, each of which is compared.
fn story(shape: Shape, seed: u64) {
    let mut random = Random::new(seed);
    let mut zone = model::Zone::new(shape, &mut random);
    let mut held = Held::of(&zone.signed());
    let store = store();
    serve(&store, &mut held);
    let apex = from_text_lower(APEX).expect("a name");
    let mut rebuilt = 0;
    for round in 0..30 {
        let told = format!("{shape:?}, seed {seed}, round {round}");
        zone.edit(&mut random);
        let next = Held::of(&zone.signed());
        let changed = held.replace(&next);
        match commit(&store, &apex, &held, &changed) {
            Ok(result) => {
                for (key, _) in &result.forgotten {
                    held.forget(key);
                }
                for (key, lookups) in &result.lookups {
                    held.depend(key, lookups);
                }
            }
            Err(Refused::Rebuild) => {
                rebuilt += 1;
                serve(&store, &mut held);
            }
            Err(error) => panic!("{told}: {error:?}"),
        }
        let fresh = self::store();
        serve(&fresh, &mut Held::of(&zone.signed()));
        compare(&store, &fresh, &zone.asked(&mut random), &told);
    }
    assert!(rebuilt < 15, "{shape:?}, seed {seed}: compiled anew {rebuilt} times of 30");
}

fn stories(shape: Shape) {
    for seed in 0..4 {
        story(shape, seed);
    }
}

#[test]
fn an_unsigned_zone_after_any_edits_answers_as_if_compiled_anew() {
    stories(Shape::Unsigned);
}

#[test]
fn a_zone_with_nsec_after_any_edits_answers_as_if_compiled_anew() {
    stories(Shape::Nsec);
}

#[test]
fn a_zone_with_nsec3_after_any_edits_answers_as_if_compiled_anew() {
    stories(Shape::Nsec3);
}

#[test]
fn a_zone_with_opt_out_after_any_edits_answers_as_if_compiled_anew() {
    stories(Shape::OptOut);
}

#[test]
fn a_refused_commit_leaves_the_zone_as_it_was() {
    let mut random = Random::new(7);
    let mut zone = model::Zone::new(Shape::Unsigned, &mut random);
    let mut held = Held::of(&zone.signed());
    let store = store();
    serve(&store, &mut held);
    let apex = from_text_lower(APEX).expect("a name");
    let before = store.usage(&apex).expect("served");
    let fresh = self::store();
    serve(&fresh, &mut Held::of(&zone.signed()));
    let names = zone.asked(&mut random);
    zone.add_second_cname();
    let changed = held.replace(&Held::of(&zone.signed()));
    let refused = commit(&store, &apex, &held, &changed);
    assert!(matches!(refused, Err(Refused::Zone(_))), "{refused:?}");
    compare(&store, &fresh, &names, "refused");
    assert_eq!(store.usage(&apex).expect("served").live, before.live);
}

/// Commits an edit again and again, each time to a zone compiled anew, by a writer that dies before its
/// first store to published memory, before its second, and so on until it lives.
fn die_at_every_store(shape: Shape) {
    let mut random = Random::new(5);
    let mut zone = model::Zone::new(shape, &mut random);
    let before = zone.signed();
    let old = store();
    serve(&old, &mut Held::of(&before));
    (0..4).for_each(|_| zone.edit(&mut random));
    let after = zone.signed();
    let new = store();
    serve(&new, &mut Held::of(&after));
    let apex = from_text_lower(APEX).expect("a name");
    let mut keys = Held::of(&before);
    let changed = keys.replace(&Held::of(&after));
    let near: BTreeSet<Vec<u8>> = changed.iter().map(|key| of_key(key)).collect();
    let mut names = zone.asked(&mut random);
    names.retain(|name| near.iter().any(|near| name.ends_with(&near[1..]) || near.ends_with(name)));
    names.extend(near);
    let (mut unseen, mut seen) = (0, 0);
    for stores in 0.. {
        let store = store();
        let mut held = Held::of(&before);
        serve(&store, &mut held);
        let changed = held.replace(&Held::of(&after));
        let (_, ready) = prepare(&store, &apex, &held, &changed).expect("a version");
        store.let_the_writer_die(stores);
        let lived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| ready.finish()));
        let serial = store.version(&apex).expect("served").serial;
        let is_new = serial == new.version(&apex).expect("served").serial;
        compare(&store, if is_new { &new } else { &old }, &names, &format!("{shape:?}: {stores}"));
        *(if is_new { &mut seen } else { &mut unseen }) += 1;
        assert!(is_new || seen == 0, "{shape:?}: {stores} stores: the old version again");
        if lived.is_ok() {
            break;
        }
    }
    println!("{shape:?}: died before {unseen} stores unseen, and {seen} times seen or alive");
    assert!(unseen > 5, "{shape:?}: {unseen}");
}

#[test]
fn a_writer_that_dies_at_any_store_leaves_one_version_whole() {
    for shape in [Shape::Unsigned, Shape::Nsec, Shape::Nsec3, Shape::OptOut] {
        die_at_every_store(shape);
    }
}

#[test]
fn memory_does_not_grow_over_many_commits() {
    let mut random = Random::new(11);
    let mut zone = model::Zone::new(Shape::OptOut, &mut random);
    let mut held = Held::of(&zone.signed());
    let store = store();
    serve(&store, &mut held);
    let apex = from_text_lower(APEX).expect("a name");
    let (mut reserved, mut live) = (Vec::new(), Vec::new());
    for round in 0..2_000 {
        zone.set_serial_texts(round);
        let changed = held.replace(&Held::of(&zone.signed()));
        commit(&store, &apex, &held, &changed).expect("a commit");
        let usage = store.usage(&apex).expect("served");
        reserved.push(usage.reserved);
        live.push(usage.live);
    }
    // Rounds alike in their texts (each 7) and in the digits of their numbers.
    assert_eq!(live[1_000], live[1_700], "octets in use after 1,000 and after 1,700 commits");
    assert_eq!(reserved[100], reserved[1_999], "octets reserved after 100 and after 2,000 commits");
}

/// The RRsets of an owner, as the tests hold them.
type Sets = BTreeMap<u16, (u32, Vec<Vec<u8>>, Vec<Vec<u8>>)>;

/// Borrows RRsets.
fn borrowed(sets: &Sets) -> Vec<RrSet<'_>> {
    sets.iter()
        .map(|(rtype, (ttl, rdata, signatures))| RrSet {
            rtype: *rtype,
            ttl: *ttl,
            rdata: rdata.iter().map(Vec::as_slice).collect(),
            signatures: signatures.iter().map(Vec::as_slice).collect(),
        })
        .collect()
}
