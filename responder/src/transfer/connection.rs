//! A connection to a primary, over TCP or TLS: from our source address, within limits of time and octets.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpSocket,
    time::{Instant, timeout, timeout_at},
};

use super::{Cause, Failure, tls::Profile};

/// How long a primary may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Octets that are read at a time.
const READ: usize = 64 << 10;

/// Our own address for a peer's family, where addresses are configured.
///
/// # Errors
/// Addresses are configured, and none is of this family.
pub fn source_for(sources: &[IpAddr], peer: IpAddr) -> Result<Option<IpAddr>, Failure> {
    match sources.iter().find(|source| source.is_ipv4() == peer.is_ipv4()) {
        Some(source) => Ok(Some(*source)),
        None if sources.is_empty() => Ok(None),
        None => {
            let family = if peer.is_ipv4() { "IPv4" } else { "IPv6" };
            let message = format!("transfer.source has no {family} address: add one");
            Err(Failure::new(Cause::Local, message))
        }
    }
}

/// What one transfer may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The longest silence of the primary.
    pub idle: Duration,
    /// The longest time of the whole connection.
    pub time: Duration,
    /// How many octets come in over it, and how many the zone takes in memory before it is compiled.
    pub octets: u64,
    /// How many records come.
    pub records: u64,
}

/// What a connection may be of: TCP, or TLS over it.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection.
pub struct Connection {
    stream: BufReader<Box<dyn Stream>>,
    bounds: Bounds,
    end: Instant,
    received: u64,
}

impl Connection {
    /// Connects to a primary; `source` is our own address, if one is configured, `tls` how it is spoken
    /// with over TLS.
    ///
    /// # Errors
    /// The address is not ours, or the primary cannot be reached in time.
    pub async fn open(
        primary: SocketAddr,
        source: Option<IpAddr>,
        tls: Option<&Profile>,
        bounds: Bounds,
    ) -> Result<Self, Failure> {
        let local = |error: io::Error| Failure::new(Cause::Local, format!("no socket: {error}"));
        let socket = match primary {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }
        .map_err(local)?;
        if let Some(source) = source {
            socket.bind(SocketAddr::new(source, 0)).map_err(|error| {
                let message = format!("cannot send from {source}, transfer.source: {error}");
                Failure::new(Cause::Local, message)
            })?;
        }
        let stream = timeout(CONNECT.min(bounds.time), socket.connect(primary))
            .await
            .map_err(|_| Failure::new(Cause::Unreachable, "it does not accept the connection"))?
            .map_err(|error| Failure::new(Cause::Unreachable, format!("no connection: {error}")))?;
        // Questions are one write each.
        let _ = stream.set_nodelay(true);
        let stream: Box<dyn Stream> = match tls {
            None => Box::new(stream),
            Some(profile) => {
                let handshake = profile.connect(primary.ip(), stream);
                let late = |_| Failure::new(Cause::Tls, "TLS: it does not finish the handshake");
                Box::new(timeout(CONNECT.min(bounds.time), handshake).await.map_err(late)??)
            }
        };
        let stream = BufReader::with_capacity(READ, stream);
        Ok(Self { stream, bounds, end: Instant::now() + bounds.time, received: 0 })
    }

    /// Octets received so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The limits.
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Sends a message.
    ///
    /// # Errors
    /// The primary closed, or does not read.
    pub async fn send(&mut self, message: &[u8]) -> Result<(), Failure> {
        let length = u16::try_from(message.len())
            .map_err(|_| Failure::new(Cause::Local, "a question is longer than a message"))?;
        let octets = [&length.to_be_bytes(), message].concat();
        let deadline = self.deadline();
        let stream = &mut self.stream;
        let work = async {
            stream.write_all(&octets).await?;
            // TLS keeps what it has until it is told.
            stream.flush().await
        };
        match timeout_at(deadline, work).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(closed(&error)),
            Err(_) => Err(self.late()),
        }
    }

    /// Receives the next message in place of what `message` held.
    ///
    /// # Errors
    /// The stream ends, stalls or exceeds its limits.
    pub async fn receive(&mut self, message: &mut Vec<u8>) -> Result<(), Failure> {
        let deadline = self.deadline();
        let work = async {
            let length = self.stream.read_u16().await?;
            message.resize(usize::from(length), 0);
            self.stream.read_exact(message).await
        };
        match timeout_at(deadline, work).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(closed(&error)),
            Err(_) => return Err(self.late()),
        }
        self.received += 2 + message.len() as u64;
        if self.received > self.bounds.octets {
            let message = format!(
                "the transfer is larger than limits.transfer-octets = {}",
                self.bounds.octets
            );
            return Err(Failure::new(Cause::Limit, message));
        }
        Ok(())
    }

    /// When the next message must be through.
    fn deadline(&self) -> Instant {
        self.end.min(Instant::now() + self.bounds.idle)
    }

    fn late(&self) -> Failure {
        let message = if Instant::now() >= self.end {
            let seconds = self.bounds.time.as_secs();
            format!("the transfer takes longer than limits.transfer-time = {seconds}s")
        } else {
            format!("no whole message for {} s", self.bounds.idle.as_secs())
        };
        Failure::new(Cause::Timeout, message)
    }
}

fn closed(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        Failure::new(Cause::Closed, "it closed the connection before the end of its answer")
    } else {
        Failure::new(Cause::Closed, format!("the connection broke: {error}"))
    }
}
