//! The daemon is killed wherever it is: `responder/tests/transfer/anywhere.rs` does it.

use serde_json::{Map, Value};

use super::{Args, Outcome, trial::Trial};

/// Kills of a healthy node, unless `--count` says otherwise.
const KILLS: usize = 1000;

/// The check: a healthy node, a full disk, files cut short; a fifth as many kills for each of the latter.
///
/// # Errors
/// When the tests do not build or do not start.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let kills = args.count.unwrap_or(KILLS);
    let few = kills.div_ceil(5);
    let mut figures = Map::new();
    let mut holds = true;
    for (name, test, kills) in [
        ("anywhere", "each_start_after_a_kill_anywhere_is_clean", kills),
        ("full disk", "each_start_with_a_full_disk_serves_what_was_kept", few),
        (
            "files cut short",
            "files_of_the_state_that_were_cut_short_are_told_and_fetched_anew",
            few,
        ),
    ] {
        let trial = Trial {
            program: "transfer",
            test: &format!("anywhere::{test}"),
            variables: vec![("RESPONDER_KILLS", kills.to_string().into())],
            figures: "RESPONDER_KILL_FIGURES",
            namespace: None,
        };
        let (passed, found) = trial.run()?;
        holds &= passed && found["kills"].as_u64().is_some_and(|done| done >= kills as u64);
        figures.insert(name.to_owned(), found);
    }
    Ok(Outcome { holds, figures: Value::Object(figures) })
}
