//! `cargo xtask setup`: finds what this machine lacks, says what it will do, does it.
//!
//! Pieces are looked for by what they do (a program in `PATH`, a compiler with its sources), not by
//! package, so a machine that got them some other way is left alone.

use anyhow::bail;

use pieces::{Piece, Purpose, Remedy};

mod install;
mod pieces;

pub use install::cargo;
pub use pieces::Purpose as For;

/// Installs what the builds, the demo, the tests and the benches need.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only say what is missing; exit code 1 if anything is
    #[arg(long)]
    check: bool,
}

/// The command.
///
/// # Errors
/// When something is missing that could not be installed, with the remedy.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let everything = [Purpose::Build, Purpose::Run, Purpose::Test, Purpose::Vm];
    if !args.check {
        ensure(&everything)?;
        println!("everything is there");
        return Ok(());
    }
    let missing = missing(&everything);
    for (piece, fault) in &missing {
        println!("missing: {} ({fault}); {}", piece.what, piece.remedy.describe());
    }
    if missing.is_empty() {
        println!("everything is there");
        return Ok(());
    }
    bail!("{} missing: run `cargo xtask setup`", missing.len())
}

/// Installs what is missing for these purposes; says nothing when nothing is.
///
/// # Errors
/// When something is missing that could not be installed, with the remedy.
pub fn ensure(purposes: &[Purpose]) -> anyhow::Result<()> {
    install::remove_leftovers();
    let missing = missing(purposes);
    if missing.is_empty() {
        return Ok(());
    }
    println!("missing on this machine:");
    for (piece, fault) in &missing {
        println!("  {} ({fault})", piece.what);
    }
    let mut packages: Vec<&str> = Vec::new();
    let mut steps = Vec::new();
    for (piece, _) in &missing {
        match &piece.remedy {
            Remedy::Packages(names) => packages.extend(names.iter()),
            Remedy::Cargo { packages: names, .. } => {
                packages.extend(names.iter());
                steps.push(&piece.remedy);
            }
            Remedy::Rustup(_) => steps.push(&piece.remedy),
        }
    }
    packages.sort_unstable();
    packages.dedup();
    install::packages(&packages)?;
    for step in steps {
        install::step(step)?;
    }
    let left = self::missing(purposes);
    if let Some((piece, fault)) = left.first() {
        bail!("{} is still missing ({fault}); {}", piece.what, piece.remedy.describe());
    }
    Ok(())
}

fn missing(purposes: &[Purpose]) -> Vec<(Piece, String)> {
    pieces::all()
        .into_iter()
        .filter(|piece| purposes.contains(&piece.purpose))
        .filter_map(|piece| (piece.check)().err().map(|fault| (piece, fault)))
        .collect()
}
