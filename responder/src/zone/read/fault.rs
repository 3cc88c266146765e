//! Faults in plain words, each with its remedy.

use super::{
    Place, Refusal,
    scan::Fault,
    source::Broken,
    words::{Open, words},
};

/// What `domain` says, and what we say; the first that fits the beginning counts.
const PLAIN: &[(&str, &str)] = &[
    (
        "expected rtype",
        "no record type is known by this name; an unknown one is TYPEnnn (RFC 3597)",
    ),
    (
        "unknown record type with concrete data",
        "this type can only be read as TYPEnnn \\# LENGTH HEX (RFC 3597, section 5)",
    ),
    ("different class: ", "only class IN is served"),
    ("unknown control", "only $ORIGIN, $TTL and $INCLUDE are known directives"),
    ("missing last owner", "the first record must begin with its owner"),
    ("unexpected end of entry", "the entry ends too early: something is missing"),
    ("short buffer", "the entry ends too early: something is missing"),
    (
        "this implementation does not allow escape sequences in alpn",
        "escapes in alpn are not read; write TYPEnnn \\# LENGTH HEX (RFC 3597, section 5)",
    ),
    ("trailing tokens", "there is more than the record takes"),
    ("unbalanced parens", "a parenthesis is closed that was never opened"),
    ("bad name", "this is not a domain name (labels to 63 octets, names to 255)"),
    ("bad charstr", "a string has at most 255 octets (RFC 1035, section 3.3)"),
    ("bad symbol", "a character that may not stand here; octets outside of ASCII are \\DDD"),
    ("generic data has incorrect length", "the length after \\# is not that of the octets"),
    ("decimal number overflow", "the number is too large"),
    ("expected decimal number", "a number was expected"),
];

/// Says of one entry's fault where it is and what is wrong.
pub fn refusal(fault: &Fault, text: &[u8], place: Place) -> Refusal {
    let last = memchr::memchr_iter(b'\n', text).count().saturating_sub(1);
    let at = |lines: usize| place.line + lines.min(last) as u64;
    if fault.column == 0 && fault.lines_before > 0 && fault.message.starts_with("bad symbol") {
        let message = "a quoted string must end on its line; a line feed in it is \\010";
        return Refusal::at(at(fault.lines_before - 1), message);
    }
    let plain = PLAIN.iter().find(|(theirs, _)| fault.message.starts_with(theirs));
    let message = plain.map_or(fault.message.as_str(), |(_, ours)| ours);
    // A missing word is noticed only on the line after, where nothing is near.
    match near(fault, text) {
        Some(word) => Refusal::at(at(fault.lines_before), format!("near \"{word}\": {message}")),
        None => Refusal::at(at(fault.lines_before), message),
    }
}

/// The word at which a fault was noticed, cut short where it is long.
fn near(fault: &Fault, text: &[u8]) -> Option<String> {
    if let Some(directive) = fault.message.strip_prefix("unknown control: ") {
        return Some(directive.to_owned());
    }
    let line = text.split_inclusive(|&octet| octet == b'\n').nth(fault.lines_before)?;
    let words = words(line);
    let word = words.iter().find(|word| (word.start..=word.end).contains(&fault.column))?;
    let text = line[word.clone()].escape_ascii().to_string().replace("\\\\", "\\");
    let text = text.replace("\\\"", "\"");
    Some(if text.len() > 40 { format!("{}...", text.get(..37)?) } else { text })
}

/// Why a file has no further entry.
pub fn broken(broken: Broken, octets: u64) -> Refusal {
    match broken {
        Broken::Io(error) => {
            let message = format!("the zone file cannot be read: {error}");
            Refusal { file: None, line: None, message }
        }
        Broken::TooLarge => Refusal {
            file: None,
            line: None,
            message: format!("the zone's files are larger than {octets} octets, the limit"),
        },
        Broken::Unended(line, Open::Quote) => {
            Refusal::at(line, "the file ends inside a quoted string of the entry that begins here")
        }
        Broken::Unended(line, Open::Parenthesis) => {
            Refusal::at(line, "the file ends inside parentheses of the entry that begins here")
        }
        Broken::Unended(line, Open::Line) => {
            Refusal::at(line, "the file ends inside the entry that begins here")
        }
        Broken::LongEntry(line) => Refusal::at(
            line,
            "the entry that begins here is longer than any record: a quote or a parenthesis is \
             open",
        ),
    }
}
