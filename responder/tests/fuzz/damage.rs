//! Mutations of a message that know where its fields are.

use super::{corpus, octets::Octets, random::Random};

/// Values at which readers of 16-bit fields stumble.
const NUMBERS: [u16; 14] = [0, 1, 2, 11, 12, 63, 64, 255, 256, 512, 0x7fff, 0x8000, 0xc00c, 0xffff];

/// Values at which readers of label lengths stumble.
const LENGTHS: [u8; 10] = [0, 1, 62, 63, 64, 65, 0x80, 0xbf, 0xc0, 0xff];

/// Changes the message once. `other` is an earlier message to take pieces from.
pub fn mutate(message: &mut Octets, other: &[u8], random: &mut Random) {
    if message.len() < 13 {
        message.push(&random.next().to_be_bytes());
        return;
    }
    let tail = question_tail(message.get());
    match random.below(18) {
        0 => message.put_number(4 + 2 * random.below(4), *random.choose(&NUMBERS)),
        1 => message.put_number(2, random.next() as u16 & 0x07ff),
        2 => message.put(2, random.next() as u8),
        3 => length_of_label(message, random),
        4 => pointer(message, random),
        5 => more_labels(message, random),
        6 => {
            let at = label(message.get(), random);
            let length = usize::from(message.get().get(at).copied().unwrap_or(0));
            message.remove(at, length + 1);
        }
        7 => {
            let at = 12 + random.below(tail - 11);
            message.put(at, random.next() as u8);
        }
        8 => {
            let value = if random.percent(50) { random.below(300) as u16 } else { odd(random) };
            message.put_number(tail + 2 * random.below(2), value);
        }
        9 => of_opt(message, tail + 4, random),
        10 => {
            // An option more, with or without the lengths that go with it.
            let before = message.len();
            corpus::option(message, random);
            if random.percent(70) {
                let at = tail + 13;
                let more = (message.len() - before) as u16;
                message.put_number(at, message.number(at).wrapping_add(more));
            }
        }
        11 => record(message, random),
        12 => message.truncate(random.below(message.len() + 1)),
        13 => {
            for _ in 0..random.below(48) {
                message.push(&[random.next() as u8]);
            }
        }
        14 => {
            for _ in 0..=random.below(8) {
                let at = random.below(message.len());
                message.put(at, random.next() as u8);
            }
        }
        15 => {
            let at = random.below(message.len());
            message.get_mut()[at] ^= 1 << random.below(8);
        }
        16 => splice(message, other, random),
        _ => {
            let at = random.below(message.len());
            message.put_number(at, odd(random));
        }
    }
}

/// A number from the list, near one of it, or any.
fn odd(random: &mut Random) -> u16 {
    match random.below(3) {
        0 => random.next() as u16,
        1 => random.choose(&NUMBERS).wrapping_add(random.below(5) as u16).wrapping_sub(2),
        _ => *random.choose(&NUMBERS),
    }
}

/// Where QTYPE stands, if the name is one; else somewhere inside the message, behind the header.
fn question_tail(message: &[u8]) -> usize {
    let mut at = 12;
    while let Some(&length) = message.get(at) {
        match length {
            0 => return at + 1,
            1..=63 => at += usize::from(length) + 1,
            _ => break,
        }
    }
    at.min(message.len() - 1)
}

/// Where one of the labels of the question name begins.
fn label(message: &[u8], random: &mut Random) -> usize {
    let mut at = 12;
    let mut chosen = 12;
    let mut seen = 0;
    while let Some(&length) = message.get(at) {
        seen += 1;
        if random.below(seen) == 0 {
            chosen = at;
        }
        if !(1..=63).contains(&length) {
            break;
        }
        at += usize::from(length) + 1;
    }
    chosen
}

fn length_of_label(message: &mut Octets, random: &mut Random) {
    let at = label(message.get(), random);
    let Some(&length) = message.get().get(at) else { return };
    let value = match random.below(3) {
        0 => length.wrapping_add(1),
        1 => length.wrapping_sub(1),
        _ => *random.choose(&LENGTHS),
    };
    message.put(at, value);
}

/// A compression pointer where a label was: backwards, to itself or forwards.
fn pointer(message: &mut Octets, random: &mut Random) {
    let at = label(message.get(), random);
    let target = match random.below(5) {
        0 => 0,
        1 => 12,
        2 => at,
        3 => random.below(message.len()),
        _ => random.below(0x4000),
    };
    let octets = (0xc000 | target as u16).to_be_bytes();
    match random.below(3) {
        0 => message.put_number(at, u16::from_be_bytes(octets)),
        1 => message.insert(at, &octets),
        _ => {
            // The rest of the name goes: what a client that compresses would send.
            let tail = question_tail(message.get());
            message.remove(at, tail.saturating_sub(at));
            message.insert(at, &octets);
        }
    }
}

/// Labels again and again: names around 255 octets and 128 labels.
fn more_labels(message: &mut Octets, random: &mut Random) {
    let at = label(message.get(), random);
    let size = *random.choose(&[1, 1, 2, 31, 62, 63]);
    let mut octets = [b'x'; 64];
    octets[0] = size as u8;
    let length = question_tail(message.get()) - 12;
    // Just short of the bound, at it, just beyond it, or anywhere.
    let times = match random.below(3) {
        0 => 1 + random.below(130),
        _ => (255_usize.saturating_sub(length) / (size + 1) + random.below(3)).saturating_sub(1),
    };
    for _ in 0..times {
        message.insert(at, &octets[..=size]);
    }
}

/// The fixed fields of the OPT that stands at `at`.
fn of_opt(message: &mut Octets, at: usize, random: &mut Random) {
    match random.below(8) {
        0 => message.put(at, random.next() as u8),
        1 => message.put_number(at + 1, *random.choose(&[0, 24, 40, 42, 250, 251, 0x2900])),
        2 => message.put_number(at + 3, odd(random)),
        3 => message.put(at + 5, random.next() as u8),
        4 => message.put(at + 6, random.below(3) as u8),
        5 => message.put_number(at + 7, odd(random)),
        6 => message.put_number(at + 9, odd(random)),
        _ => {
            // The length of an option.
            let value = if random.percent(50) { random.below(40) as u16 } else { odd(random) };
            message.put_number(at + 13, value);
        }
    }
}

/// A record at the end, counted in one of the sections or not at all.
fn record(message: &mut Octets, random: &mut Random) {
    let owners: [&[u8]; 4] = [b"\0", b"\x03key\0", b"\xc0\x0c", b"\x01"];
    let owner: &&[u8] = random.choose(&owners);
    message.push(owner);
    message.push_number(*random.choose(&[41, 41, 250, 24, 0, 1, 6, 46]));
    message.push_number(*random.choose(&[255, 1, 1232]));
    message.push(&[0, 0, 0, 0]);
    let length = random.below(20);
    message.push_number(if random.percent(80) { length as u16 } else { odd(random) });
    for _ in 0..length {
        message.push(&[random.next() as u8]);
    }
    let count = 6 + 2 * *random.choose(&[0, 1, 2, 2, 2, 2]);
    if random.percent(85) {
        message.put_number(count, message.number(count).wrapping_add(1));
    }
}

/// The beginning of this message and the end of the other.
fn splice(message: &mut Octets, other: &[u8], random: &mut Random) {
    if other.is_empty() {
        return;
    }
    let from = random.below(other.len());
    if random.percent(50) {
        message.truncate(random.below(message.len() + 1));
        message.push(&other[from..]);
    } else {
        let length = random.below(other.len() - from) + 1;
        message.insert(random.below(message.len() + 1), &other[from..from + length]);
    }
}
