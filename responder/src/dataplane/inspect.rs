//! Whether the programs still hang where they were attached, as the kernel tells it now.

use anyhow::Result;
use aya::programs::{ProgramError, SchedClassifier, TcAttachType, Xdp};
use serde::{Deserialize, Serialize};

use super::{Attachment, DataPlane, Mode, TcHook, trial::HookPoint};
use crate::service::netlink;

/// What became of an interface and the programs there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Found {
    /// Whether it is up and has a carrier.
    pub is_up: bool,
    /// What hangs there instead of our programs: one line with the remedy.
    pub fault: Option<String>,
}

impl DataPlane {
    /// The number of a hook's program.
    ///
    /// # Errors
    /// When it is not loaded.
    pub fn program_id(&self, hook: HookPoint) -> Result<u32> {
        let program = self.hook(hook)?;
        Ok(match hook {
            HookPoint::Xdp => <&Xdp>::try_from(program)?.info()?.id(),
            HookPoint::Tc => <&SchedClassifier>::try_from(program)?.info()?.id(),
        })
    }

    /// Looks at an interface to which the programs were attached.
    pub fn inspect(&self, attachment: &Attachment) -> Found {
        self.look(attachment)
            .unwrap_or_else(|error| Found { is_up: false, fault: Some(format!("{error:#}")) })
    }

    fn look(&self, attachment: &Attachment) -> Result<Found> {
        let interface = &attachment.interface;
        let link = netlink::link(interface)?;
        let mut fault = None;
        if attachment.mode == Mode::Native {
            fault = fault_of_xdp(interface, link.xdp, self.program_id(HookPoint::Xdp)?);
        }
        if fault.is_none() && attachment.tc == Some(TcHook::Tcx) {
            let ours = self.program_id(HookPoint::Tc)?;
            // Not everybody may ask which programs there are.
            if let Some(false) = has_tcx(interface, ours)? {
                fault = Some(format!(
                    "{interface} has lost our tc program: restart the daemon; `bpftool net` tells \
                     what hangs there"
                ));
            }
        }
        Ok(Found { is_up: link.is_up, fault })
    }
}

/// What is wrong with the XDP program of an interface, if it is not ours.
pub fn fault_of_xdp(interface: &str, found: Option<u32>, ours: u32) -> Option<String> {
    match found {
        Some(id) if id == ours => None,
        Some(other) => Some(format!(
            "{interface} has XDP program {other} in the place of ours ({ours}): `bpftool prog show id \
             {other}` tells whose; restart the daemon once it is gone"
        )),
        None => Some(format!(
            "{interface} has lost our XDP program ({ours}): restart the daemon; if the interface was \
             made anew, that is why"
        )),
    }
}

/// Whether a program is among those of the tc hook, if that may be asked.
fn has_tcx(interface: &str, ours: u32) -> Result<Option<bool>> {
    match SchedClassifier::query_tcx(interface, TcAttachType::Ingress) {
        Ok((_, programs)) => Ok(Some(programs.iter().any(|program| program.id() == ours))),
        // Without CAP_SYS_ADMIN the kernel tells the programs' numbers, and aya may not look at them.
        Err(ProgramError::SyscallError(call)) if super::refused::denied(&call.io_error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
