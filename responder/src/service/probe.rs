//! One question to a service address: as a datagram, over a stream, or as a frame for the kernel's program.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use socket2::{Domain, Protocol, Socket, Type};

use crate::dataplane::trial::FRAME_MAX;

/// Why a probe has no good answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// No interface of this machine has the address: there is nothing to ask.
    Absent,
    /// Nothing came in time, or the connection was closed: dead, or busy.
    Silent(String),
    /// There is an answer, and it is wrong; or nobody listens.
    Wrong(String),
}

/// A question for a zone's SOA record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    id: u16,
    message: Vec<u8>,
}

impl Question {
    /// For the zone with this apex, in wire format; `id` is to be different each time.
    pub fn soa(apex: &[u8], id: u16) -> Self {
        let mut message = Vec::with_capacity(apex.len() + 16);
        for number in [id, 0, 1, 0, 0, 0] {
            message.extend(number.to_be_bytes());
        }
        message.extend(apex);
        // SOA, IN.
        message.extend([0, 6, 0, 1]);
        Self { id, message }
    }

    /// Whether this is the answer that a healthy server gives: authoritative and without fault, or cut
    /// short where the client is to come again over TCP.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn judge(&self, reply: &[u8]) -> Result<(), String> {
        let Some(header) = reply.first_chunk::<12>() else {
            return Err(format!("a reply of {} octets", reply.len()));
        };
        if header[..2] != self.id.to_be_bytes() || header[2] & 0x80 == 0 {
            return Err("no reply to this query".to_owned());
        }
        let question = self.message.get(12..).unwrap_or_default();
        if !reply.get(12..).is_some_and(|rest| rest.starts_with(question)) {
            return Err("another question in the reply".to_owned());
        }
        let (rcode, truncated) = (header[3] & 15, header[2] & 2 != 0);
        let (authoritative, answers) = (header[2] & 4 != 0, header[6..8] != [0, 0]);
        match rcode {
            0 if truncated || authoritative && answers => Ok(()),
            0 => Err("a reply without authority or answer".to_owned()),
            2 => Err("SERVFAIL".to_owned()),
            5 => Err("REFUSED".to_owned()),
            code => Err(format!("response code {code}")),
        }
    }

    /// Asks an address of this machine over UDP. The source is the same address, so no other machine that
    /// has it too can answer.
    ///
    /// # Errors
    /// Why there is no good answer.
    pub fn over_udp(&self, server: SocketAddr, patience: Duration) -> Result<(), Failure> {
        let ask = || -> io::Result<Result<(), String>> {
            let socket = UdpSocket::bind((server.ip(), 0))?;
            socket.connect(server)?;
            socket.send(&self.message)?;
            let deadline = Instant::now() + patience;
            let mut buffer = [0; 4096];
            loop {
                let rest = deadline.saturating_duration_since(Instant::now());
                socket.set_read_timeout(Some(rest.max(Duration::from_millis(1))))?;
                let length = socket.recv(&mut buffer)?;
                // What belongs to an earlier query is not this one's.
                if buffer[..length].starts_with(&self.id.to_be_bytes()) {
                    return Ok(self.judge(&buffer[..length]));
                }
            }
        };
        told(ask())
    }

    /// Asks an address of this machine over TCP, over a new connection.
    ///
    /// # Errors
    /// Why there is no good answer.
    pub fn over_tcp(&self, server: SocketAddr, patience: Duration) -> Result<(), Failure> {
        let ask = || -> io::Result<Result<(), String>> {
            let deadline = Instant::now() + patience;
            let rest = || deadline.saturating_duration_since(Instant::now()).max(patience / 100);
            let socket =
                Socket::new(Domain::for_address(server), Type::STREAM, Some(Protocol::TCP))?;
            socket.bind(&SocketAddr::new(server.ip(), 0).into())?;
            socket.connect_timeout(&server.into(), rest())?;
            let mut stream: TcpStream = socket.into();
            stream.set_write_timeout(Some(rest()))?;
            let length = (self.message.len() as u16).to_be_bytes();
            stream.write_all(&[&length[..], &self.message].concat())?;
            stream.set_read_timeout(Some(rest()))?;
            let mut length = [0; 2];
            stream.read_exact(&mut length)?;
            let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.set_read_timeout(Some(rest()))?;
            stream.read_exact(&mut reply)?;
            Ok(self.judge(&reply))
        };
        told(ask())
    }

    /// The question in a frame to the service, from an address that nobody has (RFC 2544, RFC 5180): so it
    /// spends what is allowed to no client.
    pub fn frame(&self, server: SocketAddr) -> Vec<u8> {
        let chance = self.id.to_be_bytes();
        let (source, destination): (Vec<u8>, Vec<u8>) = match server.ip() {
            IpAddr::V4(address) => (vec![198, 18, chance[0], chance[1]], address.octets().to_vec()),
            IpAddr::V6(address) => {
                let mut source = vec![0x20, 0x01, 0, 2];
                source.extend([0, 0, chance[0], chance[1], 0, 0, 0, 0, 0, 0, 0, 1]);
                (source, address.octets().to_vec())
            }
        };
        let length = self.message.len() as u16 + 8;
        let mut datagram = Vec::new();
        for number in [50_000 + self.id % 10_000, server.port(), length, 0] {
            datagram.extend(number.to_be_bytes());
        }
        datagram.extend(&self.message);
        let pseudo = [&source[..], &destination, &[0, 17], &length.to_be_bytes(), &datagram];
        let checksum = match checksum(&pseudo.concat()) {
            0 => 0xffff,
            other => other,
        };
        datagram[6..8].copy_from_slice(&checksum.to_be_bytes());
        // Locally administered addresses.
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        if source.len() == 4 {
            frame.extend([8, 0, 0x45, 0]);
            frame.extend((length + 20).to_be_bytes());
            frame.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
            frame.extend([source, destination].concat());
            let checksum = self::checksum(&frame[14..34]);
            frame[24..26].copy_from_slice(&checksum.to_be_bytes());
        } else {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend(length.to_be_bytes());
            frame.extend([17, 64]);
            frame.extend([source, destination].concat());
        }
        frame.extend(datagram);
        debug_assert!(frame.len() < FRAME_MAX);
        frame
    }

    /// As [`Question::judge`], for the frame that a program made of ours.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn judge_frame(&self, reply: &[u8]) -> Result<(), String> {
        let head = if reply.get(12..14) == Some(&[8, 0]) { 14 + 20 + 8 } else { 14 + 40 + 8 };
        self.judge(reply.get(head..).unwrap_or_default())
    }
}

/// The Internet checksum (RFC 1071).
fn checksum(octets: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for pair in octets.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn told(asked: io::Result<Result<(), String>>) -> Result<(), Failure> {
    match asked {
        Ok(Ok(())) => Ok(()),
        Ok(Err(wrong)) => Err(Failure::Wrong(wrong)),
        Err(error) => Err(match error.kind() {
            ErrorKind::AddrNotAvailable => Failure::Absent,
            ErrorKind::ConnectionRefused => Failure::Wrong("nobody listens".to_owned()),
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                Failure::Silent("no reply in time".to_owned())
            }
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                Failure::Silent("the connection was closed".to_owned())
            }
            _ => Failure::Wrong(error.to_string()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(question: &Question, flags: [u8; 2], answers: u8) -> Vec<u8> {
        let mut reply = question.message.clone();
        reply[2..4].copy_from_slice(&flags);
        reply[7] = answers;
        reply
    }

    #[test]
    fn only_an_authoritative_answer_is_good() {
        let question = Question::soa(b"\x03lac\0", 77);
        assert_eq!(question.judge(&reply(&question, [0x84, 0], 1)), Ok(()));
        // Cut short: come again.
        assert_eq!(question.judge(&reply(&question, [0x86, 0], 0)), Ok(()));
        for (flags, answers) in
            [([0x84, 0], 0), ([0x80, 0], 1), ([0x84, 2], 0), ([0x84, 5], 0), ([0x04, 0], 1)]
        {
            assert!(question.judge(&reply(&question, flags, answers)).is_err(), "{flags:?}");
        }
        let other = Question::soa(b"\x03lab\0", 77);
        assert!(question.judge(&reply(&other, [0x84, 0], 1)).is_err());
        assert!(question.judge(&reply(&Question::soa(b"\x03lac\0", 78), [0x84, 0], 1)).is_err());
        assert!(question.judge(&[]).is_err());
    }

    #[test]
    fn checksums_of_frames_add_up() {
        for server in ["192.0.2.53:53", "[2001:db8::53]:53"] {
            let frame = Question::soa(b"\x03lac\0", 4711).frame(server.parse().unwrap());
            let (addresses, datagram) = match server.starts_with('[') {
                true => (&frame[22..54], &frame[54..]),
                false => {
                    assert_eq!(checksum(&frame[14..34]), 0);
                    (&frame[26..34], &frame[34..])
                }
            };
            let length = (datagram.len() as u16).to_be_bytes();
            assert_eq!(checksum(&[addresses, &[0, 17], &length, datagram].concat()), 0);
        }
    }

    #[test]
    fn an_address_of_another_machine_is_never_asked() {
        let question = Question::soa(b"\0", 1);
        let server = "192.0.2.1:53".parse().unwrap();
        let patience = Duration::from_millis(100);
        assert_eq!(question.over_udp(server, patience), Err(Failure::Absent));
        assert_eq!(question.over_tcp(server, patience), Err(Failure::Absent));
    }
}
