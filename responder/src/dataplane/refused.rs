//! Loading a program, and what the kernel says when it does not take it.

use anyhow::{Context, anyhow, bail};
use aya::{
    Ebpf,
    programs::{ProgramError, SchedClassifier, Xdp},
};
use serde::{Deserialize, Serialize};

use super::trial::HookPoint;

/// Loads the program of a hook.
///
/// # Errors
/// The kernel does not take it: [`Refused`], if its verifier does not.
pub(super) fn load_program(ebpf: &mut Ebpf, hook: HookPoint, name: &str) -> anyhow::Result<()> {
    let program = ebpf.program_mut(name).with_context(|| format!("no program {name}"))?;
    let loaded = match hook {
        HookPoint::Xdp => TryInto::<&mut Xdp>::try_into(program)?.load(),
        HookPoint::Tc => TryInto::<&mut SchedClassifier>::try_into(program)?.load(),
    };
    match loaded {
        Ok(()) => Ok(()),
        Err(ProgramError::LoadError { io_error, .. }) if denied(&io_error) => {
            bail!("{MISSING_CAPABILITY}")
        }
        Err(ProgramError::LoadError { io_error, verifier_log }) => {
            Err(Refused::new(name, &io_error, &verifier_log.to_string()).into())
        }
        Err(error) => Err(error).with_context(|| format!("loading {name}")),
    }
}

/// The kernel's verifier does not take a program: sockets can serve all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{0}")]
pub struct Refused(String);

impl Refused {
    fn new(program: &str, error: &std::io::Error, log: &str) -> Self {
        tracing::debug!("{log}");
        // The last lines are figures; what was wrong stands in front of them.
        let is_figure = |line: &&str| {
            ["verification time", "stack depth", "processed "].iter().any(|it| line.starts_with(it))
        };
        let reason = log.lines().rev().skip_while(|line| line.trim().is_empty() || is_figure(line));
        let reason = reason.map(str::trim).next().unwrap_or("it does not say why");
        let may = |capability| {
            caps::has_cap(None, caps::CapSet::Effective, capability).unwrap_or_default()
        };
        let remedy = if may(caps::Capability::CAP_PERFMON) || may(caps::Capability::CAP_SYS_ADMIN) {
            "start another kernel, or set xdp.mode = \"off\" if sockets are enough; report the \
             kernel's version and what RESPONDER_LOG=debug shows"
        } else {
            "it asks more of a process without CAP_PERFMON, which this one has not: run as root, or \
             grant it (systemd: AmbientCapabilities=)"
        };
        Self(format!("this kernel's verifier refuses {program} ({error}): {reason}: {remedy}"))
    }
}

/// What an operator can do about it.
pub(super) const MISSING_CAPABILITY: &str = "no permission to load BPF programs: run as root, or grant CAP_BPF, \
     CAP_NET_ADMIN and CAP_PERFMON (systemd: AmbientCapabilities=), or set xdp.mode = \"off\"";

/// Whether it is for want of a capability.
pub(super) fn denied(error: &std::io::Error) -> bool {
    // EACCES is the verifier's word for an access that it refuses.
    error.raw_os_error() == Some(libc::EPERM)
}

/// Why loading failed. The first cause that is an operating system error decides.
pub(super) fn explain(error: aya::EbpfError) -> anyhow::Error {
    let error = anyhow::Error::from(error);
    let system = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    if system.is_some_and(denied) {
        return anyhow!("{MISSING_CAPABILITY}");
    }
    error.context("loading the kernel programs")
}
