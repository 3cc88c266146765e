//! `$ORIGIN`, `$INCLUDE` (RFC 1035, section 5.1) and `$TTL` (RFC 2308, section 4).
//!
//! `domain` knows them too, but keeps a `$TTL` to itself, reads no units, takes the closing quote of
//! a path for a part of it, and panics when a word touches that quote. It reads the names for us.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::PathBuf};

use bytes::Bytes;
use domain::base::Name;

use super::{
    Batch, Place, Reader, Refusal, fault,
    record::{EMPTY_LABEL, is_name},
    scan::{Inherited, Scanner},
    ttl, words,
};

impl<'env, B: Batch + 'env> Reader<'_, 'env, B> {
    /// Obeys a line that begins with `$`.
    pub(super) fn directive(
        &mut self,
        text: &[u8],
        origin: &mut Name<Bytes>,
        place: Place,
    ) -> Result<(), Refusal> {
        let refuse = |message: &str| Err(Refusal::at(place.line, message));
        if text[0] != b'$' {
            return refuse("a directive stands bare at the beginning of its line");
        }
        let words: Vec<_> = words::words(text).into_iter().map(|word| &text[word]).collect();
        let name = words[0].to_ascii_uppercase();
        match (name.as_slice(), &words[1..]) {
            (b"$TTL", [time]) if ttl::parse(time).is_some() => {
                self.inherited.default_ttl = ttl::parse(time);
            }
            (b"$TTL", _) => {
                return refuse("$TTL takes one time, in seconds or as 1h30m (RFC 2308, section 4)");
            }
            (b"$ORIGIN", [name]) => *origin = relative(name, origin, place)?,
            (b"$ORIGIN", _) => return refuse("$ORIGIN takes one name"),
            (b"$INCLUDE", [path]) => self.include(path, origin.clone(), place)?,
            (b"$INCLUDE", [path, name]) => {
                self.include(path, relative(name, origin, place)?, place)?;
            }
            (b"$INCLUDE", _) => return refuse("$INCLUDE takes a path and perhaps an origin"),
            _ => {
                let name = words[0].escape_ascii();
                return refuse(&format!("{name} is unknown: only $ORIGIN, $TTL and $INCLUDE are"));
            }
        }
        Ok(())
    }

    /// Reads an included file. It begins with our owner and TTL; when it ends, the owner is as
    /// before, while a `$TTL` in it stays: that is for all records after it.
    fn include(&mut self, path: &[u8], origin: Name<Bytes>, place: Place) -> Result<(), Refusal> {
        let refuse = |message: String| Err(Refusal::at(place.line, message));
        let path = match path {
            [b'"', path @ .., b'"'] => path,
            path => path,
        };
        if path.contains(&b'\\') || path.contains(&b'"') {
            return refuse("a path in $INCLUDE has no escapes or quotes in it".to_owned());
        }
        let path = match self.files[place.file].parent() {
            Some(folder) => folder.join(OsStr::from_bytes(path)),
            None => PathBuf::from(OsStr::from_bytes(path)),
        };
        if self.open.len() > self.limits.includes {
            return refuse(format!(
                "$INCLUDE goes deeper than the limit, {}",
                self.limits.includes
            ));
        }
        match path.canonicalize() {
            Ok(known) if self.open.contains(&known) => {
                return refuse(format!("$INCLUDE goes round: {} is being read", path.display()));
            }
            Ok(_) => {}
            Err(error) => {
                return refuse(format!("$INCLUDE cannot read {}: {error}", path.display()));
            }
        }
        // Its first record may inherit from what stands before this line.
        self.take_all()?;
        let owner = self.inherited.owner.clone();
        let result = self.file(&path, origin);
        self.inherited.owner = owner;
        result.map_err(|refusal| match refusal.line {
            None => Refusal::at(
                place.line,
                format!("$INCLUDE of {}: {}", path.display(), refusal.message),
            ),
            Some(_) => Refusal { file: refusal.file.or(Some(path)), ..refusal },
        })
    }
}

/// Reads a name that is relative to the origin.
fn relative(name: &[u8], origin: &Name<Bytes>, place: Place) -> Result<Name<Bytes>, Refusal> {
    // `domain` takes a free standing @ for a label here.
    if name == b"@" {
        return Ok(origin.clone());
    }
    let text = [b"$ORIGIN ", name, b"\n"].concat();
    let mut scanner = Scanner::new(&text, origin, &Inherited::default());
    if let Err(fault) = scanner.next() {
        return Err(fault::refusal(&fault, &text, place));
    }
    match scanner.origin() {
        Some(origin) if is_name(origin.as_slice()) => Ok(origin),
        _ => Err(Refusal::at(place.line, EMPTY_LABEL)),
    }
}
