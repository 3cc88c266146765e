//! How the daemon is watched: its log, its rates, and what it serves over HTTP.

mod flood;
pub mod http;
mod metrics;
mod sampler;

use std::{
    io::IsTerminal,
    sync::{Arc, LazyLock, OnceLock},
    time::{Duration, Instant},
};

use tracing_subscriber::{
    EnvFilter, Layer as _, fmt, layer::SubscriberExt as _, reload, util::SubscriberInitExt as _,
};

pub use metrics::exposition;
pub use sampler::{Sample, Sampler};

use crate::serve::Daemon;

/// The variable that filters the log, such as `RESPONDER_LOG=debug`.
pub const LOG_VARIABLE: &str = "RESPONDER_LOG";

/// The journeys of the program, by which its log is filtered, and the modules that make them.
const JOURNEYS: [(&str, &[&str]); 4] = [
    ("query", &["answer", "dataplane", "limits", "serve::plane", "serve::tcp", "serve::udp"]),
    ("zone", &["catalog", "serve::catalogs", "serve::zones", "store", "transfer", "zone"]),
    ("route", &["service"]),
    ("node", &["config", "control", "privilege", "serve", "telemetry"]),
];

/// What keeps a flood of events from being one of lines.
static LIMITER: LazyLock<flood::Limiter> = LazyLock::new(Default::default);

/// Starts the log: one line an event on the standard output, `info` and above if not told
/// otherwise.
///
/// # Errors
/// `RESPONDER_LOG` is no filter: one line.
pub fn start_log() -> anyhow::Result<()> {
    let filter = match std::env::var(LOG_VARIABLE) {
        Ok(text) => EnvFilter::try_new(in_modules(&text)).map_err(|error| {
            anyhow::anyhow!("{LOG_VARIABLE}=\"{text}\" is no filter: {error}: try \"info\"")
        })?,
        Err(_) => EnvFilter::new("info"),
    };
    let colours = std::io::stdout().is_terminal();
    let (filter, handle) = reload::Layer::new(filter);
    let lines = fmt::layer().with_ansi(colours).with_target(false).with_filter(&*LIMITER);
    // A second start in one process (tests) keeps the first log.
    if tracing_subscriber::registry().with(filter).with(lines).try_init().is_ok() {
        let _ = REFILTER.set(Box::new(move |filter| handle.reload(filter)));
    }
    Ok(())
}

/// Puts another filter in the place of the log's.
type Refilter = Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>;

/// That of this process' log.
static REFILTER: OnceLock<Refilter> = OnceLock::new();

/// Filters the log of the running process anew.
///
/// # Errors
/// The text is no filter, or there is no log: one line.
pub fn filter_log(text: &str) -> Result<(), String> {
    let told = |error: &dyn std::fmt::Display| {
        format!("\"{text}\" is no filter of the log: {error}: try \"info\" or \"debug\"")
    };
    let filter = EnvFilter::try_new(in_modules(text)).map_err(|error| told(&error))?;
    let refilter = REFILTER.get().ok_or("this process has no log")?;
    refilter(filter).map_err(|error| told(&error))?;
    tracing::warn!("the log is filtered by \"{text}\" from now on");
    Ok(())
}

/// A filter with journeys in it, such as `info,zone=debug`, in the names of modules.
fn in_modules(filter: &str) -> String {
    let parts = filter.split(',').map(|part| {
        let (name, level) = part.split_once('=').unwrap_or((part, ""));
        match JOURNEYS.iter().find(|(journey, _)| *journey == name.trim()) {
            None => part.to_owned(),
            Some((_, modules)) => {
                let level = if level.is_empty() { "trace" } else { level };
                let parts: Vec<String> =
                    modules.iter().map(|module| format!("responder::{module}={level}")).collect();
                parts.join(",")
            }
        }
    });
    parts.collect::<Vec<_>>().join(",")
}

/// Takes a sample of the counters each second, until dropped.
pub async fn sample_every_second(daemon: Arc<Daemon>) {
    let mut interval = tokio::time::interval(Duration::from_secs(1));
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        for flood::Withheld { place, lines } in LIMITER.withheld(Instant::now()) {
            tracing::warn!(
                lines,
                place,
                "more lines of one kind than are written: that many were not"
            );
        }
        let daemon = Arc::clone(&daemon);
        // Reading the kernel's counters makes system calls.
        let sampling = tokio::task::spawn_blocking(move || {
            let plane = daemon.plane.status();
            daemon.sampler.take(Sample::now(
                plane.xdp.answered,
                plane.tc.answered,
                daemon.udp.answered(),
                daemon.tcp.answered(),
            ));
        });
        if sampling.await.is_err() {
            tracing::warn!("the counters could not be read");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journey_is_its_modules() {
        assert_eq!(in_modules("info,route=debug"), "info,responder::service=debug");
        assert_eq!(in_modules("warn,responder::zone=info"), "warn,responder::zone=info");
        assert!(in_modules("zone=debug").contains("responder::transfer=debug"));
        for (journey, _) in JOURNEYS {
            EnvFilter::try_new(in_modules(&format!("{journey}=trace"))).expect(journey);
        }
    }
}
