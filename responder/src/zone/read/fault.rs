//! Faults in plain words, each with its remedy.

use super::{
    Place, Refusal,
    scan::Fault,
    source::Broken,
    words::{Open, words},
};

/// Said of record data that no message could carry (RFC 1035, section 3.2.1).
pub const TOO_LONG: &str = "the record data is longer than 65,535 octets";

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
    ("missing last owner", "the first record must begin with its owner"),
    ("unexpected end of entry", "the entry ends too early: something is missing"),
    ("short buffer", "the entry ends too early: something is missing"),
    (
        "this implementation does not allow escape sequences in alpn",
        "escapes in alpn are not read; write TYPEnnn \\# LENGTH HEX (RFC 3597, section 5)",
    ),
    ("trailing tokens", "there is more than the record takes"),
    ("TXT record is too long", TOO_LONG),
    ("record data too long", TOO_LONG),
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
    let line_feeds = |text| memchr::memchr_iter(b'\n', text).count() as u64;
    let mut lines = text.split_inclusive(|&octet| octet == b'\n');
    let position = lines.by_ref().take(fault.lines_before).map(<[u8]>::len).sum::<usize>();
    let quote = fault.column == 0 && fault.message.starts_with("bad symbol");
    if let Some(string) = position.checked_sub(1).filter(|_| quote) {
        let message = "a quoted string must end on its line; a line feed in it is \\010";
        return Refusal::at(place.line + line_feeds(&text[..string]), message);
    }
    let plain = PLAIN.iter().find(|(theirs, _)| fault.message.starts_with(theirs));
    let message = plain.map_or(fault.message.as_str(), |(_, ours)| ours);
    // The scanner stands in the word that it refuses, or behind it.
    let position = position + fault.column;
    match words(text).iter().take_while(|word| word.start <= position).last() {
        Some(word) => Refusal::at(
            place.line + line_feeds(&text[..word.start]),
            format!("near \"{}\": {message}", shown(&text[word.clone()])),
        ),
        None => Refusal::at(place.line, message),
    }
}

/// A word as the file has it, cut short where it is long.
fn shown(word: &[u8]) -> String {
    let cut = &word[..word.len().min(37)];
    let mut text = String::new();
    for &octet in cut {
        match octet {
            b' '..=b'~' => text.push(char::from(octet)),
            _ => text.extend(octet.escape_ascii().map(char::from)),
        }
    }
    if cut.len() < word.len() { text + "..." } else { text }
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
