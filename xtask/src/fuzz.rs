//! `cargo xtask fuzz`: libFuzzer on what reads others' octets, with the sample zones to start from.
//!
//! The targets stand in `fuzz/`, outside the workspace: a fresh clone builds without them. Corpora and
//! findings are kept in the target folder.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};

use crate::{
    process,
    refereeing::{
        peers::Zone,
        sign::{Denial, sign},
    },
    setup::{self, For},
};

/// Runs libFuzzer on the readers of packets, zones and configurations.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which target: packet, engine, zone or config [default: each in turn]
    pub target: Option<String>,
    /// How long each runs
    #[arg(long, default_value_t = 60)]
    pub seconds: u32,
}

/// A target, and the longest input worth trying, in octets.
const TARGETS: [(&str, usize); 4] =
    [("packet", 1600), ("engine", 1600), ("zone", 32 << 10), ("config", 4096)];

/// The command.
///
/// # Errors
/// When the fuzzer cannot be had or built, or when it finds something.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let chosen: Vec<_> = TARGETS
        .into_iter()
        .filter(|(name, _)| args.target.as_ref().is_none_or(|target| target == name))
        .collect();
    if chosen.is_empty() {
        let names = TARGETS.map(|(name, _)| name).join(", ");
        bail!("there is no such target; there are: {names}");
    }
    setup::ensure(&[For::Build, For::Test, For::Fuzz])?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let folder = target.join("fuzz");
    let zones = zones(&root, &folder.join("zones"))?;
    for (name, longest) in chosen {
        let corpus = folder.join("corpus").join(name);
        seed(name, longest, &root, &zones, &corpus)?;
        let findings = folder.join("findings").join(name);
        fs::create_dir_all(&findings)?;
        let mut fuzz = Command::new(setup::cargo());
        fuzz.current_dir(&root)
            .args(["fuzz", "run", "--fuzz-dir", "fuzz", "--target-dir"])
            .arg(folder.join("build"))
            .arg(name)
            .arg(&corpus)
            .arg("--")
            .arg(format!("-max_total_time={}", args.seconds))
            .arg(format!("-max_len={longest}"))
            .arg(format!("-artifact_prefix={}/", findings.display()))
            // What takes longer or more than this would harm a node.
            .args(["-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"])
            .env("RESPONDER_FUZZ_ZONES", env::join_paths(&zones)?)
            .env("RUSTC_BOOTSTRAP", "1"); // the sanitizer is an unstable flag
        process::run(&mut fuzz).with_context(|| {
            format!(
                "{name} found something: see {}; mend it and keep it as a test",
                findings.display()
            )
        })?;
    }
    Ok(())
}

/// The sample zones as they are, and signed in each way: a folder for each.
fn zones(root: &Path, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let samples = root.join("zones");
    let mut folders = vec![samples.clone()];
    for denial in [Denial::Nsec, Denial::Nsec3, Denial::Nsec3OptOut] {
        let place = folder.join(format!("{denial:?}"));
        fs::create_dir_all(&place)?;
        for zone in Zone::all_in(&samples)? {
            // kzonesign writes LOC and URI as text, which our reader takes in RFC 3597's form only.
            let signed = match zone.apex.to_string().as_str() {
                "rare.example." => zone.clone(),
                _ => sign(&zone, denial, folder)?,
            };
            let name = zone.file.file_name().context("a zone file has a name")?;
            fs::copy(&signed.file, place.join(name))?;
        }
        folders.push(place);
    }
    Ok(folders)
}

/// Puts inputs to start from into a corpus.
fn seed(
    target: &str,
    longest: usize,
    root: &Path,
    zones: &[PathBuf],
    corpus: &Path,
) -> anyhow::Result<()> {
    fs::create_dir_all(corpus)?;
    let put = |name: String, octets: &[u8]| {
        if octets.len() <= longest { fs::write(corpus.join(name), octets) } else { Ok(()) }
    };
    match target {
        "packet" | "engine" => {
            // The fixtures of the kernel's fuzzer: frames, as octets in hexadecimal.
            for entry in fs::read_dir(root.join("responder/tests/fuzz/fixtures"))? {
                let file = entry?.path();
                let frame = octets(&fs::read_to_string(&file)?)?;
                let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                // Most are IPv4 without tags; of the others the engine makes what it can.
                let skip = if target == "packet" { 0 } else { 42 };
                for choice in 0..zones.len() as u8 {
                    let input = [&[choice], frame.get(skip..).unwrap_or_default()].concat();
                    put(format!("{name}-{choice}"), &input)?;
                }
            }
        }
        "zone" => {
            for (number, folder) in zones.iter().enumerate() {
                for zone in Zone::all_in(folder)? {
                    // The target has one apex for all.
                    let text = String::from_utf8_lossy(&fs::read(&zone.file)?).into_owned();
                    let text = text.replace(&zone.apex.to_string(), "example.");
                    put(format!("{}{number}", zone.apex), text.as_bytes())?;
                }
            }
        }
        _ => {
            for entry in fs::read_dir(root.join("fuzz/seeds").join(target))? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                put(name, &fs::read(entry.path())?)?;
            }
        }
    }
    Ok(())
}

/// The octets of a fixture; lines with `#` are comments.
fn octets(text: &str) -> anyhow::Result<Vec<u8>> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let words = lines.flat_map(str::split_whitespace);
    words.map(|word| Ok(u8::from_str_radix(word, 16)?)).collect()
}
