//! The smallest programs: one verdict for every packet, or for every one of IPv6.

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
    /// As [`Verdict::DropIncoming`], of IPv6 alone.
    DropIncomingV6,
    /// As [`Verdict::DropOutgoing`], of IPv6 alone.
    DropOutgoingV6,
}

impl Verdict {
    /// Program type, place of attachment and its flags (the kernel's numbers), and the instructions.
    fn program(self) -> (u32, u32, u32, Vec<u64>) {
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
        let classifier = |place, program| (BPF_PROG_TYPE_SCHED_CLS, place, 0, program);
        match self {
            Self::Pass => (BPF_PROG_TYPE_XDP, BPF_XDP, XDP_FLAGS_DRV_MODE, always(XDP_PASS)),
            #[cfg(test)]
            Self::Transmit => (BPF_PROG_TYPE_XDP, BPF_XDP, XDP_FLAGS_DRV_MODE, always(XDP_TX)),
            Self::DropIncoming => classifier(BPF_TCX_INGRESS, always(TC_ACT_SHOT)),
            Self::DropOutgoing => classifier(BPF_TCX_EGRESS, always(TC_ACT_SHOT)),
            Self::DropIncomingV6 => classifier(BPF_TCX_INGRESS, only_v6(TC_ACT_SHOT)),
            Self::DropOutgoingV6 => classifier(BPF_TCX_EGRESS, only_v6(TC_ACT_SHOT)),
        }
    }
}

/// `r0 = verdict; exit`: each a `struct bpf_insn` on a little-endian machine.
fn always(verdict: u64) -> Vec<u64> {
    vec![verdict << 32 | 0xb7, 0x95]
}

/// The verdict for IPv6; the next program of the hook decides about the rest (`TCX_NEXT`, -1).
fn only_v6(verdict: u64) -> Vec<u64> {
    // The offset of `protocol` in `struct __sk_buff`, and ETH_P_IPV6 in network order.
    const PROTOCOL: u64 = 16;
    const IPV6: u64 = 0xdd86;
    let mut program = vec![
        PROTOCOL << 16 | 0x1261,       // r2 = *(u32 *)(r1 + PROTOCOL)
        IPV6 << 32 | 2 << 16 | 0x0215, // if r2 == IPV6 goto the verdict
        u64::from(u32::MAX) << 32 | 0xb7,
        0x95, // r0 = -1; exit
    ];
    program.extend(always(verdict));
    program
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
    prog_name: [u8; 16],
}

/// The start of `union bpf_attr` for `BPF_LINK_CREATE`.
#[repr(C)]
struct LinkCreate {
    prog_fd: u32,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
}

/// Loads a program, which is called `one_verdict` there.
///
/// # Errors
/// Without privilege.
pub fn load(verdict: Verdict) -> anyhow::Result<OwnedFd> {
    let (prog_type, _, _, program) = verdict.program();
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
        prog_name: *b"one_verdict\0\0\0\0\0",
    };
    bpf(BPF_PROG_LOAD, &load).context("loading a program")
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
    let (_, attach_type, flags, _) = verdict.program();
    let program = load(verdict)?;
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
