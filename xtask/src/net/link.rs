//! Two namespaces joined by a veth pair.

use std::{
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::ensure;

use super::{Namespace, ip};
use crate::process;

/// One end of a link.
#[derive(Debug)]
pub struct End<'a> {
    /// Where it is.
    pub space: &'a Namespace,
    /// Its interface.
    pub interface: &'a str,
    /// Its addresses, of a /24 and a /64.
    pub addresses: [IpAddr; 2],
}

/// Joins two namespaces; the link carries both families when this returns.
///
/// # Errors
/// When `ip` fails.
pub fn join(a: &End<'_>, b: &End<'_>) -> anyhow::Result<()> {
    // Over veth kxdpgun reads one queue: replies on a second one would not be counted.
    let queues = ["numtxqueues", "1", "numrxqueues", "1"];
    let mut link = ip(["link", "add", a.interface, "netns", a.space.name()]);
    link.args(queues).args(["type", "veth", "peer", "name", b.interface]);
    process::output(link.args(["netns", b.space.name()]).args(queues))?;
    for end in [a, b] {
        end.configure()?;
    }
    for end in [a, b] {
        end.await_carrier()?;
    }
    Ok(())
}

impl End<'_> {
    fn configure(&self) -> anyhow::Result<()> {
        for address in self.addresses {
            let prefix = if address.is_ipv4() { 24 } else { 64 };
            let address = format!("{address}/{prefix}");
            let mut add = self.space.ip(["address", "add", &address, "dev", self.interface]);
            if prefix == 64 {
                add.arg("nodad");
            }
            process::output(&mut add)?;
        }
        process::output(&mut self.space.ip(["link", "set", "dev", self.interface, "up"])).map(drop)
    }

    /// A link that is up but without carrier loses the first packets.
    fn await_carrier(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        let show = || process::output(&mut self.space.ip(["link", "show", "dev", self.interface]));
        while !show()?.contains("LOWER_UP") {
            ensure!(Instant::now() < deadline, "{} does not come up", self.interface);
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}
