//! `$INCLUDE`, limits and what files can be.

use std::fs;

use responder::zone::read::{Limits, read};

use crate::{HEAD, folder, outcome, read_in, records, refusal};

#[test]
fn rfc1035_an_included_file_has_its_own_origin_and_gives_ours_and_the_owner_back() {
    let folder = folder(&[
        (
            "zone",
            "$TTL 1\n@ SOA ns1 host 1 2 3 4 5\nx A 192.0.2.1\n$INCLUDE sub/one y ; why\n\
             \tA 192.0.2.3\nz A 192.0.2.4\n$include \"two\"\n",
        ),
        ("two", " A 192.0.2.6\n"),
    ]);
    fs::create_dir(folder.path().join("sub")).expect("a folder");
    let one = " A 192.0.2.2\n\nw A 192.0.2.2\n$ORIGIN v\n@ A 192.0.2.5\n$INCLUDE three";
    fs::write(folder.path().join("sub/one"), one).expect("a file");
    fs::write(folder.path().join("sub/three"), "$TTL 2\nu A 192.0.2.7\n").expect("a file");
    let (records, report) = read_in(folder.path(), &Limits::default()).expect("a zone");
    assert_eq!(
        records[1..],
        [
            "0:3 x.lac. 1 1 c0000201",
            "1:1 x.lac. 1 1 c0000202",
            "1:3 w.y.lac. 1 1 c0000202",
            "1:5 v.y.lac. 1 1 c0000205",
            "2:2 u.v.y.lac. 2 1 c0000207",
            // RFC 2308, section 4: a $TTL is for all records after it; BIND and NSD read it so too.
            "0:5 x.lac. 2 1 c0000203",
            "0:6 z.lac. 2 1 c0000204",
            "3:1 z.lac. 2 1 c0000206",
        ]
    );
    let files: Vec<_> =
        ["zone", "sub/one", "sub/three", "two"].map(|file| folder.path().join(file)).into();
    assert_eq!(report.files, files);
}

#[test]
fn a_fault_in_an_included_file_names_that_file() {
    let folder = folder(&[("zone", &format!("{HEAD}$INCLUDE one\n")), ("one", "\nx A 192.0.2\n")]);
    let error = read_in(folder.path(), &Limits::default()).expect_err("a fault");
    assert_eq!(error, "one:2: near \"192.0.2\": expected IPv4 address");
}

#[test]
fn includes_that_go_round_are_refused() {
    let folder = folder(&[
        ("zone", &format!("{HEAD}$INCLUDE ./one\n")),
        ("one", "$INCLUDE two"),
        ("two", "\n$INCLUDE one"),
    ]);
    let error = read_in(folder.path(), &Limits::default()).expect_err("a loop");
    assert_eq!(error, "two:2: $INCLUDE goes round: one is being read");
}

#[test]
fn includes_have_a_deepest_level() {
    let folder = folder(&[
        ("zone", &format!("{HEAD}$INCLUDE one\n$INCLUDE one\n")),
        ("one", "$INCLUDE two"),
        ("two", "x A 192.0.2.1"),
    ]);
    let limits = Limits { includes: 2, ..Limits::default() };
    assert_eq!(read_in(folder.path(), &limits).expect("a zone").0.len(), 3);
    let limits = Limits { includes: 1, ..limits };
    let error = read_in(folder.path(), &limits).expect_err("too deep");
    assert_eq!(error, "one:1: $INCLUDE goes deeper than the limit, 1");
}

#[test]
fn files_that_cannot_be_read_are_named_where_they_are_asked_for() {
    let empty = folder(&[]);
    assert_eq!(
        read_in(empty.path(), &Limits::default()).expect_err("no file"),
        "zone: the zone file cannot be read: No such file or directory (os error 2)"
    );
    assert_eq!(
        refusal("$INCLUDE none\n"),
        "zone:3: $INCLUDE cannot read none: No such file or directory (os error 2)"
    );
    fs::create_dir(empty.path().join("zone")).expect("a folder");
    assert_eq!(
        read_in(empty.path(), &Limits::default()).expect_err("a folder"),
        "zone: the zone file cannot be read: it is not a regular file"
    );
    assert_eq!(
        refusal("$INCLUDE /dev/null\n"),
        "zone:3: $INCLUDE of /dev/null: the zone file cannot be read: it is not a regular file"
    );
}

#[test]
fn a_pipe_that_nobody_writes_to_is_refused_at_once() {
    let folder = folder(&[]);
    let pipe = folder.path().join("zone");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("coreutils");
    assert!(made.success());
    let message = read_in(folder.path(), &Limits::default()).expect_err("no zone").to_string();
    assert!(message.ends_with("it is not a regular file"), "{message}");
}

#[test]
fn an_empty_file_has_no_records() {
    assert_eq!(records(""), [""; 0]);
    assert_eq!(records("; nothing"), [""; 0]);
}

#[test]
fn the_size_of_all_files_together_is_limited() {
    let text = format!("{HEAD}$INCLUDE one\n");
    let folder = folder(&[("zone", &text), ("one", "x A 192.0.2.1\n")]);
    let octets = text.len() as u64 + 14;
    let limits = Limits { octets, ..Limits::default() };
    assert_eq!(read_in(folder.path(), &limits).expect("a zone").1.octets, octets);
    let limits = Limits { octets: octets - 1, ..limits };
    assert_eq!(
        read_in(folder.path(), &limits).expect_err("too large"),
        "zone:3: $INCLUDE of one: the zone's files are larger than 60 octets, the limit"
    );
}

#[test]
fn the_number_of_records_is_limited() {
    let folder = folder(&[("zone", &format!("{HEAD}x A 192.0.2.1\ny A 192.0.2.1\n"))]);
    let limits = Limits { records: 3, ..Limits::default() };
    assert_eq!(read_in(folder.path(), &limits).expect("a zone").1.records, 3);
    let limits = Limits { records: 2, ..limits };
    assert_eq!(
        read_in(folder.path(), &limits).expect_err("too many"),
        "zone:4: the zone has more than 2 records, its limit"
    );
}

#[test]
fn the_sinks_error_gets_the_records_file_and_line() {
    let folder = folder(&[("zone", HEAD)]);
    let file = folder.path().join("zone");
    let error = read(b"\x03lac\0", &file, &Limits::default(), &mut |_| Err("no".to_owned()));
    let error = error.expect_err("the sink's");
    assert_eq!((error.file, error.line, error.message), (file, Some(2), "no".to_owned()));
}

#[test]
fn the_apex_must_be_a_name() {
    let folder = folder(&[("zone", HEAD)]);
    let file = folder.path().join("zone");
    let error = read(b"\x03lac", &file, &Limits::default(), &mut |_| Ok(())).expect_err("no name");
    assert_eq!(error.message, "the zone's own name is malformed");
    assert!(outcome(HEAD).is_ok());
}
