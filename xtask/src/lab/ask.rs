//! One server asked which serial of a zone it serves.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

/// A socket of the calling thread's namespace that asks one server.
///
/// # Errors
/// When it cannot be made.
pub fn socket(server: IpAddr) -> io::Result<UdpSocket> {
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect(SocketAddr::new(server, 53))?;
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    Ok(socket)
}

/// Asks for a zone's SOA; its serial, or nothing where the zone is not served.
///
/// # Errors
/// When no reply comes.
pub fn serial(socket: &UdpSocket, zone: &str) -> io::Result<Option<u32>> {
    static ID: AtomicU16 = AtomicU16::new(1);
    let id = ID.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let mut message = vec![id[0], id[1], 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in zone.split_terminator('.') {
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
    }
    message.extend([0, 0, 6, 0, 1]);
    socket.send(&message)?;
    let mut buffer = [0; 1500];
    loop {
        let length = socket.recv(&mut buffer)?;
        let reply = &buffer[..length];
        if length < message.len() || reply[..2] != id {
            continue; // of an earlier query
        }
        // Without EDNS the answer's SOA is the last record, and ends with serial and four intervals.
        let has_answer = reply[3] & 0x0f == 0 && reply[7] == 1;
        let serial = reply.len().checked_sub(20).and_then(|at| reply[at..].first_chunk::<4>());
        return Ok(serial.filter(|_| has_answer).map(|octets| u32::from_be_bytes(*octets)));
    }
}

/// Asks so many different names in every millisecond, and hears no reply; how many were asked.
pub fn flood(socket: &UdpSocket, every_millisecond: u64, time: Duration) -> u64 {
    let start = Instant::now();
    let mut sent = 0;
    while start.elapsed() < time {
        let due = start.elapsed().as_millis() as u64 * every_millisecond;
        // What a stall has kept from being sent is left out.
        sent = due.saturating_sub(2 * every_millisecond).max(sent);
        while sent < due {
            let name = format!("{sent:016x}");
            let mut message = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 16];
            message.extend(name.as_bytes());
            message.extend([2, b'c', b'r', 0, 0, 1, 0, 1]);
            // What the kernel refuses is none that was asked, and replies are left to its buffer.
            _ = socket.send(&message);
            sent += 1;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    sent
}
