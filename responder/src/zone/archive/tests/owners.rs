//! The form of an owner on disk.

use super::super::owner::{Malformed, encode};
use super::*;

fn sample() -> Held {
    let text = |text: &str| text.as_bytes().to_vec();
    Held {
        wire: b"\x03WwW\x07Example\0".to_vec(),
        sets: vec![
            HeldSet {
                rtype: 1,
                ttl: 300,
                rdata: vec![vec![192, 0, 2, 1], vec![192, 0, 2, 2]],
                signatures: vec![],
            },
            HeldSet {
                rtype: 16,
                ttl: 0,
                rdata: vec![text("\x01x")],
                signatures: vec![text("signature")],
            },
        ],
    }
}

#[test]
fn what_is_written_is_read() {
    let owner = sample();
    let key = owner.key();
    let mut octets = Vec::new();
    assert_eq!(encode(&owner.lend(&key), &mut octets), Ok(4));
    let read = OwnerRef::decode(&key, &octets).unwrap();
    assert_eq!(held(read), owner);
    assert_eq!(read.records(), 4);
    assert_eq!(read.rrset(16).unwrap().signatures.collect::<Vec<_>>(), [b"signature"]);
    assert!(read.rrset(2).is_none());
}

#[test]
fn many_records_and_long_data_are_read() {
    let mut owner = sample();
    owner.sets[0].rdata = (0..70_000_u32).map(|number| number.to_be_bytes().to_vec()).collect();
    owner.sets[1].rdata = vec![vec![7; 65_535]];
    let key = owner.key();
    let mut octets = Vec::new();
    assert_eq!(encode(&owner.lend(&key), &mut octets), Ok(70_002));
    assert_eq!(held(OwnerRef::decode(&key, &octets).unwrap()), owner);
}

#[test]
fn every_changed_octet_is_noticed() {
    let owner = sample();
    let key = owner.key();
    let mut octets = Vec::new();
    encode(&owner.lend(&key), &mut octets).unwrap();
    for at in 0..octets.len() {
        for bit in 0..8 {
            let mut bad = octets.clone();
            bad[at] ^= 1 << bit;
            assert_eq!(OwnerRef::decode(&key, &bad), Err(Malformed::Checksum), "octet {at}");
        }
        assert!(OwnerRef::decode(&key, &octets[..at]).is_err());
    }
    assert!(OwnerRef::decode(&key[1..], &octets).is_err(), "an owner under another's key");
}

/// Octets with a checksum that is right.
fn sealed(key: &[u8], body: &[u8]) -> Vec<u8> {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(body);
    [&hasher.finalize().to_be_bytes(), body].concat()
}

#[test]
fn only_one_form_is_accepted() {
    let decode =
        |body: &[u8]| OwnerRef::decode(b"k", &sealed(b"k", body)).map(|owner| owner.records());
    let set =
        |rtype: u8, counts: &[u8], data: &[u8]| [&[0, rtype, 0, 0, 0, 9], counts, data].concat();
    let one = set(1, &[1, 0], &[0, 1, 7]);
    let body = |sets: &[&[u8]]| [b"\x01a\0", sets.concat().as_slice()].concat();
    assert_eq!(decode(&body(&[&one])), Ok(1));
    assert_eq!(decode(&body(&[&one, &one])), Err(Malformed::Order));
    assert_eq!(decode(&body(&[&set(2, &[1, 0], &[0, 0]), &one])), Err(Malformed::Order));
    assert_eq!(decode(&body(&[&set(1, &[0, 1], &[0, 1, 7])])), Err(Malformed::Empty));
    assert_eq!(decode(&body(&[&set(1, &[0x81, 0, 0], &[0, 1, 7])])), Err(Malformed::Number));
    assert_eq!(decode(&body(&[&set(1, &[0xff; 5], &[])])), Err(Malformed::Number));
    assert_eq!(decode(&body(&[&set(1, &[2, 0], &[0, 1, 7])])), Err(Malformed::Length));
    assert_eq!(decode(&body(&[&one, &[0]])), Err(Malformed::Length));
    assert_eq!(decode(b"\x40a\0"), Err(Malformed::Name));
    assert_eq!(decode(b"\x01a"), Err(Malformed::Name));
    assert_eq!(decode(&[[1, 65].repeat(127), vec![1, 65, 0]].concat()), Err(Malformed::Name));
}

#[test]
fn what_cannot_be_read_back_is_not_written() {
    let refused = |change: fn(&mut Held)| {
        let mut owner = sample();
        let key = owner.key();
        change(&mut owner);
        encode(&owner.lend(&key), &mut Vec::new()).unwrap_err()
    };
    assert_eq!(refused(|owner| owner.sets.reverse()), Malformed::Order);
    assert_eq!(refused(|owner| owner.sets[1].rtype = 1), Malformed::Order);
    assert_eq!(refused(|owner| owner.sets[0].rdata.clear()), Malformed::Empty);
    assert_eq!(refused(|owner| owner.sets[0].rdata[0] = vec![0; 65_536]), Malformed::Data);
    assert_eq!(refused(|owner| owner.wire.push(0)), Malformed::Name);
}
