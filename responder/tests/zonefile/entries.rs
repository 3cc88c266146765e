//! Entries, words, origins and TTLs.

use crate::{HEAD, body, outcome, records, refusal};

#[test]
fn rfc1035_records_come_in_file_order_with_the_line_on_which_they_begin() {
    let text = "; a comment\n\n$ORIGIN LAC.\n$TTL 300\n@ IN SOA ns1 host (\n 1 2 ; more )\n 3\n 4 5 )\n\
                \n Ns ns1\n; another (\nns1 A 192.0.2.1\n\tAAAA 2001:db8::1\n";
    assert_eq!(
        records(text),
        [
            "0:5 LAC. 300 6 036e7331034c41430004686f7374034c414300\
         0000000100000002000000030000000400000005",
            "0:10 LAC. 300 2 036e7331034c414300",
            "0:12 ns1.LAC. 300 1 c0000201",
            "0:13 ns1.LAC. 300 28 20010db8000000000000000000000001",
        ]
    );
}

#[test]
fn lines_are_right_across_blocks() {
    let mut text = HEAD.to_owned();
    let mut expected = Vec::new();
    let mut line = 3;
    // Over 600 KB in all: some entry lies across each end of a block, whatever the block's size.
    for number in 0..30_000 {
        expected.push(format!("0:{line} a{number}.lac. 300 16 0162"));
        if number % 3 == 0 {
            text.push_str(&format!("a{number} TXT ( ; (\n\t\"b\"\n\n )\n; \"\n"));
            line += 5;
        } else {
            text.push_str(&format!("a{number}    IN    TXT    b\n"));
            line += 1;
        }
    }
    assert!(text.len() > 600_000);
    assert!(records(&text)[1..] == expected);
}

#[test]
fn rfc1035_ttl_and_class_come_in_either_order_or_not_at_all() {
    let text = "a 7 IN A 192.0.2.1\nb IN 8 A 192.0.2.1\nc 9 A 192.0.2.1\nd CLASS1 A 192.0.2.1\n\
                in A 192.0.2.1\n";
    assert_eq!(
        body(text),
        [
            "a.lac. 7 1 c0000201",
            "b.lac. 8 1 c0000201",
            "c.lac. 9 1 c0000201",
            "d.lac. 300 1 c0000201",
            "in.lac. 300 1 c0000201",
        ]
    );
}

#[test]
fn rfc1035_only_one_class_and_it_is_in() {
    assert_eq!(refusal("x CH TXT a\n"), "zone:3: near \"a\": only class IN is served");
}

#[test]
fn rfc1035_an_origin_is_relative_to_the_one_before() {
    let text = "$ORIGIN b\na A 192.0.2.1\n$origin a\n@ A 192.0.2.1\n$ORIGIN c.lac. ; done\n\
                a A 192.0.2.1\na.lac. NS a\n";
    assert_eq!(
        body(text),
        [
            "a.b.lac. 300 1 c0000201",
            "a.b.lac. 300 1 c0000201",
            "a.c.lac. 300 1 c0000201",
            "a.lac. 300 2 01610163036c616300",
        ]
    );
}

#[test]
fn rfc1035_escapes_make_any_octet_part_of_a_name() {
    assert_eq!(
        body("\\000\\.\\\\\\065\\@ A 192.0.2.1\n\\$x A 192.0.2.1\n*.w A 192.0.2.1\n"),
        [
            "\\000\\.\\\\A\\@.lac. 300 1 c0000201",
            "\\$x.lac. 300 1 c0000201",
            "*.w.lac. 300 1 c0000201",
        ]
    );
}

#[test]
fn rfc1035_strings_are_quoted_or_not() {
    assert_eq!(
        body("x TXT a \"b ;(c\" \"\" \\\"\\100 \"\\\"\"\ny TXT ( a\n  b ; \"\n )\n"),
        ["x.lac. 300 16 01610562203b2863000222640122", "y.lac. 300 16 01610162",]
    );
}

#[test]
fn a_string_ends_on_its_line() {
    let message = "a quoted string must end on its line; a line feed in it is \\010";
    assert_eq!(refusal("x TXT \"a\ny TXT \"b\"\n"), format!("zone:3: {message}"));
    assert_eq!(refusal("x TXT ( \"a\"\n \"b\n )\n"), format!("zone:4: {message}"));
}

#[test]
fn rfc2308_a_missing_ttl_is_the_last_dollar_ttl() {
    assert_eq!(
        body("a 7 A 192.0.2.1\nb A 192.0.2.1\n$TTL 9\nc A 192.0.2.1\n"),
        ["a.lac. 7 1 c0000201", "b.lac. 300 1 c0000201", "c.lac. 9 1 c0000201",]
    );
    let message = "zone:3: $TTL takes one time, in seconds or as 1h30m (RFC 2308, section 4)";
    for line in ["$TTL\n", "$TTL x\n", "$TTL 1 2\n", "$TTL 4294967296\n"] {
        assert_eq!(refusal(line), message);
    }
}

#[test]
fn rfc1035_a_missing_ttl_without_dollar_ttl_is_that_of_the_record_before() {
    let text = "@ 60 SOA ns1 host 1 2 3 4 5\n NS ns1\nns1 70 A 192.0.2.1\n AAAA ::\n";
    let records = records(text);
    let ttls: Vec<_> = records.iter().filter_map(|record| record.split(' ').nth(2)).collect();
    assert_eq!(ttls, ["60", "60", "70", "70"]);
}

#[test]
fn without_any_ttl_there_is_a_default_and_a_warning() {
    let (records, report) = outcome("@ SOA ns1 host 1 2 3 4 5\n NS ns1\n").expect("a zone");
    assert!(records[0].starts_with("0:1 lac. 3600 6 "), "{records:?}");
    assert!(records[1].starts_with("0:2 lac. 3600 2 "), "{records:?}");
    assert_eq!(
        report.warnings,
        ["zone:1: no TTL here and none to inherit: 3600 seconds are used; put a $TTL line first"]
    );
    // The same TTL, said: no warning.
    let (_, report) = outcome("@ 3600 SOA ns1 host 1 2 3 4 5\n NS ns1\n").expect("a zone");
    assert_eq!(report.warnings, [""; 0]);
}

#[test]
fn rfc2181_a_ttl_with_the_high_bit_is_zero() {
    let text = format!("{HEAD}a 2147483647 A 192.0.2.1\nb 2147483648 A 192.0.2.1\n");
    let (records, report) = outcome(&text).expect("a zone");
    assert_eq!(records[1..], ["0:3 a.lac. 2147483647 1 c0000201", "0:4 b.lac. 0 1 c0000201"]);
    assert_eq!(
        report.warnings,
        ["zone:4: a TTL above 2147483647 counts as 0 (RFC 2181, section 8)"]
    );
}

#[test]
fn times_have_units_as_other_servers_read_them() {
    let text = "$TTL 1h30m\n@ 1D SOA a b 5 ( 1H\n 2m 3w 4 )\na A 192.0.2.1\n1d 1s A 192.0.2.1\n\
                b A 192.0.2.1\n";
    assert_eq!(
        records(text),
        [
            "0:2 lac. 86400 6 0161036c6163000162036c616300\
             0000000500000e1000000078001baf8000000004",
            "0:4 a.lac. 5400 1 c0000201",
            "0:5 1d.lac. 1 1 c0000201",
            "0:6 b.lac. 5400 1 c0000201",
        ]
    );
    assert!(refusal("x 1h30 A 192.0.2.1\n").starts_with("zone:3: near \"1h30\": no record type"));
}

#[test]
fn times_with_units_are_read_in_every_block() {
    let mut text = HEAD.to_owned();
    for number in 0..20_000 {
        text.push_str(&format!("a{number}    1h    IN    (\n    TXT    b ) ; \"\n"));
    }
    assert!(text.len() > 600_000);
    let records = records(&text);
    assert!((0..20_000).all(|number| {
        records[number + 1] == format!("0:{} a{number}.lac. 3600 16 0162", 3 + 2 * number)
    }));
}

#[test]
fn lines_may_end_as_dos_ends_them() {
    let text = format!("{HEAD}x TXT ( a\n b )\n\n TXT \"c\"\n$ORIGIN y\n@ A 192.0.2.1\n");
    let dos = text.replace('\n', "\r\n");
    assert_eq!(records(&dos), records(&text));
    assert_eq!(records(&text).len(), 4);
}

#[test]
fn the_last_line_may_lack_its_end() {
    assert_eq!(body("x A 192.0.2.1"), ["x.lac. 300 1 c0000201"]);
    assert_eq!(body("x TXT \"a\"; comment"), ["x.lac. 300 16 0161"]);
    assert_eq!(body("x TXT ( a )\r"), ["x.lac. 300 16 0161"]);
    assert_eq!(body("$ORIGIN x"), [""; 0]);
}

#[test]
fn records_out_of_the_zone_are_left_out_with_a_warning() {
    // As Knot and BIND do; NSD refuses the zone. The second is no subdomain: the octets only match.
    let text = format!(
        "{HEAD}other. A 192.0.2.1\n\\003lac. A 192.0.2.1\n A 192.0.2.2\nX.LAC. A 192.0.2.3\n"
    );
    let (records, report) = outcome(&text).expect("a zone");
    assert_eq!(records[1..], ["0:6 X.LAC. 300 1 c0000203"]);
    assert_eq!(report.records, 2);
    assert_eq!(
        report.warnings,
        ["zone:3: other. is outside of the zone lac.: the record is left out, and 2 more like it"]
    );
}
