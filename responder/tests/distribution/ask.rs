//! Asking for transfers: with dig, which checks signatures by itself, and by hand.

use std::{collections::BTreeSet, process::Command, str::FromStr};

use hickory_proto::{
    op::Message,
    rr::{Name, RData, Record, RecordType, rdata::SOA},
};

use crate::harness::{Node, query};
pub use crate::servers::SECRET;

/// A zone of every shape of name, `Mixed` case, and names enough for several messages.
pub fn zone(serial: u32, names: u32) -> String {
    let mut text = format!(
        "$ORIGIN Tld.test.\n$TTL 3600\n@ SOA ns1 Hostmaster.Example. {serial} 7200 3600 1209600 300\n\
         @ NS Ns1\n@ NS ns.elsewhere.example.\n@ MX 10 Mail\nNs1 A 192.0.2.1\nNs1 AAAA 2001:db8::1\n\
         MiXed CNAME tArget.Elsewhere.example.\nmail A 192.0.2.25\n*.wild TXT \"{serial}\"\n\
         odd TYPE65400 \\# 4 01020304\nsrv 60 SRV 0 0 53 NS1\nold DNAME New.example.\n"
    );
    for number in 0..names {
        text += &format!(
            "D{number} NS ns1.D{number}\nns1.D{number} A 198.51.{}.{}\n",
            number / 250 % 250,
            number % 250
        );
    }
    text
}

/// A node that gives `tld.test.`, of so many delegations, to those of `transfer_to`; `more` are sections
/// in front.
pub fn node(names: u32, transfer_to: &str, more: &str) -> Node {
    notifying(names, transfer_to, "", more)
}

/// The same; those of `notify_to` are told of new versions.
pub fn notifying(names: u32, transfer_to: &str, notify_to: &str, more: &str) -> Node {
    let node = Node::new(&format!(
        "{more}[[key]]\nname = \"k.\"\nsecret-file = \"secret\"\n[[key]]\nname = \"other.\"\n\
         secret-file = \"other\"\n[[zone]]\nname = \"tld.test.\"\nfile = \"zone\"\ntransfer-to = \
         [{transfer_to}]\nnotify-to = [{notify_to}]\n"
    ));
    node.write("secret", SECRET);
    node.write("other", "b3RoZXI=");
    node.write("zone", &zone(5, names));
    node
}

/// What dig says to a question; `key` as `name:secret` with hmac-sha256.
pub fn dig(port: u16, arguments: &[&str], key: Option<&str>) -> String {
    let mut command = Command::new("dig");
    command.args(["@127.0.0.1", "-p", &port.to_string(), "+time=10", "+tries=1"]).args(arguments);
    if let Some(key) = key {
        command.args(["-y", &format!("hmac-sha256:{key}")]);
    }
    let output = command.output().expect("dig: run `cargo xtask setup`");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The records that a whole transfer gives, each on a line, and how many there were with the SOA twice.
pub fn axfr(port: u16, zone: &str, key: Option<&str>) -> (BTreeSet<String>, usize) {
    let said = dig(port, &[zone, "AXFR", "+noall", "+answer", "+onesoa"], key);
    let lines = said.lines().filter(|line| !line.starts_with(';') && !line.is_empty());
    let records: Vec<String> =
        lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let count = records.len();
    (records.into_iter().collect(), count)
}

/// An IXFR request for the changes since a serial.
pub fn ixfr(zone: &str, serial: u32) -> Vec<u8> {
    let mut message = Message::from_vec(&query(9, zone, RecordType::IXFR)).unwrap();
    let root = Name::root();
    let soa = SOA::new(root.clone(), root, serial, 0, 0, 0, 0);
    let name = Name::from_str(zone).unwrap();
    message.authorities.push(Record::from_rdata(name, 0, RData::SOA(soa)));
    message.to_vec().unwrap()
}
