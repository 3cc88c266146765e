//! Names between the form that people write and the form that the wire carries.
//!
//! Reading is `domain`'s; only printing is ours, since a name that we print should be readable again
//! as it stands in a zone file or a shell, and `domain` leaves `"`, `;`, `(`, `)`, `@` and `$` bare.

use std::{fmt::Write, str::FromStr};

use domain::base::Name;

/// Reads a name in presentation format (RFC 1035, section 5.1) into wire form, case kept.
///
/// A missing final dot is forgiven: every name is absolute.
///
/// # Errors
/// What is wrong with the name, and which rule says so.
pub fn from_text(text: &str) -> Result<Vec<u8>, String> {
    match Name::<Vec<u8>>::from_str(text) {
        Ok(name) => Ok(name.into_octets()),
        Err(_) if text.is_empty() => Err("an empty name; the root is written \".\"".to_owned()),
        Err(error) => Err(format!("\"{text}\" is not a domain name: {error}")),
    }
}

/// As [`from_text`], with the ASCII letters in lower case: the form in which names are compared.
///
/// # Errors
/// As [`from_text`].
pub fn from_text_lower(text: &str) -> Result<Vec<u8>, String> {
    let mut name = from_text(text)?;
    // Length octets are below 64, so lowering everything touches letters alone.
    name.make_ascii_lowercase();
    Ok(name)
}

/// Whether a name is another or below it; both in wire form, letters without case (RFC 4343).
pub fn is_at_or_below(name: &[u8], above: &[u8]) -> bool {
    let Some(start) = name.len().checked_sub(above.len()) else { return false };
    // The same octets may begin inside a label.
    let mut at = 0;
    while at < start {
        at += 1 + usize::from(name[at]);
    }
    at == start && name[start..].eq_ignore_ascii_case(above)
}

/// The labels of a name in wire form, the root not counted.
pub fn count_labels(name: &[u8]) -> usize {
    let mut at = 0;
    let mut labels = 0;
    while name[at] != 0 {
        at += usize::from(name[at]) + 1;
        labels += 1;
    }
    labels
}

/// The lower-case wire form of a name from its sort key (`collect::sort_key`).
pub fn of_key(key: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(key.len() + 1);
    for label in key.split_inclusive(|octet| *octet == 0).collect::<Vec<_>>().into_iter().rev() {
        let length_at = name.len();
        name.push(0);
        let mut octets = label[..label.len() - 1].iter();
        while let Some(&octet) = octets.next() {
            // 0 and 1 are written as two octets.
            let escaped = octet == 1;
            name.push(if escaped { octets.next().map_or(0, |second| second - 1) } else { octet });
        }
        name[length_at] = (name.len() - length_at - 1) as u8;
    }
    name.push(0);
    name
}

/// Prints a name in wire form as text, always with its final dot.
///
/// What means something to a reader of zone files is escaped by a backslash, what cannot be printed
/// as `\DDD` (RFC 1035, section 5.1). Octets that are no uncompressed name give `<malformed name>`,
/// so that a message about one can still be written.
pub fn to_text(wire: &[u8]) -> String {
    let Ok(name) = Name::from_octets(wire) else {
        return "<malformed name>".to_owned();
    };
    let mut text = String::with_capacity(wire.len() + 1);
    for label in name.iter().filter(|label| !label.is_root()) {
        for &octet in label.as_slice() {
            match octet {
                b'.' | b'\\' | b'"' | b'(' | b')' | b';' | b'@' | b'$' => {
                    text.push('\\');
                    text.push(char::from(octet));
                }
                0x21..=0x7e => text.push(char::from(octet)),
                // Writing to a String cannot fail.
                _ => drop(write!(text, "\\{octet:03}")),
            }
        }
        text.push('.');
    }
    if text.is_empty() {
        text.push('.');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_wire_agree_both_ways() {
        for (text, wire) in [
            (".", &b"\0"[..]),
            ("sv.", b"\x02sv\0"),
            ("Www.Lac.", b"\x03Www\x03Lac\0"),
            ("\\000abc.example.", b"\x04\0abc\x07example\0"),
            ("a\\.b.c.", b"\x03a.b\x01c\0"),
            ("\\032\\\"\\(\\)\\;\\@\\$\\\\.", b"\x08 \"();@$\\\0"),
        ] {
            assert_eq!(from_text(text).unwrap(), wire, "{text}");
            assert_eq!(to_text(wire), text);
        }
    }

    #[test]
    fn the_final_dot_may_be_missing() {
        assert_eq!(from_text("sv").unwrap(), b"\x02sv\0");
    }

    #[test]
    fn lower_case_touches_letters_only() {
        assert_eq!(from_text_lower("A\\193Z.Sv").unwrap(), b"\x03a\xc1z\x02sv\0");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let label = "a".repeat(64);
        let long = "a.".repeat(128);
        for text in ["", "..", "a..b", ".a", label.as_str(), long.as_str(), "\\256.", "a\\"] {
            assert!(from_text(text).is_err(), "{text}");
        }
        assert_eq!(from_text("").unwrap_err(), "an empty name; the root is written \".\"");
        assert_eq!(to_text(b"\x05abc"), "<malformed name>");
        assert_eq!(to_text(b"\xc0\x0c"), "<malformed name>");
    }
}
