//! `responder xdp`.

use anyhow::Result;
use clap::{Args, ValueEnum};

use super::{
    Target,
    ask::{SOON, unexpected},
};
use crate::control::{Reply, Request};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Whether the kernel is to answer.
    switch: Switch,
    /// For one zone only; a zone is answered by the kernel if both it and all are on.
    #[arg(long, value_name = "NAME")]
    zone: Option<String>,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

pub(super) fn run(arguments: Arguments) -> Result<()> {
    let request = Request::Xdp { on: arguments.switch == Switch::On, zone: arguments.zone };
    match arguments.target.ask(&request, SOON)? {
        Reply::Done => Ok(()),
        _ => Err(unexpected()),
    }
}
