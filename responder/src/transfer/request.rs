//! A request for a transfer, read: who asks for what, and the answers that are no transfer.

use std::sync::Arc;

use domain::{
    base::{
        Message, ParsedName, Rtype, ToName,
        iana::{Class, Opcode},
    },
    rdata::Soa,
};
use responder_common::wire::{self, flag, option, rcode, rtype};

use super::{
    composer::HEADER,
    exchange::{is_apex, seconds},
    tsig::{self, Fault, Key, Session},
};

/// The size in our OPT records; over streams it bounds nothing.
const UDP_SIZE: u16 = 1232;
/// The bit of the header that is repeated.
const RECURSION_DESIRED: u8 = 0x01;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The whole zone.
    Axfr,
    /// What changed since a serial.
    Ixfr(u32),
}

impl Wanted {
    /// As logs and counters name it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Axfr => "axfr",
            Self::Ixfr(_) => "ixfr",
        }
    }
}

/// A request, its signature checked.
pub struct Request {
    /// The zone, in lower-case wire form.
    pub apex: Vec<u8>,
    /// What is asked for.
    pub wanted: Wanted,
    /// Who signed, and what signs the answers.
    pub session: Option<Session>,
    id: u16,
    flags: u8,
    /// The question section as it came: the name's case is repeated.
    question: Vec<u8>,
    edns: bool,
    /// What to say of the zone's expiry, to whom wants to know (RFC 7314).
    expiry: Expiry,
}

/// For how many seconds the zone may be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expiry {
    NotAsked,
    Asked,
    Told(u32),
}

/// Why there is no transfer: a response code, an extended error (RFC 8914) and a line for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The response code.
    pub rcode: u16,
    /// The extended error's number.
    pub extended: u16,
    /// What to log.
    pub reason: &'static str,
}

impl Refusal {
    /// The zone is not ours.
    pub const NOT_AUTHORITATIVE: Self =
        Self { rcode: rcode::NOTAUTH, extended: 20, reason: "the zone is not served here" };
    /// The client may not have it.
    pub const PROHIBITED: Self =
        Self { rcode: rcode::REFUSED, extended: 18, reason: "transfer-to does not allow it" };
    /// There is nothing to give yet.
    pub const NOT_READY: Self =
        Self { rcode: rcode::SERVFAIL, extended: 14, reason: "the zone is not there yet" };
    /// What there is is too old.
    pub const EXPIRED: Self =
        Self { rcode: rcode::SERVFAIL, extended: 24, reason: "the zone has expired" };
    /// Others are being served.
    pub const BUSY: Self =
        Self { rcode: rcode::SERVFAIL, extended: 14, reason: "limits.transfers-out are on" };
}

/// What a message turned out to be.
pub enum Read {
    /// A request to be judged.
    Request(Box<Request>),
    /// None: this is the answer.
    Answer(Vec<u8>),
}

impl Request {
    /// Reads a message whose question's type is AXFR or IXFR.
    pub fn read(octets: &[u8], keys: &[Arc<Key>]) -> Read {
        let formerr = || Read::Answer(bare(octets, rcode::FORMERR));
        let mut message = octets.to_vec();
        let now = seconds();
        let session = match Session::requested(keys, &mut message, now) {
            Ok(session) => session,
            Err(Fault::Malformed) => return formerr(),
            Err(fault) => {
                let mut answer = match Self::parse(&message, None) {
                    Some(request) => request.answer(rcode::NOTAUTH, None),
                    None => bare(octets, rcode::NOTAUTH),
                };
                tsig::refuse(octets, &fault, keys, &mut answer, now);
                return Read::Answer(answer);
            }
        };
        match Self::parse(&message, session) {
            Some(request) => Read::Request(Box::new(request)),
            None => formerr(),
        }
    }

    /// None where it is malformed.
    fn parse(octets: &[u8], session: Option<Session>) -> Option<Self> {
        let message = Message::from_slice(octets).ok()?;
        let header = message.header();
        let question = message.sole_question().ok()?;
        if header.qr() || header.opcode() != Opcode::QUERY || question.qclass() != Class::IN {
            return None;
        }
        let mut apex = question.qname().to_name::<Vec<u8>>().into_octets();
        let end = HEADER + apex.len() + usize::from(wire::QUESTION_TAIL);
        apex.make_ascii_lowercase();
        let wanted = match question.qtype() {
            Rtype::AXFR => Wanted::Axfr,
            Rtype::IXFR => Wanted::Ixfr(serial_in(message, &apex)?),
            _ => return None,
        };
        Some(Self {
            wanted,
            session,
            id: header.id(),
            flags: octets[2] & RECURSION_DESIRED,
            question: octets.get(HEADER..end)?.to_vec(),
            edns: message.opt().is_some(),
            expiry: match message.opt().and_then(|opt| opt.opt().expire()) {
                Some(_) => Expiry::Asked,
                None => Expiry::NotAsked,
            },
            apex,
        })
    }

    /// The header of a message of the answer; the first one repeats the question.
    pub fn header(&self, first: bool) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[..2].copy_from_slice(&self.id.to_be_bytes());
        header[2] = flag::QR | flag::AA | self.flags;
        header[5] = u8::from(first);
        header
    }

    /// The question, as the first message repeats it.
    pub fn question(&self) -> &[u8] {
        &self.question
    }

    /// Has the answer say for how many seconds the zone may be served, if that was asked.
    pub fn good_for(&mut self, seconds: u32) {
        if self.expiry != Expiry::NotAsked {
            self.expiry = Expiry::Told(seconds);
        }
    }

    /// Appends the OPT record that the first message must have if the request had one (RFC 6891, section
    /// 6.1.1).
    pub fn append_opt(&self, message: &mut Vec<u8>, extended: Option<u16>) {
        if !self.edns {
            return;
        }
        message.extend([0]);
        message.extend(rtype::OPT.to_be_bytes());
        message.extend(UDP_SIZE.to_be_bytes());
        message.extend([0; 4]);
        let mut options = Vec::new();
        if let Some(code) = extended {
            options.extend([option::EDE, 2, code].map(u16::to_be_bytes).concat());
        } else if let Expiry::Told(seconds) = self.expiry {
            options.extend([option::EXPIRE, 4].map(u16::to_be_bytes).concat());
            options.extend(seconds.to_be_bytes());
        }
        message.extend((options.len() as u16).to_be_bytes());
        message.extend(options);
        message[HEADER - 1] += 1;
    }

    /// Octets that OPT and signature need in a message.
    pub fn room(&self) -> usize {
        const OPT: usize = 19;
        OPT + self.session.as_ref().map_or(0, Session::room)
    }

    /// An answer without records.
    fn answer(&self, rcode: u16, extended: Option<u16>) -> Vec<u8> {
        let mut header = self.header(true);
        header[2] &= !flag::AA;
        header[3] = rcode as u8;
        let mut message = [&header[..], &self.question].concat();
        self.append_opt(&mut message, extended);
        message
    }

    /// The answer that refuses.
    pub fn refuse(mut self, refusal: &Refusal) -> Vec<u8> {
        let mut message = self.answer(refusal.rcode, Some(refusal.extended));
        if let Some(session) = &mut self.session {
            session.sign(&mut message, seconds());
        }
        message
    }
}

/// The serial of the SOA record in an IXFR's authority section (RFC 1995, section 3).
fn serial_in(message: &Message<[u8]>, apex: &[u8]) -> Option<u32> {
    let record = message.authority().ok()?.limit_to_in::<Soa<ParsedName<&[u8]>>>().next()?.ok()?;
    is_apex(record.owner(), apex).then(|| record.data().serial().into_int())
}

/// An answer of a header alone.
fn bare(octets: &[u8], rcode: u16) -> Vec<u8> {
    let mut answer = vec![0; HEADER];
    let id = octets.get(..2).unwrap_or(&[0; 2]);
    answer[..2].copy_from_slice(id);
    answer[2] = flag::QR;
    answer[3] = rcode as u8;
    answer
}
