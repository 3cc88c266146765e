//! What a comparison found, by class, with examples.

use std::{collections::BTreeMap, fmt};

use super::{judge::Verdict, rules::Rule};

/// How many examples of a class are kept.
const EXAMPLES: usize = 5;

/// Counts by class; a difference has examples beside its count.
#[derive(Debug, Default)]
pub struct Tally {
    /// Replies compared and found right: identical, or different by rules.
    pub equal: u64,
    /// Of these, replies that are identical with a peer's.
    pub identical: u64,
    /// Of these, replies that no peer gives so, by the rule that decides.
    pub rules: BTreeMap<Rule, u64>,
    /// One such reply for each rule.
    pub examples: BTreeMap<Rule, String>,
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

    /// Counts a reply by what came of its comparison.
    pub fn count(&mut self, verdict: Verdict, example: impl FnOnce() -> String) {
        match verdict {
            Verdict::Identical => {
                self.equal += 1;
                self.identical += 1;
            }
            Verdict::Ruled(used) => {
                self.equal += 1;
                for rule in &used {
                    *self.rules.entry(*rule).or_default() += 1;
                }
                if let Some(rule) = used.iter().find(|rule| !self.examples.contains_key(rule)) {
                    self.examples.insert(*rule, example());
                }
            }
            Verdict::Different(class) => self.differ(class, example),
        }
    }

    /// How many faults there are.
    pub fn faults(&self) -> u64 {
        self.differences.values().map(|(count, _)| count).sum()
    }

    /// Takes over what another tally counted.
    pub fn merge(&mut self, other: Self) {
        self.equal += other.equal;
        self.identical += other.identical;
        for (rule, count) in other.rules {
            *self.rules.entry(rule).or_default() += count;
        }
        for (rule, example) in other.examples {
            self.examples.entry(rule).or_insert(example);
        }
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
        let Self { equal, identical, .. } = self;
        writeln!(out, "{equal} right ({identical} identical), {} different", self.faults())?;
        for (rule, count) in &self.rules {
            writeln!(out, "  by rule: {}: {count}", rule.class)?;
        }
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
