//! Ordinary resolvers: a thousand addresses behind a second interface of the server, each asking a few
//! questions a second, while somebody else floods the first.

use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    os::fd::OwnedFd,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::{
    net::{self, Pair},
    packet, process,
    strict::Name,
};

/// The second interface on the server's side.
pub const INTERFACE: &str = "vr";
/// Its other end.
const OTHER_END: &str = "vq";
/// How long a resolver waits for a reply.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many there are, each in a /24 of its own.
const RESOLVERS: u32 = 1000;

/// What became of their questions.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked {
    /// Questions.
    pub sent: u64,
    /// Those answered.
    pub answered: u64,
    /// Of these, by a truncated reply: the resolver would ask again over TCP.
    pub truncated: u64,
}

impl Asked {
    /// The share that got no reply.
    pub fn lost(&self) -> f64 {
        1.0 - self.answered as f64 / self.sent.max(1) as f64
    }
}

/// Joins the sides of a pair by the second interface, and routes the resolvers' addresses over it. They hear
/// what the server's program transmits for as long as the descriptor lives.
///
/// # Errors
/// When `ip` or `ethtool` refuses.
pub fn connect(pair: &Pair, server: Ipv4Addr) -> anyhow::Result<OwnedFd> {
    let (near, far) = (pair.server.name(), pair.client.name());
    let ip = |words: &str| process::output(Command::new("ip").args(words.split(' '))).map(drop);
    ip(&format!(
        "link add {INTERFACE} netns {near} numtxqueues 1 numrxqueues 1 type veth peer name {OTHER_END} netns {far} numtxqueues 1 numrxqueues 1"
    ))?;
    for (namespace, interface) in [(&pair.server, INTERFACE), (&pair.client, OTHER_END)] {
        ip(&format!("-n {} link set {interface} up", namespace.name()))?;
        process::output(namespace.command("ethtool").args(["-K", interface, "gro", "on"]))?;
    }
    // Every address of the resolvers is the client's own, without a thousand lines.
    ip(&format!("-n {far} route add local 172.16.0.0/12 dev lo"))?;
    ip(&format!("-n {far} route add {server}/32 dev {OTHER_END} src 172.16.0.1"))?;
    ip(&format!("-n {near} route add 172.16.0.0/12 dev {INTERFACE}"))?;
    pair.client.enter(|| net::let_pass(OTHER_END))?
}

/// Has the resolvers ask for these names, `rate` questions a second in all, for a time.
///
/// # Errors
/// When there are no sockets.
pub fn ask(
    pair: &Pair,
    server: SocketAddr,
    names: &[Name],
    rate: u32,
    time: Duration,
) -> anyhow::Result<Asked> {
    pair.client
        .enter(|| -> io::Result<Asked> {
            let open = |number: u32| -> io::Result<UdpSocket> {
                let address =
                    Ipv4Addr::from(u32::from(Ipv4Addr::new(172, 16, 0, 1)) + (number << 8));
                let socket = UdpSocket::bind((address, 0))?;
                socket.connect(server)?;
                socket.set_nonblocking(true)?;
                Ok(socket)
            };
            let sockets = (0..RESOLVERS).map(open).collect::<io::Result<Vec<_>>>()?;
            let mut waiting: Vec<HashMap<u16, Instant>> = vec![HashMap::new(); sockets.len()];
            let (begin, mut asked, mut buffer) = (Instant::now(), Asked::default(), [0; 4096]);
            loop {
                let now = Instant::now();
                let due = (now - begin).min(time).as_secs_f64() * f64::from(rate);
                while asked.sent < due as u64 {
                    let number = asked.sent as usize;
                    let (place, id) = (number % sockets.len(), (number / sockets.len()) as u16);
                    let name = &names[number % names.len()];
                    let query = packet::query(id, name.wire(), 1, Some((1232, true)));
                    // What the system does not take is lost like any other.
                    let _ = sockets[place].send(&query);
                    waiting[place].insert(id, now);
                    asked.sent += 1;
                }
                for (socket, waiting) in sockets.iter().zip(&mut waiting) {
                    while !waiting.is_empty()
                        && let Ok(length) = socket.recv(&mut buffer)
                    {
                        if length > 2
                            && waiting.remove(&u16::from_be_bytes([buffer[0], buffer[1]])).is_some()
                        {
                            asked.answered += 1;
                            asked.truncated += u64::from(buffer[2] >> 1 & 1);
                        }
                    }
                    waiting.retain(|_, since| now - *since < PATIENCE);
                }
                if now - begin > time && waiting.iter().all(HashMap::is_empty) {
                    return Ok(asked);
                }
                thread::sleep(Duration::from_micros(500));
            }
        })?
        .map_err(Into::into)
}
