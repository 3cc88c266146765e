//! A reply's own IP header, and the packets that get none. The reply's headers are looked at beside every
//! reply of these tests (`everywhere::packet`); the parser's own tests are in `responder-common`.

use responder::dataplane::trial::HookPoint;
use responder_common::verdict::Action;

use crate::{
    everywhere::packet::{Headers, Packet},
    loaded,
    probe::Probe,
    strict::rtype,
};

/// What both hooks make of a frame; the frame is as before where it is passed.
#[track_caller]
fn action(frame: &[u8]) -> Action {
    let loaded = loaded();
    let [xdp, tc] = [HookPoint::Xdp, HookPoint::Tc].map(|hook| loaded.frame(hook, frame));
    assert_eq!(xdp.action, tc.action);
    if xdp.action == Action::Pass {
        assert!(xdp.frame == frame && tc.frame == frame, "what is passed is untouched");
    }
    xdp.action
}

fn message() -> Vec<u8> {
    Probe::of("www.profile.test", rtype::A).octets()
}

fn both() -> [Headers; 2] {
    [Headers::v4(), Headers::v6()]
}

/// A frame over IPv4 with an octet changed, its header checksum left as it was: that is the NIC's.
fn changed(headers: &Headers, at: usize, octets: &[u8]) -> Vec<u8> {
    let mut frame = headers.frame(&message());
    frame[at..at + octets.len()].copy_from_slice(octets);
    frame
}

#[test]
fn a_reply_has_an_ip_header_of_its_own() {
    // Whatever the query's TTL, ECN, DSCP, DF, ID, flow label: 64, none, none, DF, the message's, none.
    for (hops, service) in [(1, 0), (255, 0xff), (64, 1), (9, 0xb8)] {
        for headers in both() {
            let headers = Headers { hops, service, ..headers };
            let loaded = loaded();
            for hook in [HookPoint::Xdp, HookPoint::Tc] {
                let trial = loaded.frame(hook, &headers.frame(&message()));
                assert_eq!(trial.action, Action::Reply);
                let packet = Packet::read(&trial.frame).expect("a datagram");
                packet.check_reply_to(&headers).unwrap_or_else(|fault| panic!("{fault}"));
            }
        }
    }
}

#[test]
fn source_port_zero_is_dropped_and_53_answered() {
    for headers in both() {
        let from = |source_port| Headers { source_port, ..headers.clone() }.frame(&message());
        assert_eq!(action(&from(0)), Action::Drop);
        assert_eq!(action(&from(53)), Action::Reply);
        assert_eq!(action(&from(1)), Action::Reply);
    }
}

#[test]
fn martian_and_multicast_sources_are_dropped() {
    for source in [[0, 1, 2, 3], [127, 0, 0, 1], [224, 0, 0, 1], [239, 1, 1, 1], [255; 4]] {
        let headers = Headers { source: source.to_vec(), ..Headers::v4() };
        assert_eq!(action(&headers.frame(&message())), Action::Drop, "{source:?}");
    }
    let unspecified = [0; 16];
    let mut loopback = [0; 16];
    loopback[15] = 1;
    let mut multicast = [0; 16];
    multicast[0] = 0xff;
    for source in [unspecified, loopback, multicast] {
        let headers = Headers { source: source.to_vec(), ..Headers::v6() };
        assert_eq!(action(&headers.frame(&message())), Action::Drop, "{source:?}");
    }
}

#[test]
fn ipv6_without_a_udp_checksum_is_dropped_ipv4_answered() {
    let frame = changed(&Headers::v6(), 14 + 40 + 6, &[0, 0]);
    assert_eq!(action(&frame), Action::Drop, "RFC 8200, section 8.1");
    let frame = changed(&Headers::v4(), 14 + 20 + 6, &[0, 0]);
    assert_eq!(action(&frame), Action::Reply, "RFC 768");
}

#[test]
fn fragments_ip_options_and_extension_headers_are_passed() {
    let (v4, v6) = both().into();
    assert_eq!(action(&changed(&v4, 20, &[0x20, 0])), Action::Pass, "more fragments");
    assert_eq!(action(&changed(&v4, 20, &[0, 9])), Action::Pass, "a later fragment");
    assert_eq!(action(&changed(&v4, 20, &[0x40, 0])), Action::Reply, "DF is none");
    assert_eq!(action(&changed(&v4, 14, &[0x46])), Action::Pass, "options");
    for (header, name) in
        [(0, "hop by hop"), (43, "routing"), (44, "fragment"), (60, "destination")]
    {
        assert_eq!(action(&changed(&v6, 20, &[header])), Action::Pass, "{name}");
    }
}

#[test]
fn lengths_that_contradict_each_other_are_dropped_and_padding_is_not_dns() {
    for headers in both() {
        let whole = headers.frame(&message());
        let padded = [whole.clone(), vec![0; 20]].concat();
        assert_eq!(action(&padded), Action::Reply);
        assert_eq!(action(&whole[..whole.len() - 1]), Action::Drop);
        let udp = if headers.is_v4() { 34 } else { 54 };
        for wrong in [whole[udp + 5] - 1, whole[udp + 5] + 1] {
            assert_eq!(action(&changed(&headers, udp + 5, &[wrong])), Action::Drop);
        }
    }
}

#[test]
fn other_ports_and_protocols_are_passed() {
    for headers in both() {
        let other = Headers { port: 54, ..headers.clone() };
        assert_eq!(action(&other.frame(&message())), Action::Pass);
        let protocol = if headers.is_v4() { 23 } else { 20 };
        assert_eq!(action(&changed(&headers, protocol, &[6])), Action::Pass, "TCP");
    }
}
