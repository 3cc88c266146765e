//! NOTIFY to those who follow us.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::{Duration, Instant},
};

use hickory_proto::{
    op::{Message, MessageType, OpCode, ResponseCode},
    rr::RData,
};
use responder::{
    config,
    transfer::tsig::{Key, Session},
};

use crate::{
    ask::{notifying, zone},
    harness::Daemon,
};

const ANYBODY: &str = "{ address = \"127.0.0.0/8\" }";

/// How long a NOTIFY is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A follower by hand.
struct Follower(UdpSocket);

impl Follower {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    fn target(&self, more: &str) -> String {
        let port = self.0.local_addr().unwrap().port();
        format!("{{ address = \"127.0.0.1\", port = {port}{more} }}")
    }

    fn hear(&self) -> (Vec<u8>, SocketAddr) {
        let mut octets = [0; 4096];
        let (length, from) = self.0.recv_from(&mut octets).expect("a NOTIFY");
        (octets[..length].to_vec(), from)
    }

    /// The first of a version; what was told before it is left alone.
    fn hear_of(&self, version: u32) -> (Vec<u8>, SocketAddr) {
        loop {
            let (heard, from) = self.hear();
            if serial(&heard) == version {
                return (heard, from);
            }
        }
    }

    fn hears_nothing_for(&self, time: Duration) -> bool {
        self.0.set_read_timeout(Some(time)).unwrap();
        self.0.recv(&mut [0; 4096]).is_err()
    }

    fn answer(&self, heard: &[u8], to: SocketAddr, code: ResponseCode) {
        let mut message = Message::from_vec(heard).unwrap();
        message.metadata.message_type = MessageType::Response;
        message.metadata.response_code = code;
        self.0.send_to(&message.to_vec().unwrap(), to).unwrap();
    }
}

/// The serial of the SOA that comes with it.
fn serial(heard: &[u8]) -> u32 {
    let message = Message::from_vec(heard).unwrap();
    assert_eq!(message.metadata.op_code, OpCode::Notify);
    assert!(message.metadata.authoritative);
    assert_eq!(message.queries[0].name().to_string(), "tld.test.");
    let RData::SOA(soa) = &message.answers[0].data else { panic!("{message}") };
    soa.serial
}

fn reload(daemon: &Daemon<'_>) {
    let ran = daemon.node.run(&["zone", "reload", "tld.test.", "--config", "r.toml"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn rfc1996_each_new_version_is_told_until_it_is_heard() {
    let follower = Follower::new();
    let node = notifying(0, ANYBODY, &follower.target(""), "");
    let started = Instant::now();
    let daemon = node.serve();
    let (first, _) = follower.hear();
    assert_eq!(serial(&first), 5);
    // Nobody answered: it is told again.
    let (second, from) = follower.hear();
    assert_eq!(serial(&second), 5);
    assert!(started.elapsed() > Duration::from_millis(500), "{:?}", started.elapsed());
    follower.answer(&second, from, ResponseCode::NoError);
    daemon.until("the answer", || daemon.status()["transfers"]["notify-out"] == 1);
    // What was told again before the answer came is not meant.
    while !follower.hears_nothing_for(Duration::from_millis(1)) {}
    // No news is not told.
    reload(&daemon);
    assert!(follower.hears_nothing_for(Duration::from_secs(2)));
    follower.0.set_read_timeout(Some(PATIENCE)).unwrap();
    node.write("zone", &zone(6, 0));
    reload(&daemon);
    let (third, from) = follower.hear();
    assert_eq!(serial(&third), 6);
    follower.answer(&third, from, ResponseCode::Refused);
    daemon.until("the refusal", || daemon.status()["transfers"]["notify-out-failed"] == 1);
    assert!(daemon.log().contains("it answers REFUSED"), "{}", daemon.log());
}

#[test]
fn rfc1996_who_was_not_told_of_a_version_is_told_of_the_next_one_only() {
    let follower = Follower::new();
    let node = notifying(0, ANYBODY, &follower.target(""), "");
    let daemon = node.serve();
    assert_eq!(serial(&follower.hear().0), 5);
    node.write("zone", &zone(6, 0));
    reload(&daemon);
    follower.hear_of(6);
    assert_eq!(serial(&follower.hear().0), 6);
}

#[test]
fn rfc8945_a_notify_is_signed_with_the_followers_key() {
    let follower = Follower::new();
    let node = notifying(0, ANYBODY, &follower.target(", key = \"k.\""), "");
    let daemon = node.serve();
    let key = config::Key {
        name: "k.".to_owned(),
        algorithm: "hmac-sha256".to_owned(),
        secret_file: node.path("secret"),
    };
    let keys = [Arc::new(Key::load(&key).unwrap())];
    let now = || std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let (mut heard, from) = follower.hear();
    let mut session = Session::requested(&keys, &mut heard, now()).unwrap().expect("signed");
    assert_eq!(serial(&heard), 5);
    // An answer without a signature counts for nothing.
    follower.answer(&heard, from, ResponseCode::NoError);
    daemon.until("the fault", || daemon.status()["transfers"]["notify-out-failed"] == 1);
    node.write("zone", &zone(6, 0));
    reload(&daemon);
    let (mut heard, from) = follower.hear_of(6);
    session = Session::requested(&keys, &mut heard, now()).unwrap().unwrap_or(session);
    let mut answer = heard;
    answer[2] |= 0x80;
    session.sign(&mut answer, now());
    follower.0.send_to(&answer, from).unwrap();
    daemon.until("the answer", || daemon.status()["transfers"]["notify-out"] == 1);
}
