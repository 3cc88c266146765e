//! Shadow mode and the log of the packet path: what the watched programs tell, by the built program.

use std::{path::Path, sync::Arc};

use aya::maps::MapData;
use memmap2::{MmapOptions, MmapRaw};
use responder::{
    answer::Answerer,
    dataplane::{
        DataPlane,
        trial::HookPoint,
        watch::{Samples, Watch},
    },
    serve::{Comparison, compare},
    store::{Store, StoreOptions},
    zone,
};
use responder_common::layout::SEGMENT_BYTES;
use serde_json::json;

use crate::{
    asked::{
        Served,
        packet::{Headers, Packet, query},
    },
    wire::Wire,
};

/// The address of `www.a.example`, as it stands in the store.
const ADDRESS: [u8; 4] = [192, 0, 2, 80];

/// A segment of the store of a daemon whose maps are pinned, as memory of our own.
struct Segment(MmapRaw);

impl Segment {
    fn open(path: &Path) -> Self {
        use std::os::fd::{AsFd as _, AsRawFd as _};
        let map = MapData::from_pin(path).unwrap_or_else(|error| panic!("{error}"));
        let length = SEGMENT_BYTES as usize;
        Self(MmapOptions::new().len(length).map_raw(map.fd().as_fd().as_raw_fd()).unwrap())
    }

    /// Puts other octets in the place of these, wherever they stand. How often they did.
    fn replace(&self, old: [u8; 4], new: [u8; 4]) -> usize {
        // SAFETY: the mapping lives through the call; the daemon stands still, or at least nobody writes
        // where a zone stands that is published.
        let octets =
            unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr(), SEGMENT_BYTES as usize) };
        let places = octets.windows(4).enumerate().filter(|(_, window)| *window == old);
        let places: Vec<usize> = places.map(|(place, _)| place).collect();
        for place in &places {
            octets[*place..][..4].copy_from_slice(&new);
        }
        places.len()
    }
}

#[test]
fn an_octet_that_only_the_kernel_saw_otherwise_is_counted_and_told() {
    let served = Served::new("native", "shadow = 1");
    let daemon = served.node.serve_with(|command| {
        command.args(["--on-stop", "detach"]);
    });
    let wire = Wire::on("v1");
    let [headers, _] = served.headers();
    let shadow = || daemon.status()["data-plane"]["shadow"].clone();
    assert_eq!(shadow()["one-of"], 1);
    let ask = |id: u16, address: [u8; 4]| {
        wire.ask(&headers.frame(&served.query(id)), |frame| {
            Packet::read(frame).is_ok_and(|packet| {
                packet.message.starts_with(&id.to_be_bytes()) && packet.message.ends_with(&address)
            })
        });
    };
    // Answers from the moment of the start are not judged.
    daemon.until("an answer that is the same", || {
        ask(1, ADDRESS);
        shadow()["equal"].as_u64() > Some(0)
    });
    daemon.until("all of them judged", || {
        let plane = daemon.status()["data-plane"].clone();
        let judged = ["equal", "skipped"].map(|what| plane["shadow"][what].as_u64().unwrap());
        judged.iter().sum::<u64>() == plane["xdp"]["answered"].as_u64().unwrap()
    });
    assert_eq!(shadow()["different"], 0, "{}", daemon.log());

    // The daemon is halted; the kernel answers, what it tells waits. Then the store is damaged.
    daemon.halt();
    ask(2, ADDRESS);
    let segment = Segment::open(&served.node.path("bpf/store/0"));
    let damaged = [192, 0, 2, 81];
    assert!(segment.replace(ADDRESS, damaged) > 0, "the address is not in the store");
    daemon.signal(libc::SIGCONT);
    daemon.until("an answer that is not the same", || shadow()["different"].as_u64() > Some(0));
    let log = daemon.log();
    assert!(log.contains(" ERROR SHADOW: the kernel's answer is not the host's"), "{log}");
    assert!(
        log.contains("hook=\"xdp\" client=192.0.2.1 question=\"www.a.example. IN A\""),
        "{log}"
    );
    let text = served.node.run(&["status", "--config", "r.toml"]).out;
    assert!(text.contains("WRONG ANSWERS: shadow, one of 1: "), "{text}");

    // From now on both see the same again.
    let (equal, different) = (shadow()["equal"].as_u64(), shadow()["different"].clone());
    ask(3, damaged);
    daemon.until("the same again", || shadow()["equal"].as_u64() > equal);
    assert_eq!(shadow()["different"], different, "{}", daemon.log());
    drop(daemon);
    served.node.run(&["detach", "--config", "r.toml"]);
}

#[test]
fn of_so_many_answers_one_is_compared_and_none_where_it_is_off() {
    let served = Served::new("native", "shadow = 4");
    let daemon = served.node.serve();
    let wire = Wire::on("v1");
    let [headers, _] = served.headers();
    let ask = |id: u16| {
        wire.ask(&headers.frame(&served.query(id)), |frame| {
            Packet::read(frame).is_ok_and(|packet| packet.message.starts_with(&id.to_be_bytes()))
        });
    };
    (0..40).for_each(ask);
    daemon.until("the samples", || {
        let plane = daemon.status()["data-plane"].clone();
        // Each processor counts for itself.
        let answered = plane["xdp"]["answered"].as_u64().unwrap();
        let count = |what: &str| plane["shadow"][what].as_u64().unwrap();
        let processors = std::thread::available_parallelism().unwrap().get() as u64;
        let compared = count("equal") + count("skipped");
        assert_eq!(count("different"), 0, "{plane}");
        assert!(4 * compared <= answered, "{plane}");
        4 * (compared + processors) >= answered
    });
    drop(daemon);
    let plain = Served::new("native", "");
    assert_eq!(plain.node.serve().status()["data-plane"]["shadow"], json!(null));
}

#[test]
fn the_log_of_the_packet_path_has_a_line_for_each_query() {
    for (mode, hook) in [("native", "xdp"), ("tc", "tc")] {
        let served = Served::new(mode, "debug = true");
        let daemon = served.node.serve_with(|command| {
            command.env("RESPONDER_LOG", "info,query=debug");
        });
        let wire = Wire::on("v1");
        for (headers, client) in served.headers().iter().zip(["192.0.2.1", "2001:db8::1"]) {
            wire.ask(&headers.frame(&served.query(1)), |frame| Packet::read(frame).is_ok());
            let line =
                format!("DEBUG query hook=\"{hook}\" client=\"{client}\" verdict=\"positive\"");
            daemon.until("the line", || daemon.log().contains(&line));
        }
        assert_eq!(daemon.status()["data-plane"]["shadow"], json!(null));
    }
}

#[test]
fn a_daemon_without_privileges_compares_and_its_helper_writes_the_log() {
    let served = Served::new("native", "shadow = 1\ndebug = true").of_nobody();
    let daemon = served.node.serve_with(|command| {
        command.env("RESPONDER_LOG", "info,query=debug");
    });
    let wire = Wire::on("v1");
    let [headers, _] = served.headers();
    let shadow = || daemon.status()["data-plane"]["shadow"].clone();
    // Answers from the moment of the start are not judged.
    daemon.until("an answer that is the same", || {
        wire.ask(&headers.frame(&served.query(1)), |frame| Packet::read(frame).is_ok());
        shadow()["equal"].as_u64() > Some(0)
    });
    daemon.until("the line", || daemon.log().contains("DEBUG query hook=\"xdp\" client="));
    assert_eq!(shadow()["different"], 0, "{}", daemon.log());
}

/// Programs that tell of every answer, over a store of ours.
fn watched() -> (DataPlane, Arc<Store>, Samples) {
    let options = StoreOptions { udp_size: 1232, id: "shadow".into() };
    let watch = Watch { shadow: 1, debug: false };
    let (plane, store) = DataPlane::load_watched(&options, watch)
        .unwrap_or_else(|error| panic!("these tests need root and BPF: {error:#}"));
    let samples = plane.samples().unwrap();
    (plane, store, samples)
}

#[test]
fn every_class_of_answer_is_the_same_from_the_host() {
    let (plane, store, mut samples) = watched();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../zones");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_none_or(|extension| extension != "zone") {
            continue;
        }
        let apex = file.file_stem().unwrap().to_str().unwrap().to_owned();
        zone::load(&store, &apex, &file).unwrap();
        let wire = zone::name::from_text(&apex).unwrap();
        names.extend(
            [b"\x04none".as_slice(), b"\x03www", b"\x01a\x02bc", b""]
                .map(|front| [front, &wire].concat()),
        );
    }
    // Server cookies tell the time.
    store.set_cookie_secrets(&[[7; 16]]);
    store.set_wall_clock();
    std::thread::sleep(std::time::Duration::from_millis(100));
    let mut answerer = Answerer::new(Arc::clone(&store));
    let (mut compared, mut answered) = (0, 0);
    for name in &names {
        for qtype in [1, 2, 6, 16, 43, 48, 255] {
            for edns in [None, Some((1232, true))] {
                let mut message = query(9, name, qtype, edns);
                if edns.is_some() {
                    // A client cookie (RFC 7873, section 4).
                    let at = message.len() - 2;
                    message[at..].copy_from_slice(&[0, 12]);
                    message.extend([0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
                }
                for headers in [Headers::v4(), Headers::v6()] {
                    for hook in [HookPoint::Xdp, HookPoint::Tc] {
                        let frame = headers.frame(&message);
                        let trial = plane.trial(hook, &frame).unwrap();
                        answered +=
                            u32::from(trial.action == responder_common::verdict::Action::Reply);
                        while samples.show(|sample| {
                            assert_eq!(
                                (sample.query, sample.reply),
                                (&frame[..], &trial.frame[..])
                            );
                            let comparison = compare(&mut answerer, &store, &sample);
                            assert_eq!(comparison, Comparison::Equal, "{hook:?}: {message:02x?}");
                            compared += 1;
                        }) {}
                    }
                }
            }
        }
    }
    assert_eq!(compared, answered, "every answer was told");
    assert!(compared > 500, "only {compared}");
}

#[test]
fn an_answer_from_before_a_change_is_not_judged() {
    let (plane, store, mut samples) = watched();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.zone");
    let load = |serial: u32| {
        std::fs::write(&file, crate::harness::small_zone(serial)).unwrap();
        zone::load(&store, "a.example.", &file).unwrap();
    };
    load(1);
    let mut answerer = Answerer::new(Arc::clone(&store));
    std::thread::sleep(std::time::Duration::from_millis(100));
    let frame = Headers::v4().frame(&query(1, b"\x01a\x07example\0", 6, None));
    plane.trial(HookPoint::Xdp, &frame).unwrap();
    load(2);
    let mut judged = None;
    assert!(samples.show(|sample| judged = Some(compare(&mut answerer, &store, &sample))));
    assert_eq!(judged, Some(Comparison::Skipped));
}
