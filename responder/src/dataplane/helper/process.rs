//! A process that keeps the privileges of one that gave its own up, and does for it what
//! [`super::Request`] lists. It ends with the other, however that ends.
//!
//! One message is one packet of a socket pair: a request in JSON, a reply in JSON with descriptors.

use std::{
    io::{self, IoSlice, IoSliceMut},
    os::{
        fd::{AsFd as _, AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
        unix::process::CommandExt as _,
    },
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};
use serde::{Serialize, de::DeserializeOwned};

use super::{Reply, Request, Settings, Worker};
use crate::{privilege, telemetry};

/// The longest message, in octets: the longest is a warning with the end of a verifier's log.
const MESSAGE: usize = 64 * 1024;
/// The most descriptors of one message.
const DESCRIPTORS: usize = 5;

/// The other process, from the daemon's side.
pub(super) struct Helper {
    socket: OwnedFd,
    child: Child,
}

impl Helper {
    /// Starts this very program again, as the helper.
    pub(super) fn start(settings: &Settings) -> Result<Self> {
        let (socket, other) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        let mut settings = settings.clone();
        settings.pins = std::path::absolute(&settings.pins)?;
        let mut command = Command::new("/proc/self/exe");
        command.arg("helper").arg0("responder").current_dir("/").env_clear();
        if let Some(filter) = std::env::var_os(telemetry::LOG_VARIABLE) {
            command.env(telemetry::LOG_VARIABLE, filter);
        }
        // Signals of a terminal are for the daemon.
        command.process_group(0).stdin(Stdio::from(other));
        let child = command.spawn()?;
        let mut helper = Self { socket, child };
        send(helper.socket.as_fd(), &settings, &[])?;
        match helper.receive()?.0 {
            Reply::Done => Ok(helper),
            Reply::Error(message) => bail!(message),
            _ => Err(super::unexpected()),
        }
    }

    /// Has something done.
    pub(super) fn ask(&mut self, request: &Request) -> Result<(Reply, Vec<OwnedFd>)> {
        send(self.socket.as_fd(), request, &[]).context("the helper process does not listen")?;
        self.receive()
    }

    fn receive(&mut self) -> Result<(Reply, Vec<OwnedFd>)> {
        receive(self.socket.as_fd())?.context("the helper process has ended: its log tells why")
    }

    pub(super) fn has_ended(&self) -> bool {
        let mut poll = libc::pollfd { fd: self.socket.as_raw_fd(), events: 0, revents: 0 };
        // SAFETY: one structure, valid for the call, which does not wait.
        let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
        ready > 0 && poll.revents & libc::POLLHUP != 0
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // It sees that, and ends: what is not pinned is gone when it is.
        // SAFETY: a plain system call on an open descriptor.
        unsafe { libc::shutdown(self.socket.as_raw_fd(), libc::SHUT_RDWR) };
        let _ = self.child.wait();
    }
}

/// The helper's whole life: `responder helper`, its end of the socket pair being its standard input.
///
/// # Errors
/// The daemon asked for what cannot be read, or privileges cannot be given up.
pub fn run() -> Result<()> {
    ignore_signals();
    telemetry::start_log()?;
    let input = io::stdin();
    let socket = input.as_fd();
    let Some((settings, _)) = receive::<Settings>(socket).context(
        "`responder helper` is started by `responder serve`, with node.user, and by nobody else",
    )?
    else {
        return Ok(());
    };
    let folder: PathBuf = settings.pins.clone();
    let mut worker = Worker::new(settings);
    if let Err(error) = privilege::confine_helper(&folder) {
        send(socket, &Reply::Error(format!("the helper process: {error:#}")), &[])?;
        return Ok(());
    }
    send(socket, &Reply::Done, &[])?;
    while let Some((request, _)) = receive::<Request>(socket)? {
        let (reply, descriptors) = worker.serve(&request);
        let descriptors: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        send(socket, &reply, &descriptors)?;
    }
    // As if the daemon had been killed together with its programs: pins stay.
    worker.leave()
}

/// The daemon decides when the helper ends: what a service manager sends to all processes is for it.
fn ignore_signals() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        // SAFETY: to ignore a signal, no code of ours is run.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

fn send(socket: BorrowedFd<'_>, message: &impl Serialize, descriptors: &[RawFd]) -> Result<()> {
    let text = serde_json::to_vec(message)?;
    let rights = [ControlMessage::ScmRights(descriptors)];
    let rights = if descriptors.is_empty() { &[][..] } else { &rights[..] };
    sendmsg::<()>(
        socket.as_raw_fd(),
        &[IoSlice::new(&text)],
        rights,
        MsgFlags::MSG_NOSIGNAL,
        None,
    )?;
    Ok(())
}

/// The next message; none where the other side has ended.
fn receive<T: DeserializeOwned>(socket: BorrowedFd<'_>) -> Result<Option<(T, Vec<OwnedFd>)>> {
    let mut buffer = vec![0; MESSAGE];
    let mut space = nix::cmsg_space!([RawFd; DESCRIPTORS]);
    let mut slices = [IoSliceMut::new(&mut buffer)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let received = loop {
        match recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut space), flags) {
            Err(nix::Error::EINTR) => {}
            Err(nix::Error::ECONNRESET) => return Ok(None),
            received => break received?,
        }
    };
    let mut descriptors = Vec::new();
    for message in received.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = message {
            // SAFETY: the kernel just made them for this process, and nobody else knows them.
            descriptors.extend(numbers.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    let length = received.bytes;
    if length == 0 {
        return Ok(None);
    }
    Ok(Some((serde_json::from_slice(&buffer[..length])?, descriptors)))
}
