//! A route's journey, with the routing daemons that others run: BIRD, ExaBGP and FRR announce what the
//! daemon wants announced to a BIRD that stands for the rest of the world, and is asked what it has heard.
//! Each test has a network namespace of its own. Needs root.

#[path = "../daemon/harness.rs"]
#[allow(dead_code)]
mod harness;

mod bird;
mod exabgp;
mod frr;
mod kernel;
mod place;
