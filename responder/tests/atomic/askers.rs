//! Three ways to ask, each as fast as it can.

use std::{
    fs::File,
    net::{SocketAddr, UdpSocket},
    os::fd::AsRawFd as _,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use responder::{
    answer::{Answerer, Outcome, Transport},
    dataplane::{
        DataPlane,
        trial::{FRAME_MAX, HookPoint},
    },
    store::Store,
};
use responder_common::verdict::Action;

use super::{
    Flood,
    batch::{Batch, WINDOW},
    packet::{Headers, Packet},
};

/// Asks the kernel programs without an interface.
pub fn test_runs(flood: &Flood, plane: &DataPlane) {
    let frame = |query: &[u8]| Headers::v4().frame(query);
    let frames: Vec<_> = flood.templates.iter().map(|each| frame(&each.query)).collect();
    let mut out = vec![0; FRAME_MAX];
    while !flood.done.load(Ordering::Relaxed) {
        for (number, frame) in frames.iter().enumerate() {
            let floor = flood.seen.load(Ordering::SeqCst);
            let hooks = [HookPoint::Xdp, HookPoint::Tc].into_iter();
            let mut runs =
                hooks.map(|hook| plane.trial_into(hook, frame, &mut out).expect("a run"));
            match runs.find(|run| run.action == Action::Reply).map(|run| run.length) {
                Some(length) => {
                    let packet = Packet::read(&out[..length]).expect("a sound frame");
                    flood.judge(number, floor, packet.message);
                    flood.answers.fetch_add(1, Ordering::Relaxed);
                }
                None => drop(flood.lost.fetch_add(1, Ordering::Relaxed)),
            }
        }
    }
}

/// Asks the host's engine, over datagrams and streams.
pub fn host(flood: &Flood, store: Arc<Store>) {
    let mut answerer = Answerer::new(store);
    let mut reply = Vec::new();
    while !flood.done.load(Ordering::Relaxed) {
        for (number, template) in flood.templates.iter().enumerate() {
            for transport in [Transport::Udp, Transport::Tcp] {
                let floor = flood.seen.load(Ordering::SeqCst);
                if answerer.answer(&template.query, transport, &mut reply) != Outcome::Reply {
                    flood.lost.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                flood.judge(number, floor, &reply);
                flood.answers.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Asks a server from a socket in another namespace. Queries go out a window at a time; the next one goes
/// when every reply is there, or is late.
pub fn sockets(flood: &Flood, namespace: &File, server: SocketAddr) {
    // SAFETY: a descriptor that is open; only this thread changes its namespace.
    let entered = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
    assert_eq!(entered, 0, "entering the client's namespace");
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    socket.connect(server).expect("a route");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
    let mut batch = Batch::new();
    let mut next = 0;
    while !flood.done.load(Ordering::Relaxed) {
        let floor = flood.seen.load(Ordering::SeqCst);
        let first = next;
        for place in 0..WINDOW {
            let number = (first + place) % flood.templates.len();
            batch.put(place, place as u16, &flood.templates[number].query);
        }
        next = (first + WINDOW) % flood.templates.len();
        batch.send(&socket);
        let mut waiting = WINDOW;
        while waiting > 0 {
            let count = batch.receive(&socket, waiting);
            if count == 0 {
                flood.lost.fetch_add(waiting as u64, Ordering::Relaxed);
                flood.done.store(true, Ordering::Relaxed);
                break;
            }
            for reply in batch.received(count) {
                let place = u16::from_be_bytes([reply[0], reply[1]]);
                flood.judge((first + usize::from(place)) % flood.templates.len(), floor, reply);
            }
            waiting -= count;
            flood.answers.fetch_add(count as u64, Ordering::Relaxed);
        }
    }
}
