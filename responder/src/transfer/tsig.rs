//! TSIG (RFC 8945): messages and streams of messages that a shared key signs.
//!
//! `domain` reads the record; its signing knows no hmac-sha224, so the arithmetic stands here.

use std::{fs, sync::Arc};

use domain::{
    base::{Message, ParsedName, ToName, iana::TsigRcode},
    rdata::tsig::{Time48, Tsig},
    utils::base64,
};
use hmac::{Hmac, KeyInit, Mac};

use crate::{config, zone::name};

/// How far the clocks of two servers may be apart, in seconds (RFC 8945, section 10).
const FUDGE: u16 = 300;
/// Messages that may go unsigned between two signed ones (RFC 8945, section 5.3.1).
const UNSIGNED: usize = 99;
/// Octets of a header, and where its count of additional records stands (RFC 1035, section 4.1.1).
const HEADER: usize = 12;
const ARCOUNT: usize = 10;
/// Type TSIG and class ANY.
const TSIG: u16 = 250;
const ANY: u16 = 255;

/// A key and its secret.
pub struct Key {
    /// Its name: lower case, wire form.
    name: Vec<u8>,
    algorithm: Algorithm,
    secret: Vec<u8>,
}

/// Why a message is not taken for what its signer sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It cannot be read as far as its TSIG record, or that stands where it must not.
    #[error("the TSIG record is malformed")]
    Malformed,
    /// It has no signature where it needs one.
    #[error("the message is not signed")]
    Unsigned,
    /// More than 99 messages without a signature, or the last had none.
    #[error("too many messages in a row are not signed")]
    TooManyUnsigned,
    /// Another key or algorithm than the one agreed upon.
    #[error("it is signed with another key or algorithm than agreed")]
    Key,
    /// The signature is not that of this message.
    #[error("the signature is wrong")]
    Signature,
    /// The clocks are too far apart.
    #[error("the clocks are {0} s apart, more than the {FUDGE} s that TSIG allows")]
    Time(u64),
    /// The peer says so: BADKEY.
    #[error("the peer does not know the key, or not with this algorithm (BADKEY)")]
    PeerKey,
    /// The peer says so: BADSIG.
    #[error("the peer finds our signature wrong (BADSIG): is the secret the same?")]
    PeerSignature,
    /// The peer says so: BADTIME.
    #[error("the peer finds our clock too far from its own (BADTIME): compare them")]
    PeerTime,
    /// The peer says something else.
    #[error("the peer reports TSIG error {0}")]
    Peer(u16),
}

impl Key {
    /// Reads a key's secret from its file.
    ///
    /// # Errors
    /// One line that names the file.
    pub fn load(key: &config::Key) -> Result<Self, String> {
        let file = key.secret_file.display();
        let told = |error: &dyn std::fmt::Display| {
            format!("the secret of key \"{}\" ({file}): {error}", key.name)
        };
        let text = fs::read_to_string(&key.secret_file).map_err(|error| told(&error))?;
        let compact: String = text.split_ascii_whitespace().collect();
        let secret: Vec<u8> =
            base64::decode(&compact).map_err(|error| told(&format!("not base64: {error}")))?;
        if secret.is_empty() {
            return Err(told(&"it is empty"));
        }
        let algorithm = Algorithm::from_text(&key.algorithm)
            .ok_or_else(|| told(&format!("{} is not known", key.algorithm)))?;
        Ok(Self { name: name::from_text_lower(&key.name)?, algorithm, secret })
    }

    /// Its name: lower case, wire form.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    fn mac(&self) -> Running {
        Running::new(self.algorithm, &self.secret)
    }
}

/// One side of an exchange that is signed with one key: it signs what it sends and checks what it
/// receives, each signature covering the one before.
pub struct Session {
    key: Arc<Key>,
    /// The last signature of this exchange.
    prior: Vec<u8>,
    /// The digest since then, if unsigned messages came.
    running: Option<Running>,
    unsigned: usize,
    /// Whether an answer was signed or checked before: then only times are covered, no names.
    answered: bool,
}

impl Session {
    /// Signs a request; what comes back is checked by [`Session::check`].
    pub fn request(key: &Arc<Key>, message: &mut Vec<u8>, now: u64) -> Self {
        let mut mac = key.mac();
        mac.update(message);
        let variables = Variables::of(key, now);
        mac.update(&variables.octets());
        let prior = mac.finish();
        variables.append(message, &prior);
        Self { key: Arc::clone(key), prior, running: None, unsigned: 0, answered: false }
    }

    /// Checks a request, and takes its TSIG record away. None where it is not signed.
    ///
    /// # Errors
    /// What is wrong with it; [`refuse`] makes the answer.
    pub fn requested(
        keys: &[Arc<Key>],
        message: &mut Vec<u8>,
        now: u64,
    ) -> Result<Option<Self>, Fault> {
        let Some(signature) = Signature::of(message)? else { return Ok(None) };
        let fits = |key: &&Arc<Key>| signature.is_by(key);
        let key = Arc::clone(keys.iter().find(fits).ok_or(Fault::Key)?);
        let mut mac = key.mac();
        signature.strip(message);
        mac.update(message);
        mac.update(&signature.variables(&key).octets());
        mac.verify(&signature.mac)?;
        signature.check_time(now)?;
        let prior = signature.mac;
        Ok(Some(Self { key, prior, running: None, unsigned: 0, answered: false }))
    }

    /// Signs the next answer to a checked request.
    pub fn sign(&mut self, message: &mut Vec<u8>, now: u64) {
        let mut mac = self.take_running();
        mac.update(message);
        let variables = Variables::of(&self.key, now);
        mac.update(&if self.answered { variables.times() } else { variables.octets() });
        self.prior = mac.finish();
        self.answered = true;
        variables.append(message, &self.prior);
    }

    /// Checks the next answer to a signed request, and takes its TSIG record away.
    ///
    /// # Errors
    /// The message is not to be believed, and the stream ends.
    pub fn check(&mut self, message: &mut Vec<u8>, now: u64) -> Result<(), Fault> {
        let Some(signature) = Signature::of(message)? else {
            if !self.answered {
                return Err(Fault::Unsigned);
            }
            if self.unsigned == UNSIGNED {
                return Err(Fault::TooManyUnsigned);
            }
            self.unsigned += 1;
            let mut mac = self.take_running();
            mac.update(message);
            self.running = Some(mac);
            return Ok(());
        };
        signature.peer_fault()?;
        if !signature.is_by(&self.key) {
            return Err(Fault::Key);
        }
        let mut mac = self.take_running();
        signature.strip(message);
        mac.update(message);
        let variables = signature.variables(&self.key);
        mac.update(&if self.answered { variables.times() } else { variables.octets() });
        mac.verify(&signature.mac)?;
        signature.check_time(now)?;
        if signature.error == TsigRcode::BADTIME.to_int() {
            return Err(Fault::PeerTime);
        }
        self.prior = signature.mac;
        self.answered = true;
        self.unsigned = 0;
        Ok(())
    }

    /// The key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Octets that a signature adds to a message, at most.
    pub fn room(&self) -> usize {
        // Type, class, TTL, length; time, fudge, length of the digest, ID, error, length of the rest.
        const FIXED: usize = 10 + 16;
        const LONGEST_DIGEST: usize = 64;
        FIXED + self.key.name.len() + self.key.algorithm.wire().len() + LONGEST_DIGEST
    }

    /// Ends a stream: its last message must have been signed.
    ///
    /// # Errors
    /// It was not.
    pub fn finish(&self) -> Result<(), Fault> {
        if self.unsigned == 0 { Ok(()) } else { Err(Fault::TooManyUnsigned) }
    }

    /// The digest that goes on from the last signature.
    fn take_running(&mut self) -> Running {
        self.running.take().unwrap_or_else(|| {
            let mut mac = self.key.mac();
            mac.update(&(self.prior.len() as u16).to_be_bytes());
            mac.update(&self.prior);
            mac
        })
    }
}

/// Adds to the answer to a request what is wrong with its signature (RFC 8945, section 5.3.2). Only
/// BADTIME is signed: otherwise there is nothing to sign with.
pub fn refuse(request: &[u8], fault: &Fault, keys: &[Arc<Key>], reply: &mut Vec<u8>, now: u64) {
    let Ok(Some(signature)) = Signature::of(request) else { return };
    let Some(key) = keys.iter().find(|key| signature.is_by(key)) else {
        // A key that we do not know is named as it was.
        append(
            reply,
            &signature.key,
            &signature.algorithm,
            &Tail {
                time: signature.time,
                fudge: signature.fudge,
                mac: &[],
                error: TsigRcode::BADKEY.to_int(),
                other: &[],
            },
        );
        return;
    };
    let (error, other) = match fault {
        Fault::Time(_) => (TsigRcode::BADTIME, Time48::from_u64(now).into_octets().to_vec()),
        _ => (TsigRcode::BADSIG, Vec::new()),
    };
    let variables = Variables {
        key,
        time: signature.time,
        fudge: signature.fudge,
        error: error.to_int(),
        other: &other,
    };
    let mac = if error == TsigRcode::BADTIME {
        let mut mac = key.mac();
        mac.update(&(signature.mac.len() as u16).to_be_bytes());
        mac.update(&signature.mac);
        mac.update(reply);
        mac.update(&variables.octets());
        mac.finish()
    } else {
        Vec::new()
    };
    variables.append(reply, &mac);
}

/// A message's TSIG record.
struct Signature {
    /// Where the record begins.
    start: usize,
    key: Vec<u8>,
    algorithm: Vec<u8>,
    time: u64,
    fudge: u16,
    mac: Vec<u8>,
    original_id: u16,
    error: u16,
    other: Vec<u8>,
}

impl Signature {
    /// The TSIG record of a message, which must be its last (RFC 8945, section 5.1).
    fn of(message: &[u8]) -> Result<Option<Self>, Fault> {
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

    fn is_by(&self, key: &Key) -> bool {
        self.key == key.name && self.algorithm == key.algorithm.wire()
    }

    /// The message as it was before it was signed.
    fn strip(&self, message: &mut Vec<u8>) {
        message.truncate(self.start);
        message[..2].copy_from_slice(&self.original_id.to_be_bytes());
        let count = u16::from_be_bytes([message[ARCOUNT], message[ARCOUNT + 1]]);
        message[ARCOUNT..HEADER].copy_from_slice(&(count - 1).to_be_bytes());
    }

    fn variables<'a>(&'a self, key: &'a Key) -> Variables<'a> {
        let Self { time, fudge, error, ref other, .. } = *self;
        Variables { key, time, fudge, error, other }
    }

    fn check_time(&self, now: u64) -> Result<(), Fault> {
        let apart = now.abs_diff(self.time);
        if apart > u64::from(self.fudge) { Err(Fault::Time(apart)) } else { Ok(()) }
    }

    /// What the peer says of our request; it cannot sign all of that (RFC 8945, section 5.3.2).
    fn peer_fault(&self) -> Result<(), Fault> {
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
struct Variables<'a> {
    key: &'a Key,
    time: u64,
    fudge: u16,
    error: u16,
    other: &'a [u8],
}

impl<'a> Variables<'a> {
    fn of(key: &'a Key, now: u64) -> Self {
        Self { key, time: now, fudge: FUDGE, error: 0, other: &[] }
    }

    fn octets(&self) -> Vec<u8> {
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
    fn times(&self) -> Vec<u8> {
        let mut octets = Time48::from_u64(self.time).into_octets().to_vec();
        octets.extend(self.fudge.to_be_bytes());
        octets
    }

    /// Appends the TSIG record.
    fn append(&self, message: &mut Vec<u8>, mac: &[u8]) {
        let Self { time, fudge, error, other, .. } = *self;
        let tail = Tail { time, fudge, mac, error, other };
        append(message, &self.key.name, self.key.algorithm.wire(), &tail);
    }
}

/// The fields of a TSIG record behind its names.
struct Tail<'a> {
    time: u64,
    fudge: u16,
    mac: &'a [u8],
    error: u16,
    other: &'a [u8],
}

/// Appends a TSIG record to a message (RFC 8945, section 4.2).
fn append(message: &mut Vec<u8>, key: &[u8], algorithm: &[u8], tail: &Tail<'_>) {
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

macro_rules! algorithms {
    ($($name:ident = $text:literal, $wire:literal, $hash:ty;)*) => {
        /// The algorithms (RFC 8945, section 6); MD5 is not taken.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        enum Algorithm { $($name,)* }

        impl Algorithm {
            fn from_text(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$name),)* _ => None }
            }

            fn wire(self) -> &'static [u8] {
                match self { $(Self::$name => $wire,)* }
            }
        }

        /// A digest on its way.
        enum Running { $($name(Hmac<$hash>),)* }

        impl Running {
            fn new(algorithm: Algorithm, secret: &[u8]) -> Self {
                match algorithm {
                    $(Algorithm::$name => Self::$name(
                        Hmac::new_from_slice(secret).expect("a secret has any length"),
                    ),)*
                }
            }

            fn update(&mut self, octets: &[u8]) {
                match self { $(Self::$name(mac) => mac.update(octets),)* }
            }

            fn finish(self) -> Vec<u8> {
                match self { $(Self::$name(mac) => mac.finalize().into_bytes().to_vec(),)* }
            }

            /// Compares in constant time. Truncated signatures are not taken.
            fn verify(self, signature: &[u8]) -> Result<(), Fault> {
                match self {
                    $(Self::$name(mac) =>
                        mac.verify_slice(signature).map_err(|_| Fault::Signature),)*
                }
            }
        }
    };
}

algorithms! {
    Sha1 = "hmac-sha1", b"\x09hmac-sha1\0", sha1::Sha1;
    Sha224 = "hmac-sha224", b"\x0bhmac-sha224\0", sha2::Sha224;
    Sha256 = "hmac-sha256", b"\x0bhmac-sha256\0", sha2::Sha256;
    Sha384 = "hmac-sha384", b"\x0bhmac-sha384\0", sha2::Sha384;
    Sha512 = "hmac-sha512", b"\x0bhmac-sha512\0", sha2::Sha512;
}

#[cfg(test)]
mod tests;
