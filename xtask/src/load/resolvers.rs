//! Ordinary resolvers: a thousand addresses behind a second interface of the server, each asking a few
//! questions a second, while somebody else floods the first. Whoever gets a truncated reply asks again over
//! TCP, as a resolver does.

use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    os::fd::OwnedFd,
    process::Command,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use super::once_more;
use crate::{
    net::{self, Pair},
    packet, process,
    strict::Name,
};

/// The second interface on the server's side.
pub const INTERFACE: &str = "vr";
/// Its other end.
pub const OTHER_END: &str = "vq";
/// How long a resolver waits for a reply.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many there are, each in a /24 of its own.
pub const RESOLVERS: u32 = 1000;
/// So many of them are neighbours, in one /16; the others are far from one another.
pub const NEIGHBOURS: u32 = 100;
/// Where the neighbours' /16 begins.
pub const FIRST: Ipv4Addr = Ipv4Addr::new(60, 0, 0, 0);
/// How far it is from one of the others to the next.
pub const STRIDE: u32 = 0x1_0100;
/// All of them, and nobody else on this network.
const NETWORK: &str = "60.0.0.0/6";
/// Questions sent without a look at what came. Who was kept from the processor for long is not to overflow
/// an interface with all that was due: a thousand machines would not.
const BURST: u64 = 16;
/// How many ask over TCP at a time.
const WORKERS: usize = 16;

/// Where a resolver is.
pub fn address(number: u32) -> Ipv4Addr {
    let place = if number < NEIGHBOURS { number << 8 } else { number * STRIDE };
    Ipv4Addr::from(u32::from(FIRST) + place + 1)
}

/// What became of their questions.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked {
    /// Questions.
    pub sent: u64,
    /// Those answered over UDP with all there is to say.
    pub whole: u64,
    /// Those answered by a truncated reply, and asked again over TCP.
    pub truncated: u64,
    /// Those of them answered over TCP.
    pub over_tcp: u64,
}

impl Asked {
    /// The share that got no answer over UDP or TCP.
    pub fn lost(&self) -> f64 {
        1.0 - (self.whole + self.over_tcp) as f64 / self.sent.max(1) as f64
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
    ip(&format!("-n {far} route add local {NETWORK} dev lo"))?;
    ip(&format!("-n {far} route add {server}/32 dev {OTHER_END} src {}", address(0)))?;
    ip(&format!("-n {near} route add {NETWORK} dev {INTERFACE}"))?;
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
    let asked = pair.client.enter(|| {
        let (again, waiting) = mpsc::channel();
        thread::scope(|scope| {
            let tcp = scope.spawn(|| once_more::serve(server, waiting, WORKERS));
            let asked = Resolvers::open(server, names, again).and_then(|r| r.ask(rate, time));
            let over_tcp = tcp.join().map_err(|_| io::Error::other("a resolver failed"))??;
            Ok::<_, io::Error>(Asked { over_tcp, ..asked? })
        })
    })?;
    Ok(asked?)
}

struct Resolvers<'a> {
    sockets: Vec<UdpSocket>,
    /// What each waits for, and since when.
    waiting: Vec<HashMap<u16, Instant>>,
    names: &'a [Name],
    again: mpsc::Sender<once_more::Question>,
    asked: Asked,
}

impl<'a> Resolvers<'a> {
    fn open(
        server: SocketAddr,
        names: &'a [Name],
        again: mpsc::Sender<once_more::Question>,
    ) -> io::Result<Self> {
        // They stand for other machines, which do not share the server's processors.
        // SAFETY: of this thread alone.
        if unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -20) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let open = |number: u32| -> io::Result<UdpSocket> {
            let socket = UdpSocket::bind((address(number), 0))?;
            socket.connect(server)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        let sockets = (0..RESOLVERS).map(open).collect::<io::Result<Vec<_>>>()?;
        let waiting = vec![HashMap::new(); sockets.len()];
        Ok(Self { sockets, waiting, names, again, asked: Asked::default() })
    }

    fn query(&self, place: usize, id: u16) -> Vec<u8> {
        let name = &self.names[(place + usize::from(id)) % self.names.len()];
        packet::query(id, name.wire(), 1, Some((1232, true)))
    }

    fn ask(mut self, rate: u32, time: Duration) -> io::Result<Asked> {
        let begin = Instant::now();
        loop {
            let now = Instant::now();
            let due = ((now - begin).min(time).as_secs_f64() * f64::from(rate)) as u64;
            for _ in 0..due.saturating_sub(self.asked.sent).min(BURST) {
                let number = self.asked.sent as usize;
                let (place, id) = (number % self.sockets.len(), number / self.sockets.len());
                let query = self.query(place, id as u16);
                // What the system does not take is lost like any other.
                let _ = self.sockets[place].send(&query);
                self.waiting[place].insert(id as u16, now);
                self.asked.sent += 1;
            }
            self.hear(now);
            if now - begin > time && self.waiting.iter().all(HashMap::is_empty) {
                return Ok(self.asked);
            }
            if due <= self.asked.sent {
                thread::sleep(Duration::from_micros(500));
            }
        }
    }

    /// Takes what came, and gives up what did not.
    fn hear(&mut self, now: Instant) {
        let mut buffer = [0; 4096];
        for place in 0..self.sockets.len() {
            while !self.waiting[place].is_empty()
                && let Ok(length) = self.sockets[place].recv(&mut buffer)
            {
                let id = u16::from_be_bytes([buffer[0], buffer[1]]);
                if length < 12 || self.waiting[place].remove(&id).is_none() {
                    continue;
                }
                if buffer[2] & 2 == 0 {
                    self.asked.whole += 1;
                    continue;
                }
                self.asked.truncated += 1;
                let query = self.query(place, id);
                // Nobody listens only when that thread has failed, which is told at the end.
                let _ = self.again.send(once_more::Question { from: address(place as u32), query });
            }
            self.waiting[place].retain(|_, since| now - *since < PATIENCE);
        }
    }
}
