//! The records of a transfer: whether it is the whole zone or its changes, what belongs to it, and
//! where it ends (RFC 5936, section 2.2; RFC 1995, section 4).

use domain::base::{
    Message, ParsedRecord, ToName,
    iana::Class,
    name::{Label, ToLabelIter},
    rdata::ComposeRecordData,
};
use responder_common::wire::rtype;

use super::{
    Failure,
    exchange::{Data, Question},
};
use crate::zone::{
    difference::Part,
    name,
    read::RecordRef,
    serial::{SOA_FIXED, is_newer, serial_of},
};

/// How far a transfer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// More messages belong to it.
    More,
    /// It is complete.
    Done(Kind),
}

/// What a complete transfer was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The whole zone: AXFR, or IXFR answered in its form.
    Whole,
    /// The changes since our serial.
    Changes,
    /// Nothing: our serial is the newest that the primary has.
    Current,
}

/// Reads a transfer, message by message.
pub struct Incoming<'a> {
    apex: &'a [u8],
    question: Question,
    state: State,
    /// The data of the first SOA: the version that is transferred.
    soa: Vec<u8>,
    soa_ttl: u32,
    records: u64,
    owner: Vec<u8>,
    rdata: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The first SOA is yet to come.
    First,
    /// The next record decides which kind of transfer it is.
    Second,
    /// Within the whole zone.
    Whole,
    /// Changes: records that go, from this serial.
    Going(u32),
    /// Changes: records that come, to this serial.
    Coming(u32),
    Done(Kind),
}

impl<'a> Incoming<'a> {
    /// For the answers to a question, about the zone at `apex` (lower-case wire form).
    pub fn new(apex: &'a [u8], question: Question) -> Self {
        Self {
            apex,
            question,
            state: State::First,
            soa: Vec::new(),
            soa_ttl: 0,
            records: 0,
            owner: Vec::new(),
            rdata: Vec::new(),
        }
    }

    /// Records seen so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The serial of the version that is transferred, once it is known.
    pub fn serial(&self) -> Option<u32> {
        serial_of(&self.soa)
    }

    /// The data of the SOA of the version that is transferred; empty until it is known.
    pub fn soa(&self) -> &[u8] {
        &self.soa
    }

    /// Reads the next message and hands on what its records mean.
    ///
    /// # Errors
    /// The transfer is not what it must be, or `sink` refuses a record.
    pub fn message(
        &mut self,
        message: &[u8],
        sink: &mut dyn FnMut(Part<'_>) -> Result<(), Failure>,
    ) -> Result<Progress, Failure> {
        let cut_short = |_| Failure::malformed("a message ends within a record");
        let message = Message::from_slice(message)
            .map_err(|_| Failure::malformed("a message is shorter than a header"))?;
        if message.header_counts().ancount() == 0 {
            return Err(Failure::malformed("a message of the transfer holds no record"));
        }
        for record in message.answer().map_err(cut_short)? {
            self.record(&record.map_err(cut_short)?, sink)?;
        }
        // A lone SOA is all the answer to an IXFR for the newest serial (RFC 1995, section 2).
        if let (State::Second, Question::Ixfr(ours)) = (self.state, self.question)
            && self.serial().is_some_and(|serial| !is_newer(serial, ours))
        {
            self.state = State::Done(Kind::Current);
        }
        Ok(match self.state {
            State::Done(kind) => Progress::Done(kind),
            _ => Progress::More,
        })
    }

    fn record(
        &mut self,
        record: &ParsedRecord<'_, [u8]>,
        sink: &mut dyn FnMut(Part<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.records += 1;
        self.decode(record)?;
        let rtype = record.rtype().to_int();
        let ttl = match record.ttl().as_secs() {
            // The high bit makes it none (RFC 2181, section 8).
            seconds if seconds > i32::MAX as u32 => 0,
            seconds => seconds,
        };
        let is_soa = rtype == rtype::SOA && self.owner.eq_ignore_ascii_case(self.apex);
        let serial = if is_soa { serial_of(&self.rdata) } else { None };
        let reference =
            RecordRef { owner: &self.owner, rtype, ttl, rdata: &self.rdata, file: 0, line: 0 };
        match (self.state, serial) {
            (State::First, Some(_)) => {
                self.soa.clone_from(&self.rdata);
                self.soa_ttl = ttl;
                self.state = State::Second;
            }
            (State::First, None) => {
                return Err(Failure::malformed("the transfer does not begin with the zone's SOA"));
            }
            (State::Second, Some(serial))
                if matches!(self.question, Question::Ixfr(ours) if ours == serial)
                    && self.serial() != Some(serial) =>
            {
                self.state = State::Going(serial);
                sink(Part::Gone(reference))?;
            }
            (State::Second, serial) => {
                let first = RecordRef {
                    owner: self.apex,
                    rtype: rtype::SOA,
                    ttl: self.soa_ttl,
                    rdata: &self.soa,
                    file: 0,
                    line: 0,
                };
                sink(Part::Present(first))?;
                if serial.is_some() {
                    self.state = self.end(Kind::Whole)?;
                } else {
                    sink(Part::Present(reference))?;
                    self.state = State::Whole;
                }
            }
            (State::Whole, Some(_)) => self.state = self.end(Kind::Whole)?,
            (State::Whole | State::Coming(_), None) => sink(Part::Present(reference))?,
            (State::Going(_), None) => sink(Part::Gone(reference))?,
            (State::Going(from), Some(to)) => {
                if !is_newer(to, from) {
                    let message = format!("it holds changes from serial {from} back to {to}");
                    return Err(Failure::malformed(message));
                }
                self.state = State::Coming(to);
                sink(Part::Present(reference))?;
            }
            (State::Coming(at), Some(serial)) if serial != at => {
                let message = format!("its changes lead to serial {at} and go on from {serial}");
                return Err(Failure::malformed(message));
            }
            (State::Coming(at), Some(_)) => {
                if self.serial() == Some(at) {
                    self.state = self.end(Kind::Changes)?;
                } else {
                    self.state = State::Going(at);
                    sink(Part::Gone(reference))?;
                }
            }
            (State::Done(_), _) => {
                return Err(Failure::malformed("records follow the SOA that ends the transfer"));
            }
        }
        Ok(())
    }

    /// The end, if the SOA at hand is the one of the beginning.
    fn end(&self, kind: Kind) -> Result<State, Failure> {
        let (first, last) = (&self.soa, &self.rdata);
        let names = |soa: &[u8]| soa[..soa.len() - SOA_FIXED].to_ascii_lowercase();
        let fixed = |soa: &[u8]| soa[soa.len() - SOA_FIXED..].to_vec();
        if fixed(first) == fixed(last) && names(first) == names(last) {
            return Ok(State::Done(kind));
        }
        let text = |soa: &[u8]| serial_of(soa).unwrap_or(0);
        Err(Failure::malformed(format!(
            "the SOA changed during the transfer (serial {} at its beginning, {} now)",
            text(first),
            text(last)
        )))
    }

    /// Writes owner and data of a record, uncompressed.
    fn decode(&mut self, record: &ParsedRecord<'_, [u8]>) -> Result<(), Failure> {
        self.owner.clear();
        let Ok(()) = record.owner().compose(&mut self.owner);
        let told = |what: &str, owner: &[u8]| {
            Failure::malformed(format!("{} {}: {what}", name::to_text(owner), record.rtype()))
        };
        if record.class() != Class::IN {
            return Err(told(&format!("its class is {}, not IN", record.class()), &self.owner));
        }
        if !is_at_or_below(record.owner().iter_labels(), self.apex) {
            return Err(told("it is outside of the zone", &self.owner));
        }
        // OPT, TKEY, TSIG, transfers, ANY and the like (RFC 6895, section 3.1) are never data.
        if matches!(record.rtype().to_int(), 0 | 41 | 128..=255) {
            return Err(told("this type is never in a zone", &self.owner));
        }
        let data = record
            .to_record::<Data<'_>>()
            .map_err(|_| told("its data are malformed", &self.owner))?
            .ok_or_else(|| told("this type is never in a zone", &self.owner))?
            .into_data();
        self.rdata.clear();
        let Ok(()) = data.compose_rdata(&mut self.rdata);
        if self.rdata.len() > usize::from(u16::MAX) {
            return Err(told("its data are longer than a record's can be", &self.owner));
        }
        Ok(())
    }
}

/// Whether a name, given by its labels, is the apex or below it.
fn is_at_or_below<'l>(labels: impl Iterator<Item = &'l Label>, apex: &[u8]) -> bool {
    let mut count = 0;
    let mut at = 0;
    while apex[at] != 0 {
        at += 1 + usize::from(apex[at]);
        count += 1;
    }
    let labels: Vec<&Label> = labels.filter(|label| !label.is_root()).collect();
    let Some(above) = labels.len().checked_sub(count) else { return false };
    let mut rest = apex;
    labels[above..].iter().all(|label| {
        let (length, tail) = rest.split_first().expect("as many labels as counted");
        let (wanted, tail) = tail.split_at(usize::from(*length));
        rest = tail;
        label.as_slice().eq_ignore_ascii_case(wanted)
    })
}
