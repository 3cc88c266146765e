//! What the script found: a table, a JSON file, and maps.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{
    map,
    steps::{Report, Step, TIMES},
    topology::Topology,
};

/// What all rounds found.
pub struct Results {
    plays: Vec<(usize, &'static Step, Report)>,
    /// How long all took, the start of the cloud included.
    pub seconds: u64,
}

impl Results {
    /// Nothing yet.
    pub fn new() -> Self {
        Self { plays: Vec::new(), seconds: 0 }
    }

    /// One more play of a step.
    pub fn add(&mut self, round: usize, step: &'static Step, report: Report) {
        self.plays.push((round, step, report));
    }

    /// How many plays failed.
    pub fn failed(&self) -> usize {
        self.plays.iter().filter(|(_, _, report)| !report.holds()).count()
    }

    /// What was played of each step.
    fn by_step(&self) -> Vec<(&Step, Vec<&Report>)> {
        let mut steps: Vec<(&Step, Vec<&Report>)> = Vec::new();
        for (_, step, report) in &self.plays {
            match steps.iter_mut().find(|(other, _)| other.name == step.name) {
                Some((_, reports)) => reports.push(report),
                None => steps.push((step, vec![report])),
            }
        }
        steps
    }

    /// Writes `lab.json` and the maps.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, topology: &Topology, folder: &Path) -> anyhow::Result<()> {
        let context = || folder.display().to_string();
        fs::create_dir_all(folder).with_context(context)?;
        let mut figures = BTreeMap::new();
        for (step, reports) in self.by_step() {
            figures.insert(step.name, Worst::of(&reports).json(step, &reports));
            for (name, catchment) in reports.iter().flat_map(|report| &report.maps) {
                let file = format!("{}-{}.svg", step.name, name.replace([' ', '\''], "-"));
                let title = format!("{}: {name}", step.name);
                fs::write(folder.join(file), map::draw(topology, &title, catchment))?;
            }
        }
        let holds = self.failed() == 0;
        let rounds = self.plays.iter().map(|(round, ..)| round + 1).max();
        let report = json!({
            "holds": holds, "rounds": rounds, "seconds": self.seconds, "steps": figures
        });
        let file = folder.join("lab.json");
        fs::write(&file, serde_json::to_string_pretty(&report)? + "\n").with_context(context)
    }

    /// Prints the table of the worst.
    pub fn print(&self) {
        let steps = self.by_step();
        println!(
            "\n{:18} {:>7} {:>7} {:>8} {:>10}  where the traffic went",
            "step", "verdict", "lost", "unduly", "converged"
        );
        for (step, reports) in &steps {
            println!("{}", Worst::of(reports).row(step.name));
        }
        println!("\nat each node after milliseconds");
        for (step, reports) in &steps {
            for (what, times) in times(reports).iter().filter(|(_, times)| times.len() > 1) {
                let told =
                    |time: &Option<u64>| time.map_or("never".into(), |time| time.to_string());
                let times: Vec<String> =
                    times.iter().map(|(node, time)| format!("{node} {}", told(time))).collect();
                println!("{:18} {what}: {}", step.name, times.join(", "));
            }
        }
    }
}

/// When each node did something, by what that was: the slowest of all plays, or nothing where it once did not.
fn times(reports: &[&Report]) -> BTreeMap<String, BTreeMap<String, Option<u64>>> {
    let mut worst: BTreeMap<String, BTreeMap<String, Option<u64>>> = BTreeMap::new();
    for (what, nodes) in reports.iter().flat_map(|report| &report.figures) {
        let (Some(what), Some(nodes)) = (what.strip_suffix(TIMES), nodes.as_object()) else {
            continue;
        };
        for (node, time) in nodes {
            let of_what = worst.entry(what.to_owned()).or_default();
            let slot = of_what.entry(node.clone()).or_insert(Some(0));
            *slot = slot.zip(time.as_u64()).map(|(a, b)| a.max(b));
        }
    }
    worst
}

/// The worst of all plays of a step.
struct Worst {
    failed: usize,
    lost: usize,
    unduly: usize,
    converged: Option<Duration>,
    moved: Vec<String>,
}

impl Worst {
    fn of(reports: &[&Report]) -> Self {
        Self {
            failed: reports.iter().filter(|report| !report.holds()).count(),
            lost: reports.iter().map(|report| report.lost).max().unwrap_or(0),
            unduly: reports.iter().map(|report| report.lost_unduly).max().unwrap_or(0),
            converged: reports.iter().filter_map(|report| report.converged).max(),
            moved: reports.first().map(|report| report.moved.clone()).unwrap_or_default(),
        }
    }

    fn row(&self, name: &str) -> String {
        let verdict = if self.failed == 0 { "passed" } else { "FAILED" };
        let converged =
            self.converged.map_or("-".to_owned(), |time| format!("{} ms", time.as_millis()));
        let moved = self.moved.join(", ");
        format!(
            "{name:18} {verdict:>7} {:>7} {:>8} {converged:>10}  {moved}",
            self.lost, self.unduly
        )
    }

    fn json(&self, step: &Step, reports: &[&Report]) -> Value {
        let plays: Vec<Value> = reports
            .iter()
            .map(|report| {
                let failed: Vec<&String> =
                    report.checks.iter().filter(|(_, holds)| !holds).map(|(what, _)| what).collect();
                json!({ "figures": report.figures, "checks": report.checks.len(), "failed": failed })
            })
            .collect();
        json!({
            "claim": step.claim,
            "holds": self.failed == 0,
            "worst": {
                "lost": self.lost,
                "lost unduly": self.unduly,
                "converged after milliseconds": self.converged.map(|time| time.as_millis() as u64),
                "at each node after milliseconds": times(reports),
            },
            "plays": plays,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_time_of_each_node_counts_and_never_is_slower() {
        let report = |time: Value| {
            let mut report = Report::default();
            report.figure(&format!("x{TIMES}"), json!({ "scl1": time, "mia1": 3 }));
            report
        };
        let (fast, slow, never) = (report(json!(2)), report(json!(7)), report(Value::Null));
        let scl = |reports: &[&Report]| times(reports)["x"]["scl1"];
        assert_eq!(scl(&[&slow, &fast]), Some(7));
        assert_eq!(scl(&[&slow, &never, &fast]), None);
    }
}
