//! The checked-in table: every class of replies that is none of the peers', our rule, its source, and
//! how many there were in each arena.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use anyhow::Context as _;

use crate::refereeing::{rules::Rule, tally::Tally};

/// As it was when last looked at by a person.
const CHECKED_IN: &str = include_str!("differences.md");

/// What stands above the rows.
const TITLE: &str = "\
# Replies that are neither NSD's nor Knot's

`cargo xtask prove million` writes this table and fails on a class that is not in it. Every other reply
is, as a set of records in every section, the same as NSD's or Knot's. The columns at the end count the
replies about the real root zone, a made-up TLD of 100,000 delegations (ECDSA, NSEC3 with opt-out), and
the sample zones: unsigned, with NSEC, with NSEC3, with NSEC3 and opt-out.

";

/// Counts by rule and arena.
pub struct Table {
    arenas: Vec<&'static str>,
    rows: BTreeMap<Rule, Vec<u64>>,
}

impl Table {
    /// Of these arenas.
    pub fn of<'a>(found: impl Iterator<Item = (&'static str, &'a Tally)>) -> Self {
        let found: Vec<_> = found.collect();
        let mut rows = BTreeMap::new();
        for (place, (_, tally)) in found.iter().enumerate() {
            for (rule, count) in &tally.rules {
                rows.entry(*rule).or_insert_with(|| vec![0; found.len()])[place] = *count;
            }
        }
        Self { arenas: found.iter().map(|(arena, _)| *arena).collect(), rows }
    }

    /// The classes that the checked-in table does not have with the same rule and source.
    pub fn unlisted(&self) -> Vec<&'static str> {
        let listed = |rule: &&Rule| !CHECKED_IN.lines().any(|line| line.starts_with(&row(rule)));
        self.rows.keys().filter(listed).map(|rule| rule.class).collect()
    }

    /// The table as it is checked in.
    pub fn text(&self) -> String {
        let mut text = TITLE.to_owned();
        let _ = writeln!(text, "| class | we answer | source | {} |", self.arenas.join(" | "));
        let _ = writeln!(text, "|---|---|---|{}", "---:|".repeat(self.arenas.len()));
        for (rule, counts) in &self.rows {
            let counts: Vec<String> = counts.iter().map(u64::to_string).collect();
            let _ = writeln!(text, "{} {} |", row(rule), counts.join(" | "));
        }
        text
    }

    /// Writes it, to be looked at and checked in.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, file: &Path) -> anyhow::Result<()> {
        let context = || file.display().to_string();
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).with_context(context)?;
        }
        fs::write(file, self.text()).with_context(context)
    }
}

/// The start of a row.
fn row(rule: &Rule) -> String {
    format!("| {} | {} | {} |", rule.class, rule.ours, rule.source)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refereeing::rules;

    #[test]
    fn a_rule_that_is_not_checked_in_is_told() {
        let mut tally = Tally::default();
        let unheard = Rule { class: "unheard", ours: "of", source: "nowhere" };
        tally.rules.insert(unheard, 3);
        let listed = rules::ALL.iter().find(|rule| CHECKED_IN.contains(&row(rule)));
        tally.rules.extend(listed.map(|rule| (*rule, 2)));
        let table = Table::of([("one", &Tally::default()), ("two", &tally)].into_iter());
        assert_eq!(table.unlisted(), ["unheard"]);
        assert!(table.text().contains("| unheard | of | nowhere | 0 | 3 |"), "{}", table.text());
    }

    #[test]
    fn the_checked_in_table_has_no_rule_that_the_judge_does_not_know() {
        let rows = CHECKED_IN.lines().filter(|line| line.starts_with("| ")).skip(1);
        for line in rows {
            assert!(rules::ALL.iter().any(|rule| line.starts_with(&row(rule))), "{line}");
        }
    }
}
