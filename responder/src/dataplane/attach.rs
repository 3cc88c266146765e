//! Hooks and interfaces.

use anyhow::{Context, anyhow, bail};
use aya::{
    Ebpf,
    programs::{
        ProgramError, SchedClassifier, TcAttachType, Xdp,
        links::FdLink,
        tc::{self, SchedClassifierLinkId, TcError},
        xdp::XdpMode,
    },
    util::KernelVersion,
};

use super::{Attachment, Mode, TC_PROGRAM, XDP_PROGRAM};

/// Attaches the programs to an interface as `mode` asks.
pub fn attach(ebpf: &mut Ebpf, interface: &str, mode: Mode) -> anyhow::Result<Attachment> {
    let done = |mode, warning| {
        let interface = interface.to_owned();
        Attachment { interface, mode, threaded_napi: false, warning }
    };
    match mode {
        Mode::Off => Ok(done(Mode::Off, None)),
        Mode::Tc => {
            attach_tc(ebpf, interface)?;
            Ok(done(Mode::Tc, None))
        }
        Mode::Native => {
            attach_both(ebpf, interface)?;
            Ok(done(Mode::Native, None))
        }
        Mode::Auto => match attach_both(ebpf, interface) {
            Ok(()) => Ok(done(Mode::Native, None)),
            Err(native) => {
                attach_tc(ebpf, interface).with_context(|| format!("{native:#}"))?;
                let warning = format!("{native:#}; answering from tc, which costs more a query");
                Ok(done(Mode::Tc, Some(warning)))
            }
        },
    }
}

/// Both hooks or neither: tc first, so that no reply that XDP cannot hold finds it missing.
fn attach_both(ebpf: &mut Ebpf, interface: &str) -> anyhow::Result<()> {
    let behind = attach_tc(ebpf, interface)?;
    if let Err(error) = attach_xdp(ebpf, interface) {
        tc_program(ebpf)?.detach(behind)?;
        return Err(error);
    }
    Ok(())
}

fn attach_xdp(ebpf: &mut Ebpf, interface: &str) -> anyhow::Result<()> {
    let program = ebpf.program_mut(XDP_PROGRAM).context("the program is missing")?;
    let program: &mut Xdp = program.try_into()?;
    let link =
        program.attach(interface, XdpMode::Driver).map_err(|error| explain(error, interface))?;
    // A link goes with the process; a program set by netlink, aya's fallback, would stay.
    let link = program.take_link(link)?;
    let link: FdLink = match link.try_into() {
        Ok(link) => link,
        Err(_) => bail!("{interface}: this kernel has no BPF links for XDP (5.9 has)"),
    };
    keep(ebpf, link)
}

fn tc_program(ebpf: &mut Ebpf) -> anyhow::Result<&mut SchedClassifier> {
    Ok(ebpf.program_mut(TC_PROGRAM).context("the program is missing")?.try_into()?)
}

fn attach_tc(ebpf: &mut Ebpf, interface: &str) -> anyhow::Result<SchedClassifierLinkId> {
    let program = tc_program(ebpf)?;
    if KernelVersion::current()? < KernelVersion::new(6, 6, 0) {
        // Before tcx a filter hangs in the clsact queueing discipline.
        match tc::qdisc_add_clsact(interface) {
            Ok(()) | Err(TcError::AlreadyAttached) => {}
            Err(error) => return Err(error).with_context(|| format!("{interface}: clsact")),
        }
    }
    program.attach(interface, TcAttachType::Ingress).map_err(|error| explain(error, interface))
}

/// Gives a link back to its program, which holds it until the data plane is dropped.
fn keep(ebpf: &mut Ebpf, link: FdLink) -> anyhow::Result<()> {
    let program = ebpf.program_mut(XDP_PROGRAM).context("the program is missing")?;
    let program: &mut Xdp = program.try_into()?;
    let link = link.try_into().map_err(|_| anyhow!("not a link of an XDP program"))?;
    program.attach_to_link(link)?;
    Ok(())
}

fn explain(error: ProgramError, interface: &str) -> anyhow::Error {
    let code = match &error {
        ProgramError::UnknownInterface { .. } => {
            return anyhow!("no interface \"{interface}\" on this machine: `ip link` lists them");
        }
        ProgramError::SyscallError(call) => call.io_error.raw_os_error(),
        _ => None,
    };
    match code {
        Some(libc::EBUSY | libc::EEXIST) => anyhow!(
            "{interface} has another XDP program: `ip link set dev {interface} xdp off` removes it"
        ),
        Some(libc::EOPNOTSUPP) => anyhow!(
            "the driver of {interface} has no native XDP: set xdp.mode = \"tc\" or \"auto\""
        ),
        Some(libc::EPERM | libc::EACCES) => anyhow!("{}", super::MISSING_CAPABILITY),
        Some(libc::EINVAL | libc::ERANGE | libc::E2BIG) => anyhow!(
            "the driver of {interface} refuses native XDP as it is set up (MTU too large, LRO or \
             GRO_HW on?): `ethtool -K {interface} lro off rx-gro-hw off`, an MTU of 3498 or less, or \
             xdp.mode = \"tc\""
        ),
        _ => anyhow::Error::from(error).context(format!("attaching to {interface}")),
    }
}
