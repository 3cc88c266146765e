//! What the kernel tells of interfaces, and the addresses that are put on one and taken off it (rtnetlink).

use std::{io, net::IpAddr};

use anyhow::{Context, Result, bail};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader,
    NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressFlags, AddressMessage},
    link::{LinkAttribute, LinkFlags, LinkMessage, LinkXdp, XdpAttached},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use crate::dataplane::index;

/// An interface as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub index: u32,
    /// Whether it is up and has a carrier.
    pub is_up: bool,
    /// The XDP program that hangs there.
    pub xdp: Option<u32>,
    /// In which of the hooks it does.
    pub xdp_mode: Option<XdpMode>,
}

/// One of an interface's hooks for XDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XdpMode {
    /// The driver's.
    Driver,
    /// The kernel's, for drivers without one.
    Generic,
    /// The network card's.
    Hardware,
}

impl XdpMode {
    /// What `ip link set` calls it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Driver => "xdpdrv",
            Self::Generic => "xdpgeneric",
            Self::Hardware => "xdpoffload",
        }
    }
}

/// Looks at an interface.
///
/// # Errors
/// There is none of that name, or the kernel does not tell.
pub fn link(interface: &str) -> Result<Link> {
    let mut message = LinkMessage::default();
    message.header.index = index(interface)?;
    let answers = talk(RouteNetlinkMessage::GetLink(message), NLM_F_ACK)?;
    for answer in answers {
        let RouteNetlinkMessage::NewLink(link) = answer else { continue };
        let flags = link.header.flags;
        let about = link.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::Xdp(about) => Some(about.as_slice()),
            _ => None,
        });
        let about = about.unwrap_or_default();
        let xdp = about.iter().find_map(|about| match about {
            LinkXdp::ProgId(id) if *id != 0 => Some(*id),
            _ => None,
        });
        let xdp_mode = about.iter().find_map(|about| match about {
            LinkXdp::Attached(XdpAttached::Driver) => Some(XdpMode::Driver),
            LinkXdp::Attached(XdpAttached::SocketBuffer) => Some(XdpMode::Generic),
            LinkXdp::Attached(XdpAttached::Hardware) => Some(XdpMode::Hardware),
            _ => None,
        });
        return Ok(Link {
            index: link.header.index,
            is_up: flags.contains(LinkFlags::Up) && flags.contains(LinkFlags::LowerUp),
            xdp,
            xdp_mode,
        });
    }
    bail!("the kernel tells nothing of interface \"{interface}\"")
}

/// The addresses of an interface that are ready to be used.
///
/// # Errors
/// There is none of that name, or the kernel does not tell.
pub fn addresses(interface: &str) -> Result<Vec<IpAddr>> {
    let index = index(interface)?;
    // A filter by interface is not heeded everywhere.
    let answers = talk(RouteNetlinkMessage::GetAddress(AddressMessage::default()), NLM_F_DUMP)?;
    let mut addresses = Vec::new();
    for answer in answers {
        let RouteNetlinkMessage::NewAddress(message) = answer else { continue };
        if message.header.index != index {
            continue;
        }
        // IPv4 tells the own address as the local one; the other may be a peer's.
        let local = message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Local(address) => Some(*address),
            _ => None,
        });
        let other = message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        });
        addresses.extend(local.or(other));
    }
    Ok(addresses)
}

/// Puts an address on an interface, as a host's; no matter if it is there.
///
/// # Errors
/// No permission, or no such interface: one line.
pub fn add_address(interface: &str, address: IpAddr) -> Result<()> {
    let mut message = of_address(interface, address)?;
    if address.is_ipv6() {
        // Usable at once: the other nodes of the cloud have it too, elsewhere.
        message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
    }
    let request = RouteNetlinkMessage::NewAddress(message);
    let done = talk(request, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE).map(drop);
    done.with_context(|| format!("cannot put {address} on {interface}"))
}

/// Takes an address off an interface; no matter if it is not there.
///
/// # Errors
/// No permission, or no such interface: one line.
pub fn delete_address(interface: &str, address: IpAddr) -> Result<()> {
    let message = of_address(interface, address)?;
    match talk(RouteNetlinkMessage::DelAddress(message), NLM_F_ACK) {
        Err(error) if is(&error, libc::EADDRNOTAVAIL) => Ok(()),
        done => done.map(drop).with_context(|| format!("cannot take {address} off {interface}")),
    }
}

fn of_address(interface: &str, address: IpAddr) -> Result<AddressMessage> {
    let mut message = AddressMessage::default();
    message.header.index = index(interface)?;
    (message.header.family, message.header.prefix_len) = match address {
        IpAddr::V4(_) => (AddressFamily::Inet, 32),
        IpAddr::V6(_) => (AddressFamily::Inet6, 128),
    };
    message.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
    Ok(message)
}

/// Sends one request and gathers the answers.
fn talk(request: RouteNetlinkMessage, flags: u16) -> Result<Vec<RouteNetlinkMessage>> {
    let mut socket = Socket::new(NETLINK_ROUTE).context("netlink")?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut message = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::from(request));
    message.header.flags = NLM_F_REQUEST | flags;
    message.header.sequence_number = 1;
    message.finalize();
    let mut octets = vec![0; message.buffer_len()];
    message.serialize(&mut octets);
    socket.send(&octets, 0)?;
    let mut answers = Vec::new();
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = &datagram[..];
        while !rest.is_empty() {
            let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                .context("the kernel's answer cannot be understood")?;
            let length = (answer.header.length as usize).next_multiple_of(4);
            match answer.payload {
                NetlinkPayload::Done(_) => return Ok(answers),
                NetlinkPayload::Error(error) => match error.code {
                    None => return Ok(answers),
                    Some(_) => return Err(error.to_io().into()),
                },
                NetlinkPayload::InnerMessage(inner) => answers.push(inner),
                _ => {}
            }
            rest = rest.get(length.max(16)..).unwrap_or_default();
        }
    }
}

fn is(error: &anyhow::Error, code: i32) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.raw_os_error() == Some(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_as_everybody_knows_it() {
        let link = link("lo").unwrap();
        assert_eq!(link, Link { index: 1, is_up: true, xdp: None, xdp_mode: None });
        assert!(addresses("lo").unwrap().contains(&IpAddr::from([127, 0, 0, 1])));
    }

    #[test]
    fn an_interface_that_is_not_there_is_told_by_name() {
        assert!(link("no-such").unwrap_err().to_string().contains("no-such"));
    }
}
