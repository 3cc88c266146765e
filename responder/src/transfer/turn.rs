//! One turn of a zone: its primaries are asked in their order until one satisfies, and what it gives is
//! served.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{task::spawn_blocking, time::Instant};
use tracing::{debug, info, warn};

use super::{
    Cause, Failure,
    attempt::{Form, Outcome, Primary, Transferred, Want, attempt},
    gather::Content,
    secondary::Secondary,
    timers::{Timers, first_retry, spread},
};
use crate::{
    control::ZoneEvent,
    zone::{Life, Loaded},
};

impl Secondary {
    /// Asks the primaries, first the one that notified us, until one satisfies. True where there is a
    /// new version.
    pub(super) async fn turn(&self, retransfer: bool, notified: Option<IpAddr>) -> bool {
        let ours = self.state().version.map(|(serial, _)| serial);
        let want = if retransfer { Want::Whole } else { ours.map_or(Want::Whole, Want::Newer) };
        let mut primaries: Vec<&Primary> = self.primaries.iter().collect();
        primaries.sort_by_key(|primary| Some(primary.address.ip()) != notified);
        let mut faults = Vec::new();
        for primary in primaries {
            let started = Instant::now();
            match self.ask(primary, ours, want).await {
                Ok(new) => return new,
                Err(failure) => {
                    let address = primary.address;
                    let cause = failure.cause.label();
                    self.shared.counts.add(&format!("failed-{cause}"));
                    warn!(
                        zone = self.name,
                        primary = %address,
                        serial = ours,
                        cause,
                        "no transfer: {failure}"
                    );
                    self.shared.home.note(
                        &self.name,
                        ZoneEvent {
                            what: "transfer".to_owned(),
                            primary: Some(address.to_string()),
                            from: ours,
                            milliseconds: milliseconds(started.elapsed()),
                            error: Some(failure.to_string()),
                            ..ZoneEvent::default()
                        },
                    );
                    faults.push(format!("{address}: {failure}"));
                }
            }
        }
        self.fail(faults.join("; "));
        false
    }

    /// Asks one primary, and serves what it gives. Where its differences do not fit what we have, the
    /// whole zone is asked for. True where there is a new version.
    async fn ask(&self, primary: &Primary, ours: Option<u32>, want: Want) -> Result<bool, Failure> {
        let address = primary.address;
        let _place = self.shared.limits.place(address.ip()).await;
        let mut want = want;
        let mut unfit = None;
        loop {
            match attempt(primary, &self.apex, want, &self.shared.limits).await? {
                Outcome::Current(heard) => {
                    self.shared.counts.add("current");
                    debug!(zone = self.name, primary = %address, serial = heard.serial, "current");
                    self.confirm(address, heard.expire).await;
                    return Ok(false);
                }
                Outcome::Transferred(mut transferred) => {
                    let is_changes = matches!(transferred.content, Content::Changes(_));
                    if let Some(failure) = unfit.take() {
                        transferred.form = Form::Instead(failure);
                    }
                    match (self.commit(address, ours, *transferred).await, want) {
                        (Ok(()), _) => return Ok(true),
                        (Err(failure), Want::Newer(ours))
                            if is_changes && failure.cause == Cause::Zone =>
                        {
                            want = Want::NewerWhole(ours);
                            unfit = Some(failure);
                        }
                        (Err(failure), _) => return Err(failure),
                    }
                }
            }
        }
    }

    /// A primary has the version that we have.
    async fn confirm(&self, primary: SocketAddr, expire: Option<u32>) {
        let (was_expired, good) = {
            let mut state = self.state();
            let now = Instant::now();
            let Some((_, timers)) = state.version else { return };
            // Ours may be good for longer than what the primary offers: somebody confirmed that (RFC
            // 7314, section 4).
            let expiry = now + good_for(timers, expire);
            let expiry = state.expiry.map_or(expiry, |before| before.max(expiry));
            state.expiry = Some(expiry);
            let fresh = expiry > now;
            let was_expired = fresh && std::mem::replace(&mut state.expired, !fresh);
            state.succeed(primary, timers, now);
            (was_expired, expiry - now)
        };
        let (home, name) = (Arc::clone(&self.shared.home), self.name.clone());
        let noted = spawn_blocking(move || home.confirm(&name, Life::now(good))).await;
        if let Ok(Err(message)) = noted {
            warn!(zone = self.name, "a restart will take the zone for older than it is: {message}");
        }
        if was_expired {
            info!(zone = self.name, %primary, "the zone is fresh again: it is answered for");
        }
    }

    /// Commits and serves what a primary gave.
    async fn commit(
        &self,
        primary: SocketAddr,
        from: Option<u32>,
        transferred: Transferred,
    ) -> Result<(), Failure> {
        let Transferred { content, form, serial, timers, expire, octets, messages, time } =
            transferred;
        let good = good_for(timers, expire);
        let (home, name) = (Arc::clone(&self.shared.home), self.name.clone());
        let peers: Vec<SocketAddr> = self.primaries.iter().map(|one| one.address).collect();
        let started = Instant::now();
        let work = move || {
            let life = Life::now(good);
            match content {
                Content::Whole(arrivals) => home.serve(&name, &peers, *arrivals, life),
                Content::Changes(changes) => home.apply(&name, &peers, &changes, life),
            }
        };
        let loaded: Loaded = spawn_blocking(work)
            .await
            .map_err(|error| Failure::new(Cause::Local, format!("the compiler failed: {error}")))?
            .map_err(Failure::from)?;
        self.shared.counts.add(form.label());
        if let Form::Instead(failure) = &form {
            info!(
                zone = self.name,
                %primary,
                "the whole zone was transferred, since its changes failed: {failure}"
            );
        }
        info!(
            zone = self.name,
            %primary,
            kind = form.label(),
            from,
            serial,
            records = loaded.records,
            octets,
            messages,
            milliseconds = milliseconds(time),
            committed_milliseconds = milliseconds(started.elapsed()),
            "zone transferred"
        );
        self.shared.home.note(
            &self.name,
            ZoneEvent {
                what: form.label().to_owned(),
                primary: Some(primary.to_string()),
                from,
                serial: Some(serial),
                records: Some(loaded.records),
                octets: Some(octets),
                milliseconds: milliseconds(time + started.elapsed()),
                ..ZoneEvent::default()
            },
        );
        let mut state = self.state();
        let now = Instant::now();
        state.version = Some((serial, timers));
        state.expiry = Some(now + good);
        state.expired = false;
        state.succeed(primary, timers, now);
        Ok(())
    }

    fn fail(&self, message: String) {
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        state.last_error = Some(message);
        let retry = match state.version {
            Some((_, timers)) => timers.retry,
            None => first_retry(state.failures, &self.shared.limits.timers().retry),
        };
        state.next = Instant::now() + spread(retry);
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// For how long a version is good. A primary that is a secondary itself knows how long its own is (RFC
/// 7314).
fn good_for(timers: Timers, expire: Option<u32>) -> Duration {
    expire
        .map_or(timers.expire, |seconds| timers.expire.min(Duration::from_secs(u64::from(seconds))))
}
