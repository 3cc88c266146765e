//! A question to a primary and its answers: SOA (with EDNS EXPIRE, RFC 7314), AXFR (RFC 5936), IXFR
//! (RFC 1995), signed where a key is given.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use domain::{
    base::{
        Message, MessageBuilder, Name, ParsedName, Rtype, Serial, ToName, Ttl,
        iana::{Class, Opcode},
        opt::Expire,
    },
    rdata::{Soa, ZoneRecordData},
};

use super::{
    Cause, Failure,
    connection::Connection,
    tsig::{Fault, Key, Session},
};

/// The UDP size in our OPT records; over TCP it bounds nothing.
const UDP_SIZE: u16 = 1232;

/// A primary's account of its zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// The SOA's serial.
    pub serial: u32,
    /// For how many seconds more the data are good (RFC 7314), where the primary says so.
    pub expire: Option<u32>,
}

/// A question that was asked, and the stream of its answers.
pub struct Exchange<'a> {
    connection: &'a mut Connection,
    session: Option<Session>,
    id: u16,
    apex: &'a [u8],
    rtype: Rtype,
    answered: bool,
}

/// What to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// The SOA record.
    Soa,
    /// The whole zone.
    Axfr,
    /// The changes since a serial.
    Ixfr(u32),
}

impl<'a> Exchange<'a> {
    /// Asks for the zone at `apex` (lower-case wire form).
    ///
    /// # Errors
    /// The primary does not take the question.
    pub async fn ask(
        connection: &'a mut Connection,
        apex: &'a [u8],
        question: Question,
        key: Option<&Arc<Key>>,
    ) -> Result<Self, Failure> {
        let (mut message, id, rtype) = build(apex, question)?;
        let session = key.map(|key| Session::request(key, &mut message, seconds()));
        connection.send(&message).await?;
        Ok(Self { connection, session, id, apex, rtype, answered: false })
    }

    /// Receives the next answer: it is one to our question, signed as it must be, and no error.
    ///
    /// # Errors
    /// It is not, or does not come.
    pub async fn next(&mut self, message: &mut Vec<u8>) -> Result<(), Failure> {
        self.connection.receive(message).await?;
        let header = Message::from_slice(message)
            .map_err(|_| Failure::malformed("a message is shorter than a header"))?
            .header();
        if header.id() != self.id || !header.qr() || header.opcode() != Opcode::QUERY {
            return Err(Failure::malformed("a message is no answer to our question"));
        }
        let refused = || {
            Failure::new(Cause::Refused, format!("it answers {} to {}", header.rcode(), self.rtype))
        };
        if let Some(session) = &mut self.session {
            match session.check(message, seconds()) {
                // Who refuses us need not have our key.
                Err(Fault::Unsigned) if header.rcode().to_int() != 0 => return Err(refused()),
                result => result?,
            }
        }
        if header.rcode().to_int() != 0 {
            return Err(refused());
        }
        if header.tc() {
            return Err(Failure::malformed("it truncates an answer over TCP"));
        }
        self.check_question(message)?;
        self.answered = true;
        Ok(())
    }

    /// Ends a stream of answers: the last one must have been signed, if any was to be.
    ///
    /// # Errors
    /// It was not.
    pub fn finish(&self) -> Result<(), Failure> {
        Ok(self.session.as_ref().map_or(Ok(()), Session::finish)?)
    }

    /// Octets that the connection received so far.
    pub fn received(&self) -> u64 {
        self.connection.received()
    }

    /// The first answer repeats the question; later ones may leave it out (RFC 5936, section 2.2.1).
    fn check_question(&self, message: &[u8]) -> Result<(), Failure> {
        let message = Message::from_slice(message)
            .map_err(|_| Failure::malformed("a message is shorter than a header"))?;
        let wrong = || Failure::malformed("a message answers another question");
        if self.answered && message.header_counts().qdcount() == 0 {
            return Ok(());
        }
        let question = message.sole_question().map_err(|_| wrong())?;
        let same = is_apex(question.qname(), self.apex)
            && question.qtype() == self.rtype
            && question.qclass() == Class::IN;
        if same { Ok(()) } else { Err(wrong()) }
    }
}

/// Asks a primary for its SOA.
///
/// # Errors
/// It gives none, or is not authoritative (lame).
pub async fn soa(
    connection: &mut Connection,
    apex: &[u8],
    key: Option<&Arc<Key>>,
) -> Result<Heard, Failure> {
    let mut exchange = Exchange::ask(connection, apex, Question::Soa, key).await?;
    let mut message = Vec::new();
    exchange.next(&mut message).await?;
    exchange.finish()?;
    let message = Message::from_slice(&message)
        .map_err(|_| Failure::malformed("a message is shorter than a header"))?;
    if !message.header().aa() {
        return Err(Failure::new(Cause::Lame, "it is not authoritative for the zone"));
    }
    let malformed = |_| Failure::malformed("its SOA record cannot be read");
    let records = message.answer().map_err(malformed)?;
    let mut found = None;
    for record in records.limit_to_in::<Soa<ParsedName<&[u8]>>>() {
        let record = record.map_err(malformed)?;
        if is_apex(record.owner(), apex) && found.replace(record.data().serial()).is_some() {
            return Err(Failure::malformed("it gives two SOA records"));
        }
    }
    let serial =
        found.ok_or_else(|| Failure::new(Cause::Lame, "its answer holds no SOA of the zone"))?;
    let expire = message.opt().and_then(|opt| opt.opt().expire()).and_then(Expire::expire);
    Ok(Heard { serial: serial.into_int(), expire })
}

/// Whether a name is the apex, without regard to case.
pub(super) fn is_apex(name: &impl ToName, apex: &[u8]) -> bool {
    Name::from_octets(apex).is_ok_and(|apex| name.name_eq(&apex))
}

/// A question in wire form, its ID and type.
fn build(apex: &[u8], question: Question) -> Result<(Vec<u8>, u16, Rtype), Failure> {
    let fault = |_| Failure::new(Cause::Local, "the question cannot be built");
    let name = Name::from_octets(apex)
        .map_err(|_| Failure::new(Cause::Local, "the zone's name is malformed"))?;
    let rtype = match question {
        Question::Soa => Rtype::SOA,
        Question::Axfr => Rtype::AXFR,
        Question::Ixfr(_) => Rtype::IXFR,
    };
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_random_id();
    let id = builder.header().id();
    let mut builder = builder.question();
    builder.push((name.clone(), rtype)).map_err(fault)?;
    let mut builder = builder.authority();
    if let Question::Ixfr(serial) = question {
        let (zero, root) = (Ttl::from_secs(0), Name::root_ref());
        let soa = Soa::new(root.clone(), root, Serial(serial), zero, zero, zero, zero);
        builder.push((name, Class::IN, zero, soa)).map_err(fault)?;
    }
    let mut builder = builder.additional();
    if question == Question::Soa {
        let option = |opt: &mut domain::base::message_builder::OptBuilder<'_, _>| {
            opt.set_udp_payload_size(UDP_SIZE);
            opt.expire(None)
        };
        builder.opt(option).map_err(fault)?;
    }
    Ok((builder.finish(), id, rtype))
}

/// Wall-clock time for signatures, in seconds since 1970.
pub(crate) fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Data of any record of a zone, names compressed or not.
pub(super) type Data<'a> = ZoneRecordData<&'a [u8], ParsedName<&'a [u8]>>;
