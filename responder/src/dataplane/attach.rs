//! Hooks and interfaces.

use anyhow::{Context, anyhow, bail};
use aya::{
    Ebpf,
    programs::{
        ProgramError, SchedClassifier, TcAttachType, Xdp, links::FdLink, tc::SchedClassifierLinkId,
        xdp::XdpMode,
    },
    sys::SyscallError,
    util::KernelVersion,
};

use super::{
    Attachment, Mode, TC_PROGRAM, TcHook, XDP_PROGRAM,
    clsact::{self, Filter},
    occupant::Occupants,
    pins::{PinnedHook, Pins},
};

/// What an interface got, and what is to be held for as long as it has it.
pub type Attached = (Attachment, Option<Filter>);

/// Attaches the programs to an interface as `mode` asks. A link that an earlier daemon left pinned is
/// updated: no packet finds the hook empty.
pub fn attach(
    ebpf: &mut Ebpf,
    pins: &mut Option<Pins>,
    occupants: &Occupants,
    interface: &str,
    mode: Mode,
) -> anyhow::Result<Attached> {
    let done = |mode, tc: Option<Behind>, warning| {
        let (hook, filter) = match tc {
            None => (None, None),
            Some(Behind::Tcx(_)) => (Some(TcHook::Tcx), None),
            Some(Behind::Clsact(filter)) => (Some(TcHook::Clsact), Some(filter)),
        };
        let interface = interface.to_owned();
        (
            Attachment {
                interface,
                mode,
                tc: hook,
                program: None,
                receive_scaling: false,
                warning,
            },
            filter,
        )
    };
    match mode {
        Mode::Off => Ok(done(Mode::Off, None, None)),
        Mode::Tc => Ok(done(Mode::Tc, Some(attach_tc(ebpf, pins, interface)?), None)),
        Mode::Native => {
            Ok(done(Mode::Native, Some(attach_both(ebpf, pins, occupants, interface)?), None))
        }
        Mode::Auto => match attach_both(ebpf, pins, occupants, interface) {
            Ok(behind) => Ok(done(Mode::Native, Some(behind), None)),
            Err(native) => {
                let tc = attach_tc(ebpf, pins, interface).with_context(|| format!("{native:#}"))?;
                let warning = format!("{native:#}; answering from tc, which costs more a query");
                Ok(done(Mode::Tc, Some(tc), Some(warning)))
            }
        },
    }
}

/// Both hooks or neither: tc first, so that no reply that XDP cannot hold finds it missing.
fn attach_both(
    ebpf: &mut Ebpf,
    pins: &mut Option<Pins>,
    occupants: &Occupants,
    interface: &str,
) -> anyhow::Result<Behind> {
    let behind = attach_tc(ebpf, pins, interface)?;
    if let Err(error) = attach_xdp(ebpf, pins, occupants, interface) {
        let link = match behind {
            Behind::Tcx(link) | Behind::Clsact(Filter { link, .. }) => link,
        };
        tc_program(ebpf)?.detach(link)?;
        return Err(error);
    }
    Ok(behind)
}

fn attach_xdp(
    ebpf: &mut Ebpf,
    pins: &mut Option<Pins>,
    occupants: &Occupants,
    interface: &str,
) -> anyhow::Result<()> {
    const HOOK: PinnedHook = PinnedHook::Xdp;
    let index = super::index(interface)?;
    let program = ebpf.program_mut(XDP_PROGRAM).context("the program is missing")?;
    let program: &mut Xdp = program.try_into()?;
    if let Some(pins) = pins
        && let Some(link) = pins.take(HOOK, index)?
    {
        match program.attach_to_link(link.try_into()?) {
            Ok(_) => {
                pins.adopted(HOOK, index);
                return Ok(());
            }
            Err(error) if is_orphan(&error) => {}
            Err(error) => return Err(explain(error, interface)),
        }
    }
    let link = match program.attach(interface, XdpMode::Driver) {
        Err(error) if is_occupied(&error) => bail!(occupants.refusal(interface)),
        attached => attached.map_err(|error| explain(error, interface))?,
    };
    // A link goes with the process, or stays with its pin; a program set by netlink, aya's fallback,
    // would stay without one.
    let link = program.take_link(link)?;
    let link: FdLink = match link.try_into() {
        Ok(link) => link,
        Err(_) => bail!("{interface}: this kernel has no BPF links for XDP (5.9 has)"),
    };
    let link = match pins {
        Some(pins) => pins.pin(link, HOOK, index)?,
        None => link,
    };
    // The program holds it until the data plane is dropped.
    let link = link.try_into().map_err(|_| anyhow!("not a link of an XDP program"))?;
    program.attach_to_link(link)?;
    Ok(())
}

fn tc_program(ebpf: &mut Ebpf) -> anyhow::Result<&mut SchedClassifier> {
    Ok(ebpf.program_mut(TC_PROGRAM).context("the program is missing")?.try_into()?)
}

/// The tc program where it hangs.
enum Behind {
    /// A link.
    Tcx(SchedClassifierLinkId),
    /// A filter, before Linux 6.6.
    Clsact(Filter),
}

fn attach_tc(ebpf: &mut Ebpf, pins: &mut Option<Pins>, interface: &str) -> anyhow::Result<Behind> {
    const HOOK: PinnedHook = PinnedHook::Tc;
    let program = tc_program(ebpf)?;
    if KernelVersion::current()? < KernelVersion::new(6, 6, 0) {
        return Ok(Behind::Clsact(clsact::attach(program, interface)?));
    }
    let index = super::index(interface)?;
    if let Some(pins) = pins
        && let Some(link) = pins.take(HOOK, index)?
    {
        match program.attach_to_link(link.try_into()?) {
            Ok(link) => {
                pins.adopted(HOOK, index);
                return Ok(Behind::Tcx(link));
            }
            Err(error) if is_orphan(&error) => {}
            Err(error) => return Err(explain(error, interface)),
        }
    }
    let link = program.attach(interface, TcAttachType::Ingress);
    let link = link.map_err(|error| explain(error, interface))?;
    let Some(pins) = pins else { return Ok(Behind::Tcx(link)) };
    let link: FdLink = program.take_link(link)?.try_into()?;
    let link = pins.pin(link, HOOK, index)?;
    Ok(Behind::Tcx(program.attach_to_link(link.try_into()?)?))
}

/// Whether a link is left over from an interface that is gone.
fn is_orphan(error: &ProgramError) -> bool {
    matches!(error, ProgramError::SyscallError(SyscallError { io_error, .. })
        if io_error.raw_os_error() == Some(libc::ENOLINK))
}

/// Whether somebody else's program is in the way.
fn is_occupied(error: &ProgramError) -> bool {
    matches!(error, ProgramError::SyscallError(SyscallError { io_error, .. })
        if matches!(io_error.raw_os_error(), Some(libc::EBUSY | libc::EEXIST)))
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
