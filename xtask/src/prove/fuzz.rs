//! Many mutated packets through the loaded programs and the host's engine: `responder/tests/fuzz` does it.

use std::{fs, path::Path, process::Command};

use anyhow::Context as _;
use serde_json::Value;

use super::{Args, Outcome};
use crate::{cleanup::Scratch, process, setup};

/// The test that the packets go through.
const TEST: &str = "mutated_packets_are_treated_alike_by_kernel_and_host";

/// The check.
///
/// # Errors
/// When the test does not build or does not start.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let folder = Scratch::create()?;
    let figures = folder.path().join("fuzz.json");
    let mut test = Command::new(setup::cargo());
    test.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .args(["test", "--release", "--package", "responder", "--test", "fuzz"])
        .args(["--", "--exact", TEST, "--nocapture"])
        .env("RESPONDER_FUZZ_PACKETS", args.packets.to_string())
        .env("RESPONDER_FUZZ_SEED", args.seed.to_string())
        .env("RESPONDER_FUZZ_FIGURES", &figures);
    let passed = process::run(&mut test);
    // A run that found something has its figures too; without any it did not get so far.
    let text = match fs::read_to_string(&figures) {
        Ok(text) => text,
        Err(error) => {
            passed?;
            return Err(error).context("the test left no figures");
        }
    };
    let figures: Value = serde_json::from_str(&text)?;
    let whole = figures["packets"] == args.packets;
    Ok(Outcome { holds: passed.is_ok() && whole, figures })
}
