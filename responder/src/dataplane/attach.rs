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
    Attachment, Mode, TcHook,
    clsact::{self, Filter},
    occupant::Occupants,
    pins::{PinnedHook, Pins},
    trial::HookPoint,
    watch::Watch,
};

/// What an interface got, and what is to be held for as long as it has it.
pub type Attached = (Attachment, Option<Filter>);

/// The loaded programs, and what is to be known to attach them.
pub struct Hooks<'a> {
    /// The programs.
    pub ebpf: &'a mut Ebpf,
    /// What is left by an earlier daemon, and what is to last.
    pub pins: &'a mut Option<Pins>,
    /// Whose programs sat in the hooks before.
    pub occupants: &'a Occupants,
    /// Which of the programs are meant.
    pub watch: Watch,
}

/// The tc program where it hangs.
enum Behind {
    /// A link.
    Tcx(SchedClassifierLinkId),
    /// A filter, before Linux 6.6.
    Clsact(Filter),
}

impl Hooks<'_> {
    /// Attaches the programs to an interface as `mode` asks. A link that an earlier daemon left pinned is
    /// updated: no packet finds the hook empty.
    ///
    /// # Errors
    /// Why the interface cannot be had: one line with the remedy.
    pub fn attach(&mut self, interface: &str, mode: Mode) -> anyhow::Result<Attached> {
        match mode {
            Mode::Off => Ok(attached(interface, Mode::Off, None, None)),
            Mode::Tc => Ok(attached(interface, Mode::Tc, Some(self.tc(interface)?), None)),
            Mode::Native => {
                Ok(attached(interface, Mode::Native, Some(self.both(interface)?), None))
            }
            Mode::Auto => match self.both(interface) {
                Ok(behind) => Ok(attached(interface, Mode::Native, Some(behind), None)),
                Err(native) => {
                    let tc = self.tc(interface).with_context(|| format!("{native:#}"))?;
                    let warning =
                        format!("{native:#}; answering from tc, which costs more a query");
                    Ok(attached(interface, Mode::Tc, Some(tc), Some(warning)))
                }
            },
        }
    }

    /// Both hooks or neither: tc first, so that no reply that XDP cannot hold finds it missing.
    fn both(&mut self, interface: &str) -> anyhow::Result<Behind> {
        let behind = self.tc(interface)?;
        if let Err(error) = self.xdp(interface) {
            let link = match behind {
                Behind::Tcx(link) | Behind::Clsact(Filter { link, .. }) => link,
            };
            tc_program(self.ebpf, self.watch)?.detach(link)?;
            return Err(error);
        }
        Ok(behind)
    }

    fn xdp(&mut self, interface: &str) -> anyhow::Result<()> {
        const HOOK: PinnedHook = PinnedHook::Xdp;
        let index = super::index(interface)?;
        let name = self.watch.program(HookPoint::Xdp);
        let program = self.ebpf.program_mut(name).context("the program is missing")?;
        let program: &mut Xdp = program.try_into()?;
        if let Some(pins) = self.pins
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
            Err(error) if is_occupied(&error) => bail!(self.occupants.refusal(interface)),
            attached => attached.map_err(|error| explain(error, interface))?,
        };
        // A link goes with the process, or stays with its pin; a program set by netlink, aya's fallback,
        // would stay without one.
        let link = program.take_link(link)?;
        let link: FdLink = match link.try_into() {
            Ok(link) => link,
            Err(_) => bail!("{interface}: this kernel has no BPF links for XDP (5.9 has)"),
        };
        let link = match self.pins {
            Some(pins) => pins.pin(link, HOOK, index)?,
            None => link,
        };
        // The program holds it until the data plane is dropped.
        let link = link.try_into().map_err(|_| anyhow!("not a link of an XDP program"))?;
        program.attach_to_link(link)?;
        Ok(())
    }

    fn tc(&mut self, interface: &str) -> anyhow::Result<Behind> {
        const HOOK: PinnedHook = PinnedHook::Tc;
        let program = tc_program(self.ebpf, self.watch)?;
        if KernelVersion::current()? < KernelVersion::new(6, 6, 0) {
            return Ok(Behind::Clsact(clsact::attach(program, interface)?));
        }
        let index = super::index(interface)?;
        if let Some(pins) = self.pins
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
        let Some(pins) = self.pins else { return Ok(Behind::Tcx(link)) };
        let link: FdLink = program.take_link(link)?.try_into()?;
        let link = pins.pin(link, HOOK, index)?;
        Ok(Behind::Tcx(program.attach_to_link(link.try_into()?)?))
    }
}

/// What has become of an interface.
fn attached(
    interface: &str,
    mode: Mode,
    behind: Option<Behind>,
    warning: Option<String>,
) -> Attached {
    let (tc, filter) = match behind {
        None => (None, None),
        Some(Behind::Tcx(_)) => (Some(TcHook::Tcx), None),
        Some(Behind::Clsact(filter)) => (Some(TcHook::Clsact), Some(filter)),
    };
    let interface = interface.to_owned();
    let attachment = Attachment {
        interface,
        mode,
        tc,
        program: None,
        receive_scaling: false,
        hides_tags: false,
        warning,
    };
    (attachment, filter)
}

fn tc_program(ebpf: &mut Ebpf, watch: Watch) -> anyhow::Result<&mut SchedClassifier> {
    let name = watch.program(HookPoint::Tc);
    Ok(ebpf.program_mut(name).context("the program is missing")?.try_into()?)
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
        Some(libc::EPERM | libc::EACCES) => anyhow!("{}", super::refused::MISSING_CAPABILITY),
        Some(libc::EINVAL | libc::ERANGE | libc::E2BIG) => anyhow!(
            "the driver of {interface} refuses native XDP as it is set up (MTU too large, LRO or \
             GRO_HW on?): `ethtool -K {interface} lro off rx-gro-hw off`, an MTU of 3498 or less, or \
             xdp.mode = \"tc\""
        ),
        _ => anyhow::Error::from(error).context(format!("attaching to {interface}")),
    }
}
