//! BIRD's control socket: a command a line, answers in lines of a code and a text.

use std::{
    io::{BufRead as _, BufReader, ErrorKind, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};

/// How long BIRD may take for a line.
const PATIENCE: Duration = Duration::from_secs(2);
/// Lines of one answer at the most: ours have a few.
const LINES: usize = 10_000;

/// A connection.
pub struct Control {
    reader: BufReader<UnixStream>,
}

impl Control {
    /// Connects, and hears BIRD's greeting.
    ///
    /// # Errors
    /// BIRD does not run, or does not let us: one line with the remedy.
    pub fn connect(socket: &Path) -> Result<Self> {
        let shown = socket.display();
        let stream = UnixStream::connect(socket).map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => anyhow!(
                "BIRD does not run: nobody listens at {shown}: start it, or correct bird.socket"
            ),
            ErrorKind::PermissionDenied => {
                anyhow!("permission denied at {shown}: let this user into BIRD's group")
            }
            _ => anyhow!("cannot speak with BIRD at {shown}: {error}"),
        })?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut control = Self { reader: BufReader::new(stream) };
        control.answer().with_context(|| format!("BIRD at {shown} does not greet"))?;
        Ok(control)
    }

    /// Gives a command; the answer's lines without their codes.
    ///
    /// # Errors
    /// BIRD's own words, where it refuses.
    pub fn ask(&mut self, command: &str) -> Result<Vec<String>> {
        self.reader.get_mut().write_all(format!("{command}\n").as_bytes())?;
        self.answer()
    }

    fn answer(&mut self) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        while lines.len() < LINES {
            let mut line = String::new();
            match self.reader.read_line(&mut line) {
                Ok(0) => bail!("BIRD hung up"),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    bail!("BIRD does not answer within {PATIENCE:?}")
                }
                Err(error) => return Err(error.into()),
            }
            let line = line.trim_end();
            let (code, rest) = match line.split_at_checked(4) {
                Some((code, rest)) if code.bytes().all(|octet| octet.is_ascii_digit()) => {
                    (code, rest)
                }
                // It goes on with the code of the line before.
                _ => {
                    lines.push(line.strip_prefix(' ').unwrap_or(line).to_owned());
                    continue;
                }
            };
            let text = rest.get(1..).unwrap_or("").to_owned();
            if rest.starts_with('-') {
                lines.push(text);
                continue;
            }
            // 8xxx and 9xxx are refusals.
            if code >= "8000" {
                lines.push(text);
                bail!("{}", lines.join(" "));
            }
            if !text.is_empty() {
                lines.push(text);
            }
            return Ok(lines);
        }
        bail!("BIRD's answer has no end")
    }
}
