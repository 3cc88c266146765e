//! The primary: Knot with the zone, changed by dynamic updates (RFC 2136), so that it has the differences
//! at once and tells its follower.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};

use crate::{
    net::{CLIENT, Pair, SERVER},
    process::Running,
    refereeing::ask,
    strict::{Message, Name, rtype},
};

/// Where Knot itself listens, beside the clients.
pub fn address() -> SocketAddr {
    SocketAddr::new(CLIENT[0], 5300)
}

/// How long the zone may take to be loaded.
const PATIENCE: Duration = Duration::from_secs(120);
/// The most octets of a changed label that an update of 1,000 names has room for.
pub const LABEL: usize = 14;

/// Knot with the zone; stopped when dropped.
pub struct Primary<'p> {
    pair: &'p Pair,
    apex: Name,
    _running: Running,
}

impl<'p> Primary<'p> {
    /// Starts it beside the clients, and waits until it answers.
    ///
    /// # Errors
    /// When it is missing or does not come to answer.
    pub fn start(pair: &'p Pair, apex: &Name, zone: &Path, folder: &Path) -> anyhow::Result<Self> {
        let folder = folder.join("primary");
        fs::create_dir_all(folder.join("db"))?;
        let config = folder.join("knot.conf");
        fs::write(&config, configuration(apex, zone, &folder))?;
        let log = fs::File::create(folder.join("knot.log"))?;
        let mut knot = pair.client.command("knotd");
        knot.arg("-c").arg(&config).stdin(Stdio::null());
        knot.stdout(log.try_clone()?).stderr(log);
        let running = Running::start(&mut knot).context("remedy: cargo xtask setup")?;
        let primary = Self { pair, apex: apex.clone(), _running: running };
        let deadline = Instant::now() + PATIENCE;
        while primary.serial().is_err() {
            ensure!(Instant::now() < deadline, "Knot does not load the zone");
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(primary)
    }

    /// The serial that it has.
    ///
    /// # Errors
    /// When it does not say.
    pub fn serial(&self) -> anyhow::Result<u32> {
        let query = super::questions::query(&self.apex, rtype::SOA);
        let reply = self.pair.client.enter(|| ask::exchange_datagram(address(), &query))??;
        serial_of(&reply.context("the primary does not answer")?)
    }

    /// Has all these delegations name one other server; the new serial, by one.
    ///
    /// # Errors
    /// When it refuses.
    pub fn change(&self, labels: &[String], server: &Name) -> anyhow::Result<()> {
        let update = update(&self.apex, labels, server)?;
        let reply = self.pair.client.enter(|| ask::exchange_stream(address(), &update))??;
        let reply = reply.context("the primary hangs up on an update")?;
        match reply.get(3).map(|octet| octet & 15) {
            Some(0) => Ok(()),
            rcode => bail!("the primary refuses an update: code {rcode:?}"),
        }
    }
}

/// The serial of the SOA that a reply holds.
///
/// # Errors
/// When it holds none.
pub fn serial_of(reply: &[u8]) -> anyhow::Result<u32> {
    let message = Message::parse(reply).map_err(anyhow::Error::msg)?;
    let soa = message.answer.iter().find(|record| record.rtype == rtype::SOA);
    let rdata = &soa.context("no SOA")?.rdata;
    // Behind it come four more numbers of four octets (RFC 1035, section 3.3.13).
    let serial = rdata.len().checked_sub(20).and_then(|at| rdata.get(at..at + 4));
    Ok(u32::from_be_bytes(serial.context("a SOA that is too short")?.try_into()?))
}

fn configuration(apex: &Name, zone: &Path, folder: &Path) -> String {
    let (here, folder, zone) = (address(), folder.display(), zone.display());
    let (ip, port, follower) = (here.ip(), here.port(), SERVER[0]);
    format!(
        "server:\n  listen: {ip}@{port}\n  rundir: {folder}\n  udp-workers: 1\n  tcp-workers: 1\n  \
         background-workers: 1\nlog:\n  - target: stderr\n    any: info\ndatabase:\n  storage: {folder}/db\n\
         remote:\n  - id: follower\n    address: {follower}@53\nacl:\n  - id: anybody\n    action: \
         [transfer, update]\nzone:\n  - domain: {apex}\n    file: {zone}\n    semantic-checks: off\n    \
         zonefile-sync: -1\n    zonefile-load: whole\n    journal-content: changes\n    acl: anybody\n    \
         notify: follower\n"
    )
}

/// An update: each delegation loses its servers and gets one other (RFC 2136, section 2.5).
fn update(apex: &Name, labels: &[String], server: &Name) -> anyhow::Result<Vec<u8>> {
    const TO_APEX: [u8; 2] = [0xc0, 12];
    const ANY: u16 = 255;
    const IN: u16 = 1;
    let count = u16::try_from(labels.len() * 2)?;
    let mut message = vec![0, 7, 5 << 3, 0, 0, 1, 0, 0];
    message.extend(count.to_be_bytes());
    message.extend([0, 0]);
    message.extend_from_slice(apex.wire());
    message.extend(rtype::SOA.to_be_bytes());
    message.extend(IN.to_be_bytes());
    // The server's name stands in full where it is told first.
    let mut told: Option<u16> = None;
    for label in labels {
        for class in [ANY, IN] {
            message.push(u8::try_from(label.len())?);
            message.extend_from_slice(label.as_bytes());
            message.extend(TO_APEX);
            message.extend(rtype::NS.to_be_bytes());
            message.extend(class.to_be_bytes());
            let (ttl, data) = match class {
                ANY => (0_u32, Vec::new()),
                _ => match told {
                    Some(at) => (86_400, (0xc000 | at).to_be_bytes().to_vec()),
                    None => {
                        told = Some(u16::try_from(message.len() + 6)?);
                        (86_400, server.wire().to_vec())
                    }
                },
            };
            message.extend(ttl.to_be_bytes());
            message.extend(u16::try_from(data.len())?.to_be_bytes());
            message.extend(data);
        }
    }
    ensure!(message.len() <= usize::from(u16::MAX), "an update of {} octets", message.len());
    Ok(message)
}
