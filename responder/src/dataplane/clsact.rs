//! The tc hook before tcx (Linux 6.6): a filter in the clsact queueing discipline.
//!
//! Such a filter belongs to the interface, not to the process that made it. It goes when the data plane
//! is dropped, but after a SIGKILL it stays, and keeps answering from the zones as they last were, until
//! the next start removes it. So that a start removes our own filters only, and of those only what a
//! dead process left:
//!
//! - ours have one priority, which no other filter shares, and a handle that spells our name;
//! - whoever has a filter holds an abstract socket called after the interface and the handle. The kernel
//!   frees it with the process, and the name is known in the network namespace of the interface alone. A
//!   name that can be taken has no living owner.

use std::{
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
};

use anyhow::{Context, anyhow, bail};
use aya::programs::{
    ProgramError, SchedClassifier, TcAttachType,
    links::Link as _,
    tc::{
        self, NlOptions, SchedClassifierLink, SchedClassifierLinkId, TcAttachOptions, TcError,
        TcHandle,
    },
};

/// The priority of our filters (`pref` to `tc`): `tc filter del dev IF ingress pref 53` removes them.
const PRIORITY: u16 = 53;
/// The upper half of their handles: "RS". The lower half is the slot's number.
const NAME: u16 = 0x5253;
/// How many daemons can share an interface.
const SLOTS: u16 = 16;

/// The sign that the filter of a handle has a living owner; to be dropped after the filter.
#[derive(Debug)]
pub struct Slot {
    number: u16,
    _held: UnixDatagram,
}

/// A filter of ours, and the sign that its owner lives.
#[derive(Debug)]
pub struct Filter {
    pub link: SchedClassifierLinkId,
    _slot: Slot,
}

/// Removes what dead processes left on the interface, then hangs the program in.
pub fn attach(program: &mut SchedClassifier, interface: &str) -> anyhow::Result<Filter> {
    match tc::qdisc_add_clsact(interface) {
        Ok(()) | Err(TcError::AlreadyAttached) => {}
        Err(TcError::NetlinkError(error)) if error.raw_os_error() == Some(libc::EEXIST) => {}
        Err(error) => return Err(refused(error, interface)),
    }
    // All but one are free again when the vector is dropped.
    let Some(slot) = sweep(interface)?.into_iter().next() else {
        bail!("{interface}: {SLOTS} daemons answer from tc on this interface already");
    };
    let options = NlOptions { priority: PRIORITY, handle: handle(slot.number), classid: None };
    let link = program
        .attach_with_options(interface, TcAttachType::Ingress, TcAttachOptions::Netlink(options))
        .map_err(|error| match error {
            ProgramError::TcError(error) => refused(error, interface),
            error => anyhow!(error).context(format!("{interface}: clsact filter")),
        })?;
    Ok(Filter { link, _slot: slot })
}

/// Removes what dead processes left on the interface; the slots that are free.
pub fn sweep(interface: &str) -> anyhow::Result<Vec<Slot>> {
    let index = super::index(interface)?;
    let mut free = Vec::new();
    for number in 1..=SLOTS {
        if let Some(slot) = take(index, number)? {
            remove(interface, number)?;
            free.push(slot);
        }
    }
    Ok(free)
}

fn handle(number: u16) -> TcHandle {
    TcHandle::new(NAME, number)
}

/// Takes a slot; none where its owner lives.
fn take(index: u32, number: u16) -> anyhow::Result<Option<Slot>> {
    let name = format!("responder/clsact/{index}/{number}");
    match SocketAddr::from_abstract_name(&name).and_then(|name| UnixDatagram::bind_addr(&name)) {
        Ok(held) => Ok(Some(Slot { number, _held: held })),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(None),
        Err(error) => Err(error).with_context(|| format!("abstract socket {name}")),
    }
}

/// Removes a slot's filter, if there is one.
fn remove(interface: &str, number: u16) -> anyhow::Result<()> {
    let ingress = TcAttachType::Ingress;
    let left = SchedClassifierLink::attached(interface, ingress, PRIORITY, handle(number), None)?;
    match left.detach() {
        Ok(()) => {
            tracing::info!(interface, "removed the tc filter of a daemon that was killed");
            Ok(())
        }
        Err(ProgramError::NetlinkError(error)) if error.raw_os_error() == Some(libc::ENOENT) => {
            Ok(())
        }
        Err(error) => Err(error).with_context(|| format!("{interface}: removing an old tc filter")),
    }
}

fn refused(error: TcError, interface: &str) -> anyhow::Error {
    let code = match &error {
        TcError::NetlinkError(error) => error.raw_os_error(),
        TcError::IoError(error) => error.raw_os_error(),
        _ => None,
    };
    match code {
        Some(libc::EPERM | libc::EACCES) => anyhow!("{}", super::refused::MISSING_CAPABILITY),
        Some(libc::ENODEV) => {
            anyhow!("no interface \"{interface}\" on this machine: `ip link` lists them")
        }
        _ => anyhow!(error).context(format!(
            "{interface}: tc filter (before Linux 6.6 it needs the modules sch_ingress and cls_bpf)"
        )),
    }
}
