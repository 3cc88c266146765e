//! Records in the form that generators write, read at the speed of memory.
//!
//! One record on one line: an owner of letters, digits, hyphens, underscores and dots (or none), a TTL
//! and `IN` or not, and NS, A, AAAA or DS with data of one word each. Anything else, right or wrong, is
//! left to `domain`: what is read here means the same there, and a test reads the same files both ways.
//!
//! Zone files are the library's to read. This is here because a million delegations took half a second
//! to a second longer without it, when a load as a whole may take two.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use responder_common::wire::rtype;

/// What was read of a line.
pub struct Plain {
    /// Where the next line begins.
    pub end: usize,
    pub ttl: Option<u32>,
    pub rtype: u16,
}

/// Reads the line that begins at `start`. The owner, if the line has one, replaces `owner`; the data
/// goes to `rdata`. `None` when the line is not plain: then `owner` is as before.
pub fn line(
    text: &[u8],
    start: usize,
    origin: &[u8],
    owner: &mut Vec<u8>,
    rdata: &mut Vec<u8>,
) -> Option<Plain> {
    let end = start + memchr::memchr(b'\n', text.get(start..)?)?;
    let mut words = Words { rest: &text[start..end] };
    let own = match words.rest.first()? {
        b' ' | b'\t' => None,
        _ => Some(words.next()?),
    };
    let mut word = words.next()?;
    let mut ttl = None;
    let mut class = false;
    // A TTL and a class, in either order.
    for _ in 0..2 {
        if word == b"IN" && !class {
            class = true;
        } else if word[0].is_ascii_digit() && ttl.is_none() {
            ttl = Some(number(word)?);
        } else {
            break;
        }
        word = words.next()?;
    }
    rdata.clear();
    let rtype = match word {
        b"NS" => {
            name(words.next()?, origin, rdata)?;
            rtype::NS
        }
        b"A" => {
            rdata.extend(address::<Ipv4Addr>(words.next()?)?.octets());
            rtype::A
        }
        b"AAAA" => {
            rdata.extend(address::<Ipv6Addr>(words.next()?)?.octets());
            rtype::AAAA
        }
        b"DS" => {
            let tag = u16::try_from(number(words.next()?)?).ok()?;
            let algorithm = u8::try_from(number(words.next()?)?).ok()?;
            let digest = u8::try_from(number(words.next()?)?).ok()?;
            rdata.extend(tag.to_be_bytes());
            rdata.extend([algorithm, digest]);
            hexadecimal(words.next()?, rdata)?;
            rtype::DS
        }
        _ => return None,
    };
    if !words.is_at_end() {
        return None;
    }
    if let Some(own) = own {
        let before = owner.len();
        match name(own, origin, owner) {
            Some(()) => drop(owner.drain(..before)),
            None => {
                owner.truncate(before);
                return None;
            }
        }
    }
    Some(Plain { end: end + 1, ttl, rtype })
}

/// Words between blanks; a comment, a quote or an escape is in none that is accepted.
struct Words<'a> {
    rest: &'a [u8],
}

impl<'a> Words<'a> {
    fn skip_blanks(&mut self) {
        while let [b' ' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    /// The next word; none where there is none.
    fn next(&mut self) -> Option<&'a [u8]> {
        self.skip_blanks();
        let end = self.rest.iter().position(|octet| matches!(octet, b' ' | b'\t'));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        (!word.is_empty()).then_some(word)
    }

    fn is_at_end(&mut self) -> bool {
        self.skip_blanks();
        self.rest.is_empty()
    }
}

/// A decimal number.
fn number(word: &[u8]) -> Option<u32> {
    let digit = |value: u32, octet: &u8| {
        let digit = octet.is_ascii_digit().then(|| u32::from(octet - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    };
    word.iter().try_fold(0, digit)
}

fn address<T: FromStr>(word: &[u8]) -> Option<T> {
    str::from_utf8(word).ok()?.parse().ok()
}

/// In digits; the largest that is in use has 96.
const LONGEST_DIGEST: usize = 512;

/// Appends what pairs of hexadecimal digits say.
fn hexadecimal(word: &[u8], to: &mut Vec<u8>) -> Option<()> {
    let digit = |octet: u8| char::from(octet).to_digit(16).map(|digit| digit as u8);
    if word.len() % 2 == 1 || word.len() > LONGEST_DIGEST {
        return None;
    }
    for pair in word.chunks_exact(2) {
        to.push(digit(pair[0])? << 4 | digit(pair[1])?);
    }
    Some(())
}

/// Appends a name in wire form; one without a final dot ends with the origin.
fn name(word: &[u8], origin: &[u8], to: &mut Vec<u8>) -> Option<()> {
    let start = to.len();
    let mut length = to.len();
    to.push(0);
    for &octet in word {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => to.push(octet),
            b'.' => {
                end_label(to, length)?;
                length = to.len();
                to.push(0);
            }
            _ => return None,
        }
    }
    if to.len() - 1 > length {
        end_label(to, length)?;
        to.extend_from_slice(origin);
    } else if word == b"." {
        return None;
    }
    (to.len() - start <= 255).then_some(())
}

/// Writes the length of the label that begins at `length`.
fn end_label(to: &mut [u8], length: usize) -> Option<()> {
    let octets = to.len() - 1 - length;
    to[length] = octets as u8;
    (1..=63).contains(&octets).then_some(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use domain::{
        base::{Name, name::ToName, rdata::ComposeRecordData},
        zonefile::inplace::Entry,
    };

    use super::*;
    use crate::zone::read::scan::{Inherited, Scanner};

    /// Owner, TTL, type and data, as `domain` reads them.
    type Record = (Vec<u8>, u32, u16, Vec<u8>);

    fn by_domain(text: &str, origin: &Name<Bytes>, inherited: &Inherited) -> Option<Record> {
        let Ok(Some(Entry::Record(record))) =
            Scanner::new(text.as_bytes(), origin, inherited).next()
        else {
            return None;
        };
        let (mut owner, mut rdata) = (Vec::new(), Vec::new());
        let Ok(()) = record.owner().compose(&mut owner);
        let Ok(()) = record.data().compose_rdata(&mut rdata);
        Some((owner, record.ttl().as_secs(), record.rtype().to_int(), rdata))
    }

    #[test]
    fn what_is_plain_means_the_same_to_domain() {
        let long = "a".repeat(63);
        let longer = "a".repeat(64);
        let longest = [&long[..], &long, &long, &long[..57]].join(".");
        let too_long = [&long[..], &long, &long, &long[..58]].join(".");
        let owners = [
            "", "a", "A-b_c.d", "a.b.", "1", "IN", "300", "*", "a\\.b", "@", "a..b", ".", "\"a\"",
            "a.", &long, &longer, &longest, &too_long,
        ];
        let middles = [
            " ",
            " 60 ",
            "\tIN\t",
            " 60 IN ",
            " IN  60 ",
            " 60 60 ",
            " IN IN ",
            " 60 IN 60 ",
            " in ",
            " 4294967295 ",
            " 4294967296 ",
            " 1h ",
            " CH ",
            " +60 ",
            " 060 ",
        ];
        let data = [
            "NS b",
            "NS b.c.",
            "NS .",
            "NS @",
            "NS b c",
            "NS",
            "ns b",
            "NS b ; c",
            "NS b;c",
            "NS (b)",
            "NS \"b\"",
            "NS b\r",
            "A 192.0.2.1",
            "A 192.0.2.1 ",
            "A 192.0.2.01",
            "A 192.0.2",
            "A 192.0.2.256",
            "AAAA 2001:db8::1",
            "AAAA ::ffff:192.0.2.1",
            "AAAA 1:2",
            "AAAA fe80::1%1",
            "DS 1 13 2 00ffAa",
            "DS 65536 13 2 00ff",
            "DS 1 256 2 00ff",
            "DS 1 13 2 00f",
            "DS 1 13 2 00 ff",
            "DS 1 13 2",
            "DS 1 ED25519 2 00ff",
            "DS 1 13 2 0g",
            "TXT a",
            "A \\# 4 c0000201",
            "TYPE1 \\# 4 c0000201",
            "CNAME b",
            "A\t192.0.2.1\t",
        ];
        let mut plain = 0;
        for origin in ["\x03lac", ""] {
            let origin = [origin.as_bytes(), &[0]].concat();
            let known = Name::from_octets(Bytes::from(origin.clone())).expect("a name");
            for default_ttl in [None, Some(300)] {
                let inherited =
                    Inherited { owner: b"\x01x\0".to_vec(), default_ttl, last_ttl: Some(77) };
                for (own, middle) in owners.iter().flat_map(|o| middles.map(|m| (o, m))) {
                    for data in data {
                        let text = format!("{own}{middle}{data}\nnext A 192.0.2.9\n");
                        let mut owner = inherited.owner.clone();
                        let mut rdata = vec![1, 2, 3];
                        let Some(read) = line(text.as_bytes(), 0, &origin, &mut owner, &mut rdata)
                        else {
                            assert_eq!(owner, inherited.owner, "{text:?}");
                            continue;
                        };
                        let ttl = read.ttl.or(default_ttl).unwrap_or(77);
                        let read = (read.end, Some((owner, ttl, read.rtype, rdata)));
                        let end = text.find('\n').expect("a line") + 1;
                        assert_eq!(read, (end, by_domain(&text, &known, &inherited)), "{text:?}");
                        plain += 1;
                    }
                }
            }
        }
        // Two origins and two defaults; nine owners, nine ways to say TTL and class, eight kinds of data.
        assert!(plain > 4 * 9 * 6 * 8, "only {plain} were plain");
    }
}
