//! What a comparison found, by class, with examples.

use std::{collections::BTreeMap, fmt};

/// How many examples of a class are kept.
const EXAMPLES: usize = 5;

/// Counts by class; a difference has examples beside its count.
#[derive(Debug, Default)]
pub struct Tally {
    /// Replies compared and found right.
    pub equal: u64,
    /// What is worth counting but no fault.
    pub notes: BTreeMap<String, u64>,
    /// Faults: their number and the first few in full.
    pub differences: BTreeMap<String, (u64, Vec<String>)>,
}

impl Tally {
    /// Counts something that is no fault.
    pub fn note(&mut self, class: impl Into<String>) {
        *self.notes.entry(class.into()).or_default() += 1;
    }

    /// Counts a fault; `example` is made only if it is to be kept.
    pub fn differ(&mut self, class: impl Into<String>, example: impl FnOnce() -> String) {
        let (count, examples) = self.differences.entry(class.into()).or_default();
        *count += 1;
        if examples.len() < EXAMPLES {
            examples.push(example());
        }
    }

    /// How many faults there are.
    pub fn faults(&self) -> u64 {
        self.differences.values().map(|(count, _)| count).sum()
    }

    /// Takes over what another tally counted.
    pub fn merge(&mut self, other: Self) {
        self.equal += other.equal;
        for (class, count) in other.notes {
            *self.notes.entry(class).or_default() += count;
        }
        for (class, (count, examples)) in other.differences {
            let mine = self.differences.entry(class).or_default();
            mine.0 += count;
            mine.1.extend(examples);
            mine.1.truncate(EXAMPLES);
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{} equal, {} different", self.equal, self.faults())?;
        for (class, count) in &self.notes {
            writeln!(out, "  note: {class}: {count}")?;
        }
        for (class, (count, examples)) in &self.differences {
            writeln!(out, "DIFFERENCE {class}: {count}")?;
            for example in examples {
                for line in example.lines() {
                    writeln!(out, "    {line}")?;
                }
                writeln!(out)?;
            }
        }
        Ok(())
    }
}
