//! One test for each rule: a message that keeps it and the same message breaking it.

use super::{Message, Name, NameError, Rule, missing, multiset, rtype};

/// A header with these counts, then the body.
fn message(counts: [u8; 4], body: &[&[u8]]) -> Vec<u8> {
    let mut octets = vec![0x12, 0x34, 0x84, 0x00];
    octets.extend(counts.iter().flat_map(|&count| [0, count]));
    octets.extend(body.concat());
    octets
}

/// `example.` IN A, at octet 12; its name is 9 octets long.
const QUESTION: &[u8] = b"\x07example\x00\x00\x01\x00\x01";
/// A pointer to the name of [`QUESTION`].
const TO_QUESTION: &[u8] = b"\xc0\x0c";

/// A record whose owner is written as given.
fn record(owner: &[u8], rtype: u16, rdata: &[u8]) -> Vec<u8> {
    let mut octets = owner.to_vec();
    octets.extend(rtype.to_be_bytes());
    octets.extend([0, 1, 0, 0, 14, 16]);
    octets.extend((rdata.len() as u16).to_be_bytes());
    octets.extend(rdata);
    octets
}

/// An OPT record with this owner and data: 1232 octets, DO.
fn opt(owner: &[u8], rdata: &[u8]) -> Vec<u8> {
    let mut octets = owner.to_vec();
    octets.extend([0, 41, 0x04, 0xd0, 0, 0, 0x80, 0]);
    octets.extend((rdata.len() as u16).to_be_bytes());
    octets.extend(rdata);
    octets
}

fn answer(owner: &[u8], rtype: u16, rdata: &[u8]) -> Vec<u8> {
    message([1, 1, 0, 0], &[QUESTION, &record(owner, rtype, rdata)])
}

#[track_caller]
fn accepted(octets: &[u8]) -> Message {
    Message::parse(octets).unwrap_or_else(|fault| panic!("refused: {fault}"))
}

#[track_caller]
fn broken(octets: &[u8]) -> Rule {
    Message::parse(octets).expect_err("accepted").rule
}

#[test]
fn header_and_question_are_read() {
    let read = accepted(&message([1, 0, 0, 0], &[QUESTION]));
    assert_eq!((read.header.id, read.header.qr, read.header.aa), (0x1234, true, true));
    assert!(!read.header.tc && !read.header.rd && !read.header.ra && read.rcode() == 0);
    assert_eq!(read.question[0].to_string(), "example. IN A");
}

#[test]
fn every_cut_of_a_message_is_noticed() {
    let octets = answer(TO_QUESTION, rtype::MX, b"\x00\x0a\x04mail\xc0\x0c");
    accepted(&octets);
    for length in 0..octets.len() {
        assert_eq!(broken(&octets[..length]), Rule::CutShort, "cut to {length}");
    }
}

#[test]
fn counts_and_octets_agree() {
    assert_eq!(broken(&message([1, 0, 0, 0], &[QUESTION, b"\0"])), Rule::TrailingOctets);
    assert_eq!(broken(&message([2, 0, 0, 0], &[QUESTION])), Rule::CutShort);
    assert_eq!(broken(&message([0, 0, 0, 0], &[QUESTION])), Rule::TrailingOctets);
}

#[test]
fn rfc1035_reserved_bit_is_zero() {
    let mut octets = message([1, 0, 0, 0], &[QUESTION]);
    octets[3] |= 0x40;
    assert_eq!(broken(&octets), Rule::ReservedBit);
}

#[test]
fn label_types_01_and_10_are_refused() {
    assert_eq!(broken(&answer(b"\x41a\x00", rtype::A, &[1; 4])), Rule::LabelType);
    assert_eq!(broken(&answer(b"\x80\x00", rtype::A, &[1; 4])), Rule::LabelType);
}

#[test]
fn names_have_at_most_255_octets() {
    let longest = [&[1, b'a'].repeat(127)[..], &[0]].concat();
    accepted(&answer(&longest, rtype::A, &[1; 4]));
    let longer = [&[1, b'a'].repeat(128)[..], &[0]].concat();
    assert_eq!(broken(&answer(&longer, rtype::A, &[1; 4])), Rule::NameTooLong);
    // The same through a pointer: 246 + 9 octets are 255, 248 + 9 too many.
    let labels = [1, b'a'];
    let fits = [&labels.repeat(123)[..], TO_QUESTION].concat();
    accepted(&answer(&fits, rtype::A, &[1; 4]));
    let exceeds = [&labels.repeat(124)[..], TO_QUESTION].concat();
    assert_eq!(broken(&answer(&exceeds, rtype::A, &[1; 4])), Rule::NameTooLong);
}

#[test]
fn pointers_lead_strictly_backwards() {
    // The answer's owner starts at octet 25.
    assert_eq!(broken(&answer(b"\xc0\x19", rtype::A, &[1; 4])), Rule::PointerForward);
    assert_eq!(broken(&answer(b"\xc0\x20", rtype::A, &[1; 4])), Rule::PointerForward);
    assert_eq!(broken(&answer(b"\x01a\xc0\x19", rtype::A, &[1; 4])), Rule::PointerAstray);
    assert_eq!(broken(&answer(b"\xff\xff", rtype::A, &[1; 4])), Rule::PointerForward);
}

#[test]
fn pointers_lead_to_where_a_label_starts() {
    let to = |target: u8| answer(&[0xc0, target], rtype::A, &[1; 4]);
    accepted(&to(12));
    assert_eq!(broken(&to(0)), Rule::PointerAstray, "into the header");
    assert_eq!(broken(&to(13)), Rule::PointerAstray, "inside a label");
    assert_eq!(broken(&to(20)), Rule::PointerToRoot);
    assert_eq!(broken(&to(21)), Rule::PointerAstray, "to a type");
}

#[test]
fn pointers_may_aim_at_names_in_earlier_data_but_not_at_pointers() {
    // NS data `ns` + pointer stands at octet 37; an owner may aim at its label.
    let ns = record(TO_QUESTION, rtype::NS, b"\x02ns\xc0\x0c");
    let aimed = |target: u8| {
        let glue = record(&[0xc0, target], rtype::A, &[192, 0, 2, 1]);
        message([1, 1, 0, 1], &[QUESTION, &ns, &glue])
    };
    let read = accepted(&aimed(37));
    assert_eq!(read.additional[0].to_string(), "ns.example. 3600 IN A 192.0.2.1");
    assert_eq!(broken(&aimed(40)), Rule::PointerAstray, "a pointer is no label");
}

#[test]
fn rfc3597_only_rfc1035_types_are_compressed() {
    for rtype in [2, 3, 4, 5, 7, 8, 9, 12] {
        accepted(&answer(TO_QUESTION, rtype, TO_QUESTION));
    }
    let forbidden: [(u16, &[u8]); 9] = [
        (17, b"\xc0\x0c\x00"),
        (18, b"\x00\x01\xc0\x0c"),
        (33, b"\0\0\0\0\0\x35\xc0\x0c"),
        (35, b"\0\0\0\0\0\0\0\xc0\x0c"),
        (39, b"\xc0\x0c"),
        (46, b"\0\x01\x08\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xc0\x0csignature"),
        (47, b"\xc0\x0c\0\x01\x40"),
        (64, b"\0\0\xc0\x0c"),
        (65, b"\0\x01\x03www\xc0\x0c"),
    ];
    for (rtype, rdata) in forbidden {
        let rule = broken(&answer(TO_QUESTION, rtype, rdata));
        assert_eq!(rule, Rule::CompressionForbidden, "type {rtype}");
    }
    // What an unknown type holds is nobody's name.
    accepted(&answer(TO_QUESTION, 1234, b"\xc0\x0c"));
}

#[test]
fn rdlength_is_exact() {
    assert_eq!(broken(&answer(TO_QUESTION, rtype::A, &[1; 3])), Rule::DataLength);
    assert_eq!(broken(&answer(TO_QUESTION, rtype::A, &[1; 5])), Rule::DataLength);
    assert_eq!(broken(&answer(TO_QUESTION, rtype::AAAA, &[1; 15])), Rule::DataLength);
    assert_eq!(broken(&answer(TO_QUESTION, rtype::NS, b"\xc0\x0c\0")), Rule::DataLength);
    assert_eq!(broken(&answer(TO_QUESTION, rtype::NS, b"")), Rule::DataLength);
    assert_eq!(broken(&answer(TO_QUESTION, rtype::MX, b"\0")), Rule::DataLength);
    assert_eq!(broken(&answer(TO_QUESTION, rtype::TXT, b"\x02a")), Rule::DataLength);
    assert_eq!(broken(&answer(TO_QUESTION, rtype::TXT, b"")), Rule::DataLength);
    accepted(&answer(TO_QUESTION, rtype::TXT, b"\0\x01a"));
    // A name that runs on into the next record is not this record's.
    let ns = record(TO_QUESTION, rtype::NS, b"\x01");
    let octets = message([1, 2, 0, 0], &[QUESTION, &ns, &record(b"", rtype::A, &[1; 4])]);
    assert!(Message::parse(&octets).is_err());
}

#[test]
fn rfc4034_type_bit_maps_are_well_formed() {
    let nsec = |map: &[u8]| answer(TO_QUESTION, rtype::NSEC, &[&[0], map].concat());
    accepted(&nsec(b"\0\x01\x40\x01\x01\x01"));
    assert_eq!(broken(&nsec(b"\x01\x01\x40\0\x01\x40")), Rule::TypeBitMap, "descending");
    assert_eq!(broken(&nsec(b"\0\x02\x40\0")), Rule::TypeBitMap, "ends in zero");
    assert_eq!(broken(&nsec(b"\0\0")), Rule::TypeBitMap, "empty window");
    assert_eq!(broken(&nsec(b"\0\x02\x40")), Rule::TypeBitMap, "cut");
    assert_eq!(broken(&nsec(&[&[0, 33][..], &[1; 33]].concat())), Rule::TypeBitMap, "33 octets");
}

#[test]
fn rfc6891_opt_is_single_additional_and_owned_by_the_root() {
    let with = |counts, records: &[Vec<u8>]| message(counts, &[QUESTION, &records.concat()]);
    let read = accepted(&with([1, 0, 0, 1], &[opt(b"\0", b"\0\x03\0\x02id")]));
    let edns = read.edns.expect("an OPT");
    assert_eq!((edns.udp_size, edns.version, edns.dnssec_ok), (1232, 0, true));
    assert_eq!(edns.options, [(3, b"id".to_vec())]);
    assert!(read.additional.is_empty());

    let twice = [opt(b"\0", b""), opt(b"\0", b"")];
    assert_eq!(broken(&with([1, 0, 0, 2], &twice)), Rule::SecondOpt);
    assert_eq!(broken(&with([1, 1, 0, 0], &twice[..1])), Rule::OptOutsideAdditional);
    assert_eq!(broken(&with([1, 0, 1, 0], &twice[..1])), Rule::OptOutsideAdditional);
    assert_eq!(broken(&with([1, 0, 0, 1], &[opt(b"\x01a\0", b"")])), Rule::OptOwner);
    let long_option = [opt(b"\0", b"\0\x03\0\x03id")];
    assert_eq!(broken(&with([1, 0, 0, 1], &long_option)), Rule::OptionLength);
}

#[test]
fn extended_rcode_has_twelve_bits() {
    let mut octets = message([1, 0, 0, 1], &[QUESTION, &opt(b"\0", b"")]);
    let ttl = octets.len() - 6;
    octets[ttl] = 1;
    assert_eq!(accepted(&octets).rcode(), 16);
}

#[test]
fn comparison_minds_multiplicity_and_data_but_not_case_or_compression() {
    let compressed = accepted(&answer(TO_QUESTION, rtype::MX, b"\0\x0a\x04MAIL\xc0\x0c")).answer;
    let plain = answer(b"\x07EXAMPLE\0", rtype::MX, b"\0\x0a\x04mail\x07exAMPle\0");
    let plain = accepted(&plain).answer;
    assert_eq!(multiset(&compressed), multiset(&plain));
    assert_ne!(compressed[0].rdata, plain[0].rdata, "the original case is kept");

    let other = accepted(&answer(TO_QUESTION, rtype::MX, b"\0\x0b\x04mail\xc0\x0c")).answer;
    assert_eq!(missing(&compressed, &other).len(), 1);
    let twice = [compressed.clone(), plain].concat();
    assert_eq!(missing(&twice, &compressed).len(), 1);
    assert!(missing(&compressed, &twice).is_empty());
}

#[test]
fn text_of_names_goes_both_ways() {
    for text in [".", "a.", "*.example.", "a\\.b.c.", "\\000\\255\\032x.", "\\\\\\\"\\;\\@."] {
        assert_eq!(Name::from_text(text).expect(text).to_string(), text);
    }
    assert_eq!(Name::from_text("\\065bc.d"), Name::from_text("Abc.d."));
    assert_eq!(Name::from_text("a..b"), Err(NameError::Label));
    assert_eq!(Name::from_text(&"a".repeat(64)), Err(NameError::Label));
    assert_eq!(Name::from_text(&"a.".repeat(128)), Err(NameError::TooLong));
    assert_eq!(Name::from_text("\\25"), Err(NameError::Escape));
    assert_eq!(Name::from_text("\\256"), Err(NameError::Escape));
}

#[test]
fn ancestry_is_by_whole_labels() {
    let name = |text| Name::from_text(text).expect(text);
    assert!(name("a.b.").is_at_or_below(&name("B.")));
    assert!(name("a.b.").is_at_or_below(&name(".")));
    assert!(name("b.").is_at_or_below(&name("b.")));
    assert!(!name("ab.").is_at_or_below(&name("b.")));
    assert!(!name("b.").is_at_or_below(&name("a.b.")));
    assert_eq!(name("a.b.").parent(), Some(name("b.")));
    assert_eq!(Name::root().parent(), None);
}
