//! The secrets of server cookies, in a file that all nodes of a cloud share.
//!
//! One secret a line, 32 hexadecimal digits. The first makes cookies, all are believed, three at the most.
//! A rollover (RFC 9018, section 5) refuses no client: add the new secret behind the old one on every node;
//! once all have it, exchange the two; an hour after the last node did, remove the old one.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use responder_common::layout::SECRETS_MAX;

use crate::privilege::read_secret;

/// Octets of a secret.
const SECRET: usize = 16;

/// Reads the secrets, the one that makes cookies first.
///
/// # Errors
/// The file cannot be read, or is no such file: one line with the remedy.
pub fn read(file: &Path) -> Result<Vec<[u8; SECRET]>> {
    let shown = file.display();
    let text =
        read_secret(file).with_context(|| format!("cannot read the cookie secrets {shown}"))?;
    let mut secrets = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let Some(secret) = parse(line) else {
            // The line itself is not told: it may be a secret all but for a slip.
            bail!(
                "{shown}:{}: not a secret: 32 hexadecimal digits, such as `openssl rand -hex 16` \
                 prints",
                number + 1
            );
        };
        ensure!(!secrets.contains(&secret), "{shown}:{}: this secret stands twice", number + 1);
        secrets.push(secret);
    }
    ensure!(
        !secrets.is_empty(),
        "{shown} has no secret: put 32 hexadecimal digits there, such as `openssl rand -hex 16` prints"
    );
    ensure!(
        secrets.len() <= SECRETS_MAX,
        "{shown} has {} secrets: at most {SECRETS_MAX} are believed at a time",
        secrets.len()
    );
    Ok(secrets)
}

fn parse(line: &str) -> Option<[u8; SECRET]> {
    if line.len() != 2 * SECRET || !line.bytes().all(|octet| octet.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(line, 16).ok().map(u128::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::read;

    #[test]
    fn secrets_are_read_in_order_and_faults_have_their_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cookies");
        let of = |text: &str| {
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
            read(&file).map_err(|error| error.to_string())
        };
        let secrets = of(
            "# ours\n000102030405060708090a0b0c0d0e0f\n\nFF0102030405060708090a0b0c0d0e0f # next\n",
        );
        let secrets = secrets.unwrap();
        assert_eq!((secrets.len(), secrets[0][1], secrets[1][0]), (2, 1, 0xff));
        assert!(of("").unwrap_err().contains("has no secret"));
        let fault = of("000102030405060708090a0b0c0d0e0f\nabc\n").unwrap_err();
        assert!(fault.contains(":2: not a secret") && !fault.contains("abc"), "{fault}");
        let twice = "000102030405060708090a0b0c0d0e0f\n".repeat(2);
        assert!(of(&twice).unwrap_err().contains(":2: this secret stands twice"));
        assert!(read(&folder.path().join("none")).is_err());
    }
}
