//! How the daemon is watched: its log, its rates, and what it serves over HTTP.

pub mod http;
mod metrics;
mod sampler;

use std::{io::IsTerminal, sync::Arc, time::Duration};

use tracing_subscriber::{EnvFilter, fmt};

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
    let log = fmt().with_env_filter(filter).with_ansi(colours).with_target(false);
    // A second start in one process (tests) keeps the first log.
    let _ = log.try_init();
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
