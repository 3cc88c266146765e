//! The smallest XDP programs: one verdict for every packet.

use std::{
    ffi::CString,
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use anyhow::Context as _;

/// What a program says of every packet; the numbers are the kernel's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Go on to the kernel's stack.
    Pass = 2,
    /// Send it back as it is.
    #[cfg(test)]
    Transmit = 3,
}

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_XDP: u32 = 37;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;

/// The start of `union bpf_attr` for `BPF_PROG_LOAD`; the kernel takes the rest as zeros.
#[repr(C)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
}

/// The start of `union bpf_attr` for `BPF_LINK_CREATE`.
#[repr(C)]
struct LinkCreate {
    prog_fd: u32,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
}

/// Attaches a program, in the driver, to an interface of the calling thread's namespace. It goes with
/// the descriptor.
///
/// # Errors
/// Without privilege, or where another program is attached.
pub fn attach(interface: &str, verdict: Verdict) -> anyhow::Result<OwnedFd> {
    let name = CString::new(interface)?;
    // SAFETY: the name ends with a zero octet.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    if index == 0 {
        return Err(io::Error::last_os_error()).with_context(|| interface.to_owned());
    }
    // `r0 = verdict; exit`: struct bpf_insn on a little-endian machine.
    let program = [(verdict as u64) << 32 | 0xb7, 0x95_u64];
    let load = ProgLoad {
        prog_type: BPF_PROG_TYPE_XDP,
        insn_cnt: program.len() as u32,
        insns: program.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: 0,
    };
    let program = bpf(BPF_PROG_LOAD, &load).context("loading an XDP program")?;
    let link = LinkCreate {
        prog_fd: program.as_raw_fd() as u32,
        target_ifindex: index,
        attach_type: BPF_XDP,
        flags: XDP_FLAGS_DRV_MODE,
    };
    bpf(BPF_LINK_CREATE, &link).with_context(|| format!("attaching an XDP program to {interface}"))
}

/// The `bpf` system call, for commands that return a descriptor.
fn bpf<T>(command: libc::c_long, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: the attributes, and what they point to, live through the call and have that size; both
    // commands return a new descriptor, closed on exec.
    unsafe {
        let result = libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>());
        match libc::c_int::try_from(result) {
            Ok(descriptor) if descriptor >= 0 => Ok(OwnedFd::from_raw_fd(descriptor)),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
