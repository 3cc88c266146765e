//! `cargo xtask`: every chore of the project.

mod bench;
mod cleanup;
mod daemon;
mod fuzz;
mod gen_zone;
mod lab;
mod load;
mod net;
mod process;
mod prove;
mod queries;
mod run;
mod setup;
mod test;
mod toolchain;
mod vmtest;

// The chores build before the kernel toolchain is there, so they cannot depend on `responder`, whose
// build needs it: they compile its decoder and what its tests compare servers with themselves.
#[path = "../../responder/tests/everywhere/packet.rs"]
mod packet;
#[path = "../../responder/tests/refereeing/mod.rs"]
mod refereeing;
#[path = "../../responder/src/strict/mod.rs"]
#[allow(dead_code, unused_imports, reason = "more than the chores need")]
mod strict;

use std::{env, process::ExitCode};

use clap::Parser as _;

#[derive(clap::Parser)]
#[command(name = "cargo xtask", about = "Every chore of the project")]
enum Chore {
    /// Installs what this machine lacks; says what it does
    Setup(setup::Args),
    /// Builds and runs the server; without arguments a demo in namespaces of its own
    Run(run::Args),
    /// Runs everything that CI runs
    Test(test::Args),
    /// Makes a zone shaped like a TLD's, and queries to load a server with
    GenZone(gen_zone::Args),
    /// Runs libFuzzer on what reads others' octets
    Fuzz(fuzz::Args),
    /// The long checks behind our claims; each writes its figures as JSON
    Prove(prove::Args),
    /// Measures what answers cost, and other servers beside us
    Bench(bench::Args),
    /// The anycast cloud in namespaces, and what may befall it
    Lab(lab::Args),
    /// Boots Debian 12's stock kernel in qemu and has the programs answer there
    Vmtest(vmtest::Args),
}

fn main() -> ExitCode {
    let chore = Chore::parse();
    add_system_folders();
    if let Err(error) = cleanup::on_signals() {
        eprintln!("error: signal handlers: {error}");
        return ExitCode::FAILURE;
    }
    let result = match chore {
        Chore::Setup(args) => setup::run(&args),
        Chore::Run(args) => run::run(args),
        Chore::Test(args) => test::run(&args),
        Chore::GenZone(args) => gen_zone::run(&args),
        Chore::Fuzz(args) => fuzz::run(&args),
        Chore::Prove(args) => prove::run(&args),
        Chore::Bench(args) => bench::run(&args),
        Chore::Lab(args) => lab::run(&args),
        Chore::Vmtest(args) => vmtest::run(&args),
    };
    cleanup::finish();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Debian keeps `ip`, `ethtool`, `nsd` and the like where only root's `PATH` may lead.
fn add_system_folders() {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    if let Ok(path) = env::join_paths(folders) {
        // SAFETY: no other thread has been started yet.
        unsafe { env::set_var("PATH", path) };
    }
}

/// Where cargo builds.
fn target_folder() -> std::path::PathBuf {
    let chosen = env::var_os("CARGO_TARGET_DIR").map(std::path::PathBuf::from);
    chosen.unwrap_or_else(|| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"))
}
