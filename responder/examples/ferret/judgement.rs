//! A reply of ours against the recorded ones, and what all of them come to.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
};

use responder_common::verdict::Verdict;
use serde_json::{Value, json};

use crate::{
    refereeing::{
        judge::{self, Judge},
        queries::Query,
        rules::Rule,
        tally::Tally,
    },
    sample::{Case, Recorded},
    strict::{Header, Message, Record, missing},
};

/// What was found.
#[derive(Default)]
pub struct Report {
    /// Cases where all servers agree, and how many of them we match in rcode, flags and answer.
    agreed: (u64, u64),
    /// The same for the rest, where one server is enough.
    disputed: (u64, u64),
    /// In the disputed cases: whom we match.
    sides: BTreeMap<String, u64>,
    /// Authority and additional: equal, or different by a rule of the answer profile.
    sections: BTreeMap<String, u64>,
    /// The engine's words for the replies.
    verdicts: BTreeMap<&'static str, u64>,
    /// Zones that we do not serve, and why.
    refused: Vec<String>,
    /// What does not hold, by class.
    faults: Tally,
}

impl Report {
    /// Counts a zone that we do not serve.
    pub fn refused(&mut self, case: &Case, why: &str) {
        self.refused.push(format!("case {}: {why}\n{}", case.id, case.zone));
    }

    /// Counts a reply, the same octets everywhere.
    pub fn answered(&mut self, verdict: Verdict) {
        *self.verdicts.entry(verdict.label()).or_default() += 1;
    }

    /// Counts something that does not hold.
    pub fn fault(&mut self, case: &Case, class: &str, what: &str) {
        self.faults.differ(class, || format!("case {}: {what}\n{}", case.id, case.zone));
    }

    /// Holds a reply against what was recorded.
    pub fn judge(&mut self, case: &Case, judge: &Judge<'_>, query: &Query, ours: &Message) {
        let agreed = case.recorded.len() == 1;
        let kind = if agreed { &mut self.agreed } else { &mut self.disputed };
        kind.0 += 1;
        let matched: Vec<&Recorded> =
            case.recorded.iter().filter(|recorded| matches(ours, &recorded.response)).collect();
        if matched.is_empty() {
            let class = if agreed { "what all servers say" } else { "what any server says" };
            let class = format!("rcode, flags or answer are not {class}");
            return self.faults.differ(class, || describe(case, ours));
        }
        kind.1 += 1;
        if !agreed {
            let sides: Vec<String> = matched.iter().map(|one| one.servers.join(", ")).collect();
            *self.sides.entry(sides.join("; or ")).or_default() += 1;
        }
        let mut refusals = String::new();
        let mut nearest: Option<Vec<Rule>> = None;
        for recorded in matched {
            let rules = match judge.compare(query, ours, &recorded.response) {
                judge::Verdict::Identical => Vec::new(),
                judge::Verdict::Ruled(rules) => rules,
                judge::Verdict::Different(class) => {
                    let _ = writeln!(refusals, "not {}: {class}", recorded.servers.join(", "));
                    continue;
                }
            };
            if nearest.as_ref().is_none_or(|nearest| nearest.len() > rules.len()) {
                nearest = Some(rules);
            }
        }
        let Some(rules) = nearest else {
            let class = "authority or additional follow neither a server nor the profile";
            let example = || format!("{refusals}\n{}", describe(case, ours));
            return self.faults.differ(class, example);
        };
        if rules.is_empty() {
            *self.sections.entry("both the same".into()).or_default() += 1;
        }
        for Rule { class, ours, source } in rules {
            *self.sections.entry(format!("{class}: {ours} ({source})")).or_default() += 1;
        }
    }

    /// Whether the claim holds.
    pub fn holds(&self) -> bool {
        self.faults.faults() == 0
            && self.refused.is_empty()
            && self.agreed.0 > 0
            && self.agreed.0 == self.agreed.1
            && self.disputed.0 == self.disputed.1
    }

    /// The figures as JSON.
    pub fn figures(&self) -> Value {
        let differences: BTreeMap<_, _> = self.faults.differences.iter().collect();
        json!({
            "holds": self.holds(),
            "cases": self.agreed.0 + self.disputed.0 + self.refused.len() as u64,
            "all servers agree": { "cases": self.agreed.0, "matched": self.agreed.1 },
            "servers differ": {
                "cases": self.disputed.0,
                "one is matched": self.disputed.1,
                "whom": self.sides,
            },
            "authority and additional": self.sections,
            "the same octets from xdp, tc and off": self.verdicts.values().sum::<u64>(),
            "replies": self.verdicts,
            "zones refused": self.refused,
            "differences": differences,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let same: u64 = self.verdicts.values().sum();
        writeln!(out, "{same:>6}  replies, the same octets from XDP, tc and off:")?;
        for (verdict, count) in &self.verdicts {
            writeln!(out, "{count:>14}  {verdict}")?;
        }
        let (all, matched) = self.agreed;
        writeln!(out, "{all:>6}  cases where all servers agree: {matched} matched")?;
        let (all, matched) = self.disputed;
        writeln!(out, "{all:>6}  cases where they differ: one is matched in {matched}")?;
        for (side, count) in &self.sides {
            writeln!(out, "{count:>14}  {side}")?;
        }
        writeln!(out, "        authority and additional")?;
        for (rule, count) in &self.sections {
            writeln!(out, "{count:>14}  {rule}")?;
        }
        writeln!(out, "{:>6}  zones refused", self.refused.len())?;
        for refused in &self.refused {
            writeln!(out, "{refused}")?;
        }
        writeln!(out, "{}", self.faults)
    }
}

/// Whether rcode, flags and answer are the same.
fn matches(ours: &Message, theirs: &Message) -> bool {
    // The ID is the question's, and each server was asked with another one.
    let flags = |header: Header| Header { id: 0, ..header };
    ours.rcode() == theirs.rcode()
        && flags(ours.header) == flags(theirs.header)
        && same(&ours.answer, &theirs.answer)
}

fn same(ours: &[Record], theirs: &[Record]) -> bool {
    ours.len() == theirs.len() && missing(ours, theirs).is_empty()
}

/// Everything about a case.
pub fn describe(case: &Case, ours: &Message) -> String {
    let mut text = format!("case {}\n{}--- ours\n{ours}", case.id, case.zone);
    for Recorded { servers, response } in &case.recorded {
        let _ = write!(text, "--- {}\n{response}", servers.join(", "));
    }
    text
}
