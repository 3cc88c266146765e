//! Answering over streams (RFC 7766): queries may be pipelined, replies keep their order, and a
//! client that stalls holds a bounded buffer for a bounded time.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout, timeout_at},
};

use super::{
    counters::{Counters, Event},
    responses::AnswererPool,
};
use crate::{
    answer::Transport,
    cloud::announced,
    config::Limits,
    locks::lock,
    service::Services,
    transfer::{Client, Transfers, distributor::Outcome, outgoing::Patience, tls},
};

/// Octets of the length before each message (RFC 1035, section 4.2.2).
const LENGTH: usize = 2;
/// Octets that a connection reads at a time, and what its buffers keep while it is idle.
const SMALL: usize = 4096;
/// Octets of replies that are gathered before they are written.
const GATHER: usize = 16 * 1024;
/// How long a transfer waits for a version that is just being put in place, and how often it looks.
const SETTLE: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(20);

/// What all connections share.
pub struct Service {
    answerers: AnswererPool,
    transfers: Arc<Transfers>,
    services: Arc<Services>,
    counters: Arc<Counters>,
    limits: Limits,
    open: Mutex<Open>,
}

/// Connections that are open, in all and by source.
#[derive(Default)]
struct Open {
    total: usize,
    by_source: HashMap<IpAddr, usize>,
}

impl Service {
    /// A service without connections.
    pub fn new(
        answerers: AnswererPool,
        transfers: Arc<Transfers>,
        services: Arc<Services>,
        counters: Arc<Counters>,
        limits: Limits,
    ) -> Arc<Self> {
        Arc::new(Self { answerers, transfers, services, counters, limits, open: Mutex::default() })
    }

    /// Accepts connections until dropped; over TLS, if that is how.
    pub async fn accept(self: Arc<Self>, listener: TcpListener, tls: Option<Arc<tls::Listener>>) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => match Place::take(&self, peer) {
                    Ok(place) => {
                        self.counters.add(Event::Connection, 1);
                        tokio::spawn(converse(stream, place, tls.clone()));
                    }
                    Err(event) => self.counters.add(event, 1),
                },
                // The client was faster at leaving than we at accepting.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!("TCP: cannot accept: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

/// One connection's place among those that are open; given back when dropped.
struct Place {
    service: Arc<Service>,
    peer: IpAddr,
    source: IpAddr,
}

impl Place {
    fn take(service: &Arc<Service>, peer: SocketAddr) -> Result<Self, Event> {
        if service.answerers.is_denied(peer.ip()) {
            return Err(Event::Denied);
        }
        let source = source(peer.ip());
        let mut open = lock(&service.open);
        if open.total >= service.limits.tcp_connections {
            return Err(Event::Full);
        }
        let of_source = open.by_source.entry(source).or_default();
        if *of_source >= service.limits.tcp_connections_per_source {
            return Err(Event::SourceFull);
        }
        *of_source += 1;
        open.total += 1;
        Ok(Self { service: Arc::clone(service), peer: peer.ip(), source })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = lock(&self.service.open);
        open.total -= 1;
        if let Some(of_source) = open.by_source.get_mut(&self.source) {
            *of_source -= 1;
            if *of_source == 0 {
                open.by_source.remove(&self.source);
            }
        }
    }
}

/// What counts as one source: an IPv4 address, or an IPv6 /64, which is one subscriber's at least.
fn source(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
    }
}

async fn converse(mut stream: TcpStream, place: Place, tls: Option<Arc<tls::Listener>>) {
    let service = &place.service;
    // Replies are gathered by us, not by the system.
    let _ = stream.set_nodelay(true);
    let client = Client { address: place.peer, tls: tls.is_some() };
    let result = match tls {
        None => answer_stream(&mut stream, client, service).await,
        Some(tls) => match timeout(service.limits.tcp_idle, tls.accept(stream)).await {
            Ok(Ok(mut stream)) => answer_stream(&mut stream, client, service).await,
            Ok(Err(error)) => {
                service.counters.add(Event::Handshake, 1);
                tracing::debug!(peer = %place.peer, "no TLS: {error}");
                return;
            }
            Err(late) => Err(late.into()),
        },
    };
    match result {
        // A client that goes away is its own affair.
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            service.counters.add(Event::Idle, 1);
        }
        Err(_) => {}
    }
}

/// Answers until the client closes. Whoever completes no message, or takes no reply, within the
/// idle time is left: octets that trickle in do not count.
async fn answer_stream<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    client: Client,
    service: &Service,
) -> io::Result<()> {
    let idle = service.limits.tcp_idle;
    let (mut queries, mut replies, mut reply) = (Vec::new(), Vec::new(), Vec::new());
    let mut deadline = Instant::now() + idle;
    loop {
        let mut taken = 0;
        while let Some(message) = first_message(&queries[taken..]) {
            taken += LENGTH + message.len();
            let event = answer_message(service, client.address, message, &mut reply, &mut replies);
            if event == Event::Transfer {
                write(stream, &mut replies, Instant::now() + idle).await?;
                transfer(stream, client, service, message).await?;
            }
            if replies.len() >= GATHER {
                write(stream, &mut replies, Instant::now() + idle).await?;
            }
        }
        if taken > 0 {
            queries.drain(..taken);
            write(stream, &mut replies, Instant::now() + idle).await?;
            deadline = Instant::now() + idle;
        }
        for buffer in [&mut queries, &mut replies, &mut reply] {
            if buffer.len() < SMALL {
                buffer.shrink_to(GATHER);
            }
        }
        // At most one message that is not yet whole is in the buffer, and one read more.
        queries.reserve(SMALL);
        let mut bounded = (&mut *stream).take(SMALL as u64);
        if timeout_at(deadline, bounded.read_buf(&mut queries)).await?? == 0 {
            return Ok(());
        }
    }
}

/// The first message of a stream's octets, if it is whole.
fn first_message(octets: &[u8]) -> Option<&[u8]> {
    let (length, rest) = octets.split_first_chunk::<LENGTH>()?;
    rest.get(..usize::from(u16::from_be_bytes(*length)))
}

fn answer_message(
    service: &Service,
    peer: IpAddr,
    query: &[u8],
    reply: &mut Vec<u8>,
    replies: &mut Vec<u8>,
) -> Event {
    let event = match announcements(service, query) {
        Some(told) => {
            *reply = told;
            Event::Reply
        }
        None => service.answerers.respond(query, peer, Transport::Tcp, reply),
    };
    // No reply is longer than its length can tell: the engine is bounded by it.
    if let Ok(length @ 1..) = u16::try_from(reply.len())
        && event.is_sent()
    {
        replies.extend_from_slice(&length.to_be_bytes());
        replies.extend_from_slice(reply);
    }
    service.counters.add(event, 1);
    event
}

/// The reply to who asks what the node announces.
fn announcements(service: &Service, query: &[u8]) -> Option<Vec<u8>> {
    announced::is_asked(query).then(|| announced::reply(query, &service.services.status()))?
}

/// Answers a request for a transfer. What comes behind it waits.
async fn transfer<S: AsyncWrite + Unpin>(
    stream: &mut S,
    client: Client,
    service: &Service,
    message: &[u8],
) -> io::Result<()> {
    let patience =
        Patience { idle: service.limits.transfer_idle, time: service.limits.transfer_time };
    let settled = Instant::now() + SETTLE;
    let answer = loop {
        match service.transfers.distributor.judge(message, client) {
            Outcome::Transfer(order) => return order.send(stream, patience).await,
            Outcome::Answer(answer) => break answer,
            Outcome::Settling(answer) if Instant::now() >= settled => break answer,
            Outcome::Settling(_) => tokio::time::sleep(LOOK).await,
        }
    };
    // No answer without records is longer than its length can tell.
    let mut framed = [&(answer.len() as u16).to_be_bytes()[..], &answer].concat();
    write(stream, &mut framed, Instant::now() + patience.idle).await
}

async fn write<S: AsyncWrite + Unpin>(
    stream: &mut S,
    replies: &mut Vec<u8>,
    deadline: Instant,
) -> io::Result<()> {
    let work = async {
        stream.write_all(replies).await?;
        // TLS keeps what it has until it is told.
        stream.flush().await
    };
    timeout_at(deadline, work).await??;
    replies.clear();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{first_message, source};

    #[test]
    fn rfc7766_messages_are_told_apart_by_their_length() {
        assert_eq!(first_message(&[]), None);
        assert_eq!(first_message(&[0]), None);
        assert_eq!(first_message(&[0, 2, 7]), None);
        assert_eq!(first_message(&[0, 2, 7, 8, 9]), Some(&[7, 8][..]));
        assert_eq!(first_message(&[0, 0, 9]), Some(&[][..]));
    }

    #[test]
    fn an_ipv6_subscriber_is_one_source() {
        let of = |text: &str| source(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2:ffff::1"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
