//! Versions of a zone are committed back to back while two clients flood the XDP program over veth:
//! `responder/tests/atomic` commits, asks and judges every answer.

use std::path::Path;

use super::{Args, Outcome, trial::Trial};
use crate::net::{NAMESPACES, Pair, SERVER, SERVER_INTERFACE};

/// Answers, unless `--count` says otherwise.
const ANSWERS: usize = 10_000_000;
/// Versions.
const COMMITS: u32 = 10_000;

/// The check.
///
/// # Errors
/// When the test does not build or does not start.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let pair = Pair::create()?;
    let answers = args.count.unwrap_or(ANSWERS);
    let commits = (answers as u64 * u64::from(COMMITS) / ANSWERS as u64).max(100);
    let client = Path::new(NAMESPACES).join(pair.client.name());
    let trial = Trial {
        program: "atomic",
        test: "versions_are_never_mixed_and_none_follows_its_successor",
        variables: vec![
            ("RESPONDER_ATOMIC_ANSWERS", answers.to_string().into()),
            ("RESPONDER_ATOMIC_COMMITS", commits.to_string().into()),
            ("RESPONDER_ATOMIC_INTERFACE", SERVER_INTERFACE.into()),
            ("RESPONDER_ATOMIC_CLIENT", client.into()),
            ("RESPONDER_ATOMIC_SERVER", format!("{}:53", SERVER[0]).into()),
        ],
        figures: "RESPONDER_ATOMIC_FIGURES",
        namespace: Some(&pair.server),
    };
    let (passed, figures) = trial.run()?;
    let enough = |name: &str, least: u64| figures[name].as_u64().is_some_and(|got| got >= least);
    let holds = passed
        && enough("answers", answers as u64)
        && enough("commits", commits)
        && figures["lost"] == 0;
    Ok(Outcome { holds, figures })
}
