//! Checks that a test of the daemon makes, run longer than `cargo test` has time for: built optimised,
//! told by environment variables how long, and asked for its figures.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::{
    cleanup::Scratch,
    net::Namespace,
    process,
    setup::{self, For},
};

/// A test, and what it is told.
pub struct Trial<'a> {
    /// The test program: a file or folder of `responder/tests`.
    pub program: &'a str,
    /// The test in it.
    pub test: &'a str,
    /// Environment variables.
    pub variables: Vec<(&'a str, OsString)>,
    /// The variable by which it learns where its figures go.
    pub figures: &'a str,
    /// Where it runs, if not here.
    pub namespace: Option<&'a Namespace>,
}

impl Trial<'_> {
    /// Builds and runs it: whether it passed, and its figures.
    ///
    /// # Errors
    /// When it does not build, or leaves no figures.
    pub fn run(&self) -> anyhow::Result<(bool, Value)> {
        let program = build(self.program)?;
        let folder = Scratch::create()?;
        let figures = folder.path().join("figures.json");
        let mut command = match self.namespace {
            Some(namespace) => namespace.command(&program),
            None => Command::new(&program),
        };
        command.args(["--exact", self.test, "--nocapture"]);
        // As cargo would: tests find their fixtures from there.
        command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../responder"));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.env(self.figures, &figures);
        let passed = process::run(&mut command);
        // One that found something has its figures too; without any it did not get so far.
        let text = match fs::read_to_string(&figures) {
            Ok(text) => text,
            Err(error) => {
                passed?;
                return Err(error).context("the test left no figures");
            }
        };
        Ok((passed.is_ok(), serde_json::from_str(&text)?))
    }
}

/// Builds a test program, optimised; where it is.
fn build(name: &str) -> anyhow::Result<PathBuf> {
    setup::ensure(&[For::Build, For::Test])?;
    println!("building the test program {name} (release)");
    let mut cargo = Command::new(setup::cargo());
    cargo.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    cargo.args(["test", "--release", "--package", "responder", "--test", name, "--no-run"]);
    cargo.args(["--message-format", "json-render-diagnostics"]).stderr(Stdio::inherit());
    let child = process::tie(&mut cargo).stdout(Stdio::piped()).spawn().context("cargo test")?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("the test program {name} does not build (see above)");
    }
    crate::daemon::executable(&output.stdout, name)
}
