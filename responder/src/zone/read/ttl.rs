//! Times with units, such as `1h30m`: no RFC has them, every other server reads them.

use std::{borrow::Cow, ops::Range};

use super::words::{entry_end, is_indented, words};

/// Reads a time in seconds: a decimal number, or numbers with the units w, d, h, m and s.
pub fn parse(word: &[u8]) -> Option<u32> {
    let mut total = 0_u32;
    let mut number = None::<u32>;
    let mut units = false;
    for octet in word {
        let seconds = match octet.to_ascii_lowercase() {
            digit @ b'0'..=b'9' => {
                let tens = number.unwrap_or(0).checked_mul(10)?;
                number = Some(tens.checked_add(u32::from(digit - b'0'))?);
                continue;
            }
            b's' => 1,
            b'm' => 60,
            b'h' => 3_600,
            b'd' => 86_400,
            b'w' => 604_800,
            _ => return None,
        };
        units = true;
        total = total.checked_add(number.take()?.checked_mul(seconds)?)?;
    }
    match number {
        // "1h30" could be half an hour or thirty seconds: no guess.
        Some(_) if units => None,
        Some(number) => Some(number),
        None => units.then_some(total),
    }
}

/// Rewrites the times of one entry (its TTL; the four of an SOA) in seconds, which is all that
/// `domain` reads. `None` when there is nothing to rewrite.
pub fn in_seconds(entry: &[u8]) -> Option<Vec<u8>> {
    let words = words(entry);
    let mut words = words.iter();
    if !is_indented(entry) {
        words.next()?;
    }
    let mut rewritten = Cow::Borrowed(entry);
    // Words keep their place from the end of the entry, whatever is rewritten before them.
    let mut rewrite = |word: &Range<usize>| {
        let text = &entry[word.clone()];
        if text.iter().any(u8::is_ascii_alphabetic)
            && let Some(seconds) = parse(text)
        {
            let tail = entry.len() - word.end;
            let end = rewritten.len() - tail;
            rewritten.to_mut().splice(end - text.len()..end, seconds.to_string().into_bytes());
        }
    };
    // A TTL, a class, or both, in either order; then the type.
    for word in words.by_ref().take(3) {
        rewrite(word);
        if entry[word.clone()].eq_ignore_ascii_case(b"SOA") {
            // MNAME, RNAME and the serial; then refresh, retry, expire and minimum.
            words.by_ref().skip(3).take(4).for_each(&mut rewrite);
            break;
        }
        if parse(&entry[word.clone()]).is_none() && !is_class(&entry[word.clone()]) {
            break;
        }
    }
    match rewritten {
        Cow::Borrowed(_) => None,
        Cow::Owned(rewritten) => Some(rewritten),
    }
}

/// Rewrites the times of whole entries; also tells those that go over more than one line.
pub fn all_in_seconds(text: &[u8]) -> (Vec<u8>, Vec<Range<usize>>) {
    let mut rewritten = Vec::with_capacity(text.len());
    let mut long = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let end = entry_end(text, at).unwrap_or(text.len());
        let (entry, start) = (&text[at..end], rewritten.len());
        match in_seconds(entry) {
            Some(seconds) => rewritten.extend(seconds),
            None => rewritten.extend(entry),
        }
        if entry[..entry.len() - 1].contains(&b'\n') {
            long.push(start..rewritten.len());
        }
        at = end;
    }
    (rewritten, long)
}

/// Whether a word names a class.
pub fn is_class(word: &[u8]) -> bool {
    [&b"IN"[..], b"CH", b"HS", b"CS", b"NONE", b"ANY"]
        .iter()
        .any(|class| word.eq_ignore_ascii_case(class))
        || word.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"CLASS"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_as_the_peers_read_them() {
        for (word, seconds) in [
            ("0", Some(0)),
            ("3600", Some(3600)),
            ("1h30m", Some(5400)),
            ("1W2D3H4M5S", Some(788_645)),
            ("4294967295", Some(u32::MAX)),
            ("4294967296", None),
            ("8000w", None),
            ("1h30", None),
            ("h", None),
            ("1x", None),
            ("", None),
        ] {
            assert_eq!(parse(word.as_bytes()), seconds, "{word}");
        }
    }

    #[test]
    fn only_times_are_rewritten() {
        for (entry, rewritten) in [
            ("a 1h IN A 192.0.2.1", Some("a 3600 IN A 192.0.2.1")),
            ("a IN 1h A 192.0.2.1", Some("a IN 3600 A 192.0.2.1")),
            (" 1h TXT 1h", Some(" 3600 TXT 1h")),
            ("1d TXT 1h", None),
            ("1d 2m TXT 1h", Some("1d 120 TXT 1h")),
            (
                "@ 1d SOA 1h 2h 5 ( 1h ; 1h\n 2m 30 1w )",
                Some("@ 86400 SOA 1h 2h 5 ( 3600 ; 1h\n 120 30 604800 )"),
            ),
            ("a A 192.0.2.1", None),
            ("", None),
        ] {
            let found = in_seconds(entry.as_bytes());
            assert_eq!(found.as_deref(), rewritten.map(str::as_bytes), "{entry}");
        }
    }
}
