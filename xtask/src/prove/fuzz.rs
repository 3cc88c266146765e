//! Many mutated packets through the loaded programs and the host's engine: `responder/tests/fuzz` does it.

use super::{Args, Outcome, trial::Trial};

/// The check.
///
/// # Errors
/// When the test does not build or does not start.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let trial = Trial {
        program: "fuzz",
        test: "mutated_packets_are_treated_alike_by_kernel_and_host",
        variables: vec![
            ("RESPONDER_FUZZ_PACKETS", args.packets.to_string().into()),
            ("RESPONDER_FUZZ_SEED", args.seed.to_string().into()),
        ],
        figures: "RESPONDER_FUZZ_FIGURES",
        namespace: None,
    };
    let (passed, figures) = trial.run()?;
    let whole = figures["packets"] == args.packets;
    Ok(Outcome { holds: passed && whole, figures })
}
