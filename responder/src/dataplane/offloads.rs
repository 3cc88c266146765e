//! What a network card does to frames before XDP sees them.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

/// `ETHTOOL_GFLAGS` and `ETH_FLAG_RXVLAN` of linux/ethtool.h.
const GET_FLAGS: u32 = 0x25;
const RECEIVED_TAGS: u32 = 1 << 8;

/// Whether VLAN tags are taken off received frames: what XDP answers then goes out without them.
///
/// # Errors
/// There is no such interface, or its driver does not tell.
pub fn hides_tags(interface: &str) -> io::Result<bool> {
    let (family, kind) = (libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC);
    // SAFETY: a plain system call; the descriptor is nobody else's.
    let socket = unsafe {
        match libc::socket(family, kind, 0) {
            -1 => return Err(io::Error::last_os_error()),
            socket => OwnedFd::from_raw_fd(socket),
        }
    };
    // `struct ethtool_value`: the command, and what it tells.
    let mut value = [GET_FLAGS, 0];
    // SAFETY: zeros are a valid value of this structure of numbers and a pointer.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let room = request.ifr_name.len() - 1;
    for (to, octet) in request.ifr_name.iter_mut().zip(interface.bytes().take(room)) {
        *to = octet as libc::c_char;
    }
    request.ifr_ifru.ifru_data = value.as_mut_ptr().cast();
    // SAFETY: the request and the value that it points to live through the call.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(value[1] & RECEIVED_TAGS != 0)
}
