//! Numbers of the DNS wire format that the engine needs to know.

/// Octets of a message header (RFC 1035, section 4.1.1).
pub const HEADER: u16 = 12;
/// Octets of QTYPE and QCLASS behind the question name.
pub const QUESTION_TAIL: u16 = 4;
/// Longest name on the wire, root label included (RFC 1035, section 2.3.4).
pub const NAME_MAX: u16 = 255;
/// Most labels that fit a name, root not counted.
pub const LABELS_MAX: u32 = 127;
/// Octets of a resource record between its owner and its rdata.
pub const RR_FIXED: u16 = 10;
/// The two high bits that make an octet pair a compression pointer (RFC 1035, section 4.1.4).
pub const POINTER: u16 = 0xC000;
/// Largest offset that a compression pointer can express.
pub const POINTER_MAX: u16 = 0x3FFF;
/// What a client without EDNS takes over UDP (RFC 1035, section 4.2.1).
pub const UDP_MIN: u16 = 512;

/// Record types by number (IANA, "Resource Record (RR) TYPEs").
pub mod rtype {
    /// RFC 1035.
    pub const A: u16 = 1;
    /// RFC 1035.
    pub const NS: u16 = 2;
    /// RFC 1035.
    pub const CNAME: u16 = 5;
    /// RFC 1035.
    pub const SOA: u16 = 6;
    /// RFC 1035.
    pub const TXT: u16 = 16;
    /// RFC 3596.
    pub const AAAA: u16 = 28;
    /// RFC 6672.
    pub const DNAME: u16 = 39;
    /// RFC 6891.
    pub const OPT: u16 = 41;
    /// RFC 4034.
    pub const DS: u16 = 43;
    /// RFC 4034.
    pub const RRSIG: u16 = 46;
    /// RFC 4034.
    pub const NSEC: u16 = 47;
    /// RFC 4034.
    pub const DNSKEY: u16 = 48;
    /// RFC 5155.
    pub const NSEC3: u16 = 50;
    /// RFC 5155.
    pub const NSEC3PARAM: u16 = 51;
    /// RFC 9824.
    pub const NXNAME: u16 = 128;
    /// RFC 8945.
    pub const TSIG: u16 = 250;
    /// RFC 1995.
    pub const IXFR: u16 = 251;
    /// RFC 5936.
    pub const AXFR: u16 = 252;
    /// RFC 8482.
    pub const ANY: u16 = 255;
}

/// Classes (RFC 1035, section 3.2.4).
pub mod class {
    /// The Internet.
    pub const IN: u16 = 1;
    /// Chaos: identity names only.
    pub const CH: u16 = 3;
}

/// Response codes; those above 15 need EDNS (RFC 6891, section 6.1.3).
pub mod rcode {
    /// No error.
    pub const NOERROR: u16 = 0;
    /// The query cannot be read.
    pub const FORMERR: u16 = 1;
    /// The server cannot answer for the moment.
    pub const SERVFAIL: u16 = 2;
    /// The name does not exist.
    pub const NXDOMAIN: u16 = 3;
    /// The operation is not implemented.
    pub const NOTIMP: u16 = 4;
    /// Not for this server to answer.
    pub const REFUSED: u16 = 5;
    /// A DNAME substitution grew too long (RFC 6672, section 2.2).
    pub const YXDOMAIN: u16 = 6;
    /// Not authoritative (RFC 2136, section 2.2), or not to be believed (RFC 8945, section 5.3.2).
    pub const NOTAUTH: u16 = 9;
    /// EDNS version not implemented (RFC 6891, section 6.1.3).
    pub const BADVERS: u16 = 16;
    /// The server cookie is missing or not good (RFC 7873, section 8).
    pub const BADCOOKIE: u16 = 23;
}

/// Bits of the first flags octet of a header.
pub mod flag {
    /// Response.
    pub const QR: u8 = 0x80;
    /// Authoritative answer.
    pub const AA: u8 = 0x04;
    /// Truncated.
    pub const TC: u8 = 0x02;
    /// Recursion desired: copied from the query (RFC 1035, section 4.1.1).
    pub const RD: u8 = 0x01;
    /// Checking disabled, second octet: copied by authoritative servers (RFC 4035, section 3.1.6
    /// leaves it to them; the peers copy it).
    pub const CD: u8 = 0x10;
}

/// Opcodes (RFC 1035, 1996, 2136).
pub mod opcode {
    /// A standard query.
    pub const QUERY: u8 = 0;
    /// A zone changed (RFC 1996).
    pub const NOTIFY: u8 = 4;
}

/// EDNS option codes (RFC 6891, section 6.1.2).
pub mod option {
    /// Name server identifier (RFC 5001).
    pub const NSID: u16 = 3;
    /// For how long a secondary may serve a zone (RFC 7314).
    pub const EXPIRE: u16 = 9;
    /// DNS cookie (RFC 7873).
    pub const COOKIE: u16 = 10;
    /// Extended DNS error (RFC 8914).
    pub const EDE: u16 = 15;
}

/// Extended DNS error codes (RFC 8914, section 4).
pub mod ede {
    /// The server is not authoritative for the name.
    pub const NOT_AUTHORITATIVE: u16 = 20;
    /// The server has no data of the zone that are good: it has expired, for one.
    pub const INVALID_DATA: u16 = 24;
}
