//! How the daemon is watched: its log, its rates, and what it serves over HTTP.

pub mod http;
mod metrics;
mod sampler;

use std::{
    io::IsTerminal,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tracing_subscriber::{EnvFilter, fmt, reload};

pub use metrics::exposition;
pub use sampler::{Sample, Sampler};

use crate::serve::Daemon;

/// The variable that filters the log, such as `RESPONDER_LOG=debug`.
pub const LOG_VARIABLE: &str = "RESPONDER_LOG";

/// Starts the log: one line an event on the standard output, `info` and above if not told
/// otherwise.
///
/// # Errors
/// `RESPONDER_LOG` is no filter: one line.
pub fn start_log() -> anyhow::Result<()> {
    let filter = match std::env::var(LOG_VARIABLE) {
        Ok(text) => EnvFilter::try_new(&text).map_err(|error| {
            anyhow::anyhow!("{LOG_VARIABLE}=\"{text}\" is no filter: {error}: try \"info\"")
        })?,
        Err(_) => EnvFilter::new("info"),
    };
    let colours = std::io::stdout().is_terminal();
    let log = fmt().with_ansi(colours).with_target(false);
    let log = log.with_env_filter(filter).with_filter_reloading();
    let handle = log.reload_handle();
    // A second start in one process (tests) keeps the first log.
    if log.try_init().is_ok() {
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
    let filter = EnvFilter::try_new(text).map_err(|error| told(&error))?;
    let refilter = REFILTER.get().ok_or("this process has no log")?;
    refilter(filter).map_err(|error| told(&error))?;
    tracing::warn!("the log is filtered by \"{text}\" from now on");
    Ok(())
}

/// Takes a sample of the counters each second, until dropped.
pub async fn sample_every_second(daemon: Arc<Daemon>) {
    let mut interval = tokio::time::interval(Duration::from_secs(1));
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
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
