//! Queries and frames made and read by the octet, with nothing of the code under test: for the tests
//! and benches that give frames to the programs.
#![allow(dead_code, reason = "several programs take this file and each uses a part of it")]

/// What stands in front of a message: made for a query, compared with a reply's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headers {
    /// The sender's addresses: four octets or sixteen.
    pub source: Vec<u8>,
    /// The receiver's.
    pub destination: Vec<u8>,
    /// The sender's port.
    pub source_port: u16,
    /// The receiver's port.
    pub port: u16,
    /// TTL, or hop limit.
    pub hops: u8,
    /// Type of service, or traffic class.
    pub service: u8,
}

/// A message with one question of class IN; `edns` is the size to offer and DO.
pub fn query(id: u16, name: &[u8], qtype: u16, edns: Option<(u16, bool)>) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns.is_some())]);
    message.extend(name);
    message.extend(qtype.to_be_bytes());
    message.extend([0, 1]);
    if let Some((size, dnssec_ok)) = edns {
        message.extend([0, 0, 41]);
        message.extend(size.to_be_bytes());
        message.extend([0, 0, if dnssec_ok { 0x80 } else { 0 }, 0, 0, 0]);
    }
    message
}

const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

impl Headers {
    /// From a client over IPv4.
    pub fn v4() -> Self {
        Self {
            source: vec![192, 0, 2, 1],
            destination: vec![192, 0, 2, 2],
            source_port: 0x8001,
            port: 53,
            hops: 9,
            service: 3,
        }
    }

    /// From a client over IPv6.
    pub fn v6() -> Self {
        let address = |last| [&[0x20, 1, 0x0d, 0xb8][..], &[0; 11], &[last]].concat();
        Self { source: address(1), destination: address(2), ..Self::v4() }
    }

    /// Whether these are of IPv4.
    pub fn is_v4(&self) -> bool {
        self.source.len() == 4
    }

    /// The message in a UDP datagram in an Ethernet frame, every checksum right.
    pub fn frame(&self, message: &[u8]) -> Vec<u8> {
        let mut datagram = Vec::new();
        let length = message.len() as u16 + 8;
        for number in [self.source_port, self.port, length, 0] {
            datagram.extend(number.to_be_bytes());
        }
        datagram.extend(message);
        let checksum = match !sum(&[
            &self.source,
            &self.destination,
            &[0, 17],
            &length.to_be_bytes(),
            &datagram,
        ]) {
            0 => 0xffff,
            other => other,
        };
        datagram[6..8].copy_from_slice(&checksum.to_be_bytes());
        let mut frame = [SERVER_MAC, CLIENT_MAC].concat();
        if self.is_v4() {
            frame.extend([8, 0, 0x45, self.service]);
            frame.extend((length + 20).to_be_bytes());
            frame.extend([0, 1, 0, 0, self.hops, 17, 0, 0]);
            frame.extend([&self.source[..], &self.destination].concat());
            let checksum = !sum(&[&frame[14..34]]);
            frame[24..26].copy_from_slice(&checksum.to_be_bytes());
        } else {
            // Version, traffic class, flow label 12345.
            frame.extend([0x86, 0xdd, 0x60 | self.service >> 4, self.service << 4 | 1, 0x23, 0x45]);
            frame.extend(length.to_be_bytes());
            frame.extend([17, self.hops]);
            frame.extend([&self.source[..], &self.destination].concat());
        }
        frame.extend(datagram);
        frame
    }
}

/// A frame that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Its headers.
    pub headers: Headers,
    /// The IP header alone.
    pub ip: &'a [u8],
    /// The UDP header and what follows.
    pub datagram: &'a [u8],
    /// The DNS message.
    pub message: &'a [u8],
    ethernet: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads a frame whose lengths must all agree.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(frame: &'a [u8]) -> Result<Self, String> {
        let (ethernet, rest) = frame.split_at_checked(14).ok_or("no Ethernet header")?;
        let number = |octets: &[u8], at: usize| u16::from_be_bytes([octets[at], octets[at + 1]]);
        let (size, address) = match ethernet[12..] {
            [0x08, 0] => (20, 4),
            [0x86, 0xdd] => (40, 16),
            _ => return Err(format!("EtherType {:02x?}", &ethernet[12..])),
        };
        let (ip, datagram) = rest.split_at_checked(size).ok_or("no IP header")?;
        let (header, message) = datagram.split_at_checked(8).ok_or("no UDP header")?;
        let addresses = &ip[size - 2 * address..];
        let (length, hops, protocol, service) = match address {
            4 => (usize::from(number(ip, 2)).wrapping_sub(20), ip[8], ip[9], ip[1]),
            _ => (usize::from(number(ip, 4)), ip[7], ip[6], ip[0] << 4 | ip[1] >> 4),
        };
        let udp_length = usize::from(number(header, 4));
        if (length, udp_length, protocol) != (datagram.len(), datagram.len(), 17) {
            return Err(format!("lengths {length} and {udp_length} of {}", datagram.len()));
        }
        let headers = Headers {
            source: addresses[..address].to_vec(),
            destination: addresses[address..].to_vec(),
            source_port: number(header, 0),
            port: number(header, 2),
            hops,
            service,
        };
        Ok(Self { headers, ip, datagram, message, ethernet })
    }

    /// Holds the headers of a reply against those of its query and the rules for a reply's own.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check_reply_to(&self, query: &Headers) -> Result<(), String> {
        let expected = Headers {
            source: query.destination.clone(),
            destination: query.source.clone(),
            source_port: query.port,
            port: query.source_port,
            hops: 64,
            service: 0,
        };
        let length = (self.datagram.len() as u16).to_be_bytes();
        let addresses = &self.ip[self.ip.len() - 2 * query.source.len()..];
        let v4 = query.is_v4();
        let faults = [
            (self.headers != expected, "addresses, ports, hop limit 64, ECN cleared"),
            (
                self.ethernet[..12] != [CLIENT_MAC, SERVER_MAC].concat(),
                "Ethernet addresses swapped",
            ),
            (sum(&[addresses, &[0, 17], &length, self.datagram]) != 0xffff, "UDP checksum"),
            (self.datagram[6..8] == [0, 0], "a UDP checksum is there"),
            (v4 && self.ip[0] != 0x45, "IPv4 without options"),
            (v4 && sum(&[self.ip]) != 0xffff, "IPv4 header checksum"),
            (v4 && self.ip[6..8] != [0x40, 0], "RFC 9715: DF, no fragment"),
            (v4 && self.ip[4..6] != self.message[..2], "an IPv4 ID: the message's"),
            (!v4 && self.ip[..4] != [0x60, 0, 0, 0], "version 6, no class, no flow label"),
        ];
        match faults.iter().find(|(broken, _)| *broken) {
            None => Ok(()),
            Some((_, rule)) => Err(format!("a reply's headers: {rule}: {self:02x?}")),
        }
    }
}

/// The one's-complement sum of 16-bit numbers (RFC 1071); every part but the last has an even length.
fn sum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u32;
    for pair in parts.iter().flat_map(|part| part.chunks(2)) {
        sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
    }
    while sum >> 16 != 0 {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}
