//! Where the entries and the words of a master file begin and end (RFC 1035, section 5.1).
//!
//! This knows quotes, escapes, comments and parentheses, and nothing of what the words mean: that
//! is `domain`'s business.

use std::ops::Range;

/// What is still open where a text breaks off inside an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// A quoted string.
    Quote,
    /// A parenthesis.
    Parenthesis,
    /// Nothing: only the line is not ended.
    Line,
}

/// Finds the end of the entry that begins at `start`: the offset after its line feed.
pub fn entry_end(text: &[u8], start: usize) -> Result<usize, Open> {
    let mut depth = 0_usize;
    let mut at = start;
    while let Some(&octet) = text.get(at) {
        at += 1;
        match octet {
            b'\\' => at += 1,
            b'"' => at = quote_end(text, at).ok_or(Open::Quote)?,
            b';' => {
                at += memchr::memchr(b'\n', text.get(at..).unwrap_or(&[])).unwrap_or(text.len())
            }
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b'\n' if depth == 0 => return Ok(at),
            _ => {}
        }
    }
    Err(if depth > 0 { Open::Parenthesis } else { Open::Line })
}

/// The words of one entry, in order; a quoted string is one word, quotes included.
pub fn words(entry: &[u8]) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut at = 0;
    while let Some(&octet) = entry.get(at) {
        let start = at;
        at += 1;
        match octet {
            b';' => at += memchr::memchr(b'\n', &entry[at..]).unwrap_or(entry.len() - at),
            b'"' => {
                at = quote_end(entry, at).unwrap_or(entry.len());
                words.push(start..at);
            }
            _ if ends_word(octet) => {}
            _ => {
                at = start;
                while let Some(&octet) = entry.get(at).filter(|&&octet| !ends_word(octet)) {
                    let escapes =
                        octet == b'\\' && entry.get(at + 1).is_some_and(|&next| next != b'\n');
                    at += if escapes { 2 } else { 1 };
                }
                words.push(start..at);
            }
        }
    }
    words
}

/// Whether an entry begins with white space, so that its owner is the last one's.
pub fn is_indented(entry: &[u8]) -> bool {
    entry
        .iter()
        .take_while(|octet| !octet.is_ascii_graphic() || b"()".contains(octet))
        .any(|octet| matches!(octet, b' ' | b'\t' | b'\r'))
}

/// The offset after the quote that closes the string whose content begins at `at`.
///
/// A line feed ends the string too: `domain` will refuse it, as BIND does, and a quote that was
/// forgotten does not swallow the rest of the file.
fn quote_end(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr::memchr3(b'"', b'\n', b'\\', text.get(at..)?)?;
        match text[at] {
            b'"' => return Some(at + 1),
            b'\n' => return Some(at),
            _ => at += 2,
        }
    }
}

/// Whether an octet ends a word that is not quoted.
pub fn ends_word(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\r' | b'\n' | b'(' | b')' | b';' | b'"')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(entry: &str) -> Vec<&str> {
        words(entry.as_bytes()).into_iter().map(|range| &entry[range]).collect()
    }

    #[test]
    fn an_entry_ends_where_nothing_is_open() {
        for (text, end) in [
            ("a A 1\nb", Ok(6)),
            ("a ( ; ) \"\n ) 1\nb", Ok(15)),
            ("a \"( \\\"\" 1\nb", Ok(11)),
            ("a \\( \\\" 1\nb", Ok(10)),
            ("a )) 1\nb", Ok(7)),
            ("a ( 1\nb", Err(Open::Parenthesis)),
            ("a \"1\nb", Ok(5)),
            ("a \"1", Err(Open::Quote)),
            ("a \"1\\", Err(Open::Quote)),
            ("a ; 1", Err(Open::Line)),
            ("a \\", Err(Open::Line)),
            ("", Err(Open::Line)),
        ] {
            assert_eq!(entry_end(text.as_bytes(), 0), end, "{text:?}");
        }
    }

    #[test]
    fn words_are_split_as_the_master_format_says() {
        assert_eq!(
            split("a IN(TXT\t\"b ;c\"d\\ e;f\n \\\"g)\r\n"),
            ["a", "IN", "TXT", "\"b ;c\"", "d\\ e", "\\\"g"]
        );
        assert_eq!(split("a \"b"), ["a", "\"b"]);
        assert_eq!(split("a\\"), ["a\\"]);
        assert!(split(" ; nothing").is_empty());
    }

    #[test]
    fn an_indented_entry_has_no_owner() {
        assert!(is_indented(b" A 192.0.2.1\n"));
        assert!(is_indented(b"(\tA 192.0.2.1)\n"));
        assert!(!is_indented(b"a A 192.0.2.1\n"));
    }
}
