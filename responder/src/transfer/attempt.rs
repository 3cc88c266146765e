//! One attempt with one primary: its SOA, and the zone where that is newer, over one connection.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Cause, Failure,
    connection::Connection,
    exchange::{self, Exchange, Heard, Question},
    gather::{Content, Gather},
    incoming::{Incoming, Kind, Progress},
    secondaries::Limits,
    timers::Timers,
    tls::Profile,
    tsig::Key,
};
use crate::zone::serial::is_newer;

/// A primary to ask.
#[derive(Clone)]
pub struct Primary {
    /// Where it listens.
    pub address: SocketAddr,
    /// The key of all that is said; or why it cannot be used.
    pub key: Option<Result<Arc<Key>, String>>,
    /// How it is spoken with over TLS; or why it cannot be.
    pub tls: Option<Result<Arc<Profile>, String>>,
}

/// What is wanted of a primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// What is newer than this serial: the differences, if they can be had.
    Newer(u32),
    /// What is newer than this serial, as a whole.
    NewerWhole(u32),
    /// The whole zone, whatever its serial.
    Whole,
}

/// What a primary had to say.
pub enum Outcome {
    /// Our serial is the newest that it has.
    Current(Heard),
    /// It has a newer one, and this is it.
    Transferred(Box<Transferred>),
}

/// A transfer, complete and not yet compiled.
pub struct Transferred {
    /// What it brought.
    pub content: Content,
    /// How it came.
    pub form: Form,
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

/// How a transfer came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// The zone, as it was asked for.
    Axfr,
    /// The differences.
    Ixfr,
    /// The zone, though the differences were asked for (RFC 1995, section 4).
    Whole,
    /// The zone, since the differences could not be had, for this reason.
    Instead(Failure),
}

impl Form {
    /// What to call it in logs and counters.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Axfr => "axfr",
            Self::Ixfr => "ixfr",
            Self::Whole => "axfr-for-ixfr",
            Self::Instead(_) => "axfr-after-ixfr",
        }
    }
}

/// Asks a primary for what is wanted.
///
/// # Errors
/// The primary, or what it sends, is of no use.
pub async fn attempt(
    primary: &Primary,
    apex: &[u8],
    want: Want,
    limits: &Limits,
) -> Result<Outcome, Failure> {
    let asking = Asking { started: Instant::now(), primary, apex, limits };
    let mut connection = asking.connect().await?;
    let heard = exchange::soa(&mut connection, apex, asking.key()?).await?;
    match want {
        Want::Newer(ours) | Want::NewerWhole(ours) if ours == heard.serial => {
            return Ok(Outcome::Current(heard));
        }
        Want::Newer(ours) | Want::NewerWhole(ours) if !is_newer(heard.serial, ours) => {
            let message = format!("its serial {} is older than ours, {ours}", heard.serial);
            return Err(Failure::new(Cause::Older, message));
        }
        _ => {}
    }
    let Want::Newer(ours) = want else {
        return asking.transfer(connection, Question::Axfr, heard, Form::Axfr).await;
    };
    let failure = match asking.transfer(connection, Question::Ixfr(ours), heard, Form::Ixfr).await {
        Err(failure) if is_about_differences(failure.cause) => failure,
        outcome => return outcome,
    };
    // What is left of the first connection may be in the middle of something.
    let connection = asking.connect().await?;
    asking.transfer(connection, Question::Axfr, heard, Form::Instead(failure)).await
}

/// Whether the whole zone may be had where its differences failed like this.
fn is_about_differences(cause: Cause) -> bool {
    matches!(cause, Cause::Refused | Cause::Malformed | Cause::Closed | Cause::Older)
}

/// One attempt.
struct Asking<'a> {
    started: Instant,
    primary: &'a Primary,
    apex: &'a [u8],
    limits: &'a Limits,
}

impl Asking<'_> {
    fn key(&self) -> Result<Option<&Arc<Key>>, Failure> {
        match &self.primary.key {
            None => Ok(None),
            Some(Ok(key)) => Ok(Some(key)),
            Some(Err(message)) => Err(Failure::new(Cause::Local, message.clone())),
        }
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        self.key()?;
        let source = self.limits.source_for(self.primary.address.ip())?;
        let tls = self.primary.tls.as_ref().map(Result::as_ref).transpose();
        let tls = tls.map_err(|message| Failure::new(Cause::Local, message.clone()))?;
        let (address, bounds) = (self.primary.address, self.limits.bounds());
        Connection::open(address, source, tls.map(AsRef::as_ref), bounds).await
    }

    /// Asks for zone or differences and takes all of them.
    async fn transfer(
        &self,
        mut connection: Connection,
        question: Question,
        heard: Heard,
        form: Form,
    ) -> Result<Outcome, Failure> {
        let apex = self.apex;
        let mut gather = Gather::new(apex, self.limits.bounds());
        let mut messages = 0;
        let mut incoming = Incoming::new(apex, question);
        let mut exchange = Exchange::ask(&mut connection, apex, question, self.key()?).await?;
        let mut message = Vec::new();
        let kind = loop {
            exchange.next(&mut message).await?;
            messages += 1;
            match incoming.message(&message, &mut |part| gather.take(part))? {
                Progress::More => {}
                Progress::Done(kind) => break kind,
            }
        };
        exchange.finish()?;
        let octets = exchange.received();
        let form = match (kind, form) {
            (Kind::Whole, Form::Ixfr) => Form::Whole,
            (Kind::Whole, form) => form,
            (Kind::Changes, _) => Form::Ixfr,
            (Kind::Current, _) => {
                let message = "it announced a newer serial, and then has no differences for it";
                return Err(Failure::new(Cause::Older, message));
            }
        };
        // Between the two questions the primary may have gone on, but not back.
        let serial = incoming.serial().unwrap_or(heard.serial);
        if is_newer(heard.serial, serial) {
            let message =
                format!("it announced serial {} and then transferred {serial}", heard.serial);
            return Err(Failure::new(Cause::Older, message));
        }
        let timers = Timers::of_soa(incoming.soa(), self.limits.timers())
            .ok_or_else(|| Failure::malformed("its SOA record cannot be read"))?;
        Ok(Outcome::Transferred(Box::new(Transferred {
            content: gather.finish(),
            form,
            serial,
            timers,
            expire: heard.expire,
            octets,
            messages,
            time: self.started.elapsed(),
        })))
    }
}
