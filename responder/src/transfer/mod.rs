//! The second journey's beginning: zones that come from primaries.
//!
//! A NOTIFY, a timer or an operator asks for a refresh; the primaries are asked in turn for their SOA
//! over TCP; where one has a newer serial, the zone is transferred over the same connection, verified,
//! compiled and served. Whatever goes wrong, what was served before goes on being served.
//!
//! | module | what |
//! |---|---|
//! | [`secondaries`] | all zones with primaries: which there are, what they may use together |
//! | [`secondary`] | the life of one: its timers, its requests, its primaries in turn, its expiry |
//! | [`attempt`] | one attempt with one primary |
//! | [`notify`] | NOTIFY (RFC 1996): who may say that there is something new |
//! | [`connection`] | a TCP connection to a primary: from our source address, within its limits |
//! | [`exchange`] | a question and its answers, signed and checked; SOA, AXFR, IXFR, EDNS EXPIRE |
//! | [`incoming`] | the records of a transfer: which kind it is, what belongs, where it ends |
//! | [`tsig`] | TSIG: keys and signatures |
//! | [`timers`] | when a zone is looked after next |
//! | [`failure`] | why a transfer failed |

pub mod attempt;
pub mod connection;
pub mod exchange;
pub mod failure;
pub mod incoming;
pub mod notify;
pub mod secondaries;
pub mod secondary;
pub mod timers;
pub mod tsig;

pub use self::{
    failure::{Cause, Failure},
    secondaries::{Home, Secondaries},
    secondary::{Look, Refreshed},
};
