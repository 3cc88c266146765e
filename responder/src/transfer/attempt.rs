//! One attempt with one primary: its SOA, and the zone where that is newer, over one connection.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Cause, Failure,
    connection::{Bounds, Connection},
    exchange::{self, Exchange, Heard, Question},
    incoming::{Incoming, Kind, Progress},
    secondaries::Limits,
    timers::Timers,
    tsig::Key,
};
use crate::zone::{Arrivals, difference::Part, serial::is_newer};

/// A primary to ask.
#[derive(Clone)]
pub struct Primary {
    /// Where it listens.
    pub address: SocketAddr,
    /// The key of all that is said; or why it cannot be used.
    pub key: Option<Result<Arc<Key>, String>>,
}

/// What a primary had to say.
pub enum Outcome {
    /// Our serial is the newest that it has.
    Current(Heard),
    /// It has a newer one, and this is it.
    Transferred(Box<Transferred>),
}

/// A transferred zone, complete and not yet compiled.
pub struct Transferred {
    /// Its records.
    pub arrivals: Arrivals,
    /// Its serial.
    pub serial: u32,
    /// Its timers.
    pub timers: Timers,
    /// For how many seconds the primary's own copy is good (RFC 7314).
    pub expire: Option<u32>,
    /// Octets that came over the wire.
    pub octets: u64,
    /// Messages of the transfer.
    pub messages: u64,
    /// How long it took, from the connection on.
    pub time: Duration,
}

/// Asks a primary for a newer version than `ours`, or for whatever it has.
///
/// # Errors
/// The primary, or what it sends, is of no use.
pub async fn attempt(
    primary: &Primary,
    apex: &[u8],
    ours: Option<u32>,
    limits: &Limits,
) -> Result<Outcome, Failure> {
    let started = Instant::now();
    let key = match &primary.key {
        None => None,
        Some(Ok(key)) => Some(key),
        Some(Err(message)) => return Err(Failure::new(Cause::Local, message.clone())),
    };
    let source = limits.source_for(primary.address.ip())?;
    let bounds: Bounds = limits.bounds();
    let mut connection = Connection::open(primary.address, source, bounds).await?;
    let heard = exchange::soa(&mut connection, apex, key).await?;
    match ours {
        Some(ours) if ours == heard.serial => return Ok(Outcome::Current(heard)),
        Some(ours) if !is_newer(heard.serial, ours) => {
            let message = format!("its serial {} is older than ours, {ours}", heard.serial);
            return Err(Failure::new(Cause::Older, message));
        }
        _ => {}
    }
    let mut arrivals = Arrivals::new(apex);
    let mut messages = 0;
    let mut incoming = Incoming::new(apex, Question::Axfr);
    let mut exchange = Exchange::ask(&mut connection, apex, Question::Axfr, key).await?;
    let mut message = Vec::new();
    loop {
        exchange.next(&mut message).await?;
        messages += 1;
        let mut sink = |part: Part<'_>| match part {
            Part::Present(record) => {
                arrivals.add(record).map_err(|error| Failure::new(Cause::Zone, error))
            }
            Part::Gone(_) => Err(Failure::malformed("changes instead of the zone")),
        };
        let progress = incoming.message(&message, &mut sink)?;
        if arrivals.octets() > bounds.octets {
            let message =
                format!("the zone is larger than limits.transfer-octets = {}", bounds.octets);
            return Err(Failure::new(Cause::Limit, message));
        }
        match progress {
            Progress::More => {}
            Progress::Done(Kind::Whole) => break,
            Progress::Done(_) => return Err(Failure::malformed("changes instead of the zone")),
        }
    }
    exchange.finish()?;
    let octets = exchange.received();
    // Between the two questions the primary may have gone on, but not back.
    let serial = incoming.serial().unwrap_or(heard.serial);
    if is_newer(heard.serial, serial) {
        let message = format!("it announced serial {} and then transferred {serial}", heard.serial);
        return Err(Failure::new(Cause::Older, message));
    }
    let timers = Timers::of_soa(incoming.soa(), limits.timers())
        .ok_or_else(|| Failure::malformed("its SOA record cannot be read"))?;
    Ok(Outcome::Transferred(Box::new(Transferred {
        arrivals,
        serial,
        timers,
        expire: heard.expire,
        octets,
        messages,
        time: started.elapsed(),
    })))
}
