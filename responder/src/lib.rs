//! `responder`: an authoritative DNS node that answers from the network driver.

pub mod answer;
pub mod catalog;
pub mod cli;
pub mod cloud;
pub mod config;
pub mod control;
pub mod dataplane;
mod labels;
pub mod limits;
pub mod locks;
pub mod privilege;
pub mod serve;
pub mod service;
pub mod store;
pub mod strict;
pub mod telemetry;
pub mod transfer;
pub mod zone;
