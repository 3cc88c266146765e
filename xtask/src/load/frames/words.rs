//! What the generator and `frames.c` tell each other.

/// What came back.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// Replies.
    pub replies: u64,
    /// Octets of their frames.
    pub octets: u64,
    /// Those that were truncated.
    pub truncated: u64,
    /// By RCODE.
    pub rcodes: [u64; 16],
}
// SAFETY: numbers without gaps.
unsafe impl aya::Pod for Counted {}

impl Counted {
    /// With what was counted afterwards.
    pub(super) fn and(&self, next: &Self) -> Self {
        Self {
            replies: self.replies + next.replies,
            octets: self.octets + next.octets,
            truncated: self.truncated + next.truncated,
            rcodes: std::array::from_fn(|rcode| self.rcodes[rcode] + next.rcodes[rcode]),
        }
    }

    /// What came since an earlier look.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        let mut rcodes = self.rcodes;
        for (rcode, before) in rcodes.iter_mut().zip(earlier.rcodes) {
            *rcode -= before;
        }
        Self {
            replies: self.replies - earlier.replies,
            octets: self.octets - earlier.octets,
            truncated: self.truncated - earlier.truncated,
            rcodes,
        }
    }
}

/// The generator's own state, as `frames.c` has it.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct State {
    pub(super) next: u32,
    pub(super) burst: u32,
    pub(super) sent: u64,
    pub(super) octets: u64,
}
// SAFETY: numbers without gaps.
unsafe impl aya::Pod for State {}

/// What it is told.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct Control {
    pub(super) window: u64,
    pub(super) written_off: u64,
    pub(super) pace: u64,
    pub(super) begun: u64,
    pub(super) sent_before: u64,
    pub(super) queries: u32,
    pub(super) networks: u32,
    pub(super) first: u32,
    pub(super) stride: u32,
    pub(super) hosts: u32,
    pub(super) reserved: u32,
}
// SAFETY: numbers without gaps.
unsafe impl aya::Pod for Control {}
