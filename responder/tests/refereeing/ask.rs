//! Asking a server many questions: over UDP with many in flight, over TCP one by one, by transfer.

use std::{
    collections::{HashMap, VecDeque},
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use super::queries::{Dress, Query};
use crate::strict::{Message, Name, Record, rtype};

/// How hard to ask.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Sockets, each with a thread.
    pub sockets: usize,
    /// Queries in flight on each socket.
    pub window: usize,
    /// Wait before a query is sent again.
    pub patience: Duration,
    /// How often a query is sent before it counts as lost.
    pub tries: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { sockets: 2, window: 32, patience: Duration::from_millis(500), tries: 8 }
    }
}

/// What came back.
#[derive(Debug, Default)]
pub struct Replies {
    /// For each query its reply; none where it was lost for good.
    pub replies: Vec<Option<Vec<u8>>>,
    /// Queries that had to be sent again.
    pub resent: u64,
    /// Datagrams that answer none of the open queries.
    pub strays: u64,
}

impl Replies {
    /// Queries without a reply.
    pub fn lost(&self) -> usize {
        self.replies.iter().filter(|reply| reply.is_none()).count()
    }
}

/// Asks every query over UDP, from threads in the network namespace of the caller.
///
/// # Errors
/// When a socket cannot be had.
pub fn datagrams(server: SocketAddr, queries: &[Query], pace: Pace) -> io::Result<Replies> {
    let parts: Vec<io::Result<Part>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..pace.sockets)
            .map(|first| scope.spawn(move || Part::ask(server, queries, first, pace)))
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("an asking thread fell")).collect()
    });
    let mut all = Replies { replies: vec![None; queries.len()], ..Replies::default() };
    for part in parts {
        let part = part?;
        all.resent += part.resent;
        all.strays += part.strays;
        for (index, reply) in part.replies {
            all.replies[index] = Some(reply);
        }
    }
    Ok(all)
}

/// One socket's share of the work.
#[derive(Default)]
struct Part {
    replies: Vec<(usize, Vec<u8>)>,
    resent: u64,
    strays: u64,
}

impl Part {
    fn ask(server: SocketAddr, queries: &[Query], first: usize, pace: Pace) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(Duration::from_millis(20)))?;
        let mut part = Self::default();
        let mut waiting = (first..queries.len()).step_by(pace.sockets).peekable();
        let mut open: HashMap<u16, (usize, u32)> = HashMap::new();
        let mut deadlines: VecDeque<(Instant, u16, usize)> = VecDeque::new();
        let mut buffer = vec![0; 65_535];
        while !open.is_empty() || waiting.peek().is_some() {
            while open.len() < pace.window
                && let Some(index) =
                    waiting.next_if(|&index| !open.contains_key(&queries[index].id()))
            {
                send(&socket, &queries[index])?;
                open.insert(queries[index].id(), (index, 1));
                deadlines.push_back((Instant::now() + pace.patience, queries[index].id(), index));
            }
            match socket.recv(&mut buffer) {
                Ok(length) => part.receive(&buffer[..length], queries, &mut open),
                Err(error) if is_transient(&error) => {}
                Err(error) => return Err(error),
            }
            while let Some(&(deadline, id, index)) = deadlines.front()
                && deadline <= Instant::now()
            {
                deadlines.pop_front();
                let Some((_, sent)) = open.get_mut(&id).filter(|entry| entry.0 == index) else {
                    continue;
                };
                if *sent >= pace.tries {
                    open.remove(&id);
                    continue;
                }
                *sent += 1;
                part.resent += 1;
                send(&socket, &queries[index])?;
                deadlines.push_back((Instant::now() + pace.patience, id, index));
            }
        }
        Ok(part)
    }

    /// Takes a datagram for the open query with its ID and, whatever the case, its question.
    fn receive(&mut self, reply: &[u8], queries: &[Query], open: &mut HashMap<u16, (usize, u32)>) {
        let id = reply.first_chunk().map(|&id| u16::from_be_bytes(id));
        let index = id.and_then(|id| open.get(&id)).map(|entry| entry.0).filter(|&index| {
            let asked = queries[index].question();
            let echoed = reply.get(12..12 + asked.len());
            let no_question = reply.len() >= 12 && reply[4..6] == [0, 0];
            no_question || echoed.is_some_and(|echoed| echoed.eq_ignore_ascii_case(asked))
        });
        match (id, index) {
            (Some(id), Some(index)) => {
                open.remove(&id);
                self.replies.push((index, reply.to_vec()));
            }
            _ => self.strays += 1,
        }
    }
}

fn send(socket: &UdpSocket, query: &Query) -> io::Result<()> {
    match socket.send(&query.octets) {
        Err(error) if !is_transient(&error) => Err(error),
        _ => Ok(()),
    }
}

/// A full queue, or a server that is not up (yet): what is lost is sent again.
fn is_transient(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), ConnectionRefused | Interrupted | TimedOut | WouldBlock)
        || error.raw_os_error() == Some(105) // ENOBUFS
}

/// Asks every query over TCP, one after the other, a hundred to a connection. There is no reply where
/// the server closes the connection instead.
///
/// # Errors
/// When the server cannot be reached.
pub fn stream(server: SocketAddr, queries: &[&Query]) -> io::Result<Vec<Option<Vec<u8>>>> {
    let mut replies = Vec::with_capacity(queries.len());
    let mut open = None;
    for (number, query) in queries.iter().enumerate() {
        if number % 100 == 0 {
            open = None;
        }
        let mut stream = match open.take() {
            Some(stream) => stream,
            None => connect(server)?,
        };
        let reply =
            write_message(&mut stream, &query.octets).and_then(|()| read_message(&mut stream));
        if reply.is_ok() {
            open = Some(stream);
        }
        replies.push(reply.ok());
    }
    Ok(replies)
}

/// One message over UDP and its reply, if one comes within two seconds; it is sent twice.
///
/// # Errors
/// When a socket cannot be had.
pub fn exchange_datagram(server: SocketAddr, message: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut buffer = vec![0; 65_535];
    for _ in 0..2 {
        socket.send(message)?;
        match socket.recv(&mut buffer) {
            Ok(length) => return Ok(Some(buffer[..length].to_vec())),
            Err(error) if is_transient(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// One message over TCP and its reply; none where the server closes the connection instead.
///
/// # Errors
/// When the server cannot be reached.
pub fn exchange_stream(server: SocketAddr, message: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut stream = connect(server)?;
    Ok(write_message(&mut stream, message).and_then(|()| read_message(&mut stream)).ok())
}

/// A zone's records by AXFR (RFC 5936), the closing SOA left off.
///
/// # Errors
/// When the server cannot be reached, refuses, or sends what the strict decoder refuses.
pub fn transfer(server: SocketAddr, apex: &Name) -> io::Result<Vec<Record>> {
    let mut stream = connect(server)?;
    let query = Query::new(1, apex.clone(), rtype::AXFR, Dress::default());
    write_message(&mut stream, &query.octets)?;
    let mut records: Vec<Record> = Vec::new();
    loop {
        let message = Message::parse(&read_message(&mut stream)?).map_err(io::Error::other)?;
        if message.rcode() != 0 || message.answer.is_empty() {
            return Err(io::Error::other(format!("no transfer of {apex}: {message}")));
        }
        for record in message.answer {
            if record.rtype == rtype::SOA && !records.is_empty() {
                return Ok(records);
            }
            records.push(record);
        }
    }
}

fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&server, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let mut framed = (message.len() as u16).to_be_bytes().to_vec();
    framed.extend_from_slice(message);
    stream.write_all(&framed)
}

fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message)?;
    Ok(message)
}
