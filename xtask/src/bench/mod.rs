//! `cargo xtask bench`: what answers cost, and how fast other servers are on the same machine. Each
//! leaves its figures in `benches/results`: JSON, a table, pictures.

mod cost;
mod machine;
mod micro;
mod peers;
mod plot;
mod silence;
mod table;
pub mod zones;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde_json::Value;

/// Measures what answers cost, on the host and in the kernel, and other servers beside us.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which; without it all of them, one after the other
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Nanoseconds of each class of answers in the kernel
    Cost(cost::Args),
    /// The engine and the zone compiler on the host, by criterion
    Micro(micro::Args),
    /// The same load for a bare reflector, Knot, NSD, BIND and us
    Peers(peers::Args),
}

/// What every bench takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Common {
    /// Where the results go [default: benches/results]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Locks these files, in this order, around each measurement, so that other jobs of the machine
    /// can keep silent meanwhile
    #[arg(long, value_name = "FILE")]
    lock: Vec<PathBuf>,
}

/// The command.
///
/// # Errors
/// When something cannot be built, started or measured.
pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.what {
        Some(What::Cost(args)) => cost::run(args),
        Some(What::Micro(args)) => micro::run(args),
        Some(What::Peers(args)) => peers::run(args),
        None => {
            cost::run(&defaults())?;
            micro::run(&defaults())?;
            peers::run(&defaults())
        }
    }
}

/// A bench's arguments when none are given.
fn defaults<T: clap::Args>() -> T {
    let command = T::augment_args(clap::Command::new("bench"));
    let matches = command.get_matches_from(["bench"]);
    T::from_arg_matches(&matches).expect("every argument has a default")
}

/// The workspace.
fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

impl Common {
    /// A file among the results.
    fn file(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.out.clone().unwrap_or_else(|| workspace().join("benches/results"));
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        Ok(folder.join(name))
    }

    /// Writes a result and says where it is.
    fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let file = self.file(name)?;
        fs::write(&file, text).with_context(|| file.display().to_string())?;
        println!("written: {}", file.display());
        Ok(())
    }

    fn write_json(&self, name: &str, value: &Value) -> anyhow::Result<()> {
        self.write(name, &(serde_json::to_string_pretty(value)? + "\n"))
    }
}
