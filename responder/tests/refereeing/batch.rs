//! Many messages by one system call: a window of queries out, and whatever replies are there.

use std::{net::UdpSocket, os::fd::AsRawFd as _};

/// Queries on their way at a time from one socket.
pub const WINDOW: usize = 64;

/// Longest message of either direction, in octets.
const MESSAGE: usize = 1500;

/// Messages that go by one system call.
pub struct Batch {
    octets: Vec<[u8; MESSAGE]>,
    lengths: [usize; WINDOW],
}

impl Batch {
    /// Room for a window.
    pub fn new() -> Self {
        Self { octets: vec![[0; MESSAGE]; WINDOW], lengths: [0; WINDOW] }
    }

    /// Sets the query at a place of the window, with an identifier.
    pub fn put(&mut self, place: usize, id: u16, query: &[u8]) {
        self.octets[place][..query.len()].copy_from_slice(query);
        self.octets[place][..2].copy_from_slice(&id.to_be_bytes());
        self.lengths[place] = query.len();
    }

    /// Messages as the kernel wants them; `vectors` must not move while they are used.
    fn headers(vectors: &mut [libc::iovec]) -> Vec<libc::mmsghdr> {
        let header = |vector: &mut libc::iovec| {
            // SAFETY: zeros are a valid header: no name, no control data.
            let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
            message.msg_hdr.msg_iov = vector;
            message.msg_hdr.msg_iovlen = 1;
            message
        };
        vectors.iter_mut().map(header).collect()
    }

    fn vectors(&mut self, lengths: impl Fn(usize) -> usize) -> Vec<libc::iovec> {
        let each = self.octets.iter_mut().enumerate();
        each.map(|(place, octets)| libc::iovec {
            iov_base: octets.as_mut_ptr().cast(),
            iov_len: lengths(place),
        })
        .collect()
    }

    /// Sends the whole window.
    pub fn send(&mut self, socket: &UdpSocket) {
        let lengths = self.lengths;
        let mut vectors = self.vectors(|place| lengths[place]);
        let mut headers = Self::headers(&mut vectors);
        let mut sent = 0;
        while sent < WINDOW {
            let rest = &mut headers[sent..];
            // SAFETY: headers, vectors and octets live through the call.
            let count = unsafe {
                libc::sendmmsg(socket.as_raw_fd(), rest.as_mut_ptr(), rest.len() as u32, 0)
            };
            assert!(count > 0, "{}", std::io::Error::last_os_error());
            sent += count as usize;
        }
    }

    /// Waits for at least one message; how many came. None: nothing came in time.
    pub fn receive(&mut self, socket: &UdpSocket, most: usize) -> usize {
        let mut vectors = self.vectors(|_| MESSAGE);
        let mut headers = Self::headers(&mut vectors);
        // SAFETY: headers, vectors and octets live through the call.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                most as u32,
                libc::MSG_WAITFORONE,
                std::ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).unwrap_or(0);
        for (length, header) in self.lengths.iter_mut().zip(&headers[..count]) {
            *length = header.msg_len as usize;
        }
        count
    }

    /// The messages that came.
    pub fn received(&self, count: usize) -> impl Iterator<Item = &[u8]> {
        let each = self.octets[..count].iter().zip(&self.lengths);
        each.map(|(octets, length)| &octets[..*length])
    }
}
