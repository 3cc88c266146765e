//! Frames with VLAN tags over a real interface: 802.1Q, and QinQ both ways.

use std::process::Command;

use crate::{
    asked::{Served, packet::Packet},
    harness::run,
    wire::Wire,
};

/// What stands between the addresses and the type.
const TAGS: [(&str, &[u8]); 4] = [
    ("none", &[]),
    ("802.1Q", &[0x81, 0x00, 0x60, 0x07]),
    ("802.1ad and 802.1Q", &[0x88, 0xa8, 0x00, 0x2a, 0x81, 0x00, 0x00, 0x07]),
    ("802.1Q twice", &[0x81, 0x00, 0x00, 0x2a, 0x81, 0x00, 0x00, 0x07]),
];

#[test]
fn a_tagged_query_is_answered_with_its_tags_by_xdp_and_by_tc() {
    for (mode, hook) in [("native", "xdp"), ("tc", "tc")] {
        let served = Served::new(mode, "");
        let daemon = served.node.serve();
        let wire = Wire::on("v1");
        let mut answered = 0;
        for (what, tags) in TAGS {
            for headers in served.headers() {
                let mut query = headers.frame(&served.query(7));
                query.splice(12..12, tags.iter().copied());
                let reply = wire.ask(&query, |frame| is_reply(frame, tags, 7));
                let mut bare = reply.clone();
                bare.drain(12..12 + tags.len());
                let packet = Packet::read(&bare).unwrap_or_else(|fault| panic!("{what}: {fault}"));
                packet.check_reply_to(&headers).unwrap_or_else(|fault| panic!("{what}: {fault}"));
                answered += 1;
                let status = daemon.status();
                let count = status["data-plane"][hook]["answered"].as_u64().unwrap();
                assert!(count >= answered, "{mode}, {what}: {status}");
                assert_eq!(status["sockets"]["udp"]["reply"], 0, "{mode}, {what}: {status}");
            }
        }
    }
}

#[test]
fn a_card_that_takes_tags_off_is_told_of_with_what_mends_it() {
    const REMEDY: &str = "`ethtool -K v0 rxvlan off`";
    let served = Served::new("native", "");
    for taken_off in [true, false] {
        let word = if taken_off { "on" } else { "off" };
        let set = run(Command::new("ethtool").args(["-K", "v0", "rxvlan", word]));
        assert_eq!(set.code, Some(0), "{set:?}");
        let daemon = served.node.serve();
        assert_eq!(daemon.log().contains(REMEDY), taken_off, "{}", daemon.log());
        let attachment = daemon.status()["data-plane"]["attachments"][0].clone();
        assert_eq!(attachment["hides_tags"], taken_off, "{attachment}");
    }
}

/// Whether a frame is a reply with these tags and this number.
fn is_reply(frame: &[u8], tags: &[u8], id: u16) -> bool {
    let Some(rest) = frame.get(12..).and_then(|rest| rest.strip_prefix(tags)) else { return false };
    let bare = [&frame[..12], rest].concat();
    let id = id.to_be_bytes();
    Packet::read(&bare)
        .is_ok_and(|packet| packet.message.starts_with(&id) && packet.message[2] & 0x80 != 0)
}
