//! What the nodes of a cloud say themselves: each is asked for the SOA of each zone, with NSID (RFC 5001), and
//! for what it announces, at its unicast address.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    thread,
    time::Duration,
};

use domain::{
    base::{
        Message, MessageBuilder, Name, ParsedName, Rtype,
        iana::{Class, Rcode},
        opt::AllOptData,
    },
    rdata::Soa,
};
use serde::Serialize;

use super::{
    Overview,
    announced::{self, Announced},
};
use crate::zone::name;

/// How long an answer may take, and how often it is asked for.
const PATIENCE: Duration = Duration::from_millis(700);
const TRIES: usize = 2;
/// The option of NSID (RFC 5001, section 2.3).
const NSID: u16 = 3;

/// What one node says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct NodeLook {
    /// Its identity in the catalog.
    pub id: String,
    /// The address that was asked.
    pub address: Option<IpAddr>,
    /// Who it says that it is.
    pub nsid: Option<String>,
    /// What the switchboard drains of it.
    pub drained: Vec<String>,
    /// What it announces; nothing where it does not say.
    pub services: Option<Vec<Announced>>,
    /// The zones, in the order of the overview.
    pub zones: Vec<ZoneLook>,
}

/// What it says of one zone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ZoneLook {
    /// The zone.
    pub name: String,
    /// The serial that it serves.
    pub serial: Option<u32>,
    /// How many versions it is behind the distributor, as serials count; less than nothing: ahead.
    pub lag: Option<i32>,
    /// Why there is no serial: the response code, or silence.
    pub fault: Option<String>,
}

/// Asks every node about the catalog and about every zone, all nodes at the same time.
pub fn at_nodes(overview: &Overview, port: u16) -> Vec<NodeLook> {
    let zones: Vec<(&str, Option<u32>)> = std::iter::once((&*overview.catalog, overview.serial))
        .chain(overview.zones.iter().map(|zone| (&*zone.name, zone.serial)))
        .collect();
    let nodes: Vec<_> = overview.switchboard.nodes.iter().collect();
    thread::scope(|scope| {
        let looks: Vec<_> = nodes
            .into_iter()
            .map(|(id, node)| {
                let zones = &zones;
                scope.spawn(move || {
                    let mut look = NodeLook {
                        id: id.clone(),
                        address: node.addresses.first().copied(),
                        drained: node.drained.iter().cloned().collect(),
                        ..NodeLook::default()
                    };
                    if let Some(address) = look.address {
                        let server = SocketAddr::new(address, port);
                        look.ask(server, zones);
                        look.services = announcements(server).ok().flatten();
                    }
                    look
                })
            })
            .collect();
        looks.into_iter().filter_map(|look| look.join().ok()).collect()
    })
}

impl NodeLook {
    fn ask(&mut self, server: SocketAddr, zones: &[(&str, Option<u32>)]) {
        for (number, (zone, wanted)) in zones.iter().enumerate() {
            let mut look = ZoneLook { name: (*zone).to_owned(), ..ZoneLook::default() };
            match ask(server, zone, number as u16) {
                Ok((serial, nsid)) => {
                    look.serial = Some(serial);
                    look.lag = wanted.map(|wanted| wanted.wrapping_sub(serial) as i32);
                    self.nsid = nsid.or(self.nsid.take());
                }
                Err(Fault::Silent(fault)) => {
                    look.fault = Some(fault);
                    self.zones.push(look);
                    // It will say no more about the others.
                    return;
                }
                Err(Fault::Answered(fault)) => look.fault = Some(fault),
            }
            self.zones.push(look);
        }
    }
}

/// What a node says that it announces.
fn announcements(server: SocketAddr) -> io::Result<Option<Vec<Announced>>> {
    const ID: u16 = 1;
    let Some(question) = announced::question(ID) else { return Ok(None) };
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(&[&(question.len() as u16).to_be_bytes(), &question[..]].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut reply = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut reply)?;
    Ok(announced::read(&reply, ID))
}

/// Why there is no serial.
enum Fault {
    /// Nothing came.
    Silent(String),
    /// An answer without one came.
    Answered(String),
}

fn ask(server: SocketAddr, zone: &str, id: u16) -> Result<(u32, Option<String>), Fault> {
    let silent = |fault: &dyn std::fmt::Display| Fault::Silent(format!("no answer: {fault}"));
    let query = query(zone, id).ok_or_else(|| Fault::Answered("no name of a zone".into()))?;
    let any = SocketAddr::new(
        if server.is_ipv4() { [0, 0, 0, 0].into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() },
        0,
    );
    let socket = UdpSocket::bind(any).map_err(|fault| silent(&fault))?;
    socket.connect(server).map_err(|fault| silent(&fault))?;
    socket.set_read_timeout(Some(PATIENCE)).map_err(|fault| silent(&fault))?;
    let mut buffer = [0; 1500];
    let mut last = None;
    for _ in 0..TRIES {
        socket.send(&query).map_err(|fault| silent(&fault))?;
        match socket.recv(&mut buffer) {
            Ok(length) => return read(&buffer[..length], id),
            Err(fault) => last = Some(fault),
        }
    }
    Err(last.map_or(Fault::Silent(String::new()), |fault| silent(&fault)))
}

fn query(zone: &str, id: u16) -> Option<Vec<u8>> {
    let apex = Name::from_octets(name::from_text_lower(zone).ok()?).ok()?;
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_id(id);
    let mut builder = builder.question();
    builder.push((apex, Rtype::SOA, Class::IN)).ok()?;
    let mut builder = builder.additional();
    builder
        .opt(|opt| {
            opt.set_udp_payload_size(1232);
            opt.push_raw_option(NSID.into(), 0, |_| Ok(()))
        })
        .ok()?;
    Some(builder.finish())
}

fn read(reply: &[u8], id: u16) -> Result<(u32, Option<String>), Fault> {
    let malformed = || Fault::Answered("an answer that cannot be read".to_owned());
    let message = Message::from_slice(reply).map_err(|_| malformed())?;
    if message.header().id() != id {
        return Err(malformed());
    }
    if message.header().rcode() != Rcode::NOERROR {
        return Err(Fault::Answered(message.header().rcode().to_string()));
    }
    let nsid = message.opt().and_then(|opt| {
        let mut options = opt.opt().iter::<AllOptData<_, _>>().flatten();
        options.find_map(|option| match option {
            AllOptData::Nsid(nsid) => Some(String::from_utf8_lossy(nsid.as_slice()).into_owned()),
            _ => None,
        })
    });
    let mut soa = message.answer().map_err(|_| malformed())?.limit_to_in::<Soa<ParsedName<_>>>();
    let soa = soa.next().and_then(Result::ok).ok_or_else(|| Fault::Answered("no SOA".into()))?;
    Ok((soa.data().serial().into_int(), nsid))
}
