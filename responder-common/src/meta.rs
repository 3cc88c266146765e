//! Types that are asked for but are no data: which of them are an error to ask for.
//!
//! RFC 6895, section 3.1, sets 128 to 255 aside for them, and OPT. ANY is answered (RFC 8482), IXFR and, over
//! a stream, AXFR are passed to the daemon before this table is asked.

use crate::wire::{rcode, rtype};

/// The response code for a QTYPE that cannot be answered with data, whatever the name; none where it can.
///
/// | QTYPE | we answer | why |
/// |---|---|---|
/// | 0 | as any type that is not there | RFC 6895, section 3.1: never a type of data; no error is asked for |
/// | OPT 41, TSIG 250 | FORMERR | parts of a message, not of a zone (RFC 6891, section 6.1.1; RFC 8945, section 4.2) |
/// | NXNAME 128 | FORMERR | RFC 9824, section 3.5 |
/// | 129 to 248, not assigned | NOTIMP | RFC 8906, section 3.1.2: meta-queries that are not known |
/// | TKEY 249 | NOTIMP | RFC 2930: we make no keys |
/// | AXFR 252 in a datagram | NOTIMP | RFC 5936, section 4.2 |
/// | MAILB 253, MAILA 254 | NOTIMP | RFC 1035, section 3.2.3: obsolete |
/// | 256 and more | as any type | RFC 3597 |
#[inline(always)]
pub fn refusal(qtype: u16) -> Option<u16> {
    match qtype {
        rtype::OPT | rtype::NXNAME | rtype::TSIG => Some(rcode::FORMERR),
        rtype::ANY => None,
        129..=255 => Some(rcode::NOTIMP),
        _ => None,
    }
}
