//! Faults, each with its line and in plain words; and no input whatever makes the reader panic.

use std::fs;

use responder::zone::read::{Limits, read};
use tempfile::TempDir;

use crate::{body, folder, outcome, records, refusal};

#[test]
fn each_fault_names_its_line_and_the_word() {
    for (text, error) in [
        ("x A\n", "zone:3: near \"A\": the entry ends too early: something is missing"),
        (
            "x MX 10 ( ; a\n )\ny A 192.0.2.1\n",
            "zone:3: near \"10\": the entry ends too early: something is missing",
        ),
        ("x A 192.0.2.1 2\n", "zone:3: near \"2\": there is more than the record takes"),
        ("x A 192.0.2.256\n", "zone:3: near \"192.0.2.256\": expected IPv4 address"),
        ("x AAAA 1::2::3\n", "zone:3: near \"1::2::3\": expected IPv6 address"),
        ("x MX a b\n", "zone:3: near \"a\": a number was expected"),
        ("x MX 65536 b\n", "zone:3: near \"65536\": the number is too large"),
        (
            "x ( A\n 192.0.2.1 ) )\n",
            "zone:4: near \"192.0.2.1\": a parenthesis is closed that was never opened",
        ),
        ("$FOO 1\n", "zone:3: $FOO is unknown: only $ORIGIN, $TTL and $INCLUDE are"),
        (
            "$GENERATE 1-2 a$ A 192.0.2.$\n",
            "zone:3: $GENERATE is unknown: only $ORIGIN, $TTL and $INCLUDE are",
        ),
        ("$ORIGIN\n", "zone:3: $ORIGIN takes one name"),
        ("$ORIGIN a b\n", "zone:3: $ORIGIN takes one name"),
        ("$ORIGIN a..b\n", "zone:3: a name has an empty label (two dots in a row)"),
        ("$INCLUDE\n", "zone:3: $INCLUDE takes a path and perhaps an origin"),
        ("$INCLUDE \"a\"b c\n", "zone:3: $INCLUDE takes a path and perhaps an origin"),
        ("$INCLUDE a\\032b\n", "zone:3: a path in $INCLUDE has no escapes or quotes in it"),
        ("($ORIGIN x )\n", "zone:3: a directive stands bare at the beginning of its line"),
        ("\"$TTL\" 5\n", "zone:3: a directive stands bare at the beginning of its line"),
        ("a..b A 192.0.2.1\n", "zone:3: a name has an empty label (two dots in a row)"),
        ("x NS a..b\n", "zone:3: a name has an empty label (two dots in a row)"),
        ("x SRV 1 1 1 a..b.\n", "zone:3: a name has an empty label (two dots in a row)"),
        (
            "x TXT \u{e9}\n",
            "zone:3: near \"\\xc3\\xa9\": a character that may not stand here; octets outside of ASCII are \\DDD",
        ),
        (
            "x TXT \\256\n",
            "zone:3: near \"\\256\": a character that may not stand here; octets outside of ASCII are \\DDD",
        ),
    ] {
        assert_eq!(refusal(text), error);
    }
    let label = format!("{} A 192.0.2.1\n", "a".repeat(64));
    assert_eq!(
        refusal(&label),
        format!(
            "zone:3: near \"{}...\": this is not a domain name (labels to 63 octets, names to 255)",
            "a".repeat(37)
        )
    );
    assert_eq!(
        refusal(&format!("x TXT {}\n", "a".repeat(256))),
        format!(
            "zone:3: near \"{}...\": a string has at most 255 octets (RFC 1035, section 3.3)",
            "a".repeat(37)
        )
    );
}

#[test]
fn the_first_record_must_have_an_owner() {
    assert_eq!(
        outcome("$TTL 1\n NS ns1\n").expect_err("no owner"),
        "zone:2: near \"NS\": the first record must begin with its owner"
    );
}

#[test]
fn what_is_open_at_the_end_is_named_where_it_begins() {
    assert_eq!(
        refusal("x TXT (\n a\n"),
        "zone:3: the file ends inside parentheses of the entry that begins here"
    );
    assert_eq!(
        refusal("x TXT \"a"),
        "zone:3: a quoted string must end on its line; a line feed in it is \\010"
    );
    assert_eq!(
        refusal("x TXT a\\"),
        "zone:3: near \"a\\\": a character that may not stand here; octets outside of ASCII are \\DDD"
    );
}

#[test]
fn an_entry_without_end_does_not_take_the_memory_of_the_whole_file() {
    let text = format!("x TXT (\n{}", "a\n".repeat(2 << 20));
    assert_eq!(
        refusal(&text),
        "zone:3: the entry that begins here is longer than any record: a quote or a parenthesis \
         is open"
    );
}

#[test]
fn rfc1035_record_data_has_at_most_65535_octets() {
    let string = format!(" {}", "a".repeat(255));
    let strings = |count: usize| format!("x TXT ({} )\n", string.repeat(count));
    let key = |octets: usize| format!("x OPENPGPKEY {}\n", "AAAA".repeat(octets / 3));
    assert_eq!(body(&strings(255)).len(), 1);
    assert_eq!(body(&key(65_535)).len(), 1);
    for text in [strings(257), key(65_538)] {
        let error = refusal(&text);
        assert!(error.starts_with("zone:3: near "), "{error}");
        assert!(error.ends_with("...\": the record data is longer than 65,535 octets"), "{error}");
    }
}

/// Changes a zone at random places, many times: each time it is read or refused, with a line that
/// the file has, and never is there a panic or a malformed name.
#[test]
fn random_changes_are_read_or_refused() {
    let zone = "$TTL 1h\n@ SOA ns1 host 1 2 3 4 5\n NS ns1\nns1 60 A 192.0.2.1\n$ORIGIN a\n\
                x TXT ( \"a \\\" b\" c ; d\n \\100 )\n*.b MX 10 mail.example.\nu TYPE1234 \\# 2 00ff\n\
                t NAPTR 1 2 \"u\" \"\" \"!^.*$!a!\" .\ns HTTPS 1 . alpn=h2,h3 key667=\"a b\"\n\
                @ NSEC ns1 A NS TYPE1234\nk CSYNC 66 3 A NS\n";
    let words: &[&[u8]] = &[
        b"\\",
        b"\"",
        b"(",
        b")",
        b";",
        b"$",
        b"@",
        b" ",
        b"\t",
        b"\r",
        b"\n",
        b".",
        b"..",
        b"0",
        b"\0",
        b"\xff",
        b"\xc3",
        b"-",
        b"$TTL ",
        b"$ORIGIN ",
        b"$INCLUDE ",
        b"\\# 4 ",
        b"TYPE1 ",
        b"\\000",
        b"\\256",
        b"4294967296 ",
        b"1h ",
        b"CH ",
        b"\"\"",
        b"SVCB ",
    ];
    // In memory where there is such a folder: a file on a disk takes far longer than its reading.
    let folder = TempDir::new_in("/dev/shm").unwrap_or_else(|_| folder(&[]));
    let file = folder.path().join("zone");
    // Marsaglia's xorshift64: the same changes each time, so that a failure can be repeated.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let (mut read_whole, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let mut text = zone.as_bytes().to_vec();
        for _ in 0..=random(4) {
            let at = random(text.len().max(1));
            match random(if text.is_empty() { 1 } else { 5 }) {
                0 => drop(text.splice(at..at, words[random(words.len())].iter().copied())),
                1 => text[at] = random(256) as u8,
                2 => drop(text.remove(at)),
                3 => text.truncate(at + 1),
                _ => {
                    let end = (at + random(40)).min(text.len());
                    let part = text[at..end].to_vec();
                    let to = random(text.len());
                    drop(text.splice(to..to, part));
                }
            }
        }
        fs::write(&file, &text).expect("a file");
        let lines = text.iter().filter(|&&octet| octet == b'\n').count() as u64 + 1;
        let shown = || text.escape_ascii().to_string();
        let result = read(b"\x03lac\0", &file, &Limits::default(), &mut |record| {
            assert!((1..=lines).contains(&record.line), "{}: {record:?}", shown());
            let name = responder::zone::name::to_text(record.owner);
            assert!(name.to_ascii_lowercase().ends_with("lac."), "{}: {record:?}", shown());
            Ok(())
        });
        match result {
            Ok(_) => read_whole += 1,
            Err(error) => {
                assert!(error.line.is_none_or(|line| line <= lines), "{}: {error}", shown());
                refused += 1;
            }
        }
    }
    // Both happen often, or the changes are too tame or too wild to try anything.
    assert!(read_whole > 1_000 && refused > 1_000, "{read_whole} read, {refused} refused");
    assert_eq!(records(zone).len(), 10);
}
