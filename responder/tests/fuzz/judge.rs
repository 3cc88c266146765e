//! What a reply must be whatever the programs say: headers turned round, checksums right, a message that
//! the strict decoder accepts. None of the engine's code is used here.

use responder::{dataplane::trial::HookPoint, strict};

/// The one's-complement sum (RFC 1071) of octets in network order, folded, with `start` added.
pub fn sum(octets: &[u8], start: u64) -> u16 {
    let mut sum = start;
    let mut pairs = octets.chunks_exact(2);
    for pair in &mut pairs {
        sum += u64::from(u16::from_be_bytes([pair[0], pair[1]]));
    }
    if let [last] = pairs.remainder() {
        sum += u64::from(*last) << 8;
    }
    while sum >> 16 != 0 {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

/// Judges the headers of the reply to a query, both whole frames; where the message begins.
///
/// # Errors
/// What is wrong with them.
pub fn headers(hook: HookPoint, query: &[u8], reply: &[u8]) -> Result<usize, String> {
    let ip = network(query);
    rule(reply.len() >= ip + 28, "shorter than its headers")?;
    rule(reply[..6] == query[6..12] && reply[6..12] == query[..6], "Ethernet addresses")?;
    rule(reply[12..ip] == query[12..ip], "VLAN tags or EtherType")?;
    let number = |frame: &[u8], at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    let udp = if reply[ip] == 0x45 {
        let header = &reply[ip..ip + 20];
        rule(usize::from(number(reply, ip + 2)) == reply.len() - ip, "total length of IPv4")?;
        rule(header[1] == 0 && header[8] == 64 && header[9] == 17, "TOS, TTL or protocol of IPv4")?;
        rule(header[6..8] == [0x40, 0], "DF or fragment of IPv4")?;
        rule(sum(header, 0) == 0xffff, "checksum of IPv4")?;
        rule(header[12..16] == query[ip + 16..ip + 20], "source of IPv4")?;
        rule(header[16..20] == query[ip + 12..ip + 16], "destination of IPv4")?;
        ip + 20
    } else {
        rule(reply.len() >= ip + 48, "shorter than its headers")?;
        let header = &reply[ip..ip + 40];
        rule(header[..4] == [0x60, 0, 0, 0], "version, class or flow of IPv6")?;
        rule(usize::from(number(reply, ip + 4)) == reply.len() - ip - 40, "length of IPv6")?;
        rule(header[6..8] == [17, 64], "next header or hop limit of IPv6")?;
        rule(header[8..24] == query[ip + 24..ip + 40], "source of IPv6")?;
        rule(header[24..40] == query[ip + 8..ip + 24], "destination of IPv6")?;
        ip + 40
    };
    rule(number(reply, udp) == number(query, udp + 2), "source port")?;
    rule(number(reply, udp + 2) == number(query, udp), "destination port")?;
    let datagram = &reply[udp..];
    rule(usize::from(number(reply, udp + 4)) == datagram.len(), "length of UDP")?;
    let pseudo = |frame: &[u8]| {
        let addresses = if udp - ip == 20 { &frame[udp - 8..udp] } else { &frame[udp - 32..udp] };
        sum(addresses, 17 + u64::from(number(frame, udp + 4)))
    };
    let stored = number(reply, udp + 6);
    // One finished checksum in 65,536 is that of the pseudo header, too.
    let asked = &query[udp..udp + usize::from(number(query, udp + 4))];
    let finished = sum(asked, u64::from(pseudo(query))) == 0xffff;
    if hook == HookPoint::Tc && number(query, udp + 6) == pseudo(query) && !finished {
        rule(stored == pseudo(reply), "checksum still to be finished")?;
    } else {
        rule(stored != 0, "no checksum")?;
        rule(sum(datagram, u64::from(pseudo(reply))) == 0xffff, "checksum of UDP")?;
    }
    Ok(udp + 8)
}

/// Judges the reply to a query, both as messages.
///
/// # Errors
/// What is wrong with it.
pub fn message(asked: &[u8], message: &[u8]) -> Result<(), String> {
    rule(message.len() >= 12, "shorter than a header")?;
    rule(message[..2] == asked[..2], "ID")?;
    let decoded = strict::Message::parse(message).map_err(|fault| format!("strict: {fault}"))?;
    rule(decoded.header.qr, "QR")?;
    for question in &decoded.question {
        let name = question.name.wire();
        rule(asked.get(12..12 + name.len()) == Some(name), "question not echoed")?;
    }
    Ok(())
}

fn rule(holds: bool, rule: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(rule.to_owned()) }
}

/// Where the IP header stands, taking the tags for what they say they are.
pub fn network(frame: &[u8]) -> usize {
    let mut at = 12;
    while matches!(frame.get(at..at + 2), Some([0x81, 0] | [0x88, 0xa8])) && at < 20 {
        at += 4;
    }
    at + 2
}
