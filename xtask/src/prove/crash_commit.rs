//! Writers and daemons are killed at random moments of their commits: `responder/tests/atomic` does it.
//!
//! One test kills a process that writes the store of loaded programs, which go on answering here; another
//! kills `responder serve` while it follows a changed zone file, and starts it again. Where a commit is cut
//! is chance in both; `zone::change::tests` cuts one before each of its stores.

use serde_json::json;

use super::{Args, Outcome, trial::Trial};

/// How many of each are killed, unless `--count` says otherwise.
const KILLS: usize = 300;

/// The check.
///
/// # Errors
/// When the tests do not build or do not start.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let kills = args.count.unwrap_or(KILLS);
    let run = |test| {
        let trial = Trial {
            program: "atomic",
            test,
            variables: vec![("RESPONDER_ATOMIC_KILLS", kills.to_string().into())],
            figures: "RESPONDER_ATOMIC_FIGURES",
            namespace: None,
        };
        trial.run()
    };
    let (programs, writers) =
        run("crash::a_killed_writer_leaves_one_version_whole_to_the_programs")?;
    let (restarts, daemons) =
        run("crash::a_killed_daemon_serves_the_last_version_whole_after_its_restart")?;
    let all = writers["writers killed"] == kills && daemons["daemons killed"] == kills;
    let figures = json!({ "attached programs": writers, "restarts": daemons });
    Ok(Outcome { holds: programs && restarts && all, figures })
}
