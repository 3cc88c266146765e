//! A thousand queries a second from every place, each remembered: when it went, who answered and when.
//!
//! One thread sends for all places, a query from each in every millisecond, IPv4 and IPv6 in turn, and takes
//! the replies; a reply belongs to its query by socket and message id. A query counts as lost when no reply
//! came within [`PATIENCE`].

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    os::fd::AsRawFd as _,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::Context as _;

use super::{addresses::SERVICE, world::World};

/// Queries per second from each place.
pub const RATE: u32 = 1000;
/// A reply that takes longer is none.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// How long queries are remembered.
const MEMORY: Duration = Duration::from_secs(100);
/// After a stall of the machine a place sends no more than so many queries at once.
const BURST: u64 = 4;

/// Who answered: an index into the topology's nodes, or none of these.
pub const NOBODY: u8 = u8::MAX;

/// One query and what became of it.
#[derive(Debug, Clone, Copy)]
pub struct Query {
    /// When it was sent.
    pub sent: Instant,
    /// The index of its place.
    pub place: u8,
    /// 0 for IPv4, 1 for IPv6.
    pub family: u8,
    /// The index of its zone.
    pub zone: u8,
    /// The index of the node that answered, or [`NOBODY`].
    pub node: u8,
    /// The reply's rcode.
    pub rcode: u8,
    /// How long the reply took, in microseconds.
    pub took: u32,
}

impl Query {
    /// Whether no reply came.
    pub fn is_lost(&self) -> bool {
        self.node == NOBODY
    }
}

/// The socket of a place for one family, and what was sent by it.
struct Asker {
    socket: UdpSocket,
    place: u8,
    family: u8,
    /// Queries, oldest first; the id of the first is `first`.
    queries: VecDeque<Query>,
    first: u64,
}

/// The load; it goes on until it is dropped.
pub struct Load {
    askers: Arc<Vec<Mutex<Asker>>>,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    worst_stall: Arc<Mutex<Duration>>,
}

impl Load {
    /// Begins to ask from every place for names of these zones.
    ///
    /// # Errors
    /// When a socket cannot be made.
    pub fn start(world: &World, zones: &[&str]) -> anyhow::Result<Self> {
        let mut askers = Vec::new();
        for (place, entry) in world.topology.places.iter().enumerate() {
            for (family, service) in SERVICE.into_iter().enumerate() {
                let open = || socket(service);
                let socket = world.space(&format!("{}-r", entry.code)).enter(open)?;
                askers.push(Mutex::new(Asker {
                    socket: socket.context(entry.name)?,
                    place: place as u8,
                    family: family as u8,
                    queries: VecDeque::new(),
                    first: 0,
                }));
            }
        }
        let askers = Arc::new(askers);
        let end = Arc::new(AtomicBool::new(false));
        let worst_stall = Arc::new(Mutex::new(Duration::ZERO));
        let names = world.topology.nodes.iter().map(|node| node.id.as_bytes().to_vec()).collect();
        let questions: Vec<Vec<u8>> = zones.iter().map(|zone| question(zone)).collect();
        let work = Work {
            askers: askers.clone(),
            end: end.clone(),
            names,
            questions,
            worst_stall: worst_stall.clone(),
        };
        let thread = thread::Builder::new().name("load".to_owned()).spawn(move || work.run())?;
        Ok(Self { askers, end, thread: Some(thread), worst_stall })
    }

    /// Every query that was sent between two moments. Queries of the last [`PATIENCE`] may still be answered.
    pub fn between(&self, from: Instant, to: Instant) -> Vec<Query> {
        let mut found = Vec::new();
        for asker in self.askers.iter() {
            let asker = lock(asker);
            let start = asker.queries.partition_point(|query| query.sent < from);
            let end = asker.queries.partition_point(|query| query.sent < to);
            found.extend(asker.queries.range(start..end.max(start)));
        }
        found
    }

    /// The longest time for which the machine let nothing be sent, since this was last asked.
    pub fn take_worst_stall(&self) -> Duration {
        std::mem::take(&mut lock(&self.worst_stall))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

struct Work {
    askers: Arc<Vec<Mutex<Asker>>>,
    end: Arc<AtomicBool>,
    names: Vec<Vec<u8>>,
    questions: Vec<Vec<u8>>,
    worst_stall: Arc<Mutex<Duration>>,
}

impl Work {
    fn run(&self) {
        go_before_others();
        let start = Instant::now();
        let mut sent = 0_u64;
        let mut last = start;
        let mut buffer = [0; 2048];
        while !self.end.load(Ordering::Relaxed) {
            let now = Instant::now();
            let stall = now - last;
            last = now;
            {
                let mut worst = lock(&self.worst_stall);
                *worst = stall.max(*worst);
            }
            let due = (now - start).as_millis() as u64 * u64::from(RATE) / 1000;
            // What a stall has kept from being sent is left out, rather than sent at once.
            sent = sent.max(due.saturating_sub(BURST));
            while sent < due {
                for asker in self.askers.iter() {
                    let mut asker = lock(asker);
                    if u64::from(asker.family) == sent % 2 {
                        self.ask(&mut asker, sent / 2);
                    }
                }
                sent += 1;
            }
            for asker in self.askers.iter() {
                self.take_replies(&mut lock(asker), &mut buffer);
            }
            let next = start + Duration::from_millis((sent + 1) * 1000 / u64::from(RATE));
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }

    fn ask(&self, asker: &mut Asker, number: u64) {
        let zone = (number as usize + usize::from(asker.place)) % self.questions.len();
        let id = asker.first + asker.queries.len() as u64;
        let mut message = self.questions[zone].clone();
        message[..2].copy_from_slice(&(id as u16).to_be_bytes());
        let query = Query {
            sent: Instant::now(),
            place: asker.place,
            family: asker.family,
            zone: zone as u8,
            node: NOBODY,
            rcode: 0,
            took: 0,
        };
        // An error is that of an earlier query (ICMP): the next attempt sends.
        if asker.socket.send(&message).is_err() {
            _ = asker.socket.send(&message);
        }
        asker.queries.push_back(query);
        while asker.queries.front().is_some_and(|oldest| query.sent - oldest.sent > MEMORY) {
            asker.queries.pop_front();
            asker.first += 1;
        }
    }

    fn take_replies(&self, asker: &mut Asker, buffer: &mut [u8]) {
        loop {
            let length = match asker.socket.recv(buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // ICMP tells that a query did not arrive: it stays lost.
                Err(_) => continue,
            };
            let reply = &buffer[..length];
            let Some((id, rcode, nsid)) = read(reply) else { continue };
            let last = asker.first + asker.queries.len() as u64;
            // The id is the low half of the query's number.
            let behind = (last as u16).wrapping_sub(id);
            let Some(number) = last.checked_sub(u64::from(behind)) else { continue };
            let Some(index) = number.checked_sub(asker.first) else { continue };
            let Some(query) = asker.queries.get_mut(index as usize) else { continue };
            let took = query.sent.elapsed();
            let node = self.names.iter().position(|name| name == nsid);
            if took <= PATIENCE && query.is_lost() {
                query.took = took.as_micros() as u32;
                query.rcode = rcode;
                query.node = node.map_or(NOBODY, |node| node as u8);
            }
        }
    }
}

/// A query for `www` in a zone that asks for NSID (RFC 5001), with id 0.
fn question(zone: &str) -> Vec<u8> {
    let mut message = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    for label in format!("www.{zone}").split_terminator('.') {
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    // OPT: root, type 41, 1232 octets, no flags, four octets of options: NSID, empty.
    message.extend([0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 4, 0, 3, 0, 0]);
    message
}

/// Id, rcode and NSID of a reply. The OPT record is the last one, and NSID its first option, as all our nodes
/// write it; anything else is nobody's reply.
fn read(reply: &[u8]) -> Option<(u16, u8, &[u8])> {
    let id = u16::from_be_bytes(reply.get(..2)?.try_into().ok()?);
    let rcode = reply.get(3)? & 0x0f;
    let opt = reply.windows(5).rposition(|octets| octets == [0, 0, 41, 0x04, 0xd0])?;
    let options = reply.get(opt + 11..)?;
    let [0, 3, high, low, rest @ ..] = options else { return None };
    let nsid = rest.get(..usize::from(u16::from_be_bytes([*high, *low])))?;
    Some((id, rcode, nsid))
}

fn socket(service: IpAddr) -> io::Result<UdpSocket> {
    let any = if service.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect(SocketAddr::new(service, 53))?;
    socket.set_nonblocking(true)?;
    let size: libc::c_int = 4 << 20;
    // SAFETY: the option is an int that outlives the call. Without the privilege the size stays as it was.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUFFORCE,
            (&raw const size).cast(),
            size_of_val(&size) as libc::socklen_t,
        );
    }
    Ok(socket)
}

/// Whoever waits for a processor loses queries that nobody has lost.
fn go_before_others() {
    // SAFETY: the structure outlives the call; 0 is the calling thread. Without the privilege nothing changes.
    unsafe {
        let parameters = libc::sched_param { sched_priority: 5 };
        libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc5001_a_reply_tells_its_node() {
        let mut reply = question("cr.");
        assert_eq!(read(&reply).map(|(_, _, nsid)| nsid), Some(&b""[..]));
        let length = reply.len();
        reply.truncate(length - 6);
        reply[..4].copy_from_slice(&[0x12, 0x34, 0x84, 0x02]);
        reply.extend([0, 8, 0, 3, 0, 4]);
        reply.extend(b"scl1");
        assert_eq!(read(&reply), Some((0x1234, 2, &b"scl1"[..])));
        assert_eq!(read(&reply[..9]), None);
    }
}
