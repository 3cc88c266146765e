//! Long runs of the tests of transfers (`responder/tests/transfer`).

use super::{Args, Outcome, trial::Trial};

/// Kills, unless `--count` says otherwise.
const KILLS: usize = 500;

/// A secondary is killed at random moments while Knot's versions arrive.
///
/// # Errors
/// When the test does not build or does not start.
pub fn kill(args: &Args) -> anyhow::Result<Outcome> {
    let kills = args.count.unwrap_or(KILLS);
    let trial = Trial {
        program: "transfer",
        test: "kill::each_start_after_a_kill_serves_a_whole_version",
        variables: vec![("RESPONDER_KILLS", kills.to_string().into())],
        figures: "RESPONDER_KILL_FIGURES",
        namespace: None,
    };
    let (passed, figures) = trial.run()?;
    let holds = passed && figures["kills"].as_u64() == Some(kills as u64);
    Ok(Outcome { holds, figures })
}

/// Real revisions of the root zone come from Knot as differences.
///
/// # Errors
/// When the test does not build, or the revisions are not there.
pub fn root(_: &Args) -> anyhow::Result<Outcome> {
    let trial = Trial {
        program: "transfer",
        test: "root::the_root_zones_revisions_come_as_differences_and_are_answered_as_nsd_does",
        variables: Vec::new(),
        figures: "RESPONDER_ROOT_FIGURES",
        namespace: None,
    };
    let (passed, figures) = trial.run()?;
    let revisions = figures["revisions"].as_array().map_or(0, Vec::len);
    Ok(Outcome { holds: passed && revisions > 1, figures })
}
