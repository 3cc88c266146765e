//! Answering datagrams: plain threads, one a processor, each with its own socket for every address
//! and its own answerer. They wait, take a batch of queries, answer it and send the batch back.

use std::{
    io,
    net::{IpAddr, UdpSocket},
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::JoinHandle,
};

use anyhow::{Context, Result};
use responder_common::scratch::QUERY_MAX;

use super::{
    counters::{Counters, Event},
    responses::respond,
};
use crate::{
    answer::{Answerer, Transport},
    store::Store,
    transfer::Transfers,
};

/// Datagrams taken at a time.
const BATCH: usize = 64;
/// Octets kept of a query: one more than the engine takes, so that it sees a longer one as such.
const QUERY_OCTETS: usize = QUERY_MAX + 1;

/// The threads that answer; they end when told by [`Threads::stop`].
pub struct Threads {
    handles: Vec<JoinHandle<()>>,
    stop: Arc<OwnedFd>,
}

/// Starts one thread for each list of sockets.
///
/// # Errors
/// The system refuses a thread or a descriptor.
pub fn start(
    sockets: Vec<Vec<UdpSocket>>,
    store: &Arc<Store>,
    transfers: &Arc<Transfers>,
    counters: &Arc<Counters>,
) -> Result<Threads> {
    let stop = Arc::new(event_descriptor().context("cannot make an event descriptor")?);
    let mut threads = Threads { handles: Vec::new(), stop };
    for (number, sockets) in sockets.into_iter().enumerate() {
        let (store, counters) = (Arc::clone(store), Arc::clone(counters));
        let (transfers, stop) = (Arc::clone(transfers), Arc::clone(&threads.stop));
        let handle = std::thread::Builder::new()
            .name(format!("udp-{number}"))
            .spawn(move || answer_until_told(&sockets, &store, &transfers, &counters, &stop))
            .context("cannot start a thread")?;
        threads.handles.push(handle);
    }
    Ok(threads)
}

impl Threads {
    /// Ends the threads after the batch that they are at.
    pub fn stop(self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: the descriptor is open and the buffer has the eight octets that eventfd wants.
        unsafe { libc::write(self.stop.as_raw_fd(), one.as_ptr().cast(), one.len()) };
        for handle in self.handles {
            // A thread that panicked told so itself.
            let _ = handle.join();
        }
    }
}

/// Answers until told to stop. A fault of the engine costs one batch and is counted.
fn answer_until_told(
    sockets: &[UdpSocket],
    store: &Arc<Store>,
    transfers: &Transfers,
    counters: &Counters,
    stop: &OwnedFd,
) {
    loop {
        let work = AssertUnwindSafe(|| {
            let answerer = Answerer::new(Arc::clone(store));
            answer_batches(sockets, answerer, transfers, counters, stop)
        });
        match catch_unwind(work) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => {
                tracing::error!("UDP sockets: {error}");
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
            Err(_) => {
                counters.add(Event::Fault, 1);
                tracing::error!("the engine failed on a UDP query; the thread goes on");
            }
        }
    }
}

fn answer_batches(
    sockets: &[UdpSocket],
    mut answerer: Answerer,
    transfers: &Transfers,
    counters: &Counters,
    stop: &OwnedFd,
) -> io::Result<()> {
    let mut batch = Batch::new();
    let waiting = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let mut polled: Vec<libc::pollfd> = sockets.iter().map(|s| waiting(s.as_raw_fd())).collect();
    polled.push(waiting(stop.as_raw_fd()));
    loop {
        // SAFETY: `polled` is a valid array of that length for the time of the call.
        let ready = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, -1) };
        if ready < 0 {
            match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => continue,
                error => return Err(error),
            }
        }
        if polled[sockets.len()].revents != 0 {
            return Ok(());
        }
        for poll in polled.iter().take(sockets.len()).filter(|poll| poll.revents != 0) {
            batch.receive(poll.fd)?;
            batch.answer(&mut answerer, transfers, counters);
            batch.send(poll.fd, counters);
        }
    }
}

fn event_descriptor() -> io::Result<OwnedFd> {
    // SAFETY: eventfd takes no pointers.
    let descriptor = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Room for a batch of queries and their replies.
struct Batch {
    queries: Box<[[u8; QUERY_OCTETS]]>,
    peers: Box<[libc::sockaddr_storage]>,
    received: Vec<Received>,
    /// One reply for each query; empty ones are not sent.
    replies: Vec<Vec<u8>>,
}

/// The octets of a peer's address and of its query.
#[derive(Clone, Copy)]
struct Received {
    peer_octets: libc::socklen_t,
    octets: usize,
}

impl Batch {
    fn new() -> Self {
        // SAFETY: all zeros is a valid sockaddr_storage, that of no family.
        let peer: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
        Self {
            queries: vec![[0; QUERY_OCTETS]; BATCH].into_boxed_slice(),
            peers: vec![peer; BATCH].into_boxed_slice(),
            received: Vec::with_capacity(BATCH),
            replies: (0..BATCH).map(|_| Vec::new()).collect(),
        }
    }

    /// Takes what waits at a socket, without waiting for more.
    fn receive(&mut self, socket: RawFd) -> io::Result<()> {
        self.received.clear();
        let mut parts = self.queries.iter_mut().map(|query| part(query)).collect::<Vec<_>>();
        let mut headers: Vec<libc::mmsghdr> = parts
            .iter_mut()
            .zip(&mut self.peers)
            .map(|(part, peer)| header(peer, size_of_val(peer) as libc::socklen_t, part))
            .collect();
        // SAFETY: each header points at a part and a peer of this batch, which outlive the call;
        // nothing else touches them meanwhile.
        let count = unsafe {
            libc::recvmmsg(
                socket,
                headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let Ok(count) = usize::try_from(count) else {
            return match io::Error::last_os_error() {
                error if is_passing(&error) => Ok(()),
                error => Err(error),
            };
        };
        self.received.extend(headers[..count].iter().map(|header| Received {
            peer_octets: header.msg_hdr.msg_namelen,
            octets: header.msg_len as usize,
        }));
        Ok(())
    }

    fn answer(&mut self, answerer: &mut Answerer, transfers: &Transfers, counters: &Counters) {
        let mut counts = [0; Event::ALL.len()];
        for (index, received) in self.received.iter().enumerate() {
            let reply = &mut self.replies[index];
            let query = &self.queries[index][..received.octets];
            let peer = address(&self.peers[index], received.peer_octets);
            let event = respond(answerer, transfers, query, peer, Transport::Udp, reply);
            if !event.is_sent() {
                reply.clear();
            }
            counts[event as usize] += 1;
        }
        for (event, count) in Event::ALL.iter().zip(counts) {
            counters.add(*event, count);
        }
    }

    /// Sends the replies without waiting: where the system has no room, UDP may lose them.
    fn send(&mut self, socket: RawFd, counters: &Counters) {
        let mut parts = Vec::with_capacity(self.received.len());
        for (index, received) in self.received.iter().enumerate() {
            if !self.replies[index].is_empty() {
                parts.push((index, received.peer_octets, part(&mut self.replies[index])));
            }
        }
        let mut headers: Vec<libc::mmsghdr> = parts
            .iter_mut()
            .map(|(index, octets, part)| header(&mut self.peers[*index], *octets, part))
            .collect();
        let mut rest = headers.as_mut_slice();
        while !rest.is_empty() {
            // SAFETY: each header points at a reply and a peer of this batch, which outlive the
            // call; the kernel only reads them.
            let sent = unsafe {
                libc::sendmmsg(
                    socket,
                    rest.as_mut_ptr(),
                    rest.len() as libc::c_uint,
                    libc::MSG_DONTWAIT,
                )
            };
            // On an error the first of the rest is the one that could not be sent.
            let done = usize::try_from(sent).unwrap_or_else(|_| {
                counters.add(Event::SendFailed, 1);
                1
            });
            rest = &mut rest[done..];
        }
    }
}

/// Errors that say only that nothing came, or that an earlier reply was not wanted.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::WouldBlock
            | Kind::Interrupted
            | Kind::ConnectionRefused
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
    )
}

/// The address of a peer; only NOTIFY and transfers want to know it.
fn address(peer: &libc::sockaddr_storage, octets: libc::socklen_t) -> Option<IpAddr> {
    match i32::from(peer.ss_family) {
        libc::AF_INET if octets as usize >= size_of::<libc::sockaddr_in>() => {
            // SAFETY: a sockaddr_storage has room and alignment for any address; the family tells which.
            let four = unsafe { &*(&raw const *peer).cast::<libc::sockaddr_in>() };
            Some(IpAddr::from(four.sin_addr.s_addr.to_ne_bytes()))
        }
        libc::AF_INET6 if octets as usize >= size_of::<libc::sockaddr_in6>() => {
            // SAFETY: as above.
            let six = unsafe { &*(&raw const *peer).cast::<libc::sockaddr_in6>() };
            Some(IpAddr::from(six.sin6_addr.s6_addr))
        }
        _ => None,
    }
}

fn part(octets: &mut [u8]) -> libc::iovec {
    libc::iovec { iov_base: octets.as_mut_ptr().cast(), iov_len: octets.len() }
}

fn header(
    peer: &mut libc::sockaddr_storage,
    peer_octets: libc::socklen_t,
    part: &mut libc::iovec,
) -> libc::mmsghdr {
    // SAFETY: all zeros is a valid mmsghdr, one without anything.
    let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
    header.msg_hdr.msg_name = (&raw mut *peer).cast();
    header.msg_hdr.msg_namelen = peer_octets;
    header.msg_hdr.msg_iov = part;
    header.msg_hdr.msg_iovlen = 1;
    header
}
