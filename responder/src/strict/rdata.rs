//! The data of a record: which fields are names, which of them may be compressed, and how long it
//! all must be.

use super::reader::{Fault, Reader, Rule};

/// A part of a record's data.
#[derive(Debug, Clone, Copy)]
enum Field {
    /// A name that may be compressed: the types of RFC 1035 only (RFC 3597, section 4).
    CompressibleName,
    /// A name that may not.
    Name,
    /// So many octets.
    Octets(usize),
    /// One character-string (RFC 1035, section 3.3).
    CharacterString,
    /// Character-strings, at least one, to the end.
    CharacterStrings,
    /// One octet of length and so many octets.
    Counted,
    /// A type bit map to the end (RFC 4034, section 4.1.2).
    TypeBitMap,
    /// Anything to the end, at least so much.
    Rest(usize),
}

use Field::{
    CharacterString, CharacterStrings, CompressibleName, Counted, Name, Octets, Rest, TypeBitMap,
};

/// The layout of a type's data. Addresses have theirs in class IN only.
fn layout(rtype: u16, class: u16) -> &'static [Field] {
    match (rtype, class) {
        (1, 1) => &[Octets(4)],                                      // A
        (28, 1) => &[Octets(16)],                                    // AAAA
        (2..=5 | 7..=9 | 12, _) => &[CompressibleName],              // NS MD MF CNAME MB MG MR PTR
        (6, _) => &[CompressibleName, CompressibleName, Octets(20)], // SOA
        (14, _) => &[CompressibleName, CompressibleName],            // MINFO
        (15, _) => &[Octets(2), CompressibleName],                   // MX
        (13, _) => &[CharacterString, CharacterString],              // HINFO
        (16 | 99, _) => &[CharacterStrings],                         // TXT, SPF
        (17, _) => &[Name, Name],                                    // RP
        (18 | 21, _) => &[Octets(2), Name],                          // AFSDB, RT
        (26, _) => &[Octets(2), Name, Name],                         // PX
        (33, 1) => &[Octets(6), Name],                               // SRV
        (35, _) => {
            &[Octets(4), CharacterString, CharacterString, CharacterString, Name] // NAPTR
        }
        (36 | 107, _) => &[Octets(2), Name],     // KX, LP
        (39, _) => &[Name],                      // DNAME
        (43 | 59, _) => &[Octets(4), Rest(1)],   // DS, CDS
        (46, _) => &[Octets(18), Name, Rest(1)], // RRSIG
        (47, _) => &[Name, TypeBitMap],          // NSEC
        (48 | 60, _) => &[Octets(4), Rest(1)],   // DNSKEY, CDNSKEY
        (50, _) => &[Octets(4), Counted, Counted, TypeBitMap], // NSEC3
        (51, _) => &[Octets(4), Counted],        // NSEC3PARAM
        (64 | 65, _) => &[Octets(2), Name, Rest(0)], // SVCB, HTTPS
        _ => &[Rest(0)],
    }
}

/// Reads the data up to `end`: as it came with its names expanded, and the same lower-cased.
pub(super) fn read(
    reader: &mut Reader<'_>,
    rtype: u16,
    class: u16,
    end: usize,
) -> Result<(Vec<u8>, Vec<u8>), Fault> {
    let mut original = Vec::with_capacity(end - reader.position());
    let mut canonical = Vec::with_capacity(end - reader.position());
    for &field in layout(rtype, class) {
        let at = reader.position();
        let fault = |rule| Err(Fault { at, rule });
        if let CompressibleName | Name = field {
            // A name that starts at the end would be read from the next record.
            if at >= end {
                return fault(Rule::DataLength);
            }
            let name = reader.name(matches!(field, CompressibleName))?;
            original.extend_from_slice(name.wire());
            canonical.extend_from_slice(&name.lower());
        } else {
            let length = match field {
                Octets(length) => length,
                CharacterString | Counted => 1 + usize::from(peek(reader, end)?),
                CharacterStrings | Rest(_) | TypeBitMap | CompressibleName | Name => {
                    end.saturating_sub(at)
                }
            };
            if at + length > end {
                return fault(Rule::DataLength);
            }
            let octets = reader.take(length)?;
            match field {
                Rest(least) if length < least => return fault(Rule::DataLength),
                CharacterStrings if !are_character_strings(octets) => {
                    return fault(Rule::DataLength);
                }
                TypeBitMap if !is_type_bit_map(octets) => return fault(Rule::TypeBitMap),
                _ => {}
            }
            original.extend_from_slice(octets);
            canonical.extend_from_slice(octets);
        }
    }
    if reader.position() == end {
        Ok((original, canonical))
    } else {
        Err(Fault { at: reader.position(), rule: Rule::DataLength })
    }
}

fn peek(reader: &mut Reader<'_>, end: usize) -> Result<u8, Fault> {
    if reader.position() >= end {
        return Err(Fault { at: end, rule: Rule::DataLength });
    }
    reader.peek()
}

fn are_character_strings(mut octets: &[u8]) -> bool {
    let some = !octets.is_empty();
    while let Some((&length, rest)) = octets.split_first() {
        match rest.get(usize::from(length)..) {
            Some(rest) => octets = rest,
            None => return false,
        }
    }
    some
}

/// Windows in ascending order, of 1 to 32 octets each, none ending in a zero octet.
fn is_type_bit_map(mut octets: &[u8]) -> bool {
    let mut previous = None;
    while let Some((&[window, length], rest)) = octets.split_first_chunk::<2>() {
        let length = usize::from(length);
        if !(1..=32).contains(&length) || previous.is_some_and(|previous| window <= previous) {
            return false;
        }
        match rest.get(..length) {
            Some(bits) if bits[length - 1] != 0 => octets = &rest[length..],
            _ => return false,
        }
        previous = Some(window);
    }
    octets.is_empty()
}
