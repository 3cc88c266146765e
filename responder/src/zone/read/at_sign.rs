//! `@` in record data: a free standing one denotes the current origin (RFC 1035, section 5.1).
//!
//! `domain` knows it as an owner only, and takes it for the label `\@` elsewhere. So entries with one
//! where a name stands are given to it with the origin's text instead. In a field that is no name,
//! such as a string of a TXT record, `@` is that character, as BIND has it.

use std::ops::Range;

use bytes::Bytes;
use domain::base::{Name, iana::Rtype};

use super::{
    source::Piece,
    ttl,
    words::{ends_word, is_indented, words},
};
use crate::zone::name;

/// Finds the first entry from `start` on that has an `@` to be replaced.
///
/// Octets are looked at one by one only in entries that have a free standing `@` behind their
/// beginning, and in those once.
pub fn next_entry(piece: &Piece<'_>, start: usize) -> Option<Range<usize>> {
    let text = piece.text;
    let mut at = start;
    // Where the entry at hand begins, or one before it.
    let mut begin = start;
    while let Some(found) = memchr::memchr(b'@', text.get(at..)?) {
        let sign = at + found;
        at = sign + 1;
        let stands_free = (sign == begin || ends_word(text[sign - 1]))
            && text.get(sign + 1).is_none_or(|&next| ends_word(next));
        if !stands_free {
            continue;
        }
        let entry = entry_around(piece, begin, sign);
        begin = entry.start;
        if sign == entry.start {
            // An owner, which `domain` reads as the origin.
            continue;
        }
        if !signs(&text[entry.clone()]).is_empty() {
            return Some(entry);
        }
        (at, begin) = (entry.end, entry.end);
    }
    None
}

/// Rewrites one entry with the origin's text in place of each `@` that is a name in its record data.
/// `None` when there is none.
pub fn replace(entry: &[u8], origin: &Name<Bytes>) -> Option<Vec<u8>> {
    memchr::memchr(b'@', entry)?;
    let signs = signs(entry);
    let origin = (!signs.is_empty()).then(|| name::to_text(origin.as_slice()))?;
    let mut text = Vec::with_capacity(entry.len() + signs.len() * origin.len());
    let mut copied = 0;
    for sign in signs {
        text.extend(&entry[copied..sign.start]);
        text.extend(origin.as_bytes());
        copied = sign.end;
    }
    text.extend(&entry[copied..]);
    Some(text)
}

/// The entry that a place lies in, given where that or an earlier entry begins.
fn entry_around(piece: &Piece<'_>, begin: usize, place: usize) -> Range<usize> {
    let long = piece.long.partition_point(|long| long.end <= place);
    if let Some(long) = piece.long.get(long).filter(|long| long.contains(&place)) {
        return long.clone();
    }
    let text = piece.text;
    let start = memchr::memrchr(b'\n', &text[begin..place]).map_or(begin, |lf| begin + lf + 1);
    let end = memchr::memchr(b'\n', &text[place..]).map_or(text.len(), |lf| place + lf + 1);
    start..end
}

/// Where in an entry an `@` stands for a name of its record data, in order.
fn signs(entry: &[u8]) -> Vec<Range<usize>> {
    let words = words(entry);
    let mut words = words.iter().skip(usize::from(!is_indented(entry))).peekable();
    let word = |range: &Range<usize>| unquoted(&entry[range.clone()]);
    // A TTL, a class or both may stand before the type.
    for _ in 0..2 {
        words.next_if(|&range| ttl::parse(word(range)).is_some() || ttl::is_class(word(range)));
    }
    let rtype = words.next().and_then(|range| std::str::from_utf8(word(range)).ok()?.parse().ok());
    let Some(rtype) = rtype else { return Vec::new() };
    let fields: Vec<_> = words.take(MOST_FIELDS).collect();
    if rtype == Rtype::IPSECKEY
        && fields.get(1).is_none_or(|&kind| ttl::parse(word(kind)) != Some(GATEWAY_IS_NAME))
    {
        return Vec::new();
    }
    let stands = |&field: &usize| fields.get(field).copied().cloned();
    let is_sign = |range: &Range<usize>| &entry[range.clone()] == b"@";
    name_fields(rtype).iter().filter_map(stands).filter(is_sign).collect()
}

/// Up to where names stand in the record data of any type, in fields.
const MOST_FIELDS: usize = 8;

/// The gateway type with which an IPSECKEY record's gateway is a name (RFC 4025, section 2.3).
const GATEWAY_IS_NAME: u32 = 3;

/// Which fields of a type's record data are names, counted from 0, in the types that we read in words
/// of their own.
fn name_fields(rtype: Rtype) -> &'static [usize] {
    match rtype {
        Rtype::NS | Rtype::CNAME | Rtype::DNAME | Rtype::PTR | Rtype::NSEC => &[0],
        Rtype::MB | Rtype::MD | Rtype::MF | Rtype::MG | Rtype::MR => &[0],
        Rtype::SOA | Rtype::MINFO | Rtype::RP => &[0, 1],
        Rtype::MX | Rtype::AFSDB | Rtype::RT | Rtype::KX | Rtype::LP => &[1],
        Rtype::SVCB | Rtype::HTTPS => &[1],
        Rtype::SRV | Rtype::IPSECKEY => &[3],
        Rtype::NAPTR => &[5],
        Rtype::RRSIG => &[7],
        _ => &[],
    }
}

/// A word without its quotes.
fn unquoted(word: &[u8]) -> &[u8] {
    match word {
        [b'"', inner @ .., b'"'] => inner,
        _ => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_entries_with_an_origin_in_their_data_leave_the_fast_path() {
        for (text, long, entry) in [
            ("@ NS a\n@ A 192.0.2.1\n", None, None),
            ("@ NS a\nb NS @\n@ NS c\n", None, Some("b NS @\n")),
            ("@ TXT @ @ \"@\" \\@ ; @\nb MX 1 a@b ; @ @\n@ NS @", None, Some("@ NS @")),
            ("a NS (\n@\n)\n", Some(0..11), Some("a NS (\n@\n)\n")),
            ("b NS a\n@ NS (\n@\n)\n@ NS @\n", Some(7..18), Some("@ NS (\n@\n)\n")),
        ] {
            let long = Vec::from_iter(long);
            let piece = Piece { text: text.as_bytes(), line: 1, long: &long, directive: false };
            assert_eq!(next_entry(&piece, 0).map(|range| &text[range]), entry, "{text:?}");
        }
    }
}
