//! A relay between a primary and whoever follows it, which notes when the primary's octets came.
//!
//! Both sides of every follower are treated alike so, and nobody has to be believed about the moment at
//! which it had the whole transfer: the relay has the last octet before the follower has it.

use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

/// A connection's octets from the primary, and when the last of them came.
#[derive(Debug, Clone, Copy)]
pub struct Passed {
    /// How many.
    pub octets: u64,
    /// When the first came.
    pub first: Instant,
    /// When the last came, before it was passed on.
    pub last: Instant,
}

/// The relay; it ends with its handle.
pub struct Relay {
    connections: Arc<Mutex<Vec<Passed>>>,
    ended: Arc<AtomicBool>,
}

impl Relay {
    /// Listens here, for a primary there, over UDP and TCP; to be called where both are reached.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn start(here: SocketAddr, primary: SocketAddr) -> io::Result<Self> {
        let (listener, datagrams) = (TcpListener::bind(here)?, UdpSocket::bind(here)?);
        let relay = Self { connections: Arc::default(), ended: Arc::default() };
        let (ended, connections) = (Arc::clone(&relay.ended), Arc::clone(&relay.connections));
        datagrams.set_read_timeout(Some(Duration::from_millis(100)))?;
        let over = Arc::clone(&ended);
        // What befalls a datagram or a connection is its own affair, and the follower's to tell.
        thread::spawn(move || {
            while !over.load(Relaxed) {
                let _ = pass_datagram(&datagrams, primary);
            }
        });
        thread::spawn(move || {
            for client in listener.incoming() {
                if ended.load(Relaxed) {
                    return;
                }
                let connections = Arc::clone(&connections);
                let Ok(client) = client else { continue };
                thread::spawn(move || pass_stream(client, primary, &connections));
            }
        });
        Ok(relay)
    }

    /// Forgets what has passed so far.
    pub fn forget(&self) {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The connection that carried most since then, if there was any.
    pub fn largest(&self) -> Option<Passed> {
        let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.iter().copied().max_by_key(|passed| passed.octets)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.ended.store(true, Relaxed);
    }
}

fn pass_datagram(socket: &UdpSocket, primary: SocketAddr) -> io::Result<()> {
    let mut buffer = [0; 65_535];
    let (length, client) = socket.recv_from(&mut buffer)?;
    let upstream = UdpSocket::bind(SocketAddr::new(socket.local_addr()?.ip(), 0))?;
    upstream.set_read_timeout(Some(Duration::from_secs(1)))?;
    upstream.send_to(&buffer[..length], primary)?;
    let length = upstream.recv(&mut buffer)?;
    socket.send_to(&buffer[..length], client).map(drop)
}

fn pass_stream(client: TcpStream, primary: SocketAddr, connections: &Mutex<Vec<Passed>>) {
    let Ok(upstream) = TcpStream::connect(primary) else { return };
    _ = client.set_nodelay(true);
    _ = upstream.set_nodelay(true);
    let (Ok(mut from_client), Ok(mut to_primary)) = (client.try_clone(), upstream.try_clone())
    else {
        return;
    };
    let questions = thread::spawn(move || {
        _ = io::copy(&mut from_client, &mut to_primary);
        _ = to_primary.shutdown(Shutdown::Write);
    });
    let (mut from_primary, mut to_client) = (upstream, client);
    let mut buffer = vec![0; 1 << 16];
    let mut place = None;
    while let Ok(length @ 1..) = from_primary.read(&mut buffer) {
        let now = Instant::now();
        {
            let mut all = connections.lock().unwrap_or_else(PoisonError::into_inner);
            // Where everything was forgotten meanwhile it is another transfer.
            let at = *place.get_or_insert(all.len());
            if at >= all.len() {
                place = Some(all.len());
                all.push(Passed { octets: 0, first: now, last: now });
            }
            let passed = &mut all[place.unwrap_or(at)];
            passed.octets += length as u64;
            passed.last = now;
        }
        if to_client.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    _ = to_client.shutdown(Shutdown::Both);
    _ = questions.join();
}
