//! The hooks of real interfaces, with the built program: whom the kernel refuses them, frames with VLAN
//! tags, shadow mode and the log of the packet path. Needs root; each test has a network namespace of its
//! own.

// Made for a test that uses all of it.
#[allow(dead_code)]
#[path = "../daemon/harness.rs"]
mod harness;

#[allow(dead_code, reason = "made for more than this")]
#[path = "../../../xtask/src/net/program.rs"]
mod program;

#[path = "../privilege/space.rs"]
mod space;

mod asked;
mod refusals;
mod shadow;
mod tags;
mod wire;
