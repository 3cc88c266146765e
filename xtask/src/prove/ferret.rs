//! The conformance cases of the SCALE/Ferret data set.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::{Args, Outcome};
use crate::{cleanup::Scratch, process, setup};

const FILE: &str = "conformance/ferret-sample.jsonl.gz";

/// The check. The work is done by an example of the daemon's package, which has the engine: xtask has not.
///
/// # Errors
/// When there is no sample, or the program does not build or run.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let folder = Scratch::create()?;
    let sample = folder.path().join("sample.jsonl");
    let text = process::output(Command::new("gzip").arg("-dcf").arg(source(args)?))?;
    fs::write(&sample, text)?;
    let figures = folder.path().join("figures.json");
    let mut cargo = Command::new(setup::cargo());
    cargo.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    cargo.args(["run", "--quiet", "--package", "responder", "--example", "ferret", "--"]);
    // It ends with a failure where the claim does not hold, and has then written why.
    let result = process::run(cargo.arg(&sample).arg(&figures));
    let Ok(text) = fs::read_to_string(&figures) else {
        result?;
        bail!("the example ferret wrote no figures");
    };
    let figures: Value = serde_json::from_str(&text).context("the figures")?;
    Ok(Outcome { holds: result.is_ok() && figures["holds"] == true, figures })
}

/// Whether the cases are where they are looked for.
pub fn is_here() -> bool {
    sample().is_file()
}

fn source(args: &Args) -> anyhow::Result<PathBuf> {
    let source = args.file.clone().unwrap_or_else(sample);
    if !source.is_file() {
        bail!("{} is missing: name the cases with --file FILE", source.display());
    }
    Ok(source)
}

/// In `$RESPONDER_SHARED`, else in `shared` beside the repository.
fn sample() -> PathBuf {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    env::var_os("RESPONDER_SHARED").map_or(beside, PathBuf::from).join(FILE)
}
