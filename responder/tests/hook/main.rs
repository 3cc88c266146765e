//! The hooks of real interfaces, with the built program: whom the kernel refuses them. Needs root; each test
//! has a network namespace of its own.

// Made for a test that uses all of it.
#[allow(dead_code)]
#[path = "../daemon/harness.rs"]
mod harness;
mod refusals;
