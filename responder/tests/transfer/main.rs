//! Zones that come by transfer, from the servers that others run and from scripted ones that misbehave:
//! the built program on loopback ports. Only a full disk needs privileges (a mount
//! of its own), nothing the kernel programs.

#[path = "../daemon/harness.rs"]
#[allow(dead_code)]
mod harness;
#[path = "../servers/mod.rs"]
#[allow(dead_code)]
mod servers;

mod anywhere;
#[path = "../distribution/ask.rs"]
#[allow(dead_code)]
mod ask;
mod disturbed;
mod full_disk;
mod guards;
mod hostile;
mod incremental;
mod kill;
mod life;
mod notify;
mod peers;
mod primaries;
mod restart;
mod root;
mod script;
mod signed;
