//! Reading octets and names, and every rule that a message can break.

use std::{collections::HashSet, fmt};

use super::name::Name;

/// A broken rule and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Offset into the message, in octets.
    pub at: usize,
    /// The rule.
    pub rule: Rule,
}

/// The rules that [`Message::parse`](super::Message::parse) holds a message to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// The message ends inside a field, or a count promises more than there is.
    CutShort,
    /// Octets follow the last record that the header counts.
    TrailingOctets,
    /// The Z bit is set (RFC 1035, section 4.1.1: "must be zero").
    ReservedBit,
    /// A label's first two bits are 01 or 10 (RFC 1035, section 4.1.4; RFC 6891, section 5).
    LabelType,
    /// A name is longer than 255 octets (RFC 1035, section 3.1).
    NameTooLong,
    /// A pointer leads to itself or forwards.
    PointerForward,
    /// A pointer leads to where no label of an earlier name starts.
    PointerAstray,
    /// A pointer to the root's single octet, which is shorter than the pointer.
    PointerToRoot,
    /// A pointer in the data of a type outside RFC 1035 (RFC 3597, section 4).
    CompressionForbidden,
    /// RDLENGTH and the fields of the data disagree.
    DataLength,
    /// A type bit map that RFC 4034, section 4.1.2, forbids.
    TypeBitMap,
    /// An OPT record elsewhere than in the additional section (RFC 6891, section 6.1.1).
    OptOutsideAdditional,
    /// More than one OPT record (RFC 6891, section 6.1.1).
    SecondOpt,
    /// The owner of OPT is not the single octet of the root (RFC 6891, section 6.1.2).
    OptOwner,
    /// The options do not fill OPT's data exactly.
    OptionLength,
}

impl Rule {
    /// What went wrong, in words.
    pub fn text(self) -> &'static str {
        match self {
            Self::CutShort => "the message ends inside a field",
            Self::TrailingOctets => "octets after the last record",
            Self::ReservedBit => "the reserved header bit is set",
            Self::LabelType => "a label of an unknown kind",
            Self::NameTooLong => "a name longer than 255 octets",
            Self::PointerForward => "a pointer that does not lead backwards",
            Self::PointerAstray => "a pointer to where no label starts",
            Self::PointerToRoot => "a pointer to the root",
            Self::CompressionForbidden => "a pointer in data that may not be compressed",
            Self::DataLength => "RDLENGTH does not agree with the data",
            Self::TypeBitMap => "a malformed type bit map",
            Self::OptOutsideAdditional => "OPT outside the additional section",
            Self::SecondOpt => "a second OPT",
            Self::OptOwner => "the owner of OPT is not the root",
            Self::OptionLength => "EDNS options that do not fill OPT",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} at octet {}", self.rule.text(), self.at)
    }
}

impl std::error::Error for Fault {}

/// A cursor over a message that remembers where labels started.
pub(super) struct Reader<'a> {
    message: &'a [u8],
    position: usize,
    /// Offsets at which a label of a name starts: the only targets a pointer may have.
    labels: HashSet<usize>,
    /// Offsets at which a name's root octet stands.
    roots: HashSet<usize>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self { message, position: 0, labels: HashSet::new(), roots: HashSet::new() }
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    pub(super) fn end(&self) -> usize {
        self.message.len()
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let octets = self
            .message
            .get(self.position..self.position + length)
            .ok_or(Fault { at: self.position, rule: Rule::CutShort })?;
        self.position += length;
        Ok(octets)
    }

    pub(super) fn peek(&self) -> Result<u8, Fault> {
        let octet = self.message.get(self.position);
        octet.copied().ok_or(Fault { at: self.position, rule: Rule::CutShort })
    }

    pub(super) fn u16(&mut self) -> Result<u16, Fault> {
        let octets = self.take(2)?;
        Ok(u16::from_be_bytes([octets[0], octets[1]]))
    }

    pub(super) fn u32(&mut self) -> Result<u32, Fault> {
        Ok(u32::from(self.u16()?) << 16 | u32::from(self.u16()?))
    }

    /// Reads a name, expanding it. Its own labels become targets for later pointers.
    pub(super) fn name(&mut self, may_compress: bool) -> Result<Name, Fault> {
        let start = self.position;
        let mut wire = Vec::new();
        let mut at = start;
        let mut followed = false;
        let mut own_labels = Vec::new();
        loop {
            let fault = |rule| Fault { at, rule };
            let first = *self.message.get(at).ok_or(fault(Rule::CutShort))?;
            match first {
                0 => {
                    wire.push(0);
                    if !followed {
                        self.roots.insert(at);
                        self.position = at + 1;
                    }
                    break;
                }
                1..=63 => {
                    let end = at + 1 + usize::from(first);
                    let label = self.message.get(at..end).ok_or(fault(Rule::CutShort))?;
                    wire.extend_from_slice(label);
                    if !followed {
                        own_labels.push(at);
                    }
                    at = end;
                }
                64..=191 => return Err(fault(Rule::LabelType)),
                192..=255 => {
                    if !may_compress {
                        return Err(fault(Rule::CompressionForbidden));
                    }
                    let second = *self.message.get(at + 1).ok_or(fault(Rule::CutShort))?;
                    let target = usize::from(first & 63) << 8 | usize::from(second);
                    // Strictly backwards: to before this very name, hence never in a circle.
                    if target >= at {
                        return Err(fault(Rule::PointerForward));
                    }
                    if self.roots.contains(&target) {
                        return Err(fault(Rule::PointerToRoot));
                    }
                    if !self.labels.contains(&target) {
                        return Err(fault(Rule::PointerAstray));
                    }
                    if !followed {
                        self.position = at + 2;
                        followed = true;
                    }
                    at = target;
                }
            }
            // The root's octet is still to come.
            if wire.len() > 254 {
                return Err(Fault { at: start, rule: Rule::NameTooLong });
            }
        }
        self.labels.extend(own_labels);
        Ok(Name::from_checked_wire(wire))
    }
}
