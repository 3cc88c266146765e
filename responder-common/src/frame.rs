//! Headers from Ethernet to UDP: which frames are queries to us, and the headers of a reply.
//!
//! Offsets in [`Scratch::head`] count from its end, so that those of UDP and IP are constants whatever
//! stands in front of them.

use zerocopy::{FromBytes, Immutable};

use crate::{
    bounds, checksum,
    layout::{ADDRESSES_MAX, Root},
    name::keep,
    platform::Platform,
    scratch::{HEAD, QUERY_MAX, Scratch},
    verdict::Verdict,
};

/// Reads a received frame.
pub trait Frame {
    /// The value at `offset`, in memory order, or nothing beyond the frame's end.
    fn read<T: FromBytes + Immutable + Copy>(&self, offset: u32) -> Option<T>;
    /// Octets of the frame.
    fn length(&self) -> u32;
}

/// One in a buffer, as the host has it.
impl Frame for &[u8] {
    fn read<T: FromBytes + Immutable + Copy>(&self, offset: u32) -> Option<T> {
        let rest = self.get(offset as usize..)?;
        T::read_from_prefix(rest).ok().map(|(value, _)| value)
    }

    fn length(&self) -> u32 {
        self.len() as u32
    }
}

/// Octets of an Ethernet header.
pub const ETHERNET: u32 = 14;
/// Octets of a VLAN tag (IEEE 802.1Q).
pub const VLAN: u32 = 4;
/// Octets of an IPv4 header without options (RFC 791).
pub const IPV4: u32 = 20;
/// Octets of an IPv6 header (RFC 8200).
pub const IPV6: u32 = 40;
/// Octets of a UDP header (RFC 768).
pub const UDP: u32 = 8;
/// Longest headers that fit a [`Scratch::head`].
pub const HEADERS_MAX: u32 = ETHERNET + 2 * VLAN + IPV6 + UDP;

const ETHERTYPE_IPV4: u16 = 0x0800_u16.to_be();
const ETHERTYPE_IPV6: u16 = 0x86DD_u16.to_be();
const ETHERTYPE_VLAN: u16 = 0x8100_u16.to_be();
const ETHERTYPE_QINQ: u16 = 0x88A8_u16.to_be();
const PROTOCOL_UDP: u8 = 17;
const HOP_LIMIT: u8 = 64;

/// Recognises a query to us: leaves the lengths of headers and message in the scratch memory.
///
/// # Errors
/// What else the frame is.
#[inline(always)]
pub fn query<F: Frame>(frame: &F, root: &Root, s: &mut Scratch) -> Result<(), Verdict> {
    let mut network = ETHERNET;
    let mut ethertype = frame.read::<u16>(12).ok_or(Verdict::NotIp)?;
    if ethertype == ETHERTYPE_VLAN || ethertype == ETHERTYPE_QINQ {
        ethertype = frame.read::<u16>(16).ok_or(Verdict::NotIp)?;
        network += VLAN;
        if ethertype == ETHERTYPE_VLAN {
            ethertype = frame.read::<u16>(20).ok_or(Verdict::NotIp)?;
            network += VLAN;
        }
    }
    match ethertype {
        ETHERTYPE_IPV4 => ipv4(frame, root, s, network),
        ETHERTYPE_IPV6 => ipv6(frame, root, s, network),
        _ => Err(Verdict::NotIp),
    }
}

#[inline(always)]
fn ipv4<F: Frame>(frame: &F, root: &Root, s: &mut Scratch, at: u32) -> Result<(), Verdict> {
    let start = frame.read::<[u8; 4]>(at).ok_or(Verdict::BadLength)?;
    let protocol = frame.read::<[u8; 4]>(at + 8).ok_or(Verdict::BadLength)?[1];
    if protocol != PROTOCOL_UDP {
        return Err(Verdict::NotUdp);
    }
    if start[0] != 0x45 {
        return Err(Verdict::IpOptions);
    }
    let fragment = frame.read::<[u8; 2]>(at + 6).ok_or(Verdict::BadLength)?;
    // More fragments follow, or this is not the first.
    if (fragment[0] & 0x3f) | fragment[1] != 0 {
        return Err(Verdict::IpFragment);
    }
    let source = frame.read::<[u8; 4]>(at + 12).ok_or(Verdict::BadLength)?;
    let destination = frame.read::<u32>(at + 16).ok_or(Verdict::BadLength)?;
    let mut ours = root.addresses4_length == 0 && root.addresses6_length == 0;
    let mut place = 0;
    while place < ADDRESSES_MAX {
        if place as u16 >= root.addresses4_length {
            break;
        }
        ours |= root.addresses4[place] == destination;
        place += 1;
    }
    if !ours {
        return Err(Verdict::NotOurs);
    }
    let payload = u32::from(u16::from_be_bytes([start[2], start[3]])).wrapping_sub(IPV4);
    s.version.set(4);
    s.client.set([u64::from(u32::from_ne_bytes(source)), 0]);
    udp(frame, root, s, at + IPV4, payload)?;
    // RFC 1122, section 3.2.1.3: no host sends from these.
    if source[0] == 0 || source[0] == 127 || source[0] >= 224 {
        return Err(Verdict::Martian);
    }
    Ok(())
}

#[inline(always)]
fn ipv6<F: Frame>(frame: &F, root: &Root, s: &mut Scratch, at: u32) -> Result<(), Verdict> {
    let start = frame.read::<[u8; 8]>(at).ok_or(Verdict::BadLength)?;
    match start[6] {
        PROTOCOL_UDP => {}
        // Hop-by-hop, routing, destination options (RFC 8200, section 4).
        0 | 43 | 60 => return Err(Verdict::IpOptions),
        44 => return Err(Verdict::IpFragment),
        _ => return Err(Verdict::NotUdp),
    }
    let source = frame.read::<[u64; 2]>(at + 8).ok_or(Verdict::BadLength)?;
    let destination = frame.read::<[u64; 2]>(at + 24).ok_or(Verdict::BadLength)?;
    let mut ours = root.addresses4_length == 0 && root.addresses6_length == 0;
    let mut place = 0;
    while place < ADDRESSES_MAX {
        if place as u16 >= root.addresses6_length {
            break;
        }
        let address = root.addresses6[place];
        ours |= address[0] == destination[0] && address[1] == destination[1];
        place += 1;
    }
    if !ours {
        return Err(Verdict::NotOurs);
    }
    let payload = u32::from(u16::from_be_bytes([start[4], start[5]]));
    s.version.set(6);
    s.client.set(source);
    udp(frame, root, s, at + IPV6, payload)?;
    let checksum = frame.read::<u16>(at + IPV6 + 6).ok_or(Verdict::BadLength)?;
    if checksum == 0 {
        return Err(Verdict::NoChecksum);
    }
    let loopback = source[1] == 1_u64.to_be();
    // Unspecified, loopback, multicast (RFC 4291, section 2).
    if (source[0] == 0 && (source[1] == 0 || loopback)) || source[0] as u8 == 0xff {
        return Err(Verdict::Martian);
    }
    Ok(())
}

#[inline(always)]
fn udp<F: Frame>(
    frame: &F,
    root: &Root,
    s: &mut Scratch,
    at: u32,
    payload: u32,
) -> Result<(), Verdict> {
    let header = frame.read::<[u8; 8]>(at).ok_or(Verdict::BadLength)?;
    if u16::from_be_bytes([header[2], header[3]]) != root.port {
        return Err(Verdict::NotOurs);
    }
    let length = u32::from(u16::from_be_bytes([header[4], header[5]]));
    // Padding of the link may follow, but IP and UDP agree on their end.
    if length != payload || length < UDP || at + length > frame.length() {
        return Err(Verdict::BadLength);
    }
    if header[0] | header[1] == 0 {
        return Err(Verdict::Martian);
    }
    if length - UDP > QUERY_MAX as u32 {
        return Err(Verdict::Oversize);
    }
    s.head_length.set(at + UDP);
    s.query_length.set(length - UDP);
    Ok(())
}

/// Which checksum the reply's UDP header gets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// Over the whole datagram.
    Full,
    /// Over the pseudo header alone: the device or the stack finishes it (CHECKSUM_PARTIAL).
    Pseudo,
}

/// Turns the query's headers in [`Scratch::head`] into those of a reply of `length` octets; the sum of
/// the message is in [`Scratch::sum`].
#[inline(always)]
pub fn reverse(s: &mut Scratch, length: u32, kind: Checksum) {
    let datagram = length + UDP;
    reverse_link(s);
    let pseudo =
        if s.version.get() == 4 { reverse_ipv4(s, datagram) } else { reverse_ipv6(s, datagram) };
    const AT: usize = HEAD - UDP as usize;
    let [a, b, c, d] = [s.head[AT], s.head[AT + 1], s.head[AT + 2], s.head[AT + 3]];
    s.head[AT] = c;
    s.head[AT + 1] = d;
    s.head[AT + 2] = a;
    s.head[AT + 3] = b;
    set(&mut s.head, AT + 4, (datagram as u16).to_be_bytes());
    let pseudo = pseudo + number(datagram as u16) + number(u16::from(PROTOCOL_UDP));
    let checksum = if kind == Checksum::Full {
        let ports = u64::from(u16::from_ne_bytes([a, b])) + u64::from(u16::from_ne_bytes([c, d]));
        let sum = pseudo + ports + number(datagram as u16) + u64::from(checksum::fold(s.sum.get()));
        // A sum of zero is written as all ones: zero means "no checksum" (RFC 768).
        match !checksum::fold(sum) {
            0 => 0xffff,
            sum => sum,
        }
    } else {
        checksum::fold(pseudo)
    };
    set(&mut s.head, AT + 6, checksum.to_ne_bytes());
}

/// Whether the query's UDP checksum is the sum of its pseudo header: it comes from this host or a guest,
/// and the reply must carry the same kind. To be asked while the message is as it came.
#[inline(always)]
pub fn is_partial<P: Platform>(platform: &P, s: &mut Scratch) -> bool {
    const AT: usize = HEAD - UDP as usize;
    let stored = u16::from_ne_bytes([s.head[AT + 6], s.head[AT + 7]]);
    let addresses = if s.version.get() == 4 { addresses4(s) } else { addresses6(s) };
    let datagram = s.query_length.get() + UDP;
    let pseudo = addresses + number(datagram as u16) + number(u16::from(PROTOCOL_UDP));
    if checksum::fold(pseudo) != stored {
        return false;
    }
    // One finished checksum in 65,536 happens to look so; then it is also the true one.
    let ports = head_word(s, AT) & 0xffff_ffff;
    s.sum.set(pseudo + ports + number(datagram as u16));
    let length = s.query_length.get();
    platform.repeat(length.div_ceil(8), |step| {
        let at = step * 8;
        if at >= length {
            return false;
        }
        let octets = keep(bounds::word(&s.message, at), length - at);
        s.sum.set(s.sum.get() + checksum::halves(octets));
        true
    });
    // A sum of zero is written as all ones (RFC 768).
    let whole = match !checksum::fold(s.sum.get()) {
        0 => 0xffff,
        sum => sum,
    };
    whole != stored
}

/// What a 16-bit number in network order adds to a sum.
#[inline(always)]
fn number(value: u16) -> u64 {
    u64::from(value.to_be())
}

#[inline(always)]
fn set(head: &mut [u8; HEAD], at: usize, value: [u8; 2]) {
    head[at] = value[0];
    head[at + 1] = value[1];
}

/// Swaps the Ethernet addresses; VLAN tags stay.
#[inline(always)]
fn reverse_link(s: &mut Scratch) {
    let start = (HEAD as u32).wrapping_sub(s.head_length.get()) as usize;
    if start > HEAD - 12 {
        return;
    }
    let start = start as u32;
    // Destination in octets 0 to 5, source in 6 to 11; the rest of the second word stays.
    let (first, second) = (bounds::word(&s.head, start), bounds::word(&s.head, start + 8));
    let destination = first & MAC;
    let source = first >> 48 | (second & 0xffff_ffff) << 16;
    bounds::put(&mut s.head, start, source | destination << 48);
    bounds::put(&mut s.head, start + 8, second & !0xffff_ffff | destination >> 16);
}

/// The octets of an Ethernet address in a word.
const MAC: u64 = 0xffff_ffff_ffff;

/// A word of the head.
#[inline(always)]
fn head_word(s: &Scratch, at: usize) -> u64 {
    bounds::word(&s.head, at as u32)
}

const ADDRESSES_V4: usize = HEAD - UDP as usize - 8;
const ADDRESSES_V6: usize = HEAD - UDP as usize - 32;

/// The sum of the IPv4 addresses.
#[inline(always)]
fn addresses4(s: &Scratch) -> u64 {
    checksum::halves(head_word(s, ADDRESSES_V4))
}

/// The sum of the IPv6 addresses.
#[inline(always)]
fn addresses6(s: &Scratch) -> u64 {
    checksum::halves(head_word(s, ADDRESSES_V6))
        + checksum::halves(head_word(s, ADDRESSES_V6 + 8))
        + checksum::halves(head_word(s, ADDRESSES_V6 + 16))
        + checksum::halves(head_word(s, ADDRESSES_V6 + 24))
}

/// A reply's own IPv4 header: DF (RFC 9715), hop limit 64, no ECN, the message's ID as its ID.
#[inline(always)]
fn reverse_ipv4(s: &mut Scratch, datagram: u32) -> u64 {
    const AT: usize = HEAD - (UDP + IPV4) as usize;
    let addresses = head_word(s, ADDRESSES_V4);
    let [id_high, id_low] = [s.message[0], s.message[1]];
    let length = (datagram + IPV4) as u16;
    s.head[AT + 1] = 0;
    set(&mut s.head, AT + 2, length.to_be_bytes());
    set(&mut s.head, AT + 4, [id_high, id_low]);
    set(&mut s.head, AT + 6, [0x40, 0]);
    s.head[AT + 8] = HOP_LIMIT;
    let sum = number(0x4500)
        + number(length)
        + u64::from(u16::from_ne_bytes([id_high, id_low]))
        + number(0x4000)
        + number(u16::from(HOP_LIMIT) << 8 | u16::from(PROTOCOL_UDP))
        + checksum::halves(addresses);
    set(&mut s.head, AT + 10, (!checksum::fold(sum)).to_ne_bytes());
    bounds::put(&mut s.head, ADDRESSES_V4 as u32, addresses.rotate_left(32));
    checksum::halves(addresses)
}

/// A reply's own IPv6 header: no traffic class, no flow label, hop limit 64.
#[inline(always)]
fn reverse_ipv6(s: &mut Scratch, datagram: u32) -> u64 {
    const AT: usize = HEAD - (UDP + IPV6) as usize;
    let sum = addresses6(s);
    let words = [
        head_word(s, ADDRESSES_V6),
        head_word(s, ADDRESSES_V6 + 8),
        head_word(s, ADDRESSES_V6 + 16),
        head_word(s, ADDRESSES_V6 + 24),
    ];
    s.head[AT] = 0x60;
    s.head[AT + 1] = 0;
    set(&mut s.head, AT + 2, [0, 0]);
    set(&mut s.head, AT + 4, (datagram as u16).to_be_bytes());
    s.head[AT + 7] = HOP_LIMIT;
    bounds::put(&mut s.head, ADDRESSES_V6 as u32, words[2]);
    bounds::put(&mut s.head, ADDRESSES_V6 as u32 + 8, words[3]);
    bounds::put(&mut s.head, ADDRESSES_V6 as u32 + 16, words[0]);
    bounds::put(&mut s.head, ADDRESSES_V6 as u32 + 24, words[1]);
    sum
}
