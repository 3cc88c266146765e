//! The programs' counters.

use std::collections::BTreeMap;

use aya::maps::{MapData, PerCpuArray};
use responder_common::verdict::{COUNTERS, Verdict};
use serde::{Deserialize, Serialize};

/// What the kernel side has done so far, per hook; keys are the verdict labels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Verdicts of the XDP program.
    pub xdp: BTreeMap<String, u64>,
    /// Verdicts of the tc program.
    pub tc: BTreeMap<String, u64>,
    /// Replies over the rate of their source, by what they were to be.
    #[serde(default)]
    pub over: BTreeMap<String, u64>,
    /// Verdicts of runs by the daemon itself, which looks whether the programs answer.
    #[serde(default)]
    pub probes: BTreeMap<String, u64>,
}

/// The counters of both hooks.
pub(super) type Rows = PerCpuArray<MapData, Row>;

/// The counters of one hook on one processor.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Row([u64; COUNTERS]);

// SAFETY: an array of numbers.
unsafe impl aya::Pod for Row {}

/// Counters, summed over the processors.
pub(super) fn counted(counters: &Rows) -> Counters {
    let hook = |hook: u32| {
        let Ok(rows) = counters.get(&hook, 0) else { return BTreeMap::new() };
        let sum = |verdict: &Verdict| rows.iter().map(|row| row.0[*verdict as usize]).sum();
        Verdict::ALL
            .iter()
            .map(|verdict| (verdict.label().to_owned(), sum(verdict)))
            .filter(|(_, count)| *count > 0)
            .collect()
    };
    Counters { xdp: hook(0), tc: hook(1), over: hook(2), probes: hook(3) }
}
