//! The second journey's beginning: zones that come from primaries.
//!
//! A NOTIFY, a timer or an operator asks for a refresh; the primaries are asked in turn for their SOA
//! over TCP; where one has a newer serial, the zone is transferred over the same connection, verified,
//! compiled and served. Whatever goes wrong, what was served before goes on being served.
//!
//! | module | what |
//! |---|---|
//! | [`connection`] | a TCP connection to a primary: from our source address, within its limits |
//! | [`exchange`] | a question and its answers, signed and checked; SOA, AXFR, IXFR, EDNS EXPIRE |
//! | [`incoming`] | the records of a transfer: which kind it is, what belongs, where it ends |
//! | [`tsig`] | TSIG: keys and signatures |
//! | [`failure`] | why a transfer failed |

pub mod connection;
pub mod exchange;
pub mod failure;
pub mod incoming;
pub mod tsig;

pub use self::failure::{Cause, Failure};
