//! Messages as text, for differences that a person reads.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use super::{Edns, Message, Name, Question, Record};

/// Types and their mnemonics (IANA, DNS parameters).
const TYPES: &[(u16, &str)] = &[
    (1, "A"),
    (2, "NS"),
    (5, "CNAME"),
    (6, "SOA"),
    (12, "PTR"),
    (13, "HINFO"),
    (15, "MX"),
    (16, "TXT"),
    (17, "RP"),
    (18, "AFSDB"),
    (28, "AAAA"),
    (29, "LOC"),
    (33, "SRV"),
    (35, "NAPTR"),
    (39, "DNAME"),
    (41, "OPT"),
    (43, "DS"),
    (44, "SSHFP"),
    (46, "RRSIG"),
    (47, "NSEC"),
    (48, "DNSKEY"),
    (50, "NSEC3"),
    (51, "NSEC3PARAM"),
    (52, "TLSA"),
    (63, "ZONEMD"),
    (64, "SVCB"),
    (65, "HTTPS"),
    (252, "AXFR"),
    (255, "ANY"),
    (257, "CAA"),
];

/// A type's mnemonic, or `TYPE` and its number (RFC 3597, section 5).
pub fn type_text(rtype: u16) -> String {
    match TYPES.iter().find(|(number, _)| *number == rtype) {
        Some((_, text)) => (*text).into(),
        None => format!("TYPE{rtype}"),
    }
}

/// The number of a type's mnemonic, or of `TYPE` and a number.
pub fn type_number(text: &str) -> Option<u16> {
    match TYPES.iter().find(|(_, known)| *known == text) {
        Some((number, _)) => Some(*number),
        None => text.strip_prefix("TYPE")?.parse().ok(),
    }
}

/// A class's mnemonic, or `CLASS` and its number.
pub fn class_text(class: u16) -> String {
    match class {
        1 => "IN".into(),
        3 => "CH".into(),
        255 => "ANY".into(),
        _ => format!("CLASS{class}"),
    }
}

/// A response code's name (IANA, DNS RCODEs).
pub fn rcode_text(rcode: u16) -> String {
    let known = match rcode {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        6 => "YXDOMAIN",
        9 => "NOTAUTH",
        16 => "BADVERS",
        23 => "BADCOOKIE",
        _ => return format!("RCODE{rcode}"),
    };
    known.into()
}

impl fmt::Display for Question {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {} {}", self.name, class_text(self.qclass), type_text(self.qtype))
    }
}

impl fmt::Display for Record {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { owner, rtype, class, ttl, rdata, .. } = self;
        write!(out, "{owner} {ttl} {} {} ", class_text(*class), type_text(*rtype))?;
        match (*rtype, rdata.as_slice()) {
            (1, &[a, b, c, d]) => write!(out, "{}", Ipv4Addr::new(a, b, c, d)),
            (28, data) if data.len() == 16 => {
                let octets: [u8; 16] = data.try_into().expect("measured above");
                write!(out, "{}", Ipv6Addr::from(octets))
            }
            (2 | 5 | 12 | 39, data) => write!(out, "{}", Name::from_checked_wire(data.to_vec())),
            (_, data) => {
                write!(out, "\\# {} ", data.len())?;
                data.iter().try_for_each(|octet| write!(out, "{octet:02x}"))
            }
        }
    }
}

impl fmt::Display for Edns {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "version {}, {} octets", self.version, self.udp_size)?;
        if self.dnssec_ok {
            out.write_str(", DO")?;
        }
        for (code, data) in &self.options {
            write!(out, ", option {code} of {} octets", data.len())?;
        }
        Ok(())
    }
}

impl fmt::Display for Message {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = &self.header;
        write!(out, ";; {}, opcode {}, flags:", rcode_text(self.rcode()), header.opcode)?;
        let flags = [
            (header.qr, "qr"),
            (header.aa, "aa"),
            (header.tc, "tc"),
            (header.rd, "rd"),
            (header.ra, "ra"),
            (header.ad, "ad"),
            (header.cd, "cd"),
        ];
        for (_, name) in flags.iter().filter(|(set, _)| *set) {
            write!(out, " {name}")?;
        }
        writeln!(out, ", {} octets", self.octets)?;
        if let Some(edns) = &self.edns {
            writeln!(out, ";; EDNS: {edns}")?;
        }
        for question in &self.question {
            writeln!(out, ";{question}")?;
        }
        let sections = [
            ("answer", &self.answer),
            ("authority", &self.authority),
            ("additional", &self.additional),
        ];
        for (title, records) in sections.iter().filter(|(_, records)| !records.is_empty()) {
            writeln!(out, ";; {title}")?;
            for record in *records {
                writeln!(out, "{record}")?;
            }
        }
        Ok(())
    }
}
