//! One transfer to one client: the zone's contents, message by message, as fast as the client takes them.
//!
//! A thread of its own reads the archive and fills messages; it is never more than a few ahead of what the
//! connection has taken. The view that it reads is of one commit: what changes meanwhile is another
//! version.

use std::{
    io,
    time::{Duration, Instant},
};

use responder_common::wire::rtype;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::mpsc,
    time::timeout_at,
};
use tracing::{error, info, warn};

use super::{
    composer::{Composer, Record},
    distributor::{Client, Place},
    exchange::seconds,
    request::{Request, Wanted},
};
use crate::zone::{
    archive::{Changes, Error, Lookup as _, OwnerRef, RrSetRef, View, changes_since, sort_key},
    difference::Part,
    read::RecordRef,
    serial::is_newer,
};

/// A message is sent when the next record would make it longer. Up to here every name can be pointed at.
const FULL: usize = 0x4000;
/// The longest message (RFC 1035, section 4.2.2).
const LONGEST: usize = u16::MAX as usize;
/// Messages that wait for the connection.
const AHEAD: usize = 4;

/// A transfer that may begin.
pub struct Order {
    work: Work,
    told: Told,
    place: Place,
}

/// What the thread needs.
struct Work {
    request: Request,
    view: View,
}

/// What the log tells.
struct Told {
    zone: String,
    client: Client,
    key: Option<String>,
    wanted: Wanted,
}

/// What a transfer may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// A client that takes no message for so long is left.
    pub idle: Duration,
    /// A transfer that takes longer is ended.
    pub time: Duration,
}

/// What was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sent {
    kind: &'static str,
    serial: u32,
    records: u64,
}

/// Why no more is sent.
#[derive(Debug, thiserror::Error)]
enum Stop {
    /// Nobody takes the messages any more; the connection's side knows why.
    #[error("the client is gone")]
    Gone,
    #[error("{0}")]
    Archive(#[from] Error),
    #[error("{0}")]
    Zone(&'static str),
}

impl Order {
    pub(super) fn new(
        request: Request,
        zone: String,
        client: Client,
        view: View,
        place: Place,
    ) -> Self {
        let key = request.session.as_ref().map(|session| session.key().name());
        let key = key.map(crate::zone::name::to_text);
        let told = Told { zone, client, key, wanted: request.wanted };
        Self { work: Work { request, view }, told, place }
    }

    /// Sends the transfer, counts it and logs it.
    ///
    /// # Errors
    /// The connection is of no use any more: it must be closed, since the client waits for more.
    pub async fn send(
        self,
        stream: &mut (impl AsyncWrite + Unpin),
        patience: Patience,
    ) -> io::Result<()> {
        let Self { work, told, place } = self;
        let started = Instant::now();
        let end = tokio::time::Instant::now() + patience.time;
        let (sender, mut receiver) = mpsc::channel(AHEAD);
        let work = tokio::task::spawn_blocking(move || work.run(sender));
        let (mut octets, mut messages) = (0_u64, 0_u64);
        let mut written = Ok(());
        while let Some(message) = receiver.recv().await {
            let deadline = end.min(tokio::time::Instant::now() + patience.idle);
            written = match timeout_at(deadline, write(stream, &message)).await {
                Ok(result) => result,
                Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "it takes no message")),
            };
            if written.is_err() {
                break;
            }
            octets += message.len() as u64;
            messages += 1;
        }
        // The thread ends at its next message.
        drop(receiver);
        let produced = work.await.map_err(|error| error.to_string());
        let flat = produced.and_then(|result| result.map_err(|stop| stop.to_string()));
        let outcome = written.map_err(|error| error.to_string()).and(flat);
        let Told { zone, client, key, wanted } = told;
        let Client { address: peer, tls } = client;
        let milliseconds = started.elapsed().as_millis() as u64;
        let from = match wanted {
            Wanted::Axfr => None,
            Wanted::Ixfr(serial) => Some(serial),
        };
        match outcome {
            Ok(Sent { kind, serial, records }) => {
                place.counts().add(&format!("out-{kind}"));
                let kind = kind.to_ascii_uppercase();
                info!(
                    zone, %peer, tls, key, kind, from, serial, records, octets, messages, milliseconds,
                    "zone given"
                );
                Ok(())
            }
            Err(error) => {
                place.counts().add("out-failed");
                let kind = wanted.label();
                warn!(
                    zone, %peer, tls, key, kind, from, octets, messages, milliseconds,
                    "the transfer broke off: {error}"
                );
                Err(io::Error::other(error))
            }
        }
    }
}

/// Writes a message and lets it go: TLS keeps what it has until it is told.
async fn write(stream: &mut (impl AsyncWrite + Unpin), message: &[u8]) -> io::Result<()> {
    stream.write_all(message).await?;
    stream.flush().await
}

impl Work {
    /// Fills messages until all is said or nobody takes them.
    fn run(self, sender: mpsc::Sender<Vec<u8>>) -> Result<Sent, Stop> {
        let Self { request, view } = self;
        let wanted = request.wanted;
        let apex = apex_of(&view, &request.apex)?;
        let serial = view.serial()?.ok_or(NO_SOA)?;
        let send = |message: Vec<u8>| {
            // A message is never longer than its length can tell.
            let framed = [&(message.len() as u16).to_be_bytes()[..], &message].concat();
            sender.blocking_send(framed).map_err(|_| Stop::Gone)
        };
        let mut messages = Messages::new(request, send);
        let kind = match wanted {
            Wanted::Axfr => "axfr",
            Wanted::Ixfr(from) if !is_newer(serial, from) => {
                messages.put(soa_of(&apex)?)?;
                "current"
            }
            Wanted::Ixfr(from) => match sound_changes(&view, from)? {
                Some(differences) => {
                    changes(differences, &apex, &mut messages)?;
                    "ixfr"
                }
                // The zone as it is will do as well (RFC 1995, section 4).
                None => "axfr",
            },
        };
        if kind == "axfr" {
            whole(&view, &apex, &mut messages)?;
        }
        let records = messages.finish()?;
        Ok(Sent { kind, serial, records })
    }
}

/// All records, between the SOA and the SOA (RFC 5936, section 2.2).
fn whole(
    view: &View,
    apex: &OwnerRef<'_>,
    messages: &mut Messages<impl FnMut(Vec<u8>) -> Result<(), Stop>>,
) -> Result<(), Stop> {
    let soa = soa_of(apex)?;
    messages.put(soa)?;
    for owner in view.all()? {
        let owner = owner?;
        for set in owner.rrsets() {
            let is_soa = set.rtype == rtype::SOA && owner.key == apex.key;
            let data = set.rdata.filter(|_| !is_soa).map(|rdata| (set.rtype, rdata));
            let signatures = set.signatures.map(|rdata| (rtype::RRSIG, rdata));
            for (rtype, rdata) in data.chain(signatures) {
                messages.put(Record { owner: owner.wire, rtype, ttl: set.ttl, rdata })?;
            }
        }
    }
    messages.put(soa)
}

/// What changed, one difference behind the other, between the SOA and the SOA (RFC 1995, section 4).
fn changes(
    differences: Changes<'_>,
    apex: &OwnerRef<'_>,
    messages: &mut Messages<impl FnMut(Vec<u8>) -> Result<(), Stop>>,
) -> Result<(), Stop> {
    let soa = soa_of(apex)?;
    messages.put(soa)?;
    for difference in differences {
        for part in difference?.parts() {
            let (Part::Gone(record) | Part::Present(record)) = part;
            let RecordRef { owner, rtype, ttl, rdata, .. } = record;
            messages.put(Record { owner, rtype, ttl, rdata })?;
        }
    }
    messages.put(soa)
}

/// The changes since a serial, looked through before anything is said: what is damaged in the middle could
/// not be taken back. None where the zone as a whole is to be given.
fn sound_changes(view: &View, from: u32) -> Result<Option<Changes<'_>>, Stop> {
    let looked_through = || {
        let changes = changes_since(view, from)?;
        changes.into_iter().flatten().try_for_each(|difference| difference.map(drop))?;
        changes_since(view, from)
    };
    match looked_through() {
        Err(error @ Error::Broken { .. }) => {
            error!("{error}: the whole zone is given; the next change begins it anew");
            Ok(None)
        }
        other => Ok(other?),
    }
}

const NO_SOA: Stop = Stop::Zone("the archive has no SOA record");

fn apex_of<'a>(view: &'a View, apex: &[u8]) -> Result<OwnerRef<'a>, Stop> {
    let mut key = Vec::new();
    sort_key(apex, &mut key);
    view.owner(&key)?.ok_or(NO_SOA)
}

/// The SOA record of the apex.
fn soa_of<'a>(apex: &OwnerRef<'a>) -> Result<Record<'a>, Stop> {
    let RrSetRef { rtype, ttl, mut rdata, .. } = apex.rrset(rtype::SOA).ok_or(NO_SOA)?;
    Ok(Record { owner: apex.wire, rtype, ttl, rdata: rdata.next().ok_or(NO_SOA)? })
}

/// The answer to an IXFR in a datagram: the SOA alone.
///
/// # Errors
/// What the archive says: one line.
pub fn datagram(request: Request, view: &View, reply: &mut Vec<u8>) -> Result<(), String> {
    let told = |stop: Stop| stop.to_string();
    let apex = apex_of(view, &request.apex).map_err(told)?;
    let mut messages = Messages::new(request, |message| {
        *reply = message;
        Ok(())
    });
    messages.put(soa_of(&apex).map_err(told)?).map_err(told)?;
    messages.finish().map(|_| ()).map_err(told)
}

/// A sequence of messages.
struct Messages<F> {
    request: Request,
    send: F,
    composer: Composer,
    first: bool,
    records: u64,
}

impl<F: FnMut(Vec<u8>) -> Result<(), Stop>> Messages<F> {
    fn new(request: Request, send: F) -> Self {
        let mut composer = Composer::default();
        composer.begin(request.header(true), request.question());
        Self { request, send, composer, first: true, records: 0 }
    }

    /// Adds a record, in the next message if there is no room in this one.
    fn put(&mut self, record: Record<'_>) -> Result<(), Stop> {
        self.records += 1;
        let room = self.request.room();
        if self.composer.add(record, FULL - room) {
            return Ok(());
        }
        if self.composer.answers() > 0 {
            self.flush()?;
            if self.composer.add(record, FULL - room) {
                return Ok(());
            }
        }
        match self.composer.add(record, LONGEST - room) {
            true => Ok(()),
            false => Err(Stop::Zone("a record is longer than a message can be")),
        }
    }

    /// Sends what there is, with OPT in the first message and signed, and begins the next one.
    fn flush(&mut self) -> Result<(), Stop> {
        let mut message = self.composer.finish().to_vec();
        if std::mem::take(&mut self.first) {
            self.request.append_opt(&mut message, None);
        }
        if let Some(session) = &mut self.request.session {
            session.sign(&mut message, seconds());
        }
        (self.send)(message)?;
        self.composer.begin(self.request.header(false), &[]);
        Ok(())
    }

    /// Sends the last message; how many records there were.
    fn finish(mut self) -> Result<u64, Stop> {
        self.flush()?;
        Ok(self.records)
    }
}
