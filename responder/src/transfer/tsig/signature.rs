//! The TSIG record of a message: read, checked, taken away, written.

use domain::{
    base::{Message, ParsedName, ToName, iana::TsigRcode},
    rdata::tsig::{Time48, Tsig},
};

use super::{FUDGE, Fault, Key};

/// Octets of a header, and where its count of additional records stands (RFC 1035, section 4.1.1).
const HEADER: usize = 12;
const ARCOUNT: usize = 10;
/// Type TSIG and class ANY.
const TSIG: u16 = 250;
const ANY: u16 = 255;
/// A message's TSIG record.
pub struct Signature {
    /// Where the record begins.
    pub start: usize,
    pub key: Vec<u8>,
    pub algorithm: Vec<u8>,
    pub time: u64,
    pub fudge: u16,
    pub mac: Vec<u8>,
    pub original_id: u16,
    pub error: u16,
    pub other: Vec<u8>,
}

impl Signature {
    /// The TSIG record of a message, which must be its last (RFC 8945, section 5.1).
    pub fn of(message: &[u8]) -> Result<Option<Self>, Fault> {
        let parsed = Message::from_slice(message).map_err(|_| Fault::Malformed)?;
        if parsed.header_counts().arcount() == 0 {
            return Ok(None);
        }
        let mut section = parsed.additional().map_err(|_| Fault::Malformed)?;
        let mut found = None;
        loop {
            let start = section.pos();
            let Some(record) = section.next() else { return Ok(found) };
            let record = record.map_err(|_| Fault::Malformed)?;
            if found.is_some() {
                return Err(Fault::Malformed);
            }
            if record.rtype().to_int() != TSIG {
                continue;
            }
            let record = record
                .to_record::<Tsig<&[u8], ParsedName<&[u8]>>>()
                .ok()
                .flatten()
                .filter(|record| record.class().to_int() == ANY && record.ttl().as_secs() == 0)
                .ok_or(Fault::Malformed)?;
            let data = record.data();
            let time = data.time_signed().into_octets();
            found = Some(Self {
                start,
                key: lower(record.owner()),
                algorithm: lower(data.algorithm()),
                time: time.iter().fold(0, |time, octet| time << 8 | u64::from(*octet)),
                fudge: data.fudge(),
                mac: data.mac().to_vec(),
                original_id: data.original_id(),
                error: data.error().to_int(),
                other: data.other().to_vec(),
            });
        }
    }

    pub fn is_by(&self, key: &Key) -> bool {
        self.key == key.name && self.algorithm == key.algorithm.wire()
    }

    /// The message as it was before it was signed.
    pub fn strip(&self, message: &mut Vec<u8>) {
        message.truncate(self.start);
        message[..2].copy_from_slice(&self.original_id.to_be_bytes());
        let count = u16::from_be_bytes([message[ARCOUNT], message[ARCOUNT + 1]]);
        message[ARCOUNT..HEADER].copy_from_slice(&(count - 1).to_be_bytes());
    }

    pub fn variables<'a>(&'a self, key: &'a Key) -> Variables<'a> {
        let Self { time, fudge, error, ref other, .. } = *self;
        Variables { key, time, fudge, error, other }
    }

    pub fn check_time(&self, now: u64) -> Result<(), Fault> {
        let apart = now.abs_diff(self.time);
        if apart > u64::from(self.fudge) { Err(Fault::Time(apart)) } else { Ok(()) }
    }

    /// What the peer says of our request; it cannot sign all of that (RFC 8945, section 5.3.2).
    pub fn peer_fault(&self) -> Result<(), Fault> {
        match TsigRcode::from_int(self.error) {
            TsigRcode::NOERROR => Ok(()),
            TsigRcode::BADKEY => Err(Fault::PeerKey),
            TsigRcode::BADSIG => Err(Fault::PeerSignature),
            // That one is signed.
            TsigRcode::BADTIME if !self.mac.is_empty() => Ok(()),
            TsigRcode::BADTIME => Err(Fault::PeerTime),
            other => Err(Fault::Peer(other.to_int())),
        }
    }
}

fn lower(name: &impl ToName) -> Vec<u8> {
    let mut wire = name.to_name::<Vec<u8>>().into_octets();
    wire.make_ascii_lowercase();
    wire
}

/// What a signature covers beside the message (RFC 8945, section 4.3.3).
pub struct Variables<'a> {
    pub key: &'a Key,
    pub time: u64,
    pub fudge: u16,
    pub error: u16,
    pub other: &'a [u8],
}

impl<'a> Variables<'a> {
    pub fn of(key: &'a Key, now: u64) -> Self {
        Self { key, time: now, fudge: FUDGE, error: 0, other: &[] }
    }

    pub fn octets(&self) -> Vec<u8> {
        let mut octets = self.key.name.clone();
        octets.extend(ANY.to_be_bytes());
        octets.extend([0; 4]);
        octets.extend_from_slice(self.key.algorithm.wire());
        octets.extend(self.times());
        octets.extend(self.error.to_be_bytes());
        octets.extend((self.other.len() as u16).to_be_bytes());
        octets.extend_from_slice(self.other);
        octets
    }

    /// All that is covered from the second answer of a stream on (RFC 8945, section 5.3.1).
    pub fn times(&self) -> Vec<u8> {
        let mut octets = Time48::from_u64(self.time).into_octets().to_vec();
        octets.extend(self.fudge.to_be_bytes());
        octets
    }

    /// Appends the TSIG record.
    pub fn append(&self, message: &mut Vec<u8>, mac: &[u8]) {
        let Self { time, fudge, error, other, .. } = *self;
        let tail = Tail { time, fudge, mac, error, other };
        append(message, &self.key.name, self.key.algorithm.wire(), &tail);
    }
}

/// The fields of a TSIG record behind its names.
pub struct Tail<'a> {
    pub time: u64,
    pub fudge: u16,
    pub mac: &'a [u8],
    pub error: u16,
    pub other: &'a [u8],
}

/// Appends a TSIG record to a message (RFC 8945, section 4.2).
pub fn append(message: &mut Vec<u8>, key: &[u8], algorithm: &[u8], tail: &Tail<'_>) {
    let id = [message[0], message[1]];
    message.extend_from_slice(key);
    message.extend([TSIG.to_be_bytes(), ANY.to_be_bytes(), [0; 2], [0; 2]].concat());
    let mut data = algorithm.to_vec();
    data.extend(Time48::from_u64(tail.time).into_octets());
    data.extend(tail.fudge.to_be_bytes());
    data.extend((tail.mac.len() as u16).to_be_bytes());
    data.extend_from_slice(tail.mac);
    data.extend(id);
    data.extend(tail.error.to_be_bytes());
    data.extend((tail.other.len() as u16).to_be_bytes());
    data.extend_from_slice(tail.other);
    message.extend((data.len() as u16).to_be_bytes());
    message.extend(data);
    let count = u16::from_be_bytes([message[ARCOUNT], message[ARCOUNT + 1]]);
    message[ARCOUNT..HEADER].copy_from_slice(&(count + 1).to_be_bytes());
}
