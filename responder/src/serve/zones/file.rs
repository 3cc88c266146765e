//! What tells whether a zone file is still the one that was read.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
};

use serde::{Deserialize, Serialize};

/// What tells that a file is no longer the one that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fingerprint {
    modified: (i64, i64),
    changed: (i64, i64),
    size: u64,
    inode: u64,
    device: u64,
}

impl Fingerprint {
    pub fn of(file: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(file)?;
        Ok(Self {
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            size: metadata.len(),
            inode: metadata.ino(),
            device: metadata.dev(),
        })
    }
}

/// Whether a line of the file begins with `$INCLUDE` (RFC 1035, section 5.1): then the file alone does not
/// tell whether the zone is as it was.
pub(super) fn has_include(file: &Path) -> io::Result<bool> {
    if !fs::metadata(file)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    includes(File::open(file)?, 1 << 20)
}

/// The same for a text that is read in pieces of so many octets.
fn includes(mut text: impl Read, piece: usize) -> io::Result<bool> {
    const DIRECTIVE: &[u8] = b"\n$INCLUDE";
    // The end of what was read before, which may be the beginning of a directive.
    let mut window = b"\n".to_vec();
    loop {
        let kept = window.len();
        window.resize(kept + piece, 0);
        let read = loop {
            match text.read(&mut window[kept..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        if read == 0 {
            return Ok(false);
        }
        window.truncate(kept + read);
        let begins = |dollar: usize| {
            let directive = dollar.checked_sub(1).and_then(|start| window.get(start..));
            let directive = directive.and_then(|rest| rest.get(..DIRECTIVE.len()));
            directive.is_some_and(|octets| octets.eq_ignore_ascii_case(DIRECTIVE))
        };
        if memchr::memchr_iter(b'$', &window).any(begins) {
            return Ok(true);
        }
        window.drain(..window.len().saturating_sub(DIRECTIVE.len() - 1));
    }
}

#[cfg(test)]
mod tests {
    use super::includes;

    #[test]
    fn a_directive_is_seen_wherever_a_piece_ends() {
        let with = b"a A 1\n; $INCLUDE\n$include x\n";
        let without = b"a A 1\n; $INCLUDE\n $INCLUDE x\n$INCLUD";
        for piece in 1..40 {
            assert!(includes(&with[..], piece).unwrap(), "{piece}");
            assert!(!includes(&without[..], piece).unwrap(), "{piece}");
            assert!(includes(&b"$INCLUDE x"[..], piece).unwrap(), "{piece}");
            assert!(!includes(&b""[..], piece).unwrap(), "{piece}");
        }
    }
}
