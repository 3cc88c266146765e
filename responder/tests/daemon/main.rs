//! The daemon and its commands as an operator meets them: the built program, its messages word for
//! word, its sockets, signals and exit codes. Nothing here needs privileges or the kernel programs.

mod check;
mod harness;
mod lifecycle;
mod limits;
mod query;
mod reload;
mod room;
mod streams;
mod telemetry;
