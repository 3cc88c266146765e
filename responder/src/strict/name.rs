//! Names in wire form, read from text and shown as text.

use std::fmt;

/// A domain name: its uncompressed wire form, in the case in which it came.
///
/// Equality is of octets, and so minds the case; compare [`Name::lower`] as DNS does.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    wire: Vec<u8>,
}

/// Why a text is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameError {
    /// An empty label, or one of more than 63 octets.
    Label,
    /// More than 255 octets.
    TooLong,
    /// A backslash followed by neither a character nor three digits up to 255.
    Escape,
}

impl fmt::Display for NameError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Label => "a label must have 1 to 63 octets",
            Self::TooLong => "a name has at most 255 octets",
            Self::Escape => "a backslash needs a character or three digits up to 255 after it",
        })
    }
}

impl std::error::Error for NameError {}

impl Name {
    /// The root.
    pub fn root() -> Self {
        Self { wire: vec![0] }
    }

    /// Takes octets that were found to be a name already.
    pub(super) fn from_checked_wire(wire: Vec<u8>) -> Self {
        Self { wire }
    }

    /// Reads master-file text (RFC 1035, section 5.1): labels between dots, `\DDD` and `\X`. The
    /// name is taken as absolute whether it ends in a dot or not.
    ///
    /// # Errors
    /// See [`NameError`].
    pub fn from_text(text: &str) -> Result<Self, NameError> {
        if text == "." || text.is_empty() {
            return Ok(Self::root());
        }
        let mut labels = vec![Vec::new()];
        let mut octets = text.bytes();
        while let Some(octet) = octets.next() {
            let octet = match octet {
                b'.' => {
                    labels.push(Vec::new());
                    continue;
                }
                b'\\' => match octets.next().ok_or(NameError::Escape)? {
                    digit if digit.is_ascii_digit() => {
                        let mut value = u16::from(digit - b'0');
                        for _ in 0..2 {
                            let next = octets.next().filter(u8::is_ascii_digit);
                            value = value * 10 + u16::from(next.ok_or(NameError::Escape)? - b'0');
                        }
                        u8::try_from(value).map_err(|_| NameError::Escape)?
                    }
                    other => other,
                },
                other => other,
            };
            labels.last_mut().expect("starts with one label").push(octet);
        }
        if labels.last().is_some_and(Vec::is_empty) {
            labels.pop();
        }
        Self::from_labels(labels.iter().map(Vec::as_slice))
    }

    /// A name of these labels, the leftmost first, without the root.
    ///
    /// # Errors
    /// See [`NameError`].
    pub fn from_labels<'a>(labels: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, NameError> {
        let mut wire = Vec::new();
        for label in labels {
            let length = u8::try_from(label.len()).map_err(|_| NameError::Label)?;
            if !(1..=63).contains(&length) {
                return Err(NameError::Label);
            }
            wire.push(length);
            wire.extend_from_slice(label);
        }
        wire.push(0);
        if wire.len() > 255 { Err(NameError::TooLong) } else { Ok(Self { wire }) }
    }

    /// The uncompressed wire form, the root's octet included.
    pub fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// The wire form in lower case: what DNS compares (RFC 4343).
    pub fn lower(&self) -> Vec<u8> {
        // Length octets are below 64 and so never letters.
        self.wire.to_ascii_lowercase()
    }

    /// The labels from the left, without the root.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.wire.as_slice();
        std::iter::from_fn(move || {
            let (&length, after) = rest.split_first()?;
            let (label, tail) = after.split_at_checked(usize::from(length))?;
            rest = tail;
            (length > 0).then_some(label)
        })
    }

    /// The name without its leftmost label; none for the root.
    pub fn parent(&self) -> Option<Self> {
        let length = usize::from(self.wire[0]);
        (length > 0).then(|| Self { wire: self.wire[1 + length..].to_vec() })
    }

    /// Whether this name is `ancestor` or below it, whatever the case.
    pub fn is_at_or_below(&self, ancestor: &Self) -> bool {
        let below = self.labels().count().checked_sub(ancestor.labels().count());
        below.is_some_and(|extra| {
            let skipped: usize = self.labels().take(extra).map(|label| label.len() + 1).sum();
            self.wire[skipped..].eq_ignore_ascii_case(&ancestor.wire)
        })
    }
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.wire == [0] {
            return out.write_str(".");
        }
        for label in self.labels() {
            for &octet in label {
                match octet {
                    b'.' | b'\\' | b'"' | b';' | b'(' | b')' | b'@' | b'$' => {
                        write!(out, "\\{}", char::from(octet))?;
                    }
                    0x21..=0x7e => write!(out, "{}", char::from(octet))?,
                    _ => write!(out, "\\{octet:03}")?,
                }
            }
            out.write_str(".")?;
        }
        Ok(())
    }
}
