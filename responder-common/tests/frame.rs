//! Headers of queries and replies: both families, VLAN tags, lengths, checksums.

use responder_common::{
    checksum,
    frame::{self, Checksum},
    layout::{Address, Root},
    platform::Platform,
    scratch::{HEAD, Scratch},
    verdict::Verdict,
};
use zerocopy::{FromBytes, FromZeros, Immutable};

const MESSAGE: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01";
const V4: [u8; 8] = [192, 0, 2, 9, 192, 0, 2, 53];

fn root() -> Box<Root> {
    let mut root = Box::new(Root::new_zeroed());
    root.port = 53;
    root
}

fn ethernet(tags: usize, ethertype: [u8; 2]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 0x53, 2, 0, 0, 0, 0, 0x99];
    for _ in 0..tags {
        frame.extend([0x81, 0, 0, 7]);
    }
    frame.extend(ethertype);
    frame
}

fn udp(frame: &mut Vec<u8>, message: &[u8]) {
    let length = message.len() as u16 + 8;
    frame.extend([0xd9, 0x03, 0, 53]);
    frame.extend(length.to_be_bytes());
    frame.extend([0xab, 0xcd]);
    frame.extend(message);
}

fn ipv4(tags: usize, message: &[u8]) -> Vec<u8> {
    let mut frame = ethernet(tags, [8, 0]);
    frame.extend([0x45, 0x03]);
    frame.extend((message.len() as u16 + 28).to_be_bytes());
    frame.extend([0, 1, 0, 0, 9, 17, 0, 0]);
    frame.extend(V4);
    udp(&mut frame, message);
    frame
}

fn ipv6(tags: usize, message: &[u8]) -> Vec<u8> {
    let mut frame = ethernet(tags, [0x86, 0xdd]);
    frame.extend([0x6a, 0xbc, 0xde, 0xf0]);
    frame.extend((message.len() as u16 + 8).to_be_bytes());
    frame.extend([17, 7]);
    for last in [0x99, 0x53] {
        frame.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    udp(&mut frame, message);
    frame
}

fn judge(frame: &[u8]) -> Result<(), Verdict> {
    frame::query(&frame, &root(), &mut Scratch::new_zeroed())
}

/// Turns a query's headers into a reply's with `message`, as the hooks do.
fn reply(query: &[u8], message: &[u8], kind: Checksum) -> Vec<u8> {
    let mut s = Scratch::new_zeroed();
    frame::query(&query, &root(), &mut s).expect("a query");
    let head = s.head_length.get() as usize;
    s.head[HEAD - head..].copy_from_slice(&query[..head]);
    s.message[..message.len()].copy_from_slice(message);
    s.sum.set(u64::from(checksum::of(message)));
    frame::reverse(&mut s, message.len() as u32, kind);
    [&s.head[HEAD - head..], message].concat()
}

/// The sum of a datagram and its pseudo header, computed octet by octet: all ones when right.
fn datagram_sum(addresses: &[u8], datagram: &[u8]) -> u16 {
    let mut sum = 17 + datagram.len() as u32;
    for octets in [addresses, datagram] {
        for (at, octet) in octets.iter().enumerate() {
            sum += u32::from(*octet) << if at % 2 == 0 { 8 } else { 0 };
        }
    }
    while sum >> 16 != 0 {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

#[test]
fn a_reply_goes_back_the_way_it_came_with_right_checksums() {
    for tags in 0..=2 {
        let link = 14 + 4 * tags;
        // Odd and even lengths; a message whose sum is zero gives the checksum FFFF (RFC 768).
        for message in [MESSAGE, &MESSAGE[..16], &[0xff; 300]] {
            let back = reply(&ipv4(tags, MESSAGE), message, Checksum::Full);
            assert_eq!(back[..6], [2, 0, 0, 0, 0, 0x99]);
            assert_eq!(back[6..12], [2, 0, 0, 0, 0, 0x53]);
            assert_eq!(back[12..link], ipv4(tags, MESSAGE)[12..link]);
            let ip = &back[link..link + 20];
            assert_eq!(checksum::of(ip), 0xffff, "IPv4 header checksum");
            assert_eq!(ip[1], 0, "no ECN, no DSCP");
            assert_eq!(ip[6..9], [0x40, 0, 64], "RFC 9715: DF; hop limit 64");
            assert_eq!(ip[12..], [V4[4..].to_vec(), V4[..4].to_vec()].concat());
            assert_eq!(back[link + 20..link + 24], [0, 53, 0xd9, 0x03]);
            assert_eq!(datagram_sum(&ip[12..], &back[link + 20..]), 0xffff);

            let back = reply(&ipv6(tags, MESSAGE), message, Checksum::Full);
            let ip = &back[link..link + 40];
            assert_eq!(ip[..4], [0x60, 0, 0, 0], "no traffic class, no flow label");
            assert_eq!(ip[7], 64);
            assert_eq!((ip[23], ip[39]), (0x53, 0x99));
            assert_eq!(datagram_sum(&ip[8..], &back[link + 40..]), 0xffff);
        }
    }
}

#[test]
fn a_partial_checksum_is_answered_by_one() {
    let mut query = ipv4(0, MESSAGE);
    let datagram = MESSAGE.len() + 8;
    // The sum of the pseudo header alone, not complemented.
    let pseudo = datagram_sum(&V4, &[]) + datagram as u16;
    query[40..42].copy_from_slice(&pseudo.to_be_bytes());
    let mut s = received(&query);
    assert!(frame::is_partial(&Loops, &mut s));
    let back = reply(&query, &[0; 40], Checksum::Pseudo);
    let expected = datagram_sum(&V4, &[]) + 48;
    assert_eq!(back[40..42], expected.to_be_bytes());
    s.head[HEAD - 1] ^= 1;
    assert!(!frame::is_partial(&Loops, &mut s));
}

#[test]
fn a_finished_checksum_that_looks_partial_is_told_apart() {
    let datagram = MESSAGE.len() + 8;
    let pseudo = datagram_sum(&V4, &[]) + datagram as u16;
    let alike = (0..=u16::MAX).find_map(|id| {
        let mut message = MESSAGE.to_vec();
        message[..2].copy_from_slice(&id.to_be_bytes());
        let mut query = ipv4(0, &message);
        query[40..42].fill(0);
        let finished = !datagram_sum(&V4, &query[34..]);
        query[40..42].copy_from_slice(&finished.to_be_bytes());
        (finished == pseudo).then_some(query)
    });
    let mut s = received(&alike.expect("one ID of all gives this checksum"));
    assert!(!frame::is_partial(&Loops, &mut s));
}

/// A query as a hook leaves it in the scratch memory.
fn received(query: &[u8]) -> Box<Scratch> {
    let mut s = Box::new(Scratch::new_zeroed());
    frame::query(&query, &root(), &mut s).expect("a query");
    s.head[HEAD - 42..].copy_from_slice(&query[..42]);
    s.message[..query.len() - 42].copy_from_slice(&query[42..]);
    s
}

/// A platform without a store.
struct Loops;

// SAFETY: there are no objects.
unsafe impl Platform for Loops {
    const IS_KERNEL: bool = false;

    fn now(&self) -> u64 {
        0
    }

    fn root(&self) -> &Root {
        unreachable!("no test asks for it")
    }

    fn object<T: FromBytes + Immutable>(&self, _: Address) -> Option<&T> {
        None
    }

    fn repeat<F: FnMut(u32) -> bool>(&self, times: u32, step: F) {
        let _ = (0..times).map(step).take_while(|go_on| *go_on).count();
    }
}

#[test]
fn what_is_not_a_query_to_us_is_told_apart() {
    assert_eq!(judge(&ipv4(0, MESSAGE)), Ok(()));
    assert_eq!(judge(&ipv6(2, MESSAGE)), Ok(()));
    assert_eq!(judge(&[]), Err(Verdict::NotIp));
    assert_eq!(judge(&ethernet(0, [8, 6])), Err(Verdict::NotIp));
    let change4 = |at: usize, octet: u8| {
        let mut frame = ipv4(0, MESSAGE);
        frame[at] = octet;
        judge(&frame)
    };
    assert_eq!(change4(23, 6), Err(Verdict::NotUdp));
    assert_eq!(change4(14, 0x46), Err(Verdict::IpOptions));
    assert_eq!(change4(20, 0x20), Err(Verdict::IpFragment));
    assert_eq!(change4(21, 1), Err(Verdict::IpFragment));
    assert_eq!(change4(37, 54), Err(Verdict::NotOurs));
    assert_eq!(change4(26, 224), Err(Verdict::Martian));
    assert_eq!(change4(26, 127), Err(Verdict::Martian));
    let change6 = |at: usize, octets: &[u8]| {
        let mut frame = ipv6(0, MESSAGE);
        frame[at..at + octets.len()].copy_from_slice(octets);
        judge(&frame)
    };
    assert_eq!(change6(20, &[44]), Err(Verdict::IpFragment));
    assert_eq!(change6(20, &[60]), Err(Verdict::IpOptions));
    assert_eq!(change6(20, &[58]), Err(Verdict::NotUdp));
    assert_eq!(change6(60, &[0, 0]), Err(Verdict::NoChecksum), "RFC 8200, section 8.1");
    assert_eq!(change6(22, &[0xff]), Err(Verdict::Martian));
    let mut source_port_zero = ipv4(0, MESSAGE);
    source_port_zero[34..36].fill(0);
    assert_eq!(judge(&source_port_zero), Err(Verdict::Martian));
}

#[test]
fn lengths_must_agree() {
    let whole = ipv4(0, MESSAGE);
    for length in 14..whole.len() {
        assert_eq!(judge(&whole[..length]), Err(Verdict::BadLength), "cut at {length}");
    }
    let padded = [whole.clone(), vec![0; 20]].concat();
    assert_eq!(judge(&padded), Ok(()), "the link's padding is not DNS");
    let mut longer = whole.clone();
    longer[39] += 1;
    assert_eq!(judge(&longer), Err(Verdict::BadLength));
    assert_eq!(judge(&ipv4(0, &[0; 1473])), Err(Verdict::Oversize));
}

#[test]
fn only_the_addresses_that_we_serve_are_ours() {
    let mut root = root();
    root.addresses4[1] = u32::from_ne_bytes([192, 0, 2, 53]);
    root.addresses4_length = 2;
    let judge = |root: &Root, frame: &[u8]| frame::query(&frame, root, &mut Scratch::new_zeroed());
    assert_eq!(judge(&root, &ipv4(0, MESSAGE)), Ok(()));
    assert_eq!(judge(&root, &ipv6(0, MESSAGE)), Err(Verdict::NotOurs));
    root.addresses4_length = 1;
    assert_eq!(judge(&root, &ipv4(0, MESSAGE)), Err(Verdict::NotOurs));
}
