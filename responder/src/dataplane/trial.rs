//! Single runs of a loaded program on a frame of the caller's (`BPF_PROG_TEST_RUN`): for tests, fuzzers
//! and benches. No interface is involved.

use std::time::Duration;

use aya::programs::{ProgramFd, SchedClassifier, TestRun, TestRunOptions, Xdp};
use responder_common::verdict::{Action, probe};

use super::DataPlane;

/// A hook that has a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookPoint {
    /// The driver's.
    Xdp,
    /// The one behind it.
    Tc,
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// What the program said.
    pub action: Action,
    /// The frame afterwards.
    pub frame: Vec<u8>,
    /// How long the program ran; the clock's own cost is in it.
    pub duration: Duration,
}

/// What a run did, its frame being in the caller's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// What the program said.
    pub action: Action,
    /// Octets of the frame afterwards.
    pub length: usize,
    /// How long the program ran; the clock's own cost is in it.
    pub duration: Duration,
}

/// Longest frame that the kernel gives back here, in octets.
pub const FRAME_MAX: usize = 4096;

impl DataPlane {
    /// Runs the program of a hook on a frame.
    ///
    /// # Errors
    /// When the kernel refuses the run: a frame shorter than an Ethernet header, or longer than a page.
    pub fn trial(&self, hook: HookPoint, frame: &[u8]) -> anyhow::Result<Trial> {
        let mut out = vec![0_u8; FRAME_MAX];
        let Run { action, length, duration } = self.trial_into(hook, frame, &mut out)?;
        out.truncate(length);
        Ok(Trial { action, frame: out, duration })
    }

    /// The same, not counted among the packets that came: for a node at work.
    ///
    /// # Errors
    /// As [`DataPlane::trial`].
    pub fn probe(&self, hook: HookPoint, frame: &[u8]) -> anyhow::Result<Trial> {
        let front = if hook == HookPoint::Xdp { probe::METADATA } else { 0 };
        let marked = [&[0; probe::METADATA][..front], frame].concat();
        let context = match hook {
            // The start of `struct xdp_md`: where the frame begins and ends, and its metadata.
            HookPoint::Xdp => [front as u32, marked.len() as u32, 0],
            // The start of `struct __sk_buff`: two words that are the kernel's, and the mark.
            HookPoint::Tc => [0, 0, probe::MARK],
        };
        let context = context.map(u32::to_ne_bytes);
        let mut out = vec![0_u8; FRAME_MAX];
        let options = TestRunOptions {
            data_in: Some(&marked),
            data_out: Some(&mut out),
            ctx_in: Some(context.as_flattened()),
            ..TestRunOptions::default()
        };
        let Run { action, length, duration } = self.run(hook, options)?;
        out.truncate(length);
        Ok(Trial { action, frame: out.split_off(front.min(length)), duration })
    }

    /// The same as [`DataPlane::trial`] without an allocation: the frame afterwards is at the start of `out`.
    ///
    /// # Errors
    /// As [`DataPlane::trial`], and when `out` is too short for the frame.
    pub fn trial_into(&self, hook: HookPoint, frame: &[u8], out: &mut [u8]) -> anyhow::Result<Run> {
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(out),
            ..TestRunOptions::default()
        };
        self.run(hook, options)
    }

    fn run(&self, hook: HookPoint, options: TestRunOptions<'_>) -> anyhow::Result<Run> {
        let program = self.hook(hook)?;
        // XDP_TX and XDP_DROP; TC_ACT_REDIRECT and TC_ACT_SHOT.
        let (result, reply, drop) = match hook {
            HookPoint::Xdp => (<&Xdp>::try_from(program)?.test_run(options)?, 3, 1),
            HookPoint::Tc => (<&SchedClassifier>::try_from(program)?.test_run(options)?, 7, 2),
        };
        let action = match result.return_value {
            returned if returned == reply => Action::Reply,
            returned if returned == drop => Action::Drop,
            _ => Action::Pass,
        };
        let length = result.data_size_out as usize;
        Ok(Run { action, length, duration: result.duration })
    }

    /// The loaded program of a hook, for a program that goes on to it.
    ///
    /// # Errors
    /// When it is not loaded.
    pub fn program(&self, hook: HookPoint) -> anyhow::Result<&ProgramFd> {
        Ok(self.hook(hook)?.fd()?)
    }
}
