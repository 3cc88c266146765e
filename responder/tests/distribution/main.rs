//! Zones that are given to others: to clients that ask as they may or may not, and to the servers that
//! others run. The built program on loopback ports; nothing here needs privileges.

#[path = "../daemon/harness.rs"]
#[allow(dead_code)]
mod harness;
#[path = "../servers/mod.rs"]
#[allow(dead_code)]
mod servers;

mod ask;
mod catalog;
mod cloud;
mod expire;
mod give;
mod notify;
mod refuse;
mod secondaries;
mod tls;
