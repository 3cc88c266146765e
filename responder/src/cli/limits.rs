//! `responder limits`.

use std::{fmt::Write, time::Duration};

use anyhow::Result;
use clap::{Args, Subcommand};

use super::{
    Target,
    ask::{print, print_json, unexpected},
};
use crate::{
    control::{Reply, Request},
    limits::{Mode, top::Talker},
};

/// How long the daemon may take to answer; it watches for a second.
const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch for a second which prefixes ask most, and which are over their rate.
    ///
    /// Replies to clients with a good cookie are not counted: they are not limited. Needs rate-limit.mode
    /// "log" or "on"; counts are within a few percent. Of those far below their rate one reply of 32 is counted
    /// for all.
    Top {
        #[command(flatten)]
        target: Target,
        /// How many to show.
        #[arg(long, short = 'n', default_value_t = 20)]
        count: usize,
        /// Print JSON instead of text.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(arguments: Arguments) -> Result<()> {
    let Command::Top { target, count, json } = arguments.command;
    let request = Request::LimitsTop { count };
    let reply = target.ask(&request, Some(PATIENCE))?;
    let Reply::Talkers(mode, talkers) = reply else {
        return Err(unexpected());
    };
    if json {
        return print_json(&talkers);
    }
    print(&show(mode, &talkers)?)
}

fn show(mode: Mode, talkers: &[Talker]) -> Result<String> {
    let mut text = String::new();
    if mode == Mode::Off {
        writeln!(text, "rate-limit.mode is \"off\": replies are not counted; \"log\" counts them")?;
    }
    let width = talkers.iter().map(|talker| name(talker).len()).max().unwrap_or(0).max(6);
    writeln!(
        text,
        "{:<width$}  {:<11}{:>14}{:>14}  over",
        "source", "class", "per second", "seen"
    )?;
    for talker in talkers {
        let Talker { class, per_second, seen, limited, zone, .. } = talker;
        let over = if *limited { "OVER" } else { "" };
        let zone = zone.as_ref().map_or(String::new(), |zone| format!("  in {zone}"));
        let line = format!(
            "{:<width$}  {class:<11}{per_second:>14.0}{seen:>14}  {over}{zone}",
            name(talker)
        );
        writeln!(text, "{}", line.trim_end())?;
    }
    Ok(text)
}

fn name(talker: &Talker) -> String {
    talker.source.map_or_else(|| "all".to_owned(), |source| source.to_string())
}

#[cfg(test)]
mod tests {
    use super::{Mode, Talker, show};

    #[test]
    fn the_busiest_sources_are_a_table() {
        let talker = Talker {
            source: Some("192.0.2.0/24".parse().unwrap()),
            class: "nxdomain".into(),
            zone: Some("example.".into()),
            per_second: 1234.4,
            seen: 5000,
            limited: true,
        };
        let text = show(Mode::On, &[talker]).unwrap();
        let last = text.lines().last().unwrap();
        assert_eq!(
            last,
            "192.0.2.0/24  nxdomain             1234          5000  OVER  in example."
        );
    }
}
