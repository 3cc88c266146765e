//! Connections that are reset or never end in time, and news that is none.

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name, RData, Record, RecordType, rdata::SOA},
};

use crate::{
    hostile::refused_by,
    primaries::{is_served, node, secondary},
    script::{End, Script, Scripted},
};

#[test]
fn a_connection_that_is_reset_is_no_transfer() {
    let reset = |script: &mut Script| {
        script.messages.truncate(2);
        script.end = End::Reset;
    };
    refused_by(reset, "the connection broke: Connection reset by peer (os error 104)", "", "");
}

#[test]
fn a_primary_that_answers_slowly_for_ever_is_left() {
    let slow = |script: &mut Script| {
        script.messages.truncate(2);
        script.end = End::Drip;
    };
    let limits = "[limits]\ntransfer-time = \"4s\"\n";
    refused_by(slow, "the transfer takes longer than limits.transfer-time = 4s", limits, "");
}

#[test]
fn rfc1996_a_serial_ahead_of_the_zone_is_looked_for_and_not_believed() {
    let primary = Scripted::start(Script::good(1));
    let node = node(&secondary(&[primary.port], None, ""));
    let daemon = node.serve();
    daemon.until("the zone", || is_served(&daemon, 1));
    let mut notify = Message::new(78, MessageType::Query, OpCode::Notify);
    let name = Name::from_ascii("tld.test.").unwrap();
    notify.add_query(Query::query(name.clone(), RecordType::SOA));
    let soa = SOA::new(Name::root(), Name::root(), 1000, 1, 1, 1, 1);
    notify.answers.push(Record::from_rdata(name, 0, RData::SOA(soa)));
    let reply = Message::from_vec(&daemon.ask(&notify.to_vec().unwrap())).unwrap();
    assert_eq!(reply.metadata.response_code, ResponseCode::NoError);
    daemon.until("the look", || daemon.status()["transfers"]["current"] == 1);
    assert!(is_served(&daemon, 1));
}
