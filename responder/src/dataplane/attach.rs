//! Hooks and interfaces.

use anyhow::{Context, anyhow, bail};
use aya::{
    Ebpf,
    programs::{
        ProgramError, SchedClassifier, TcAttachType, Xdp, links::FdLink, tc::SchedClassifierLinkId,
        xdp::XdpMode,
    },
    util::KernelVersion,
};

use super::{
    Attachment, Mode, TC_PROGRAM, TcHook, XDP_PROGRAM,
    clsact::{self, Slot},
};

/// What an interface got, and what is to be held for as long as it has it.
pub type Attached = (Attachment, Option<Slot>);

/// Attaches the programs to an interface as `mode` asks.
pub fn attach(ebpf: &mut Ebpf, interface: &str, mode: Mode) -> anyhow::Result<Attached> {
    let done = |mode, tc: Option<Behind>, warning| {
        let (hook, slot) = tc.map_or((None, None), |tc| (Some(tc.hook), tc.slot));
        let interface = interface.to_owned();
        (Attachment { interface, mode, tc: hook, receive_scaling: false, warning }, slot)
    };
    match mode {
        Mode::Off => Ok(done(Mode::Off, None, None)),
        Mode::Tc => Ok(done(Mode::Tc, Some(attach_tc(ebpf, interface)?), None)),
        Mode::Native => Ok(done(Mode::Native, Some(attach_both(ebpf, interface)?), None)),
        Mode::Auto => match attach_both(ebpf, interface) {
            Ok(behind) => Ok(done(Mode::Native, Some(behind), None)),
            Err(native) => {
                let tc = attach_tc(ebpf, interface).with_context(|| format!("{native:#}"))?;
                let warning = format!("{native:#}; answering from tc, which costs more a query");
                Ok(done(Mode::Tc, Some(tc), Some(warning)))
            }
        },
    }
}

/// Both hooks or neither: tc first, so that no reply that XDP cannot hold finds it missing.
fn attach_both(ebpf: &mut Ebpf, interface: &str) -> anyhow::Result<Behind> {
    let behind = attach_tc(ebpf, interface)?;
    if let Err(error) = attach_xdp(ebpf, interface) {
        tc_program(ebpf)?.detach(behind.link)?;
        return Err(error);
    }
    Ok(behind)
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

/// The tc program where it hangs.
struct Behind {
    link: SchedClassifierLinkId,
    hook: TcHook,
    slot: Option<Slot>,
}

fn attach_tc(ebpf: &mut Ebpf, interface: &str) -> anyhow::Result<Behind> {
    let program = tc_program(ebpf)?;
    if KernelVersion::current()? < KernelVersion::new(6, 6, 0) {
        let (link, slot) = clsact::attach(program, interface)?;
        return Ok(Behind { link, hook: TcHook::Clsact, slot: Some(slot) });
    }
    let link = program.attach(interface, TcAttachType::Ingress);
    let link = link.map_err(|error| explain(error, interface))?;
    Ok(Behind { link, hook: TcHook::Tcx, slot: None })
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
