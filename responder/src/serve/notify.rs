//! Telling the service manager how the daemon does (sd_notify(3)), and its watchdog that it still serves.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use sd_notify::NotifyState;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    task::spawn_blocking,
    time::{interval, timeout},
};
use tracing::{error, warn};

use super::Daemon;

/// The question that the watchdog asks of each socket: `id.server CH TXT` (RFC 4892), which needs no zone.
const QUESTION: &[u8] = b"\x57\x44\0\0\0\x01\0\0\0\0\0\0\x02id\x06server\0\0\x10\0\x03";
/// How often it is asked within the time that the service manager allows.
const ROUNDS: u32 = 4;

/// Tells the service manager a state; nothing where there is none.
pub fn service_manager(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        warn!("cannot tell the service manager: {error}");
    }
}

/// Tells the watchdog that the daemon lives for as long as every loop that serves answers: UDP on each
/// address (as many queries as there are threads, from ports of their own), TCP on each, and what `status`
/// shows. If one does not, the watchdog is told nothing, and the service manager starts the daemon again.
pub async fn keep_watchdog(daemon: Arc<Daemon>) {
    let Some(allowed) = sd_notify::watchdog_enabled() else { return };
    let round = allowed / ROUNDS;
    let mut rounds = interval(round);
    loop {
        rounds.tick().await;
        match timeout(round, ask_all(&daemon)).await {
            Ok(Ok(())) => service_manager(NotifyState::Watchdog),
            Ok(Err(error)) => error!("the watchdog is not told that all is well: {error}"),
            Err(_) => {
                error!("the watchdog is not told that all is well: no answer within {round:?}");
            }
        }
    }
}

async fn ask_all(daemon: &Arc<Daemon>) -> io::Result<()> {
    let listen = &daemon.config.listen;
    for address in listen.addresses.iter().map(|ip| SocketAddr::new(*ip, listen.port)) {
        let told = |transport| {
            move |error: io::Error| io::Error::other(format!("{address} ({transport}): {error}"))
        };
        for _ in 0..daemon.config.limits.udp_threads {
            ask_udp(address).await.map_err(told("UDP"))?;
        }
        ask_tcp(address).await.map_err(told("TCP"))?;
    }
    let daemon = Arc::clone(daemon);
    spawn_blocking(move || drop(daemon.status())).await.map_err(io::Error::other)
}

async fn ask_udp(address: SocketAddr) -> io::Result<()> {
    let socket = UdpSocket::bind(SocketAddr::new(address.ip(), 0)).await?;
    socket.connect(address).await?;
    let mut reply = [0; 512];
    // One lost datagram is no illness.
    for patience in [1, 2, 4].map(Duration::from_secs) {
        socket.send(QUESTION).await?;
        if let Ok(length) = timeout(patience, socket.recv(&mut reply)).await {
            return is_reply(&reply[..length?]);
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

async fn ask_tcp(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_u16(QUESTION.len() as u16).await?;
    stream.write_all(QUESTION).await?;
    let mut reply = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut reply).await?;
    is_reply(&reply)
}

fn is_reply(message: &[u8]) -> io::Result<()> {
    match message.get(..3) {
        Some([first, second, flags]) if [*first, *second] == QUESTION[..2] && flags >> 7 == 1 => {
            Ok(())
        }
        _ => Err(io::Error::other("what answers is not this daemon")),
    }
}
