//! A DNS message decoder that forgives nothing, to judge replies with.
//!
//! A resolver's decoder must be lenient; a referee's must not. [`Message::parse`] refuses every
//! message that a strict reader of RFC 1035, 3597, 4034, 6672 and 6891 would refuse: see [`Rule`]
//! for the list. What it accepts it hands over in one canonical form, so that two servers' replies
//! can be compared as sets: names expanded, in their original case and lower-cased, and OPT apart.
//!
//! It uses nothing but the standard library: `xtask` takes this module's source as it stands, since
//! the chores must build before the kernel toolchain is there.

mod compare;
mod display;
mod name;
mod rdata;
mod reader;
#[cfg(test)]
mod tests;

pub use compare::{missing, multiset};
pub use display::{class_text, rcode_text, type_number, type_text};
pub use name::{Name, NameError};
pub use reader::{Fault, Rule};

use reader::Reader;

/// The type codes that the decoder and its callers name.
#[allow(missing_docs, reason = "the IANA mnemonics say it")]
pub mod rtype {
    pub const A: u16 = 1;
    pub const NS: u16 = 2;
    pub const CNAME: u16 = 5;
    pub const SOA: u16 = 6;
    pub const PTR: u16 = 12;
    pub const MX: u16 = 15;
    pub const TXT: u16 = 16;
    pub const AAAA: u16 = 28;
    pub const SRV: u16 = 33;
    pub const DNAME: u16 = 39;
    pub const OPT: u16 = 41;
    pub const DS: u16 = 43;
    pub const RRSIG: u16 = 46;
    pub const NSEC: u16 = 47;
    pub const DNSKEY: u16 = 48;
    pub const NSEC3: u16 = 50;
    pub const NSEC3PARAM: u16 = 51;
    pub const AXFR: u16 = 252;
    pub const ANY: u16 = 255;
}

/// A decoded message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The twelve octets at the start, but for the counts.
    pub header: Header,
    /// The question section, usually one entry.
    pub question: Vec<Question>,
    /// The answer section.
    pub answer: Vec<Record>,
    /// The authority section.
    pub authority: Vec<Record>,
    /// The additional section without the OPT record.
    pub additional: Vec<Record>,
    /// The OPT record (RFC 6891).
    pub edns: Option<Edns>,
    /// Length of the whole message, in octets.
    pub octets: usize,
}

/// The fixed fields of the header (RFC 1035, section 4.1.1; RFC 4035, section 3).
#[allow(missing_docs, reason = "the RFC's own field names")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub id: u16,
    pub qr: bool,
    pub opcode: u8,
    pub aa: bool,
    pub tc: bool,
    pub rd: bool,
    pub ra: bool,
    pub ad: bool,
    pub cd: bool,
    /// The lower four bits of the response code; [`Message::rcode`] has all twelve.
    pub rcode: u8,
}

/// One entry of the question section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// QNAME in the case in which it came.
    pub name: Name,
    /// QTYPE.
    pub qtype: u16,
    /// QCLASS.
    pub qclass: u16,
}

/// A resource record with every name expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The owner in the case in which it came.
    pub owner: Name,
    /// TYPE.
    pub rtype: u16,
    /// CLASS.
    pub class: u16,
    /// TTL in seconds.
    pub ttl: u32,
    /// RDATA, its names expanded, in the case in which they came.
    pub rdata: Vec<u8>,
    /// RDATA as above with its names lower-cased: the form to compare.
    pub canonical: Vec<u8>,
    /// What the record takes in the message, as compressed, in octets.
    pub octets: usize,
}

/// The OPT record (RFC 6891, section 6.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edns {
    /// The sender's UDP payload size, in octets.
    pub udp_size: u16,
    /// The upper eight bits of the response code.
    pub extended_rcode: u8,
    /// The EDNS version.
    pub version: u8,
    /// The DO bit (RFC 3225).
    pub dnssec_ok: bool,
    /// The other flags, reserved: to be zero (RFC 6891, section 6.1.4).
    pub reserved: u16,
    /// The options in their order: code and data.
    pub options: Vec<(u16, Vec<u8>)>,
}

impl Message {
    /// Decodes a whole message.
    ///
    /// # Errors
    /// The first broken [`Rule`] and where it is broken.
    pub fn parse(octets: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::new(octets);
        let id = reader.u16()?;
        let flags = reader.u16()?;
        if flags & 0x0040 != 0 {
            return Err(Fault { at: 2, rule: Rule::ReservedBit });
        }
        let bit = |position: u16| flags >> position & 1 == 1;
        let header = Header {
            id,
            qr: bit(15),
            opcode: (flags >> 11 & 15) as u8,
            aa: bit(10),
            tc: bit(9),
            rd: bit(8),
            ra: bit(7),
            ad: bit(5),
            cd: bit(4),
            rcode: (flags & 15) as u8,
        };
        let counts = [reader.u16()?, reader.u16()?, reader.u16()?, reader.u16()?];
        let question = (0..counts[0])
            .map(|_| {
                let name = reader.name(true)?;
                Ok(Question { name, qtype: reader.u16()?, qclass: reader.u16()? })
            })
            .collect::<Result<_, Fault>>()?;
        let mut edns = None;
        let mut section = |reader: &mut Reader<'_>, count: u16, additional: bool| {
            let mut records = Vec::new();
            for _ in 0..count {
                let at = reader.position();
                match entry(reader)? {
                    Entry::Record(record) => records.push(record),
                    Entry::Opt(_) if !additional => {
                        return Err(Fault { at, rule: Rule::OptOutsideAdditional });
                    }
                    Entry::Opt(_) if edns.is_some() => {
                        return Err(Fault { at, rule: Rule::SecondOpt });
                    }
                    Entry::Opt(opt) => edns = Some(opt),
                }
            }
            Ok(records)
        };
        let answer = section(&mut reader, counts[1], false)?;
        let authority = section(&mut reader, counts[2], false)?;
        let additional = section(&mut reader, counts[3], true)?;
        if reader.position() != octets.len() {
            return Err(Fault { at: reader.position(), rule: Rule::TrailingOctets });
        }
        Ok(Self { header, question, answer, authority, additional, edns, octets: octets.len() })
    }

    /// The response code with its EDNS extension (RFC 6891, section 6.1.3).
    pub fn rcode(&self) -> u16 {
        let upper = self.edns.as_ref().map_or(0, |edns| u16::from(edns.extended_rcode));
        upper << 4 | u16::from(self.header.rcode)
    }
}

enum Entry {
    Record(Record),
    Opt(Edns),
}

fn entry(reader: &mut Reader<'_>) -> Result<Entry, Fault> {
    let at = reader.position();
    let owner = reader.name(true)?;
    let owner_octets = reader.position() - at;
    let rtype = reader.u16()?;
    let class = reader.u16()?;
    let ttl = reader.u32()?;
    let length = usize::from(reader.u16()?);
    let end = reader.position() + length;
    if end > reader.end() {
        return Err(Fault { at: reader.position(), rule: Rule::CutShort });
    }
    if rtype != rtype::OPT {
        let (rdata, canonical) = rdata::read(reader, rtype, class, end)?;
        let octets = end - at;
        return Ok(Entry::Record(Record { owner, rtype, class, ttl, rdata, canonical, octets }));
    }
    if owner_octets != 1 {
        return Err(Fault { at, rule: Rule::OptOwner });
    }
    let mut options = Vec::new();
    while reader.position() < end {
        let code = reader.u16()?;
        let length = usize::from(reader.u16()?);
        if reader.position() + length > end {
            return Err(Fault { at: reader.position(), rule: Rule::OptionLength });
        }
        options.push((code, reader.take(length)?.to_vec()));
    }
    if reader.position() != end {
        return Err(Fault { at: end, rule: Rule::OptionLength });
    }
    Ok(Entry::Opt(Edns {
        udp_size: class,
        extended_rcode: (ttl >> 24) as u8,
        version: (ttl >> 16) as u8,
        dnssec_ok: ttl & 0x8000 != 0,
        reserved: ttl as u16 & 0x7fff,
        options,
    }))
}
