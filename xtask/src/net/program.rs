//! The smallest programs: one verdict for every packet.

use std::{
    ffi::CString,
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use anyhow::Context as _;

/// What a program says of every packet, and where it sits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// XDP: go on to the kernel's stack.
    Pass,
    /// XDP: send it back as it is.
    #[cfg(test)]
    Transmit,
    /// tc: drop what comes in. Needs Linux 6.6.
    DropIncoming,
    /// tc: drop what goes out. Needs Linux 6.6.
    DropOutgoing,
}

impl Verdict {
    /// Program type, place of attachment, flags and what the program returns: the kernel's numbers.
    fn numbers(self) -> (u32, u32, u32, u64) {
        const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;
        const BPF_PROG_TYPE_XDP: u32 = 6;
        const BPF_XDP: u32 = 37;
        const BPF_TCX_INGRESS: u32 = 46;
        const BPF_TCX_EGRESS: u32 = 47;
        const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;
        const XDP_PASS: u64 = 2;
        #[cfg(test)]
        const XDP_TX: u64 = 3;
        const TC_ACT_SHOT: u64 = 2;
        match self {
            Self::Pass => (BPF_PROG_TYPE_XDP, BPF_XDP, XDP_FLAGS_DRV_MODE, XDP_PASS),
            #[cfg(test)]
            Self::Transmit => (BPF_PROG_TYPE_XDP, BPF_XDP, XDP_FLAGS_DRV_MODE, XDP_TX),
            Self::DropIncoming => (BPF_PROG_TYPE_SCHED_CLS, BPF_TCX_INGRESS, 0, TC_ACT_SHOT),
            Self::DropOutgoing => (BPF_PROG_TYPE_SCHED_CLS, BPF_TCX_EGRESS, 0, TC_ACT_SHOT),
        }
    }
}

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_LINK_CREATE: libc::c_long = 28;

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
    let (prog_type, attach_type, flags, value) = verdict.numbers();
    let program = [value << 32 | 0xb7, 0x95_u64];
    let load = ProgLoad {
        prog_type,
        insn_cnt: program.len() as u32,
        insns: program.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: 0,
    };
    let program = bpf(BPF_PROG_LOAD, &load).context("loading a program")?;
    let link = LinkCreate {
        prog_fd: program.as_raw_fd() as u32,
        target_ifindex: index,
        attach_type,
        flags,
    };
    bpf(BPF_LINK_CREATE, &link)
        .with_context(|| format!("attaching a program to {interface}: {verdict:?}"))
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
