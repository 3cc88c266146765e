//! Headers and questions: what is malformed, what is not for us, what is echoed.

use responder_common::verdict::{Action, Verdict};

use crate::{ask, loaded, octets, probe::Probe, silence, strict::rtype};

fn question() -> Probe {
    Probe::of("www.profile.test", rtype::A)
}

#[test]
fn qdcount_other_than_one_is_formerr_rfc9619() {
    for questions in [0, 2, 3] {
        let (verdict, reply) = ask(&Probe { questions, ..question() });
        assert_eq!((verdict, reply.rcode()), (Verdict::FormErr, 1), "{questions}");
        assert_eq!(reply.question, [], "what cannot be read is not repeated");
    }
}

#[test]
fn pointer_in_qname_is_formerr() {
    for name in [&b"\xc0\x0c"[..], b"\x03www\xc0\x0c", b"\x40", b"\x80\0", b"\x01a\xff\xff"] {
        let (verdict, _) = ask(&Probe { name: name.to_vec(), ..question() });
        assert_eq!(verdict, Verdict::FormErr, "{name:02x?}");
    }
}

#[test]
fn qname_of_more_than_255_octets_is_formerr() {
    let label = [&[63_u8][..], &[b'x'; 63]].concat();
    let name =
        |last: usize| [label.repeat(3), vec![last as u8], vec![b'x'; last], vec![0]].concat();
    let (verdict, _) = ask(&Probe { name: name(61), ..question() });
    assert_eq!(verdict, Verdict::Refused, "255 octets");
    let (verdict, _) = ask(&Probe { name: name(62), ..question() });
    assert_eq!(verdict, Verdict::FormErr, "256 octets");
}

#[test]
fn trailing_octets_are_formerr() {
    for trailing in [vec![0], vec![0; 40]] {
        let (verdict, _) = ask(&Probe { trailing: trailing.clone(), ..question() });
        assert_eq!(verdict, Verdict::FormErr);
        let (verdict, _) = ask(&Probe { trailing, ..question().edns() });
        assert_eq!(verdict, Verdict::FormErr);
    }
}

#[test]
fn a_query_cut_short_is_formerr() {
    let whole = question().edns().octets();
    for length in 12..whole.len() {
        let (verdict, _) = octets(&whole[..length]);
        assert_eq!(verdict, Verdict::FormErr, "{length} octets");
    }
    for length in 0..12 {
        assert_eq!(silence(&whole[..length]), Verdict::Runt, "{length} octets");
    }
}

#[test]
fn qr_set_is_dropped() {
    assert_eq!(silence(&question().flags(0x8000).octets()), Verdict::NotQuery);
    assert_eq!(silence(&question().flags(0x8180).octets()), Verdict::NotQuery);
}

#[test]
fn records_in_answer_or_authority_of_a_query_are_formerr() {
    for at in [7, 9] {
        let mut query = question().octets();
        query[at] = 1;
        assert_eq!(octets(&query).0, Verdict::FormErr, "the count at {at}");
    }
}

#[test]
fn opcodes_other_than_query_are_notimp_but_notify_is_passed() {
    for opcode in (1..16).filter(|opcode| *opcode != 4) {
        let (verdict, reply) = ask(&question().flags(opcode << 11));
        assert_eq!((verdict, reply.rcode()), (Verdict::NotImp, 4), "opcode {opcode}");
        assert_eq!(u16::from(reply.header.opcode), opcode);
    }
    assert_eq!(silence(&question().flags(4 << 11).octets()), Verdict::Notify);
}

#[test]
fn ixfr_is_passed_and_axfr_over_udp_is_notimp() {
    let ixfr = Probe::of("profile.test", 251);
    assert_eq!(silence(&ixfr.octets()), Verdict::Transfer);
    let axfr = Probe::of("profile.test", rtype::AXFR);
    let (verdict, reply) = ask(&axfr);
    assert_eq!((verdict, reply.rcode()), (Verdict::NotImp, 4));
    for probe in [ixfr, axfr] {
        let answered = loaded().ask_stream(&probe.octets());
        assert_eq!((answered.verdict, answered.reply), (Verdict::Transfer, None), "over TCP");
    }
}

#[test]
fn a_signed_query_is_passed() {
    // TSIG (RFC 8945, section 4.2) behind the question, and behind an OPT.
    let tsig = b"\x03key\0\0\xfa\0\xff\0\0\0\0\0\0";
    for probe in [question(), question().edns()] {
        let mut query = probe.octets();
        query[11] += 1;
        query.extend(tsig);
        assert_eq!(silence(&query), Verdict::Tsig);
        assert_eq!(Verdict::Tsig.action(), Action::Pass);
    }
}

#[test]
fn rd_and_cd_are_echoed_and_no_other_flag() {
    let (_, plain) = ask(&question());
    for bit in 0..16 {
        let flag = 1 << bit;
        if flag & 0xf800 != 0 {
            continue; // QR and the opcode.
        }
        let (verdict, reply) = ask(&question().flags(flag));
        assert_eq!(verdict, Verdict::Positive, "{flag:#06x}");
        let mut expected = plain.header;
        expected.rd = flag == 0x0100;
        expected.cd = flag == 0x0010;
        assert_eq!(reply.header, expected, "{flag:#06x}");
    }
}

#[test]
fn the_question_is_echoed_in_its_own_case() {
    let (_, reply) = ask(&Probe::of("WwW.pRoFiLe.TeSt", rtype::A));
    assert_eq!(reply.question[0].name.to_string(), "WwW.pRoFiLe.TeSt.");
    assert_eq!(reply.answer[0].owner.to_string(), "WwW.pRoFiLe.TeSt.");
}
