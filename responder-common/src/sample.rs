//! What a kernel program tells of a query that it answered, so that the daemon can answer it again and
//! compare (`xdp.shadow`).

use core::mem::offset_of;

use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::{frame::HEADERS_MAX, layout::UDP_SIZE_MAX, scratch::QUERY_MAX};

/// Longest frame of a query, in octets.
pub const QUERY: usize = (HEADERS_MAX as usize + QUERY_MAX).next_multiple_of(8);
/// Longest frame of a reply, in octets.
pub const REPLY: usize = (HEADERS_MAX as usize + UDP_SIZE_MAX as usize).next_multiple_of(8);

/// What is to be known of a sample.
#[derive(FromBytes, Immutable, KnownLayout, Clone, Copy)]
#[repr(C)]
pub struct Head {
    /// When the query was taken, in nanoseconds of the kernel's coarse monotonic clock.
    pub before: u64,
    /// When the reply was written.
    pub after: u64,
    /// Whose it is: the number of the hook among the counters.
    pub hook: u32,
    /// The number of the verdict.
    pub verdict: u32,
    /// Octets of the query.
    pub query_length: u32,
    /// Octets of the reply.
    pub reply_length: u32,
}

/// A query and its reply, whole frames; it ends with the last octet of the reply.
#[repr(C)]
pub struct Sample {
    /// About them.
    pub head: Head,
    /// The query, from the Ethernet header on.
    pub query: [u8; QUERY],
    /// The reply.
    pub reply: [u8; REPLY],
}

/// Octets in front of the reply.
pub const FRONT: usize = offset_of!(Sample, reply);
