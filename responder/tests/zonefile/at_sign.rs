//! `@` in record data. The values are what BIND 9 makes of the same lines, and NSD 4 of those that it
//! takes; where the two differ, it is said.

use crate::{HEAD, body, outcome, records, refusal};

/// The type and the record data, in hex, of one record of the zone `lac.`.
fn rdata(text: &str) -> String {
    let records = body(&format!("x {text}\n"));
    let [record] = &records[..] else { panic!("one record: {records:?}") };
    record.strip_prefix("x.lac. 300 ").expect(text).to_owned()
}

#[test]
fn rfc1035_an_at_sign_is_the_origin_wherever_a_name_stands() {
    for (text, wire) in [
        ("NS @", "2 036c616300"),
        // BIND refuses this and the next as obsolete.
        ("MD @", "3 036c616300"),
        ("MF @", "4 036c616300"),
        ("CNAME @", "5 036c616300"),
        ("SOA @ @ 1 2 3 4 5", "6 036c616300036c6163000000000100000002000000030000000400000005"),
        ("SOA a @ 1 2 3 4 5", "6 0161036c616300036c6163000000000100000002000000030000000400000005"),
        ("MB @", "7 036c616300"),
        ("MG @", "8 036c616300"),
        ("MR @", "9 036c616300"),
        ("PTR @", "12 036c616300"),
        ("MINFO @ @", "14 036c616300036c616300"),
        ("MINFO a. @", "14 016100036c616300"),
        ("MX 10 @", "15 000a036c616300"),
        ("RP @ @", "17 036c616300036c616300"),
        ("AFSDB 1 @", "18 0001036c616300"),
        ("RT 1 @", "21 0001036c616300"),
        ("SRV 1 2 3 @", "33 000100020003036c616300"),
        ("NAPTR 1 2 \"@\" \"@\" \"\" @", "35 000100020140014000036c616300"),
        ("KX 1 @", "36 0001036c616300"),
        ("DNAME @", "39 036c616300"),
        // NSD refuses it.
        ("IPSECKEY 1 3 2 @ AQ==", "45 010302036c61630001"),
        (
            "RRSIG A 13 1 5 20260101000000 20270101000000 7 @ AQ==",
            "46 00010d01000000056955b9006b36ec800007036c61630001",
        ),
        ("NSEC @ A", "47 036c616300000140"),
        ("SVCB 1 @ alpn=h2", "64 0001036c61630000010003026832"),
        ("HTTPS 0 @", "65 0000036c616300"),
        ("LP 1 @", "107 0001036c616300"),
    ] {
        assert_eq!(rdata(text), wire, "{text}");
    }
}

#[test]
fn an_at_sign_is_text_where_no_name_stands() {
    // NSD refuses those that are not quoted nor escaped.
    for (text, wire) in [
        ("TXT @", "16 0140"),
        ("TXT(@)", "16 0140"),
        ("TXT \"@\" \\@ a@b @", "16 01400140036140620140"),
        ("SPF @", "99 0140"),
        ("HINFO @ @", "13 01400140"),
        ("CAA 0 issue @", "257 0005697373756540"),
    ] {
        assert_eq!(rdata(text), wire, "{text}");
    }
    for text in ["A @", "DS @ 13 2 00", "IPSECKEY 1 0 2 @ AQ==", "MX @ a", "NSEC3 1 1 0 - @ NS"] {
        assert!(refusal(&format!("x {text}\n")).contains("near \"@\""), "{text}");
    }
}

#[test]
fn an_at_sign_that_is_quoted_escaped_or_part_of_a_word_is_a_label() {
    for (text, wire) in [
        ("CNAME \\@", "5 0140036c616300"),
        // As NSD has it; BIND refuses quotes around a name.
        ("CNAME \"@\"", "5 0140036c616300"),
        ("CNAME @@", "5 024040036c616300"),
        // As BIND has it; NSD refuses it.
        ("CNAME @.", "5 014000"),
        ("MX 10 a@b", "15 000a03614062036c616300"),
        ("NS a\\ @", "2 03612040036c616300"),
        ("NS b ; @", "2 0162036c616300"),
        ("NS b ;@ NS @", "2 0162036c616300"),
    ] {
        assert_eq!(rdata(text), wire, "{text}");
    }
}

#[test]
fn an_at_sign_may_stand_in_any_layout() {
    let text = "@ NS @\n\tNS @;c\n NS(@)\nx NS ( ; @\n@\n)\n@ 7 IN NS @\r\na IN 8 ns @\n\
                b 1h TYPE2 @\n\"c\" NS ( b ; @\n)\n";
    assert_eq!(
        body(text),
        [
            "lac. 300 2 036c616300",
            "lac. 300 2 036c616300",
            "lac. 300 2 036c616300",
            "x.lac. 300 2 036c616300",
            "lac. 7 2 036c616300",
            "a.lac. 8 2 036c616300",
            "b.lac. 3600 2 036c616300",
            "c.lac. 300 2 0162036c616300",
        ]
    );
}

#[test]
fn rfc1035_an_at_sign_is_the_current_origin_whatever_is_in_its_name() {
    // NSD takes no relative name in $ORIGIN.
    let text = "$ORIGIN b\nx NS @\n$ORIGIN @\ny NS @\n$ORIGIN \\@\nz NS @\n\
                $ORIGIN a\\.\\@\\032\\;\\000.lac.\n@ NS @\n$ORIGIN .\nlac NS @\n";
    assert_eq!(
        body(text),
        [
            "x.b.lac. 300 2 0162036c616300",
            "y.b.lac. 300 2 0162036c616300",
            "z.\\@.b.lac. 300 2 01400162036c616300",
            "a\\.\\@\\032\\;\\000.lac. 300 2 06612e40203b00036c616300",
            "lac. 300 2 00",
        ]
    );
}

#[test]
fn the_records_of_the_first_lines_may_have_at_signs_too() {
    assert_eq!(
        records("@ 300 SOA @ @ 1 2 3 4 5\n NS @\n"),
        [
            "0:1 lac. 300 6 036c616300036c6163000000000100000002000000030000000400000005",
            "0:2 lac. 300 2 036c616300",
        ]
    );
}

#[test]
fn entries_around_at_signs_keep_their_order_owner_and_line() {
    let mut text = HEAD.to_owned();
    let mut expected = Vec::new();
    let mut line = 3;
    // Some entry lies across each end of a block, whatever the block's size.
    for number in 0..20_000 {
        let (entry, data, lines) = match number % 5 {
            0 => ("MX 1 @\n", "15 0001036c616300", 1),
            1 => ("TXT ( ; @\n @\n)\n", "16 0140", 3),
            2 => ("NS (\n@\n)\n\n", "2 036c616300", 4),
            3 => ("TXT @ ; someone @ somewhere\n", "16 0140", 1),
            _ => ("NS b\n", "2 0162036c616300", 1),
        };
        expected.push(format!("0:{line} a{number}.lac. 300 {data}"));
        text.push_str(&format!("a{number} {entry}"));
        line += lines;
        if number % 7 == 0 {
            expected.push(format!("0:{line} a{number}.lac. 300 1 c0000201"));
            text.push_str("\tA 192.0.2.1\n");
            line += 1;
        }
    }
    assert!(text.len() > 300_000);
    assert!(records(&text)[1..] == expected);
}

#[test]
fn a_fault_beside_an_at_sign_names_its_line() {
    assert_eq!(
        outcome(&format!("{HEAD}a NS @\nb NS @ c\n")).expect_err("too much"),
        "zone:4: near \"c\": there is more than the record takes"
    );
    assert_eq!(
        refusal("a NS @\nb A 192.0.2.256\n"),
        "zone:4: near \"192.0.2.256\": expected IPv4 address"
    );
}
