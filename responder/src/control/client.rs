//! The commands' end of the control socket.

use std::{
    io::{BufRead, BufReader, ErrorKind, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use super::{Reply, Request};

/// Sends one request to the daemon and waits for its answer, at most for `patience`.
///
/// # Errors
/// No daemon listens there, it does not answer in time, or it answers with an error: one line each.
pub fn ask(socket: &Path, request: &Request, patience: Option<Duration>) -> Result<Reply> {
    let mut stream = connect(socket)?;
    stream.set_read_timeout(patience)?;
    let mut line = serde_json::to_string(request)?;
    line.push('\n');
    stream.write_all(line.as_bytes()).context("the daemon hung up")?;
    let mut answer = String::new();
    match BufReader::new(stream).read_line(&mut answer) {
        Ok(0) => bail!("the daemon hung up without an answer: its log tells why"),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            bail!("the daemon at {} does not answer: its log may tell why", socket.display())
        }
        Err(error) => return Err(error).context("reading the daemon's answer"),
    }
    match serde_json::from_str(&answer).context("the daemon's answer is of another version")? {
        Reply::Error(message) => bail!(message),
        reply => Ok(reply),
    }
}

fn connect(socket: &Path) -> Result<UnixStream> {
    UnixStream::connect(socket).map_err(|error| {
        let path = socket.display();
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => anyhow::anyhow!(
                "no daemon listens at {path}: start it with `responder serve`, or name another \
                 with --config or --socket"
            ),
            ErrorKind::PermissionDenied => anyhow::anyhow!(
                "permission denied at {path}: run this as the daemon's user or as root"
            ),
            _ => anyhow::anyhow!("cannot speak with the daemon at {path}: {error}"),
        }
    })
}
