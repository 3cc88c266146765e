//! Questions asked again over TCP, each over a connection of its own, from the address of who asks.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::Receiver,
    },
    thread,
    time::Duration,
};

/// How long a connection may take for each step.
const PATIENCE: Duration = Duration::from_secs(2);

/// A question, and who asks it.
pub struct Question {
    /// Who asks.
    pub from: Ipv4Addr,
    /// The message.
    pub query: Vec<u8>,
}

/// Asks all that comes, so many at a time, until nobody can send any more; how many were answered.
///
/// # Errors
/// Reserved for sockets that cannot be made: who gets no answer is only not counted.
pub fn serve(server: SocketAddr, questions: Receiver<Question>, workers: usize) -> io::Result<u64> {
    let (questions, answered) = (Mutex::new(questions), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let next = questions.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(question) = next else { return };
                    if ask(server, &question).is_ok_and(|answered| answered) {
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    Ok(answered.into_inner())
}

/// Whether the question is answered, not truncated.
fn ask(server: SocketAddr, Question { from, query }: &Question) -> io::Result<bool> {
    let mut stream = connect(*from, server)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut message = (query.len() as u16).to_be_bytes().to_vec();
    message.extend(query);
    stream.write_all(&message)?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut reply)?;
    Ok(reply.len() > 12 && reply[..2] == query[..2] && reply[2] & 0x82 == 0x80)
}

/// A connection from an address; the standard library knows none.
fn connect(from: Ipv4Addr, server: SocketAddr) -> io::Result<TcpStream> {
    let SocketAddr::V4(server) = server else {
        return Err(io::Error::other("the resolvers have IPv4"));
    };
    // SAFETY: a plain system call.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is ours.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    let address = |ip: Ipv4Addr, port: u16| libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(ip).to_be() },
        sin_zero: [0; 8],
    };
    let length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    let (near, far) = (address(from, 0), address(*server.ip(), server.port()));
    let patience = libc::timeval { tv_sec: PATIENCE.as_secs() as i64, tv_usec: 0 };
    // SAFETY: the structures live through the calls, and their lengths are right. A send time-out bounds
    // connecting too.
    let connected = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_SNDTIMEO,
            (&raw const patience).cast(),
            size_of::<libc::timeval>() as libc::socklen_t,
        ) == 0
            && libc::bind(socket.as_raw_fd(), (&raw const near).cast(), length) == 0
            && libc::connect(socket.as_raw_fd(), (&raw const far).cast(), length) == 0
    };
    if connected { Ok(socket.into()) } else { Err(io::Error::last_os_error()) }
}
