//! The daemon's UDP and TCP sockets: opened on every address before anything else is set up, so
//! that a port in use is told at once.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
    os::fd::AsRawFd,
};

use anyhow::{Result, anyhow};
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::{Listen, TlsListen};

/// Octets of a UDP socket's receive buffer, as far as the system grants them: about 2,000 queries
/// that wait while all threads are busy.
const RECEIVE_BUFFER: usize = 2 << 20;
/// Connections that the system keeps until they are accepted.
const BACKLOG: i32 = 1024;

/// Every socket of the service.
pub struct Sockets {
    /// For each thread, one socket for each address.
    pub udp: Vec<Vec<UdpSocket>>,
    /// One for each address.
    pub tcp: Vec<TcpListener>,
    /// One for each address on which zones are given over TLS.
    pub tls: Vec<TcpListener>,
}

/// Opens the sockets for `threads` UDP threads.
///
/// # Errors
/// A port in use, an address that the machine lacks, a port that needs a capability: one line with
/// the remedy.
pub fn bind(listen: &Listen, tls: Option<&TlsListen>, threads: usize) -> Result<Sockets> {
    let udp = (0..threads).map(|_| Vec::new()).collect();
    let mut sockets = Sockets { udp, tcp: Vec::new(), tls: Vec::new() };
    for ip in tls.iter().flat_map(|tls| &tls.addresses) {
        let address = SocketAddr::new(*ip, tls.map_or(0, |tls| tls.port));
        let listener = tcp(address, false).map_err(|error| explain(address, "TLS", &error))?;
        sockets.tls.push(listener);
    }
    for ip in &listen.addresses {
        let address = SocketAddr::new(*ip, listen.port);
        let coming = listen.coming.contains(ip);
        let tell = |kind| move |error| explain(address, kind, &error);
        let mut first: Option<UdpSocket> = None;
        for thread in &mut sockets.udp {
            let socket = self::udp(address, first.is_some(), coming).map_err(tell("UDP"))?;
            first.get_or_insert(socket.try_clone()?);
            thread.push(socket);
        }
        sockets.tcp.push(tcp(address, coming).map_err(tell("TCP"))?);
    }
    Ok(sockets)
}

/// A UDP socket. The first of an address is bound alone, so that it fails where anybody else
/// listens, even a daemon of the same user; the others then share its port.
fn udp(address: SocketAddr, shared: bool, coming: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    only_v6(&socket, address)?;
    allow_absent(&socket, address, coming)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    socket.set_reuse_port(true)?;
    // As much as there is: the system may grant less, and the daemon works all the same.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    ignore_path_mtu(&socket, address)?;
    Ok(socket.into())
}

fn tcp(address: SocketAddr, coming: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    only_v6(&socket, address)?;
    allow_absent(&socket, address, coming)?;
    // Connections of a daemon that just ended do not keep the port.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Lets an address be bound that no interface has yet: an announcer puts it there later.
fn allow_absent(socket: &Socket, address: SocketAddr, coming: bool) -> io::Result<()> {
    match (coming, address.is_ipv4()) {
        (false, _) => Ok(()),
        (true, true) => socket.set_freebind_v4(true),
        (true, false) => socket.set_freebind_v6(true),
    }
}

fn only_v6(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv6() { socket.set_only_v6(true) } else { Ok(()) }
}

/// Lets no forged ICMP message shrink the path's MTU: replies are bounded by `limits.udp-size`
/// instead (RFC 9715, section 3.1).
fn ignore_path_mtu(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    let (level, option, value) = match address.ip() {
        IpAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_OMIT),
        IpAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_OMIT),
    };
    // SAFETY: the descriptor is open while `socket` lives; the value is an int of its own size.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn explain(address: SocketAddr, transport: &str, error: &io::Error) -> anyhow::Error {
    let port = address.port();
    match error.kind() {
        io::ErrorKind::AddrInUse => anyhow!(
            "cannot listen on {address} ({transport}): the port is in use: stop the other server \
             (`ss -lnp 'sport = :{port}'` names it), or set another listen.port"
        ),
        io::ErrorKind::AddrNotAvailable => anyhow!(
            "cannot listen on {address} ({transport}): no interface has this address: add it \
             (`ip address add`), or remove it from listen.addresses"
        ),
        io::ErrorKind::PermissionDenied => anyhow!(
            "cannot listen on {address} ({transport}): permission denied: a port below 1024 needs \
             root or CAP_NET_BIND_SERVICE"
        ),
        _ => anyhow!("cannot listen on {address} ({transport}): {error}"),
    }
}
