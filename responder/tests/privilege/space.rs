//! A network of a test's own.

use std::process::Command;

/// Gives this thread, and what it starts, network and mounts of its own, with a pair of interfaces.
pub fn separate() {
    // SAFETY: plain system calls; the strings end with zeros.
    unsafe {
        let fresh = libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS);
        assert_eq!(fresh, 0, "this test needs root: {}", std::io::Error::last_os_error());
        let (none, private) = (std::ptr::null(), libc::MS_REC | libc::MS_PRIVATE);
        let done = libc::mount(none, c"/".as_ptr(), none, private, none.cast());
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    }
    for arguments in ["link set lo up", "link add v0 type veth peer name v1", "link set v0 up"] {
        let ip = Command::new("ip").args(arguments.split(' ')).output().expect("ip (iproute2)");
        assert!(ip.status.success(), "ip {arguments}: {ip:?}");
    }
}
