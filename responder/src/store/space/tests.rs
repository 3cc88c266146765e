//! Space is used again, never twice, and bounded.

use responder_common::layout::Root;

use super::*;
use crate::store::StoreOptions;

fn store() -> Store {
    let options = StoreOptions { udp_size: 1232, id: String::new() };
    Store::in_memory(&options).expect("memory")
}

#[test]
fn what_was_given_back_is_used_again() {
    let store = store();
    let mut space = Space::new(&store);
    let first = space.take(40, 16).expect("room");
    let other = space.take(40, 16).expect("room");
    let mut holding = space.into_holding();
    holding.give(first, 5);
    assert_eq!((holding.live(), holding.dead()), (40, 40));
    let mut space = Space::within(&store, holding);
    assert_eq!(space.take(40, 16).expect("room"), first);
    assert_ne!(space.take(40, 16).expect("room"), other);
    assert_eq!(space.used(), 120);
    let holding = space.take_back();
    assert_eq!((holding.live(), holding.dead()), (40, 80));
    store.writer().space.give(&holding.into_blocks());
}

#[test]
fn rows_begin_with_a_cache_line() {
    let store = store();
    let mut space = Space::new(&store);
    for length in [8, 64, 65, 4_000, 5_000_000, 70 << 20] {
        space.take(24, 24).expect("room");
        let row = space.take_row(length).expect("room");
        assert_eq!(u64::from(row) * UNIT % LINE, 0);
        space.write_row(row, &vec![7; length as usize]);
    }
}

#[test]
fn objects_do_not_overlap() {
    let store = store();
    let mut space = Space::new(&store);
    let mut taken = Vec::new();
    for round in 0..2_000_u64 {
        let length = 8 + round * 37 % 900;
        let start = if round % 50 == 0 {
            space.take_row(length * 40).map(|start| (start, length * 40))
        } else {
            space.take(length, length).map(|start| (start, length))
        };
        taken.push(start.expect("room"));
    }
    taken.sort_unstable();
    for pair in taken.windows(2) {
        assert!(u64::from(pair[0].0) + pair[0].1.div_ceil(8) <= u64::from(pair[1].0));
    }
}

/// A space with three rows that need two segments more than the store may have.
fn fill(store: &Store) -> Space<'_> {
    let mut space = Space::new(store);
    for _ in 0..3 {
        let row = space.take_row(48 << 20).expect("counted, if not there");
        space.write_row(row, &[1; 4096]);
        let object = space.take(40, 40).expect("counted, if not there");
        space.write(object, &[2; 40]);
        assert_eq!(
            space.share(&[3; 64]).expect("counted"),
            space.share(&[3; 64]).expect("counted")
        );
    }
    space
}

#[test]
fn what_does_not_fit_is_told_with_the_figure_that_makes_it_fit() {
    let store = store();
    let one = size_of::<Root>() as u64 + SEGMENT_BYTES;
    store.set_limit(one + 5);
    let does_not_fit = fill(&store).fits().expect_err("three rows in one segment");
    assert_eq!(does_not_fit.allowed, one + 5);
    assert_eq!(does_not_fit.needs, 3 * ((48 << 20) + 40) + 64);
    assert_eq!(store.bytes(), one, "nothing was taken that is not allowed");
    // What was there is free again, and the figure is exact.
    store.set_limit(does_not_fit.whole - 1);
    assert!(fill(&store).fits().is_err());
    store.set_limit(does_not_fit.whole);
    let space = fill(&store);
    assert_eq!(space.fits(), Ok(()));
    assert_eq!(store.bytes(), does_not_fit.whole);
    let told = does_not_fit.to_string();
    let figure = format!("raise it to {} and reload", does_not_fit.whole);
    assert!(told.ends_with(&figure), "{told}");
}

#[test]
fn a_commit_that_does_not_fit_leaves_no_trace() {
    let store = store();
    store.set_limit(size_of::<Root>() as u64 + SEGMENT_BYTES);
    let mut space = Space::new(&store);
    space.take(100, 64).expect("room");
    let holding = space.into_holding();
    let before = (holding.live(), holding.dead(), holding.bytes());
    let mut space = Space::within(&store, holding);
    space.take(200, 64).expect("room");
    space.take_row(70 << 20).expect("counted");
    space.take(300, 64).expect("counted");
    space.share(&[5; 80]).expect("counted");
    assert!(space.fits().is_err());
    let mut holding = space.take_back();
    assert_eq!(holding.live(), before.0);
    for round in 0..100 {
        let mut space = Space::within(&store, holding);
        let object = space.take(1000, 64).expect("room");
        assert_eq!(space.fits(), Ok(()), "round {round}");
        space.write(object, &[7; 1000]);
        holding = space.into_holding();
    }
    store.writer().space.give(&holding.into_blocks());
}
