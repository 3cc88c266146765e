//! The cases of the SCALE/Ferret data set: a small zone each, a question, and what BIND, NSD, Knot and
//! PowerDNS said. `cargo xtask prove ferret` runs this.
//!
//! Each zone is compiled and served, and the question is asked everywhere at once: the host's engine
//! (`xdp.mode = "off"`), the XDP program and the tc program, whose replies must be the same octets. The
//! reply is then held against what was recorded.

use responder::strict;

#[path = "../../tests/everywhere/mod.rs"]
mod everywhere;
mod judgement;
#[path = "../../tests/refereeing/mod.rs"]
mod refereeing;
mod sample;

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::Parser;
use everywhere::Everywhere;
use refereeing::{
    judge::Judge,
    peers::Kind,
    queries::{Dress, Query},
    tally::Tally,
};
use responder::{store::StoreOptions, zone};

use judgement::Report;
use sample::Case;

/// `limits.udp-size`, in octets.
const UDP_SIZE: u16 = 1232;

#[derive(Parser)]
struct Arguments {
    /// The cases, one JSON object a line
    sample: PathBuf,
    /// Where the figures go, as JSON
    figures: PathBuf,
    /// Shows these cases in full
    #[arg(long, value_name = "ID")]
    show: Vec<u64>,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let path = arguments.sample.display();
    let text = fs::read_to_string(&arguments.sample).with_context(|| path.to_string())?;
    let cases = sample::read(&text).with_context(|| path.to_string())?;
    let options = StoreOptions { udp_size: UDP_SIZE, id: "ferret".into() };
    let mut everywhere = Everywhere::load(&options)?;
    let file = arguments.figures.with_extension("zone");
    let mut report = Report::default();
    for case in &cases {
        let shown = arguments.show.contains(&case.id);
        fs::write(&file, &case.zone).with_context(|| file.display().to_string())?;
        let apex = case.origin.to_string();
        match zone::load(&everywhere.store, &apex, &file) {
            Ok(_) => ask(case, &mut everywhere, shown, &mut report),
            Err(error) => report.refused(case, &error.to_string()),
        }
        everywhere.store.remove_zone(&apex);
    }
    fs::remove_file(&file)?;
    let figures = serde_json::to_string_pretty(&report.figures())?;
    fs::write(&arguments.figures, figures + "\n")?;
    print!("{report}");
    Ok(if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Asks a case's question of the zone that is being served, and judges.
fn ask(case: &Case, everywhere: &mut Everywhere, shown: bool, report: &mut Report) {
    let query = Query::new(case.id as usize, case.name.clone(), case.qtype, Dress::default());
    let answered = match everywhere.ask(&query.octets) {
        Ok(answered) => answered,
        Err(fault) => return report.fault(case, "the kernel's octets differ", &fault),
    };
    let Some(reply) = answered.reply else {
        return report.fault(case, "no reply", answered.verdict.label());
    };
    report.answered(answered.verdict);
    let apexes = [case.origin.clone()];
    // The recorded servers are older than the judge's rules for single servers, which name BIND nowhere.
    let judge =
        Judge { peer: Kind::Bind, apexes: &apexes, data: &[], unread: &[], udp_size: UDP_SIZE };
    let mut alone = Tally::default();
    match judge.alone(&query, &reply, &mut alone) {
        None => report.fault(case, "the reply breaks a rule by itself", &alone.to_string()),
        Some(ours) => {
            if shown {
                println!("{}", judgement::describe(case, &ours));
            }
            report.judge(case, &judge, &query, &ours);
        }
    }
}
