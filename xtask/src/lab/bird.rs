//! BIRD: started inside a namespace, asked over its control socket.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail};

use crate::{
    net::Namespace,
    process::{self, Running},
};

/// Its control socket, in its folder.
pub const SOCKET: &str = "bird.ctl";

/// Starts it in the foreground; its log goes to `bird.log` in `folder`, where its control socket is too.
///
/// # Errors
/// When it cannot be started.
pub fn start(space: &Namespace, config: &Path, folder: &Path) -> anyhow::Result<Running> {
    let log = File::create(folder.join("bird.log")).context("bird.log")?;
    let mut command = space.command("bird");
    command.arg("-f").arg("-c").arg(config).arg("-s").arg(folder.join(SOCKET));
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    process::hurry(&mut command);
    Running::start(&mut command)
}

/// What BIRD says to a command.
///
/// # Errors
/// When it does not answer within two seconds, or refuses.
pub fn ask(socket: &Path, command: &str) -> anyhow::Result<String> {
    let context = || format!("{}: {command}", socket.display());
    let mut stream = UnixStream::connect(socket).with_context(context)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(format!("{command}\n").as_bytes()).with_context(context)?;
    let mut said = String::new();
    for line in BufReader::new(stream).lines() {
        let line = line.with_context(context)?;
        let Some((code, rest)) = line.split_at_checked(5) else {
            said += &line;
            said.push('\n');
            if line.starts_with("0000") && line.len() <= 5 {
                return Ok(said);
            }
            continue;
        };
        match code.as_bytes() {
            // Four digits and a space end a reply; the greeting is one of them.
            b"0001 " => {}
            [b'0', _, _, _, b' '] => {
                said += rest;
                return Ok(said);
            }
            [b'8' | b'9', _, _, _, b' '] => bail!("{}: {rest}", context()),
            _ => {
                said += &line;
                said.push('\n');
            }
        }
    }
    bail!("{}: it hung up", context())
}
