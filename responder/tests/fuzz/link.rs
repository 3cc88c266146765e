//! Frames around messages: Ethernet, VLAN tags, IPv4 or IPv6, UDP; sound ones and damaged ones.

use super::{judge, octets::Octets, random::Random};

/// Where our addresses are set, these are they.
pub const OURS_V4: [u8; 4] = [192, 0, 2, 53];
/// The same for IPv6.
pub const OURS_V6: [u8; 16] = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53];

/// Ethernet and the longer of the IP headers, in octets.
pub const SHORTEST_SKB: usize = 14 + 40;

/// Wraps `message` in a frame as a client would; now and then with something that is just allowed.
pub fn wrap(frame: &mut Octets, message: &[u8], random: &mut Random) {
    frame.clear();
    frame.push(&[2, 0, 0, 0, 0, 0x53, 2, 0, 0, 0, 0, random.next() as u8]);
    let tags = [0, 0, 0, 0, 1, 2][random.below(6)];
    for tag in 0..tags {
        let outer = tags == 2 && tag == 0;
        frame.push_number(if outer && random.percent(50) { 0x88a8 } else { 0x8100 });
        frame.push_number(random.next() as u16);
    }
    if random.percent(50) {
        ipv4(frame, message.len(), random)
    } else {
        ipv6(frame, message.len())
    }
    let udp = frame.len();
    let source = if random.percent(3) { 53 } else { 1024 | random.next() as u16 };
    frame.push_number(source);
    frame.push_number(53);
    frame.push_number(message.len() as u16 + 8);
    frame.push_number(0);
    frame.push(message);
    finish_checksum(frame, udp, random);
    if frame.len() < 60 && random.percent(50) {
        frame.push(&[0; 60][frame.len()..]); // what the link pads with
    }
}

fn ipv4(frame: &mut Octets, message: usize, random: &mut Random) {
    frame.push_number(0x0800);
    frame.push(&[0x45, *random.choose(&[0, 0, 3, 0xb8])]);
    frame.push_number(message as u16 + 28);
    frame.push_number(random.next() as u16);
    frame.push(&[
        if random.percent(50) { 0x40 } else { 0 },
        0,
        1 + random.below(255) as u8,
        17,
        0,
        0,
    ]);
    frame.push(&[198, 51, 100, random.next() as u8]);
    frame.push(&OURS_V4);
    let header = frame.len() - 20;
    let sum = judge::sum(&frame.get()[header..], 0);
    frame.put_number(header + 10, !sum);
}

fn ipv6(frame: &mut Octets, message: usize) {
    frame.push_number(0x86dd);
    frame.push(&[0x6a, 0xbc, 0xde, 0xf0]);
    frame.push_number(message as u16 + 8);
    frame.push(&[17, 57]);
    frame.push(&OURS_V6[..15]);
    frame.push(&[0x99]);
    frame.push(&OURS_V6);
}

/// The query's own checksum: whole; of the pseudo header alone, as local senders leave it; or none.
fn finish_checksum(frame: &mut Octets, udp: usize, random: &mut Random) {
    let octets = frame.get();
    let addresses =
        if octets[udp - 20] == 0x45 { &octets[udp - 8..udp] } else { &octets[udp - 32..udp] };
    let pseudo = judge::sum(addresses, u64::from(frame.number(udp + 4)) + 17);
    let checksum = match random.below(4) {
        0 => pseudo,
        1 => 0xabcd,
        _ => !judge::sum(&octets[udp..], u64::from(pseudo)),
    };
    frame.put_number(udp + 6, checksum);
}

/// Changes the headers once.
pub fn mutate(frame: &mut Octets, random: &mut Random) {
    let network = judge::network(frame.get());
    let v4 = frame.get().get(network).is_some_and(|octet| octet >> 4 == 4);
    let udp = network + if v4 { 20 } else { 40 };
    let near = |value: u16, random: &mut Random| match random.below(4) {
        0 => value.wrapping_add(1),
        1 => value.wrapping_sub(1),
        2 => value.wrapping_add(random.below(40) as u16).wrapping_sub(20),
        _ => *random.choose(&[0, 7, 8, 20, 28, 0xffff]),
    };
    let total = network + if v4 { 2 } else { 4 };
    match random.below(16) {
        0 => frame.put_number(total, near(frame.number(total), random)),
        1 => frame.put_number(udp + 4, near(frame.number(udp + 4), random)),
        2 => {
            // Both, so that they agree with each other but not with the frame.
            let change = random.below(40) as u16;
            frame.put_number(total, frame.number(total).wrapping_add(change).wrapping_sub(20));
            frame.put_number(udp + 4, frame.number(udp + 4).wrapping_add(change).wrapping_sub(20));
        }
        3 => frame.put(network, random.next() as u8),
        4 => {
            let protocol = *random.choose(&[6, 6, 1, 58, 0, 43, 44, 60, 50, 255]);
            frame.put(network + if v4 { 9 } else { 6 }, protocol);
        }
        5 if v4 => frame.put_number(network + 6, random.next() as u16),
        5 => frame.put_number(network + 2, random.next() as u16),
        6 => frame.put_number(udp + 2, *random.choose(&[0, 52, 54, 5353, 0x3500])),
        7 => frame.put_number(udp, *random.choose(&[0, 53, 1, 0xffff])),
        8 => source(frame, network, v4, random),
        9 => {
            // Another destination.
            let at = network + if v4 { 16 } else { 24 };
            frame.put(at + random.below(if v4 { 4 } else { 16 }), random.next() as u8);
        }
        10 => frame.put_number(udp + 6, *random.choose(&[0, 1, 0xffff])),
        11 => {
            frame.put_number(12, *random.choose(&[0x8100, 0x88a8, 0x9100, 0x0806, 0x002e, 0x0800]))
        }
        12 => {
            let tag = [0x81, 0, random.next() as u8, random.next() as u8];
            frame.insert(12, &tag);
        }
        13 => {
            let length = 14 + random.below(frame.len().saturating_sub(13));
            frame.truncate(length);
        }
        14 => {
            for _ in 0..random.below(100) {
                frame.push(&[random.next() as u8]);
            }
        }
        _ => {
            let at = random.below(frame.len().min(udp + 8));
            frame.put(at, random.next() as u8);
        }
    }
}

/// An address that no query comes from, or is just outside of those.
fn source(frame: &mut Octets, network: usize, v4: bool, random: &mut Random) {
    if v4 {
        frame.put(network + 12, *random.choose(&[0, 1, 126, 127, 128, 223, 224, 239, 240, 255]));
        return;
    }
    let first = *random.choose(&[0, 0, 0xff, 0xfe]);
    for at in 0..16 {
        frame.put(network + 8 + at, if at == 0 { first } else { 0 });
    }
    frame.put(network + 8 + 15, random.below(3) as u8);
    frame.put(network + 8 + random.below(16), random.below(2) as u8);
}
