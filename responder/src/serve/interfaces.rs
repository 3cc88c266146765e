//! Interfaces that go and come back, change their MTU, go down and up: the kernel tells (rtnetlink(7)), the
//! programs are attached again, and each event is one line of the log.

use std::{
    ffi::CString,
    io,
    os::fd::{AsRawFd as _, OwnedFd},
    sync::Weak,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use nix::sys::{
    socket::{
        AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, setsockopt, socket,
        sockopt,
    },
    time::{TimeVal, TimeValLike as _},
};
use tracing::{debug, error, info, warn};

use super::{Daemon, mode_label};

/// The interfaces are looked at this often anyhow: an attempt that failed is made again, and no event is
/// missed for ever.
const ANYHOW: Duration = Duration::from_secs(1);

/// After an event, so long is waited for those that belong to it: what is put back comes up, what goes was
/// taken down before.
const SETTLE: Duration = Duration::from_millis(100);

/// A link without a carrier is told of when it has had none for so long.
const CARRIER: Duration = Duration::from_secs(3);

/// How an interface is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    /// Its number: another one is another interface, whatever its name.
    index: u32,
    up: bool,
    carrier: bool,
    mtu: i32,
}

/// How a link is, to an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Up,
    Down,
    NoCarrier,
}

/// An interface that is served.
struct Watched {
    name: String,
    /// How it was last seen; none while there is none.
    seen: Option<Look>,
    /// The interface that has the programs.
    attached: Option<u32>,
    /// What was last told of its link.
    link: Link,
    /// Since when the link is as it was last seen.
    since: Instant,
    /// Why the last attempt to attach failed, which is told once.
    failure: Option<String>,
}

/// Watches the interfaces of the configuration, to which everything has been attached, on a thread of its
/// own that ends with the daemon.
///
/// # Errors
/// The kernel does not tell: one line.
pub fn watch(daemon: Weak<Daemon>, interfaces: &[String]) -> Result<()> {
    let events = subscribe().context("cannot watch the interfaces")?;
    let ask = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)
        .context("cannot watch the interfaces")?;
    let watched = |name: &String| {
        let seen = look(&ask, name);
        let attached = seen.map(|look| look.index);
        Watched {
            name: name.clone(),
            seen,
            attached,
            link: Link::Up,
            since: Instant::now(),
            failure: None,
        }
    };
    let mut watched: Vec<Watched> = interfaces.iter().map(watched).collect();
    let work = move || {
        // What is told does not matter: the interfaces are looked at.
        let mut buffer = [0_u8; 32 * 1024];
        while daemon.strong_count() > 0 {
            let mut event = |flags| {
                let (socket, length) = (events.as_raw_fd(), buffer.len());
                // SAFETY: the buffer is valid for the call.
                unsafe { libc::recv(socket, buffer.as_mut_ptr().cast(), length, flags) }
            };
            if event(0) >= 0 {
                // One happening is told in several steps.
                thread::sleep(SETTLE);
                while event(libc::MSG_DONTWAIT) >= 0 {}
            }
            let Some(daemon) = daemon.upgrade() else { return };
            watched.iter_mut().for_each(|watched| watched.follow(&daemon, &ask));
        }
    };
    thread::Builder::new().name("interfaces".into()).spawn(work)?;
    Ok(())
}

/// A socket that hears of changes of links.
fn subscribe() -> nix::Result<OwnedFd> {
    let events = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?;
    setsockopt(&events, sockopt::ReceiveTimeout, &TimeVal::seconds(ANYHOW.as_secs() as i64))?;
    bind(events.as_raw_fd(), &NetlinkAddr::new(0, libc::RTMGRP_LINK as u32))?;
    Ok(events)
}

impl Watched {
    fn follow(&mut self, daemon: &Daemon, ask: &OwnedFd) {
        let now = look(ask, &self.name);
        let before = std::mem::replace(&mut self.seen, now);
        let interface = self.name.as_str();
        let Some(now) = now else {
            if before.is_some() {
                warn!(interface, "the interface is gone: it is attached to when it is back");
                daemon.plane.lose(interface);
            }
            self.attached = None;
            return;
        };
        if self.attached != Some(now.index) {
            self.attach(daemon, now.index);
            return;
        }
        let Some(before) = before else { return };
        if before.mtu != now.mtu {
            info!(interface, from = before.mtu, to = now.mtu, "the MTU has changed");
        }
        if (before.up, before.carrier) != (now.up, now.carrier) {
            self.since = Instant::now();
        }
        let link = match (now.up, now.carrier) {
            (false, _) => Link::Down,
            (true, true) => Link::Up,
            // An interface that was put up has none at first.
            (true, false) if self.since.elapsed() < CARRIER => return,
            (true, false) => Link::NoCarrier,
        };
        match link {
            same if same == self.link => {}
            Link::Down => warn!(interface, "the interface is down: `ip link set {interface} up`"),
            Link::NoCarrier => warn!(interface, "the link has no carrier"),
            Link::Up => info!(interface, "the link is up"),
        }
        self.link = link;
    }

    fn attach(&mut self, daemon: &Daemon, index: u32) {
        let interface = self.name.as_str();
        match daemon.plane.attach_again(interface) {
            Ok(None) => self.attached = Some(index),
            Ok(Some(attachment)) => {
                self.attached = Some(index);
                self.link = Link::Up;
                self.since = Instant::now();
                self.failure = None;
                let mode = mode_label(attachment.mode);
                match attachment.warning {
                    None => info!(interface, mode, "the interface is back"),
                    Some(warning) => warn!(interface, mode, "the interface is back: {warning}"),
                }
            }
            Err(error) => {
                let failure = format!("{error:#}");
                if self.failure.as_ref() == Some(&failure) {
                    debug!(interface, "{failure}");
                } else {
                    error!(interface, "the interface is back and cannot be attached to: {failure}");
                    self.failure = Some(failure);
                }
            }
        }
    }
}

/// How an interface is; none where there is none.
fn look(ask: &OwnedFd, name: &str) -> Option<Look> {
    let text = CString::new(name).ok()?;
    // SAFETY: the name is a zero-terminated string that outlives the call.
    let index = unsafe { libc::if_nametoindex(text.as_ptr()) };
    if index == 0 {
        return None;
    }
    // SAFETY: zeros are a valid value of this structure of numbers.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let room = request.ifr_name.len() - 1;
    for (to, octet) in request.ifr_name.iter_mut().zip(text.as_bytes().iter().take(room)) {
        *to = *octet as libc::c_char;
    }
    let mut about = |what| {
        // SAFETY: the request is valid for the call, which fills in what the caller asked for.
        let failed = unsafe { libc::ioctl(ask.as_raw_fd(), what, &raw mut request) } != 0;
        if failed { Err(io::Error::last_os_error()) } else { Ok(request.ifr_ifru) }
    };
    // SAFETY: the call has filled in this field of the union.
    let flags = i32::from(unsafe { about(libc::SIOCGIFFLAGS).ok()?.ifru_flags });
    // SAFETY: as above.
    let mtu = unsafe { about(libc::SIOCGIFMTU).ok()?.ifru_mtu };
    let (up, carrier) = (flags & libc::IFF_UP != 0, flags & libc::IFF_RUNNING != 0);
    Some(Look { index, up, carrier, mtu })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_seen_and_nothing_else() {
        let ask = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None);
        let ask = ask.unwrap();
        let lo = look(&ask, "lo").expect("every namespace has one");
        assert!(lo.index > 0 && lo.mtu >= 1500, "{lo:?}");
        assert_eq!(look(&ask, "no-such-thing"), None);
        subscribe().unwrap();
    }
}
