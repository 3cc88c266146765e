//! The answer engine of `responder` and the layout of its store.
//!
//! One source runs in three places: the XDP and tc programs, the daemon's sockets, and the tests.
//! Nothing here knows a BPF map, a socket or a file: the engine reads a [`platform::Platform`], works in a
//! [`scratch::Scratch`] and says what to write.
//!
//! In the order in which a query meets them:
//!
//! | module | step |
//! |---|---|
//! | [`frame`] | headers from Ethernet to UDP, there and back |
//! | [`message`] | header, question and OPT of the query |
//! | [`name`] | lower-casing and hashing the question name |
//! | [`locate`] | the zone by its longest matching apex, then down to the closest encloser |
//! | [`meta`] | types that are an error to ask for |
//! | [`plan`] | which fragments make the reply |
//! | [`identity`] | the names of class CHAOS |
//! | [`alias`] | CNAME and DNAME |
//! | [`denial`] | which proofs go with it, if something is not there |
//! | [`limit`] | whether its source may have it; cookies |
//! | [`reply`] | how large it is, and writing it |
//! | [`engine`] | the order of these steps |
//! | [`sample`] | what shadow mode compares |
//! | [`verdict`] | what became of the query: the counter and its label |
#![no_std]
// The barrier of `bounds::opaque`.
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

pub mod alias;
pub mod bounds;
pub mod checksum;
pub mod denial;
pub mod engine;
pub mod frame;
pub mod identity;
pub mod layout;
pub mod limit;
pub mod locate;
pub mod message;
pub mod meta;
pub mod name;
pub mod plan;
pub mod platform;
pub mod reply;
pub mod sample;
pub mod scratch;
pub mod sha1;
pub mod siphash;
pub mod verdict;
pub mod wire;
