//! The ceiling of every load: a program that only sends queries back.

use std::path::Path;

use crate::{
    net::{Pair, SERVER_INTERFACE},
    process,
};

/// Attaches the reflector to the server's side of a pair; it goes with the pair.
///
/// # Errors
/// When it cannot be compiled or attached.
pub fn attach(pair: &Pair, folder: &Path) -> anyhow::Result<()> {
    attach_to(pair, SERVER_INTERFACE, folder)
}

/// The same for an interface of the server's side.
///
/// # Errors
/// As [`attach`].
pub fn attach_to(pair: &Pair, interface: &str, folder: &Path) -> anyhow::Result<()> {
    let object = super::compile(folder, "reflector.c", include_str!("reflector.c"))?;
    let mut ip = pair.server.command("ip");
    ip.args(["link", "set", "dev", interface, "xdpdrv", "obj"]).arg(&object);
    process::output(ip.args(["sec", "xdp"]))?;
    Ok(())
}

/// Gives the polling of the server's interface to a kernel thread, as our daemon does by itself where
/// there is one queue; steering would find nothing to do, since the reflector leaves nothing to others.
///
/// # Errors
/// When the kernel has no such switch.
pub fn scale(pair: &Pair) -> anyhow::Result<()> {
    let switch = format!("/sys/class/net/{SERVER_INTERFACE}/threaded");
    let mut shell = pair.server.command("sh");
    process::output(shell.args(["-c", &format!("echo 1 >{switch}")]))?;
    Ok(())
}
