//! `cargo xtask gen-zone`: zones shaped like a TLD's, of any size, signed or not, with queries.
//!
//! The zone is written as it is made up, so that its size is bounded by the disk: a registry's mix
//! of delegations to hosting companies of Zipf-like popularity, delegations with in-domain glue, and
//! some with DS. The same arguments make the same zone; only signatures differ.

mod delegation;
mod label;
mod sign;
#[cfg(test)]
mod tests;

use std::{
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, ensure};

use crate::{queries::QueryFile, refereeing::random::Random};

use delegation::Registry;
use label::Labels;

/// How the zone denies existence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Signed {
    /// RFC 4034.
    Nsec,
    /// RFC 5155, no salt, no further iterations (RFC 9276).
    Nsec3,
    /// The same with opt-out.
    Nsec3Optout,
}

/// Makes a zone shaped like a TLD's, and queries to load a server with.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Delegations
    #[arg(long, value_name = "N")]
    pub names: usize,
    /// Sign it with ECDSA P-256, through kzonesign
    #[arg(long, value_name = "HOW")]
    pub signed: Option<Signed>,
    /// Equal seeds make equal zones
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// The apex
    #[arg(long, default_value = "lac.")]
    pub apex: String,
    /// Where the zone goes
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Where the queries go
    #[arg(long, value_name = "FILE")]
    pub queries: Option<PathBuf>,
    /// How many queries
    #[arg(long, default_value_t = 200_000)]
    pub count: usize,
}

/// The command.
///
/// # Errors
/// When a file cannot be written, or the zone cannot be signed.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let start = Instant::now();
    let made = generate(args)?;
    println!(
        "{}: {} delegations, {} records, {} octets in {:.1} s",
        args.out.display(),
        args.names,
        made.records,
        fs::metadata(&args.out)?.len(),
        start.elapsed().as_secs_f64()
    );
    if let Some(file) = &args.queries {
        println!("{}: {} queries", file.display(), args.count);
    }
    Ok(())
}

/// What was made.
pub struct Made {
    /// Records in the zone before signing.
    pub records: u64,
}

/// Makes an unsigned zone of so many names in a folder, `APEXzone`, and 50,000 queries where a file for them
/// is named. Where the zone is.
///
/// # Errors
/// As [`run`].
pub fn unsigned(
    folder: &Path,
    apex: &str,
    names: usize,
    seed: u64,
    queries: Option<PathBuf>,
) -> anyhow::Result<PathBuf> {
    let out = folder.join(format!("{apex}zone"));
    let apex = apex.into();
    generate(&Args { names, signed: None, seed, apex, out: out.clone(), queries, count: 50_000 })?;
    Ok(out)
}

/// Makes the zone and the queries.
///
/// # Errors
/// As [`run`].
pub fn generate(args: &Args) -> anyhow::Result<Made> {
    ensure!(args.names > 0, "a zone needs at least one delegation: --names 1");
    let apex = args.apex.trim_end_matches('.');
    ensure!(!apex.is_empty(), "the root is no TLD: name another --apex");
    let mut labels = Labels::new(args.seed);
    let mut registry = Registry::new(args.names, args.seed);
    let context = || args.out.display().to_string();
    let file = File::create(&args.out).with_context(context)?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    registry.write_apex(&mut out, apex)?;
    for _ in 0..args.names {
        registry.write_delegation(&mut out, &labels.next())?;
    }
    out.flush().with_context(context)?;
    drop(out);
    if let Some(file) = &args.queries {
        ask(args, apex, file).with_context(|| file.display().to_string())?;
    }
    if let Some(signed) = args.signed {
        sign::in_place(&args.out, apex, signed)?;
    }
    Ok(Made { records: registry.records() })
}

/// The labels of a zone's delegations, without end, in the order of its file.
pub fn labels(seed: u64) -> impl Iterator<Item = String> {
    let mut labels = Labels::new(seed);
    std::iter::from_fn(move || Some(labels.next()))
}

/// Queries that carry DO and ask for names which the zone does not have, each another.
///
/// # Errors
/// When the file cannot be written.
pub fn ask_absent(args: &Args, file: &Path) -> anyhow::Result<()> {
    let apex = args.apex.trim_end_matches('.');
    let mut out = QueryFile::create(file, true)?;
    let mut absent = Labels::new(!args.seed);
    for _ in 0..args.count {
        out.ask(format_args!("{}--0.{apex}", absent.next()), "A")?;
    }
    Ok(out.finish()?)
}

/// 45 % delegated names, 30 % `www` below them, 20 % names that do not exist, and of the rest the
/// apex and DS at delegations, names uniform.
fn ask(args: &Args, apex: &str, file: &Path) -> anyhow::Result<()> {
    let mut random = Random::new(args.seed ^ 0x7175_6572_6965_7321);
    // The labels of the zone in the order of a query file: chosen by number, then made again.
    let mut chosen: Vec<(usize, usize)> =
        (0..args.count).map(|query| (random.below(args.names), query)).collect();
    chosen.sort_unstable();
    let mut labels = Labels::new(args.seed);
    let mut by_query = vec![String::new(); args.count];
    let mut made = 0;
    let mut label = String::new();
    for (number, query) in chosen {
        while made <= number {
            label = labels.next();
            made += 1;
        }
        by_query[query].clone_from(&label);
    }
    let mut out = QueryFile::create(file, args.signed.is_some())?;
    let mut absent = Labels::new(!args.seed);
    for label in by_query {
        match random.below(100) {
            0..30 => out.ask(format_args!("{label}.{apex}"), "A")?,
            30..45 => out.ask(format_args!("{label}.{apex}"), "AAAA")?,
            45..65 => out.ask(format_args!("www.{label}.{apex}"), "A")?,
            65..75 => out.ask(format_args!("www.{label}.{apex}"), "AAAA")?,
            75..95 => out.ask(format_args!("{}--0.{apex}", absent.next()), "A")?,
            95..97 => out.ask(apex, "NS")?,
            97 => out.ask(apex, "SOA")?,
            _ => out.ask(format_args!("{label}.{apex}"), "DS")?,
        }
    }
    Ok(out.finish()?)
}
