//! What it takes to judge one name server by another: start the peer, ask both, compare.
//!
//! `responder/tests/referee.rs` and `cargo xtask prove` both compile this folder; whoever includes
//! it has the strict decoder as `crate::strict`.
#![allow(dead_code, reason = "two programs take this folder and each uses a part of it")]

pub mod ask;
pub mod batch;
pub mod configs;
pub mod contest;
pub mod data;
pub mod judge;
pub mod local;
pub mod peers;
pub mod probe;
mod proofs;
pub mod queries;
pub mod random;
pub mod resolver;
pub mod rules;
mod sections;
pub mod sign;
mod signed;
pub mod tally;
