//! The record types, in their own words and in the form of RFC 3597.

use crate::{body, refusal};

/// The type and the record data, in hex, of one record.
fn rdata(text: &str) -> String {
    let records = body(&format!("x {text}\n"));
    let [record] = &records[..] else { panic!("one record: {records:?}") };
    record.strip_prefix("x.lac. 300 ").expect(text).to_owned()
}

#[test]
fn every_type_with_words_of_its_own_has_its_wire_form() {
    for (text, wire) in [
        ("A 192.0.2.1", "1 c0000201"),
        ("NS n", "2 016e036c616300"),
        ("CNAME .", "5 00"),
        ("PTR p.", "12 017000"),
        ("HINFO PC \"Li nux\"", "13 025043064c69206e7578"),
        ("MINFO a. b.", "14 016100016200"),
        ("MX 10 M.", "15 000a014d00"),
        ("TXT a", "16 0161"),
        ("RP a. .", "17 01610000"),
        ("AFSDB 1 a.", "18 0001016100"),
        ("AAAA ::1", "28 00000000000000000000000000000001"),
        ("SRV 1 2 3 .", "33 00010002000300"),
        ("NAPTR 1 2 u E2U+sip !a! .", "35 000100020175074532552b7369700321612100"),
        ("KX 1 a.", "36 0001016100"),
        ("DNAME d.", "39 016400"),
        ("DS 1 13 2 00ff", "43 00010d0200ff"),
        ("SSHFP 4 2 00 ff", "44 040200ff"),
        ("IPSECKEY 1 0 2 . AQ==", "45 01000201"),
        (
            "RRSIG A 13 1 5 20260101000000 1767225600 7 lac. AQ==",
            "46 00010d01000000056955b9006955b9000007036c61630001",
        ),
        (
            "NSEC a. A TYPE1234",
            "47 016100000140041b000000000000000000000000000000000000000000000000000020",
        ),
        ("DNSKEY 257 3 13 AQ==", "48 0101030d01"),
        (
            "NSEC3 1 1 0 - 2t7b4g4vsa5smi47k61mv5bv1a22bojr NS",
            "50 010100000014174eb2409fe28bcb4887a1836f957f0a8425e27b000120",
        ),
        ("NSEC3PARAM 1 0 5 aabb", "51 0100000502aabb"),
        ("TLSA 3 1 1 00ff", "52 03010100ff"),
        ("SMIMEA 3 1 1 00ff", "53 03010100ff"),
        ("CDS 0 0 0 00", "59 0000000000"),
        ("CDNSKEY 0 3 0 AA==", "60 0000030000"),
        ("OPENPGPKEY AQ==", "61 01"),
        ("CSYNC 66 3 A NS", "62 000000420003000160"),
        ("ZONEMD 1 1 1 00112233445566778899aabb", "63 00000001010100112233445566778899aabb"),
        ("SVCB 1 . alpn=h2 port=53", "64 00010000010003026832000300020035"),
        ("HTTPS 0 a.", "65 0000016100"),
        ("SPF a", "99 0161"),
        ("CAA 0 issue \"ca; x\"", "257 0005697373756563613b2078"),
    ] {
        assert_eq!(rdata(text), wire);
    }
}

#[test]
fn rfc3597_unknown_types_are_read_and_case_does_not_matter() {
    assert_eq!(rdata("TYPE65280 \\# 4 0a00 0001"), "65280 0a000001");
    assert_eq!(rdata("type65280 \\# 0"), "65280 ");
    assert_eq!(rdata("CLASS1 TYPE65280 ( \\# 2 ; two\n 0A 0b )"), "65280 0a0b");
}

#[test]
fn rfc3597_known_types_may_take_that_form_if_they_are_right() {
    assert_eq!(rdata("A \\# 4 c0000201"), "1 c0000201");
    assert_eq!(rdata("TYPE1 \\# 4 c0000201"), "1 c0000201");
    assert_eq!(rdata("CSYNC \\# 6 000000000000"), "62 000000000000");
    assert_eq!(rdata("LOC \\# 4 01000000"), "29 01000000");
    for (text, name) in [
        ("A \\# 3 c00002", "A"),
        ("A \\# 5 c000020101", "A"),
        ("TYPE2 \\# 2 c000", "NS"),
        ("NS \\# 3 016100ff", "NS"),
        ("MX \\# 3 000a01", "MX"),
    ] {
        let error = refusal(&format!("x {text}\n"));
        let expected = if text.ends_with("ff") {
            "zone:3: near \"016100ff\": the length after \\# is not that of the octets".to_owned()
        } else {
            format!("zone:3: these octets are no {name} record")
        };
        assert_eq!(error, expected);
    }
}

#[test]
fn types_that_are_not_read_in_their_own_words_name_the_form_that_is() {
    for text in [
        "LOC 31 53 S 70 45 W 100m",
        "APL 1:192.0.2.0/24",
        "HIP 2 20 a b",
        "URI 1 1 \"https://x.example/\"",
        "CERT PGP 0 0 AQ==",
        "EUI48 00-00-5e-00-53-2a",
        "DHCID AQ==",
    ] {
        let error = refusal(&format!("x {text}\n"));
        let told = "this type can only be read as TYPEnnn \\# LENGTH HEX (RFC 3597, section 5)";
        assert!(error.starts_with("zone:3: near ") && error.ends_with(told), "{text}: {error}");
    }
    assert_eq!(
        refusal("x FOO bar\n"),
        "zone:3: near \"FOO\": no record type is known by this name; an unknown one is TYPEnnn \
         (RFC 3597)"
    );
}

#[test]
fn rfc6895_meta_types_are_never_in_a_zone() {
    for (text, name) in [
        ("OPT \\# 0", "OPT"),
        ("TYPE0 \\# 0", "TYPE0"),
        ("ANY \\# 0", "ANY"),
        ("TYPE250 \\# 0", "TSIG"),
        ("AXFR \\# 0", "AXFR"),
    ] {
        let message = format!("zone:3: {name} is never in a zone: remove the record");
        assert_eq!(refusal(&format!("x {text}\n")), message);
    }
}

#[test]
fn rfc4034_a_signature_a_key_and_a_digest_have_at_least_an_octet() {
    // The first was found by fuzzing: its signer and its signature had grown together.
    for (text, name) in [
        ("RRSIG A 13 1 5 20260101000000 1767225600 7 examplexg9m==.lac.", "RRSIG"),
        ("TYPE46 \\# 19 00010d01000000056955b9006955b900000700", "RRSIG"),
        ("TYPE43 \\# 4 00010d02", "DS"),
        ("TYPE48 \\# 4 0101030d", "DNSKEY"),
    ] {
        let said = refusal(&format!("x {text}\n"));
        assert!(said.contains(name), "{text}: {said}");
    }
}
