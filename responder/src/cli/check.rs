//! `responder check`.

use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Result, bail};
use clap::Args;
use serde::Serialize;

use super::ask::{print, print_json};
use crate::{
    config::{Config, Diagnostic, Key, ZoneSource},
    dataplane::Mode,
    privilege,
    serve::interface_exists,
    zone::{self, Loaded, Progress, ZoneError},
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print one JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

/// Everything that was found.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Findings {
    /// What keeps the node, or one of its zones, from serving.
    errors: Vec<Finding>,
    /// What an operator should know.
    warnings: Vec<Finding>,
    /// The zones that could be served.
    zones: Vec<CheckedZone>,
}

#[derive(Debug, Serialize)]
struct Finding {
    file: PathBuf,
    line: Option<u64>,
    column: Option<u64>,
    message: String,
}

#[derive(Debug, Serialize)]
struct CheckedZone {
    name: String,
    serial: u32,
    records: u64,
    names: u64,
    bytes: u64,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let findings = check(&arguments.config);
    if arguments.json {
        print_json(&findings)?;
    } else {
        print(&findings.to_text())?;
    }
    match findings.errors.len() {
        0 => Ok(()),
        1 => bail!("{}: 1 error", arguments.config.display()),
        errors => bail!("{}: {errors} errors", arguments.config.display()),
    }
}

fn check(file: &Path) -> Findings {
    let reading = Config::read(file);
    let mut findings = Findings::default();
    findings.errors.extend(reading.faults.into_iter().map(Finding::from));
    findings.warnings.extend(reading.warnings.into_iter().map(Finding::from));
    let config = reading.config;
    if config.xdp.mode != Mode::Off {
        for interface in config.xdp.interfaces.iter().filter(|name| !interface_exists(name)) {
            let message = format!("xdp.interfaces names {interface}, which this machine lacks");
            findings.warn(file, message);
        }
    }
    for key in &config.keys {
        check_secret(key, &mut findings);
    }
    for zone in &config.zones {
        match &zone.source {
            // Whether they are there is seen when the daemon runs.
            ZoneSource::Primaries(_) => {}
            // The daemon writes it.
            ZoneSource::File(_) if zone.is_produced => {}
            ZoneSource::File(path) => findings.add_zone(&zone.name, path),
        }
    }
    findings
}

/// Checks a zone; on a terminal a bar shows how far that has come, when it takes a while.
fn check_visibly(name: &str, file: &Path) -> std::result::Result<Loaded, ZoneError> {
    const WIDTH: u64 = 40;
    if !io::stderr().is_terminal() {
        return zone::check(name, file, &Progress::default());
    }
    let tell = |progress: &Progress| {
        let (_, done, total) = progress.get();
        let filled = (done * WIDTH).checked_div(total).unwrap_or(0).min(WIDTH) as usize;
        let bar = format!("{}{}", "#".repeat(filled), " ".repeat(WIDTH as usize - filled));
        eprint!("\r\x1b[K[{bar}] {name} {progress}");
    };
    let result = zone::watched(Duration::from_millis(200), tell, |progress| {
        zone::check(name, file, progress)
    });
    // Nothing stays of the bar.
    eprint!("\r\x1b[K");
    result
}

/// A secret must be there, and be the daemon's alone.
fn check_secret(key: &Key, findings: &mut Findings) {
    let file = &key.secret_file;
    match privilege::read_secret(file) {
        Err(error) => {
            findings.fail(file, format!("the secret of key \"{}\": {error}", key.name));
        }
        Ok(secret) if secret.trim().is_empty() => {
            findings.fail(file, format!("the secret of key \"{}\" is empty", key.name));
        }
        Ok(_) => {}
    }
}

impl Findings {
    fn warn(&mut self, file: &Path, message: String) {
        self.warnings.push(Finding::of(file, message));
    }

    fn fail(&mut self, file: &Path, message: String) {
        self.errors.push(Finding::of(file, message));
    }

    fn add_zone(&mut self, name: &str, file: &Path) {
        match check_visibly(name, file) {
            Ok(Loaded { serial, records, names, bytes, warnings, .. }) => {
                let zone = CheckedZone { name: name.to_owned(), serial, records, names, bytes };
                self.zones.push(zone);
                for warning in warnings {
                    self.warn(file, format!("zone \"{name}\": {warning}"));
                }
            }
            Err(ZoneError { file, line, message }) => {
                let message = format!("zone \"{name}\": {message}");
                self.errors.push(Finding { file, line, column: None, message });
            }
        }
    }

    fn to_text(&self) -> String {
        let mut text = String::new();
        for zone in &self.zones {
            text += &format!(
                "zone \"{}\": serial {}, {} records, {} names, {} octets\n",
                zone.name, zone.serial, zone.records, zone.names, zone.bytes
            );
        }
        for warning in &self.warnings {
            text += &format!("{} (warning)\n", warning.to_line());
        }
        for error in &self.errors {
            text += &format!("{}\n", error.to_line());
        }
        text
    }
}

impl Finding {
    fn of(file: &Path, message: String) -> Self {
        Self { file: file.to_owned(), line: None, column: None, message }
    }

    fn to_line(&self) -> String {
        let mut place = format!("{}:", self.file.display());
        for number in [self.line, self.column].into_iter().flatten() {
            place += &format!("{number}:");
        }
        format!("{place} {}", self.message)
    }
}

impl From<Diagnostic> for Finding {
    fn from(fault: Diagnostic) -> Self {
        Self {
            file: fault.file,
            line: fault.position.map(|position| position.line as u64),
            column: fault.position.map(|position| position.column as u64),
            message: fault.message,
        }
    }
}
