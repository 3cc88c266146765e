//! The journal leads from the serials that it knows to the contents, and says so when it does not.

use super::super::{JournalLimits, changes_since};
use super::*;
use crate::zone::{
    difference::{Difference, Part},
    read::RecordRef,
};

const MANY: JournalLimits = JournalLimits { octets: 1 << 20, entries: 100 };

fn soa(serial: u32) -> Vec<u8> {
    [b"\0\0", [serial, 2, 3, 4, 5].map(u32::to_be_bytes).concat().as_slice()].concat()
}

fn record<'a>(owner: &'a [u8], rtype: u16, rdata: &'a [u8]) -> RecordRef<'a> {
    RecordRef { owner, rtype, ttl: 60, rdata, file: 0, line: 0 }
}

/// One address goes, another comes.
fn difference(from: u32, to: u32) -> Difference {
    let mut difference = Difference::default();
    difference.push(Part::Gone(record(APEX, rtype::SOA, &soa(from))));
    difference.push(Part::Gone(record(b"\x01a\x07example\0", 1, &from.to_be_bytes())));
    difference.push(Part::Present(record(APEX, rtype::SOA, &soa(to))));
    difference.push(Part::Present(record(b"\x01a\x07example\0", 1, &to.to_be_bytes())));
    difference
}

/// Brings the contents to a serial and notes a difference.
fn go_on(archive: &Archive, to: u32, difference: Option<&Difference>, limits: JournalLimits) {
    let sets =
        vec![HeldSet { rtype: rtype::SOA, ttl: 1, rdata: vec![soa(to)], signatures: vec![] }];
    let apex = Held { wire: APEX.to_vec(), sets };
    change(archive, |edit| {
        edit.put(&apex.lend(&apex.key())).unwrap();
        edit.note_difference(difference, limits);
    });
}

/// The serials of the way from one.
fn way(archive: &Archive, from: u32) -> Option<Vec<(u32, u32)>> {
    let view = archive.read().unwrap();
    let changes = changes_since(&view, from).unwrap()?;
    let entries = changes.map(|entry| entry.unwrap());
    Some(
        entries
            .map(|entry| {
                let (gone, come) = (entry.from.to_be_bytes(), entry.to.to_be_bytes());
                let parts: Vec<Part<'_>> = entry.parts().collect();
                assert_eq!(parts, difference(entry.from, entry.to).parts().collect::<Vec<_>>());
                assert_eq!(parts[1], Part::Gone(record(b"\x01a\x07example\0", 1, &gone)));
                assert_eq!(parts[3], Part::Present(record(b"\x01a\x07example\0", 1, &come)));
                (entry.from, entry.to)
            })
            .collect(),
    )
}

fn open(folder: &std::path::Path) -> Archive {
    Archive::open(folder, APEX, LIMITS).unwrap()
}

#[test]
fn rfc1995_a_chain_leads_from_every_serial_that_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let archive = open(folder.path());
    assert_eq!(way(&archive, 0), None);
    // Over the end of the numbers (RFC 1982).
    for (from, to) in [(u32::MAX - 1, u32::MAX), (u32::MAX, 3), (3, 7)] {
        go_on(&archive, to, Some(&difference(from, to)), MANY);
    }
    drop(archive);
    let archive = open(folder.path());
    let whole = vec![(u32::MAX - 1, u32::MAX), (u32::MAX, 3), (3, 7)];
    assert_eq!(way(&archive, u32::MAX - 1), Some(whole.clone()));
    assert_eq!(way(&archive, 3), Some(whole[2..].to_vec()));
    assert_eq!(way(&archive, 7), Some(vec![]));
    assert_eq!(way(&archive, 5), None);
    // A copy without free pages keeps it.
    archive.writer().unwrap().compact().unwrap();
    assert_eq!(way(&archive, u32::MAX - 1), Some(whole));
}

#[test]
fn rfc1995_the_oldest_differences_go_first() {
    let folder = tempfile::tempdir().unwrap();
    let archive = open(folder.path());
    for serial in 1..10 {
        let limits = JournalLimits { entries: 3, ..MANY };
        go_on(&archive, serial + 1, Some(&difference(serial, serial + 1)), limits);
    }
    assert_eq!(way(&archive, 6), None);
    assert_eq!(way(&archive, 7), Some(vec![(7, 8), (8, 9), (9, 10)]));
    let octets = difference(10, 11).octets() * 2;
    go_on(&archive, 11, Some(&difference(10, 11)), JournalLimits { octets, entries: 100 });
    assert_eq!(way(&archive, 8), None);
    assert_eq!(way(&archive, 9), Some(vec![(9, 10), (10, 11)]));
    // One that is too large by itself leaves nothing to lead on from.
    go_on(&archive, 12, Some(&difference(11, 12)), JournalLimits { octets: 10, entries: 100 });
    assert_eq!((way(&archive, 11), way(&archive, 12)), (None, Some(vec![])));
}

#[test]
fn what_breaks_the_chain_empties_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let archive = open(folder.path());
    let begin = || {
        go_on(&archive, 4, Some(&difference(3, 4)), MANY);
        go_on(&archive, 5, Some(&difference(4, 5)), MANY);
        assert_eq!(way(&archive, 4).map(|way| way.len()), Some(1));
    };
    begin();
    go_on(&archive, 9, None, MANY);
    assert_eq!(way(&archive, 4), None);
    begin();
    go_on(&archive, 9, Some(&difference(8, 9)), MANY);
    assert_eq!((way(&archive, 4), way(&archive, 8)), (None, Some(vec![(8, 9)])));
    begin();
    go_on(&archive, 2, Some(&difference(5, 2)), MANY);
    assert_eq!((way(&archive, 4), way(&archive, 5)), (None, None));
    begin();
    archive.replace(lend(&Zone::new()), [], &[]).unwrap();
    assert_eq!(way(&archive, 4), None);
}

#[test]
fn a_damaged_journal_is_noticed_and_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let archive = open(folder.path());
    go_on(&archive, 4, Some(&difference(3, 4)), MANY);
    go_on(&archive, 5, Some(&difference(4, 5)), MANY);
    drop(archive);
    let data = folder.path().join("00000001/data.mdb");
    let mut octets = std::fs::read(&data).unwrap();
    // The address that came with serial 5, wherever it stands.
    let wanted =
        [&[1_u8, b'a', 7][..], b"example\0\0\x01\0\0\0\x3c\0\x04", &5_u32.to_be_bytes()].concat();
    let places: Vec<usize> =
        (0..octets.len()).filter(|at| octets[*at..].starts_with(&wanted)).collect();
    assert!(!places.is_empty());
    places.iter().for_each(|at| octets[at + 2] ^= 1);
    std::fs::write(&data, octets).unwrap();
    let archive = open(folder.path());
    {
        let view = archive.read().unwrap();
        let mut changes = changes_since(&view, 4).unwrap().unwrap();
        assert!(matches!(changes.next(), Some(Err(super::super::Error::Broken { .. }))));
    }
    go_on(&archive, 6, Some(&difference(5, 6)), MANY);
    assert_eq!((way(&archive, 4), way(&archive, 5)), (None, Some(vec![(5, 6)])));
}
