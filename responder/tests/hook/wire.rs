//! The far end of the node's interface: whole frames go in and come out, VLAN tags included.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    time::{Duration, Instant},
};

use crate::{harness::run, program};

/// The longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A socket for whole frames on an interface.
pub struct Wire {
    socket: OwnedFd,
    index: u32,
    /// Where frames that XDP sends arrive: they are taken only by an interface that has a program too.
    _passing: OwnedFd,
}

impl Wire {
    /// On an interface of this thread's namespace.
    pub fn on(interface: &str) -> Self {
        run(std::process::Command::new("ip").args(["link", "set", interface, "up"]));
        let passing = program::attach(interface, program::Verdict::Pass).unwrap();
        let index = responder::dataplane::index(interface).unwrap();
        let every = i32::from((libc::ETH_P_ALL as u16).to_be());
        // SAFETY: a plain system call; the descriptor is nobody else's.
        let socket = unsafe {
            let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
            OwnedFd::from_raw_fd(check(libc::socket(libc::AF_PACKET, kind, every)))
        };
        let wire = Self { socket, index, _passing: passing };
        let (on, second) = (1_i32, libc::timeval { tv_sec: 1, tv_usec: 0 });
        // SAFETY: the options and the address are valid for the calls, with their sizes.
        unsafe {
            let fd = wire.socket.as_raw_fd();
            let set = |level, option, value: *const libc::c_void, size: usize| {
                check(libc::setsockopt(fd, level, option, value, size as u32));
            };
            set(libc::SOL_PACKET, libc::PACKET_AUXDATA, (&raw const on).cast(), 4);
            let size = size_of_val(&second);
            set(libc::SOL_SOCKET, libc::SO_RCVTIMEO, (&raw const second).cast(), size);
            let address = wire.address();
            let size = size_of_val(&address) as u32;
            check(libc::bind(fd, (&raw const address).cast(), size));
        }
        wire
    }

    fn address(&self) -> libc::sockaddr_ll {
        // SAFETY: zeros are a valid value of this structure of numbers.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = self.index as i32;
        address
    }

    /// Sends a frame.
    pub fn send(&self, frame: &[u8]) {
        let fd = self.socket.as_raw_fd();
        // SAFETY: the frame is valid for the call.
        let sent = unsafe { libc::send(fd, frame.as_ptr().cast(), frame.len(), 0) };
        assert_eq!(sent, frame.len() as isize, "{}", io::Error::last_os_error());
    }

    /// Sends a frame, again and again, until one comes back that is wanted.
    pub fn ask(&self, frame: &[u8], wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            self.send(frame);
            while let Some(reply) = self.receive() {
                if wanted(&reply) {
                    return reply;
                }
            }
        }
        panic!("no answer to {frame:02x?}");
    }

    /// The next frame that comes in, within a second.
    fn receive(&self) -> Option<Vec<u8>> {
        loop {
            let (mut frame, mut control) = ([0_u8; 4096], [0_u64; 16]);
            let mut part =
                libc::iovec { iov_base: frame.as_mut_ptr().cast(), iov_len: frame.len() };
            // SAFETY: zeros are valid values of these structures; all that the message points to lives
            // through the call, with the sizes that it tells.
            let (length, from, tag) = unsafe {
                let mut from: libc::sockaddr_ll = std::mem::zeroed();
                let mut message: libc::msghdr = std::mem::zeroed();
                message.msg_name = (&raw mut from).cast();
                message.msg_namelen = size_of_val(&from) as u32;
                message.msg_iov = &raw mut part;
                message.msg_iovlen = 1;
                message.msg_control = control.as_mut_ptr().cast();
                message.msg_controllen = size_of_val(&control);
                let length = libc::recvmsg(self.socket.as_raw_fd(), &raw mut message, 0);
                (length, from, tag(&message))
            };
            let length = usize::try_from(length).ok()?;
            if from.sll_pkttype == libc::PACKET_OUTGOING {
                continue;
            }
            let mut frame = frame[..length].to_vec();
            // The kernel takes the outer tag off before it hands a frame to a socket.
            frame.splice(12..12, tag);
            return Some(frame);
        }
    }
}

/// The tag that the kernel took off.
///
/// # Safety
/// The message must have been filled in by `recvmsg`.
unsafe fn tag(message: &libc::msghdr) -> Vec<u8> {
    // SAFETY: the caller's promise: the control messages are well-formed.
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(message);
        while let Some(header) = control.as_ref() {
            if (header.cmsg_level, header.cmsg_type) == (libc::SOL_PACKET, libc::PACKET_AUXDATA) {
                let about =
                    libc::CMSG_DATA(header).cast::<libc::tpacket_auxdata>().read_unaligned();
                if about.tp_status & libc::TP_STATUS_VLAN_VALID != 0 {
                    let (tpid, tci) = (about.tp_vlan_tpid, about.tp_vlan_tci);
                    return [tpid.to_be_bytes(), tci.to_be_bytes()].concat();
                }
            }
            control = libc::CMSG_NXTHDR(message, header);
        }
    }
    Vec::new()
}

fn check(result: libc::c_int) -> libc::c_int {
    assert!(result >= 0, "{}", io::Error::last_os_error());
    result
}
