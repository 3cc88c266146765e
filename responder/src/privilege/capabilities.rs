//! Capabilities, given up for good.

use anyhow::{Context, Result};
use caps::{CapSet, Capability, CapsHashSet, securebits};

/// Gives up every capability but those of `wanted` that the process has, in every set. What is kept is in
/// effect, and nothing that is run inherits it.
pub(super) fn keep(wanted: &[Capability]) -> Result<()> {
    let told = "cannot give capabilities up";
    let wanted: CapsHashSet = wanted.iter().copied().collect();
    let has = |set| caps::read(None, set).context(told);
    caps::clear(None, CapSet::Ambient).context(told)?;
    // Dropping from the bounding set needs CAP_SETPCAP, so it comes first; without it nothing in there can
    // be had any more once `no_new_privs` is set.
    if has(CapSet::Effective)?.contains(&Capability::CAP_SETPCAP) {
        for capability in has(CapSet::Bounding)? {
            caps::drop(None, CapSet::Bounding, capability).context(told)?;
        }
    }
    let kept: CapsHashSet = has(CapSet::Permitted)?.intersection(&wanted).copied().collect();
    caps::set(None, CapSet::Inheritable, &CapsHashSet::new()).context(told)?;
    caps::set(None, CapSet::Effective, &kept).context(told)?;
    caps::set(None, CapSet::Permitted, &kept).context(told)
}

/// Runs `switch`, which changes the user, so that the permitted set outlives it.
pub(super) fn survive_the_user(switch: impl FnOnce() -> nix::Result<()>) -> Result<()> {
    securebits::set_keepcaps(true).context("capabilities do not outlive the change of the user")?;
    switch()?;
    securebits::set_keepcaps(false)?;
    // The effective set was emptied: what is permitted is raised again, to give it up in order.
    let permitted = caps::read(None, CapSet::Permitted)?;
    caps::set(None, CapSet::Effective, &permitted)?;
    Ok(())
}
