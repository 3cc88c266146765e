//! `responder`: an authoritative DNS node that answers from the network driver.

pub mod answer;
pub mod dataplane;
pub mod store;
pub mod strict;
pub mod zone;
