//! `cargo xtask lab`: the anycast cloud on one machine, with a script of what may befall it.

mod addresses;
mod ask;
pub mod bird;
mod cloud;
mod daemons;
mod examples;
mod load;
mod map;
mod primary;
mod report;
mod router;
mod routing;
mod scale;
mod simulate;
mod steps;
mod topology;
mod world;
mod zones;

use std::{
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use crate::{
    cleanup, daemon,
    setup::{self, For},
};
use cloud::Cloud;
use report::Results;
use steps::{Report, SCRIPT, Step};

/// The anycast cloud in namespaces, and what may befall it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The steps to play [default: all]
    names: Vec<String>,
    /// Says which steps there are
    #[arg(long)]
    list: bool,
    /// Leaves the cloud up afterwards, until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Measures instead what a distributor spends on each node and zone, at 1 to 12 nodes
    #[arg(long)]
    scale: bool,
    /// Plays instead, event by event, what many more nodes and zones would do
    #[arg(long)]
    simulate: bool,
    /// How often the steps are played; the worst figures count
    #[arg(long, default_value_t = 1)]
    repeat: usize,
    /// The responder program to judge [default: it is built]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Where the figures and maps go [default: target/lab]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// The command.
///
/// # Errors
/// When the cloud cannot be built, or a step fails.
pub fn run(args: &Args) -> anyhow::Result<()> {
    if args.list {
        for Step { name, claim, .. } in SCRIPT {
            println!("{name:18} {claim}");
        }
        return Ok(());
    }
    let folder = args.out.clone().unwrap_or_else(|| crate::target_folder().join("lab"));
    if args.simulate {
        return simulate::run(&folder);
    }
    let chosen = chosen(&args.names)?;
    setup::ensure(&[For::Build, For::Run, For::Test])?;
    let program = match &args.program {
        Some(program) => {
            std::fs::canonicalize(program).with_context(|| program.display().to_string())?
        }
        None => daemon::build()?,
    };
    cleanup::sweep();
    if args.scale {
        return scale::run(&program, &folder);
    }
    let begun = Instant::now();
    println!("starting the cloud");
    let mut cloud = Cloud::start(&program)?;
    println!("every place is answered by its nearest node");
    let mut results = Results::new();
    for round in 0..args.repeat {
        for step in &chosen {
            let report = play(&mut cloud, step);
            results.add(round, step, report);
        }
        if args.repeat > 1 {
            println!(
                "\nround {} of {} ended after {} s",
                round + 1,
                args.repeat,
                begun.elapsed().as_secs()
            );
            // Whoever looks, or ends it, has the figures so far.
            results.seconds = begun.elapsed().as_secs();
            results.write(cloud.topology(), &folder)?;
        }
    }
    results.seconds = begun.elapsed().as_secs();
    results.write(cloud.topology(), &folder)?;
    results.print();
    println!("\n{} s; figures and maps: {}", results.seconds, folder.display());
    if args.keep {
        cloud.explain();
        cleanup::interruption_is_success();
        loop {
            thread::sleep(Duration::from_secs(3600));
        }
    }
    drop(cloud);
    match results.failed() {
        0 => Ok(()),
        failed => bail!("{failed} steps failed (see above)"),
    }
}

fn chosen(names: &[String]) -> anyhow::Result<Vec<&'static Step>> {
    if names.is_empty() {
        return Ok(SCRIPT.iter().collect());
    }
    let find = |name: &String| {
        let found = SCRIPT.iter().find(|step| step.name == *name);
        found.with_context(|| format!("there is no step {name:?}: see `cargo xtask lab --list`"))
    };
    names.iter().map(find).collect()
}

/// Plays one step, and brings the cloud back to rest after it.
fn play(cloud: &mut Cloud, step: &Step) -> Report {
    println!("\n{}: {}", step.name, step.claim);
    let mut report = Report::default();
    let sessions = cloud.world.sessions();
    let start = Instant::now();
    if let Err(error) = (step.play)(cloud, &mut report) {
        report.check(format!("{error:#}"), false);
    }
    match cloud.heal() {
        Ok(_) => {
            // What no event accounts for.
            let lost = cloud.close(start).saturating_sub(report.lost);
            report.check(format!("lost before, between and after: {lost}"), lost == 0);
            report.lost += lost;
            report.lost_unduly += lost;
        }
        Err(error) => report.check(format!("afterwards: {error:#}"), false),
    }
    match sessions.and_then(|before| cloud.flaps(&before, &report.touched)) {
        Ok(flaps) => report.check(format!("sessions that flapped: {flaps:?}"), flaps.is_empty()),
        Err(error) => report.check(format!("the routers: {error:#}"), false),
    }
    for (what, holds) in &report.checks {
        println!("  {} {what}", if *holds { "ok  " } else { "FAIL" });
    }
    report
}
