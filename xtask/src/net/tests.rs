//! These make namespaces, so they need root and fail without it.

use std::{net::UdpSocket, process::Stdio};

use super::*;
use crate::process::Running;

fn exists(name: &str) -> bool {
    Path::new(NAMESPACES).join(name).exists()
}

#[test]
fn a_pair_carries_both_families_at_once_and_leaves_nothing() {
    let pair = Pair::create().expect("a pair");
    let names = [pair.server.name().to_owned(), pair.client.name().to_owned()];
    for (server, client) in SERVER.into_iter().zip(CLIENT) {
        let listening = pair.server.enter(|| UdpSocket::bind((server, 53))).expect("entered");
        let listening = listening.expect("bound");
        listening.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        let asking = pair.client.enter(|| UdpSocket::bind((client, 0))).expect("entered");
        asking.expect("bound").send_to(b"hello", (server, 53)).expect("sent");
        let mut buffer = [0; 16];
        let (length, from) = listening.recv_from(&mut buffer).expect("received");
        assert_eq!((&buffer[..length], from.ip()), (&b"hello"[..], client));
    }
    assert!(names.iter().all(|name| exists(name)));
    drop(pair);
    assert!(!names.iter().any(|name| exists(name)));
}

#[test]
fn each_side_has_one_queue_and_gro() {
    let pair = Pair::create().expect("a pair");
    for (side, interface) in [(&pair.server, SERVER_INTERFACE), (&pair.client, CLIENT_INTERFACE)] {
        let features =
            process::output(side.command("ethtool").args(["-k", interface])).expect("ethtool");
        assert!(features.contains("generic-receive-offload: on"), "{features}");
        let channels =
            process::output(side.command("ethtool").args(["-l", interface])).expect("ethtool");
        let maximum = channels.split("Current").next().unwrap_or_default();
        assert!(maximum.contains("RX:\t\t1\n") && maximum.contains("TX:\t\t1\n"), "{channels}");
    }
}

#[test]
fn a_panic_and_a_stubborn_process_leave_nothing() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let panicked = thread::spawn(move || {
        let pair = Pair::create().expect("a pair");
        let mut stubborn = pair.server.command("sh");
        stubborn.args(["-c", "trap '' TERM; while :; do sleep 1; done"]).stdout(Stdio::null());
        let mut child = stubborn.spawn().expect("started");
        sender.send((pair.server.name().to_owned(), child.id())).expect("sent");
        thread::spawn(move || child.wait());
        panic!("on purpose");
    });
    let (name, pid) = receiver.recv().expect("the name");
    assert!(panicked.join().is_err());
    assert!(!exists(&name));
    assert!(!Path::new(&format!("/proc/{pid}/exe")).exists());
}

#[test]
fn a_child_dies_with_the_thread_that_started_it() {
    let pid = thread::spawn(|| {
        let child = Running::start(Command::new("sleep").arg("60")).expect("started");
        let pid = child.id();
        std::mem::forget(child);
        pid
    });
    let pid = pid.join().expect("a child");
    let deadline = Instant::now() + Duration::from_secs(20);
    while fs::read_link(format!("/proc/{pid}/exe")).is_ok() {
        assert!(Instant::now() < deadline, "it lives on");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_sweep_removes_the_namespaces_of_a_killed_run() {
    // Process ids stay below 2^22, so this one never lives.
    let name = format!("{}4999999-1-server", cleanup::PREFIX);
    process::output(&mut ip(["netns", "add", &name])).expect("a namespace");
    cleanup::sweep();
    assert!(!exists(&name));
}

#[test]
fn what_the_servers_driver_sends_back_reaches_the_client() {
    const COUNT: u64 = 50;
    let pair = Pair::create().expect("a pair");
    let attach = || program::attach(SERVER_INTERFACE, Verdict::Transmit);
    let reflector = pair.server.enter(attach).expect("entered").expect("attached");
    let neighbour =
        ["neighbour", "replace", "10.53.0.1", "lladdr", "02:00:00:00:00:01", "dev", "vc"];
    process::output(&mut pair.client.ip(neighbour)).expect("a neighbour");

    let before = received(&pair.client, CLIENT_INTERFACE);
    let socket = pair.client.enter(|| UdpSocket::bind((CLIENT[0], 0))).expect("entered");
    let socket = socket.expect("bound");
    for _ in 0..COUNT {
        socket.send_to(b"hello", (SERVER[0], 53)).expect("sent");
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while received(&pair.client, CLIENT_INTERFACE) < before + COUNT {
        assert!(Instant::now() < deadline, "they do not come back");
        thread::sleep(Duration::from_millis(10));
    }
    drop(reflector);
}

#[test]
fn the_clients_interface_can_be_lent() {
    let pair = Pair::create().expect("a pair");
    let attach = || pair.client.enter(|| program::attach(CLIENT_INTERFACE, Verdict::Pass).is_ok());
    assert!(!attach().expect("entered"), "it carries a program");
    let lent = pair.with_free_client_interface(|| attach().expect("entered"));
    assert!(lent.expect("carried again"), "it is free meanwhile");
    assert!(!attach().expect("entered"), "it carries one again");
}

/// Packets that an interface has received.
fn received(namespace: &Namespace, interface: &str) -> u64 {
    let read = || fs::read_to_string("/proc/thread-self/net/dev");
    let text = namespace.enter(read).expect("entered").expect("statistics");
    let start = format!("{interface}:");
    let numbers = text.lines().find_map(|line| line.trim().strip_prefix(&start));
    let packets = numbers.and_then(|numbers| numbers.split_whitespace().nth(1));
    packets.and_then(|word| word.parse().ok()).expect("a number")
}
