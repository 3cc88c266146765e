//! Real revisions of the root zone, one after another: each comes as differences, and is answered as NSD
//! answers it. They stand beside the repository; without them there is nothing to show here.

use std::{
    collections::BTreeSet,
    env, fs,
    net::{Ipv4Addr, UdpSocket},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{Record, RecordType},
};
use serde_json::json;

use crate::{
    harness::{Daemon, query},
    peers::{Kind, Plan, Primary},
    primaries::{PATIENT, node},
};

/// The revisions as text, the oldest first.
fn revisions() -> Vec<(u32, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/zones");
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let serial = name.strip_prefix("root-stripped-").and_then(|rest| rest.split('.').next());
        if let Some(serial) = serial.and_then(|serial| serial.parse().ok()) {
            let output = Command::new("gunzip").arg("-c").arg(&path).output().unwrap();
            found.push((serial, String::from_utf8(output.stdout).unwrap()));
        }
    }
    found.sort();
    found
}

fn plan(kind: Kind, text: &str) -> Plan<'_> {
    Plan { kind, zone: ".", text, algorithm: None, notify: None }
}

/// Code, authority, and the records of answer and authority in no order.
type Said = (ResponseCode, bool, BTreeSet<String>, BTreeSet<String>);

fn said(reply: &[u8]) -> Said {
    let message = Message::from_vec(reply).unwrap();
    let texts = |records: &[Record]| {
        records.iter().map(|record| record.to_string().to_ascii_lowercase()).collect()
    };
    let metadata = &message.metadata;
    let (code, authoritative) = (metadata.response_code, metadata.authoritative);
    (code, authoritative, texts(&message.answers), texts(&message.authorities))
}

/// What the server on a port of 127.0.0.1 says over UDP.
fn ask_at(port: u16, query: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.send(query).unwrap();
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).unwrap();
    buffer[..length].to_vec()
}

/// Asks both about every delegation and about names that do not exist; how many questions.
fn compare(daemon: &Daemon<'_>, text: &str, nsd: u16) -> usize {
    // A line without an owner begins with a space.
    let owner = |line: &str| line.split([' ', '\t']).next().map(str::to_ascii_lowercase);
    let owners: BTreeSet<String> = text.lines().filter_map(owner).collect();
    let is_tld =
        |name: &&String| name.len() > 1 && name.ends_with('.') && name.matches('.').count() == 1;
    let tlds: Vec<&String> = owners.iter().filter(is_tld).collect();
    assert!(tlds.len() > 1400, "{}", tlds.len());
    let mut questions: Vec<(String, RecordType)> = Vec::new();
    for tld in tlds {
        questions.push((format!("www.{tld}"), RecordType::A));
        questions.push((tld.clone(), RecordType::DS));
        questions.push((format!("no-{tld}"), RecordType::A));
    }
    for (name, kind) in &questions {
        let query = query(5, name, *kind);
        let theirs = ask_at(nsd, &query);
        assert_eq!(said(&daemon.ask(&query)), said(&theirs), "{name} {kind}");
    }
    questions.len()
}

#[test]
fn the_root_zones_revisions_come_as_differences_and_are_answered_as_nsd_does() {
    let revisions = revisions();
    let Some((first, text)) = revisions.first() else {
        println!("no revisions beside the repository");
        return;
    };
    let primary = Primary::start(&plan(Kind::Knot, text));
    let node = node(&format!(
        "[[zone]]\nname = \".\"\nprimaries = [{{ address = \"127.0.0.1\", port = {} }}]\n\
         # Their publisher took signatures away: the digest is that of the whole zone.\n\
         zonemd = \"off\"\n{PATIENT}",
        primary.port
    ));
    let daemon = node.serve();
    daemon.until("the first revision", || daemon.zone(".")["serial"] == *first);
    let mut figures = Vec::new();
    for (number, (serial, text)) in revisions.iter().enumerate() {
        let started = Instant::now();
        if number > 0 {
            primary.update(".", text);
            let wanted = format!("zone \".\" is fresh: serial {serial}\n");
            daemon.until("the next revision", || {
                node.run(&["zone", "refresh", ".", "--config", "r.toml"]).out == wanted
            });
        }
        let counts = daemon.status()["transfers"].clone();
        assert_eq!(counts["axfr"], 1, "{counts}");
        assert_eq!(counts["ixfr"].as_u64().unwrap_or(0), number as u64, "{counts}");
        let seconds = started.elapsed().as_secs_f64();
        let referee = Primary::start(&plan(Kind::Nsd, text));
        let questions = compare(&daemon, text, referee.port);
        figures.push(json!({ "serial": serial, "seconds": seconds, "questions": questions }));
    }
    if let Ok(file) = env::var("RESPONDER_ROOT_FIGURES") {
        fs::write(file, json!({ "revisions": figures }).to_string()).unwrap();
    }
}
